//! What the made-up service answers, and what it changes by that.

use super::shape::Shape;
use super::state::State;
use super::{PASSWORD, USER, documents, streams};
use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

const TOKEN: &str = "X-Auth-Token";

pub(super) struct Asked {
    pub(super) method: Method,
    /// Below `/redfish/v1/`, without a slash at the end.
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// What is answered.
pub(super) enum Answered {
    /// At once and whole.
    Whole(Reply),
    /// The stream of this number.
    Stream(u64, UnboundedReceiver<String>),
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl Reply {
    pub(super) fn new(status: u16, body: Option<Value>) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    pub(super) fn error(status: u16, id: &str, message: &str) -> Self {
        let info = json!([{"@odata.type": "#Message.v1_1_1.Message", "MessageId": id,
            "Message": message, "Severity": "Critical"}]);
        let error = json!({"code": "Base.1.8.GeneralError", "message": "See ExtendedInfo.",
            "@Message.ExtendedInfo": info});
        Self::new(status, Some(json!({ "error": error })))
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

pub(super) fn answer(state: &mut State, asked: &Asked) -> Answered {
    let is_stream = asked.method == Method::GET && asked.path == state.shape.stream();
    if is_stream && state.has_stream && is_known(state, &asked.headers) {
        return streams::open(state, &asked.headers);
    }
    Answered::Whole(answer_whole(state, asked))
}

fn answer_whole(state: &mut State, asked: &Asked) -> Reply {
    let path = asked.path.as_str();
    let is_login = asked.method == Method::POST && path == "SessionService/Sessions";
    if !path.is_empty() && !is_login && !is_known(state, &asked.headers) {
        return Reply::error(401, "Base.1.8.NoValidSession", "There is no valid session.");
    }
    match (&asked.method, path) {
        (&Method::GET, _) => get(state, asked),
        (&Method::POST, "SessionService/Sessions") if state.has_sessions => log_in(state, asked),
        (&Method::POST, _) if path.ends_with("/Actions/ComputerSystem.Reset") => {
            reset(state, &asked.body)
        }
        (&Method::PATCH, _) if path == boot_path(state) => change_boot(state, asked),
        (&Method::DELETE, _) => delete(state, path),
        _ => Reply::error(405, "Base.1.8.OperationNotAllowed", "The method is not allowed."),
    }
}

/// Where the boot device is changed.
fn boot_path(state: &State) -> String {
    let below = if state.has_settings { "/SD" } else { "" };
    format!("Systems/{}{below}", state.shape.names().system)
}

fn is_known(state: &State, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    text(TOKEN).is_some_and(|token| state.sessions.values().any(|known| known == token))
        || text("Authorization") == Some(&basic)
}

fn get(state: &mut State, asked: &Asked) -> Reply {
    let skip = asked.query.strip_prefix("$skip=").and_then(|text| text.parse().ok()).unwrap_or(0);
    let etag = etag(state);
    match documents::at(state, &asked.path, skip) {
        Some(document) => Reply::new(200, Some(document)).header("ETag", etag),
        None => Reply::error(404, "Base.1.8.ResourceMissingAtURI", "There is no such resource."),
    }
}

fn etag(state: &State) -> String {
    format!("W/\"{}\"", state.version)
}

fn log_in(state: &mut State, asked: &Asked) -> Reply {
    let given = |name: &str| asked.body.get(name).and_then(Value::as_str);
    if (given("UserName"), given("Password")) != (Some(USER), Some(PASSWORD)) {
        return Reply::error(
            401,
            "Base.1.8.ResourceAtUriUnauthorized",
            "Invalid username or password.",
        );
    }
    if state.sessions.len() >= state.sessions_max {
        return Reply::error(503, "Base.1.8.SessionLimitExceeded", "There are too many sessions.");
    }
    let number = state.next_number();
    let token = format!("token-{number:08x}");
    state.sessions.insert(number, token.clone());
    let path = format!("/redfish/v1/SessionService/Sessions/{number}{}", state.shape.names().slash);
    let location = match state.shape {
        Shape::Hpe => format!("https://another-name.example{path}"),
        Shape::Dmtf | Shape::Dell | Shape::OpenBmc => path.clone(),
    };
    let body =
        json!({"@odata.id": path, "Id": number.to_string(), "Name": "Session", "UserName": USER});
    Reply::new(201, Some(body)).header(TOKEN, token).header("Location", location)
}

fn reset(state: &mut State, body: &Value) -> Reply {
    let Some(wanted) = body.get("ResetType").and_then(Value::as_str) else {
        return Reply::error(400, "Base.1.8.ActionParameterMissing", "ResetType is missing.");
    };
    if !state.shape.reset_types().contains(&wanted) {
        let text = format!("The value {wanted} for ResetType is not in the list.");
        return Reply::error(400, "Base.1.8.ActionParameterNotSupported", &text);
    }
    if state.shape == Shape::Dell && wanted == "On" && state.is_on {
        let text = "Unable to run the method because the requested HTTP method is not allowed: \
            the server is already powered ON.";
        return Reply::error(409, "IDRAC.2.8.PSU501", text);
    }
    state.reset(wanted);
    Reply::new(204, None)
}

fn change_boot(state: &mut State, asked: &Asked) -> Reply {
    if state.wants_version || state.wants_strong_version {
        let weak = etag(state);
        let wanted = if state.wants_strong_version { weak.trim_start_matches("W/") } else { &weak };
        match asked.headers.get(header::IF_MATCH).map(|value| value.as_bytes()) {
            None => return Reply::error(428, "Base.1.8.PreconditionRequired", "Send If-Match."),
            Some(given) if given != wanted.as_bytes() => {
                return Reply::error(412, "Base.1.8.PreconditionFailed", "It has changed.");
            }
            Some(_) => {}
        }
    }
    let Some(boot) = asked.body.get("Boot") else {
        return Reply::error(400, "Base.1.8.PropertyUnknown", "Only Boot can be changed.");
    };
    if state.has_fixed_mode && boot.get("BootSourceOverrideMode").is_some() {
        return Reply::error(400, "Base.1.8.PropertyNotWritable", "The mode is read-only.");
    }
    let names = ["BootSourceOverrideEnabled", "BootSourceOverrideTarget", "BootSourceOverrideMode"];
    for (name, now) in names.iter().zip(&mut state.boot) {
        if let Some(value) = boot.get(name).and_then(Value::as_str) {
            value.clone_into(now);
        }
    }
    state.version += 1;
    Reply::new(200, Some(json!({})))
}

fn delete(state: &mut State, path: &str) -> Reply {
    let number = |prefix: &str| path.strip_prefix(prefix)?.parse::<u64>().ok();
    let is_gone = number("SessionService/Sessions/")
        .is_some_and(|number| state.sessions.remove(&number).is_some())
        || number("EventService/Subscriptions/")
            .is_some_and(|number| state.streams.remove(&number).is_some());
    match is_gone {
        true => Reply::new(204, None),
        false => Reply::error(404, "Base.1.8.ResourceMissingAtURI", "There is no such resource."),
    }
}
