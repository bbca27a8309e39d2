//! WS-Management answers as AMT writes them: one prefix for each namespace, faults with status 400.

use super::settings::{Knobs, Refusal};
use super::{Shared, classes};
use crate::soap::{ADDRESSING, ANONYMOUS, ENUMERATION, IDENTITY, SOAP, TRANSFER, WSMAN};
use crate::xml::{self, Element, escape};
use hyper::StatusCode;
use std::sync::Arc;

/// Longest number of a question that is repeated, in characters.
const NUMBER_MAX: usize = 100;

/// What goes back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

/// A fault's subcode.
pub(super) type Fault = &'static str;

/// A question's parts.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) action: &'a str,
    pub(super) resource: &'a str,
    pub(super) header: &'a Element,
    pub(super) body: &'a Element,
}

impl Asked<'_> {
    /// The class, by the last part of its name.
    pub(super) fn class(&self) -> &str {
        self.resource.rsplit('/').next().unwrap_or_default()
    }
}

/// Answers a question that is logged in.
pub(super) async fn answer(shared: &Arc<Shared>, knobs: &Knobs, question: &[u8]) -> Reply {
    let Ok(root) = xml::parse(question) else { return fault("", "", "InvalidMessage") };
    let (Some(header), Some(body)) = (root.child("Header"), root.child("Body")) else {
        return fault("", "", "InvalidMessageInformationHeader");
    };
    if root.name != "Envelope" || root.namespace != SOAP {
        return fault("", "", "VersionMismatch");
    }
    let number = header.text_at(&["MessageID"]).unwrap_or_default();
    let number: String = number.chars().take(NUMBER_MAX).collect();
    let (action, resource) = (header.text_at(&["Action"]), header.text_at(&["ResourceURI"]));
    if let Some(Refusal::Fault(subcode)) = knobs.refuses {
        return fault(&number, resource.unwrap_or_default(), subcode);
    }
    if body.child("Identify").is_some_and(|asked| asked.namespace == IDENTITY) {
        return identity();
    }
    let (Some(action), Some(resource)) = (action, resource) else {
        return fault(&number, "", "InvalidMessageInformationHeader");
    };
    let asked = Asked { action, resource, header, body };
    match classes::answer(shared, knobs, &asked).await {
        Ok(body) => Reply {
            status: StatusCode::OK,
            text: envelope(&number, &format!("{action}Response"), resource, &body),
        },
        Err(subcode) => fault(&number, resource, subcode),
    }
}

/// `body` may use the prefix `g` for the class.
fn envelope(number: &str, action: &str, resource: &str, body: &str) -> String {
    let (number, resource, action) = (escape(number), escape(resource), escape(action));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a:Envelope xmlns:a=\"{SOAP}\" \
         xmlns:b=\"{ADDRESSING}\" xmlns:c=\"{WSMAN}\" xmlns:d=\"{TRANSFER}\" \
         xmlns:e=\"{ENUMERATION}\" xmlns:g=\"{resource}\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><a:Header>\
         <b:To>{ANONYMOUS}</b:To><b:RelatesTo>{number}</b:RelatesTo>\
         <b:Action a:mustUnderstand=\"true\">{action}</b:Action>\
         <b:MessageID>uuid:00000000-8086-8086-8086-000000000001</b:MessageID>\
         <c:ResourceURI>{resource}</c:ResourceURI></a:Header>\
         <a:Body>{body}</a:Body></a:Envelope>"
    )
}

fn fault(number: &str, resource: &str, subcode: Fault) -> Reply {
    let (prefix, action) = match subcode {
        "DestinationUnreachable"
        | "ActionNotSupported"
        | "EndpointUnavailable"
        | "InvalidMessageInformationHeader" => ("b", format!("{ADDRESSING}/fault")),
        "InvalidRepresentation" => ("d", format!("{TRANSFER}/fault")),
        "InvalidEnumerationContext" => ("e", format!("{ENUMERATION}/fault")),
        _ => ("c", "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault".to_owned()),
    };
    let body = format!(
        "<a:Fault><a:Code><a:Value>a:Sender</a:Value><a:Subcode>\
         <a:Value>{prefix}:{subcode}</a:Value></a:Subcode></a:Code><a:Reason>\
         <a:Text xml:lang=\"en-US\">The fake says {subcode}.</a:Text></a:Reason>\
         <a:Detail></a:Detail></a:Fault>"
    );
    Reply { status: StatusCode::BAD_REQUEST, text: envelope(number, &action, resource, &body) }
}

/// Identify has no header (DSP0226).
fn identity() -> Reply {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a:Envelope xmlns:a=\"{SOAP}\" \
         xmlns:b=\"{IDENTITY}\"><a:Header/><a:Body><b:IdentifyResponse>\
         <b:ProtocolVersion>{WSMAN}</b:ProtocolVersion>\
         <b:ProductVendor>Intel(r)</b:ProductVendor>\
         <b:ProductVersion>AMT 12.0.0</b:ProductVersion>\
         <b:SecurityProfiles><b:SecurityProfileName>\
         http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/http/digest\
         </b:SecurityProfileName></b:SecurityProfiles></b:IdentifyResponse></a:Body></a:Envelope>"
    );
    Reply { status: StatusCode::OK, text }
}
