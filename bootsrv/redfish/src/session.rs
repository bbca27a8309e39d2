//! Who we are on a service: one session, opened when it is first needed and once more when the
//! service has ended it; or HTTP basic authentication where it has no sessions (DSP0266, "Sessions").
//!
//! Controllers have few sessions, often 4 to 16, and keep a forgotten one for half an hour: so one for
//! a [`crate::Client`], ended with it.

use crate::wire::{Answer, Ask, Authorization, TOKEN, Wire};
use crate::{Error, ErrorKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde_json::json;
use std::fmt;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long ending a session may take when nobody waits for it.
const LOGOUT: Duration = Duration::from_secs(5);

/// The login on one service. `Debug` shows no secret.
pub(crate) struct Session {
    user: String,
    password: String,
    state: Mutex<Option<Login>>,
}

#[derive(Clone)]
struct Login {
    authorization: Authorization,
    /// Of the session, to end it.
    path: Option<String>,
    /// The service did not know it when a stream was asked for.
    is_doubted: bool,
}

impl Login {
    /// What ends its session, if it has one.
    fn end(self) -> Option<(Ask, Authorization)> {
        Some((Ask::delete(&self.path?), self.authorization))
    }
}

impl Session {
    pub(crate) fn new(user: String, password: String) -> Self {
        Self { user, password, state: Mutex::new(None) }
    }

    /// Asks as somebody; logs in before that if need be, and once more if the session has ended.
    /// `sessions`: the service's collection of sessions; `None`: it has none.
    pub(crate) async fn send(
        &self,
        wire: &Wire,
        sessions: Option<&str>,
        ask: &Ask,
    ) -> Result<Answer, Error> {
        let used = self.authorization(wire, sessions, None).await?;
        match wire.send(ask, &used).await {
            // A refused request was not carried out: it may be asked again.
            Err(error) if error.status == Some(401) && matches!(used, Authorization::Token(_)) => {
                let fresh = self.authorization(wire, sessions, Some(&used)).await?;
                wire.send(ask, &fresh).await
            }
            done => done,
        }
    }

    /// Who we are; `ended`: not that any more.
    pub(crate) async fn authorization(
        &self,
        wire: &Wire,
        sessions: Option<&str>,
        ended: Option<&Authorization>,
    ) -> Result<Authorization, Error> {
        // Of several that are refused at once, the first logs in for all.
        let mut state = self.state.lock().await;
        match &*state {
            Some(login) if Some(&login.authorization) != ended => {
                return Ok(login.authorization.clone());
            }
            _ => {}
        }
        if let Some((ask, who)) = state.take().and_then(Login::end) {
            // It may not have ended: some services say so of what the account may not see.
            drop(tokio::time::timeout(LOGOUT, wire.send(&ask, &who)).await);
        }
        let login = self.log_in(wire, sessions).await?;
        Ok(state.insert(login).authorization.clone())
    }

    /// Who we are already, for what logs in nowhere: a service that refuses it alone would be left with a
    /// session for each attempt, and others would wait for the login. `None`: nobody, or the service has
    /// not known that session once.
    pub(crate) async fn current(&self) -> Option<Authorization> {
        let state = self.state.lock().await;
        state.as_ref().filter(|login| !login.is_doubted).map(|login| login.authorization.clone())
    }

    /// The service did not know that session. It is not used for [`Self::current`] again; whether it has
    /// ended shows when something else is asked.
    pub(crate) async fn doubt(&self, who: &Authorization) {
        let mut state = self.state.lock().await;
        if let Some(login) = state.as_mut().filter(|login| login.authorization == *who) {
            login.is_doubted = true;
        }
    }

    async fn log_in(&self, wire: &Wire, sessions: Option<&str>) -> Result<Login, Error> {
        let Some(sessions) = sessions else { return self.basic(wire) };
        let ask = Ask::post(sessions, json!({"UserName": self.user, "Password": self.password}));
        let answer = match wire.send(&ask, &Authorization::None).await {
            // It names sessions, but has none.
            Err(error) if error.kind == ErrorKind::Unsupported => return self.basic(wire),
            done => done?,
        };
        let path = answer.made();
        let Some(token) = answer.headers.get(TOKEN) else {
            let what = "it opened a session without X-Auth-Token";
            return Err(wire.error(&ask.shown(), ErrorKind::Malformed, what));
        };
        let mut token = token.clone();
        token.set_sensitive(true);
        Ok(Login { authorization: Authorization::Token(token), path, is_doubted: false })
    }

    fn basic(&self, wire: &Wire) -> Result<Login, Error> {
        let wrong = |what: &str| wire.error("its account", ErrorKind::Misconfigured, what);
        if self.user.contains(':') {
            return Err(wrong("a user name with a colon cannot be used without sessions"));
        }
        let text = format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)));
        let mut value = HeaderValue::try_from(text).map_err(|_| wrong("it cannot be sent"))?;
        value.set_sensitive(true);
        Ok(Login { authorization: Authorization::Basic(value), path: None, is_doubted: false })
    }

    /// What ends the session, if one is open.
    fn take(&mut self) -> Option<(Ask, Authorization)> {
        self.state.get_mut().take().and_then(Login::end)
    }

    /// Ends the session and waits for the service's word on it.
    pub(crate) async fn close(&mut self, wire: &Wire) -> Result<(), Error> {
        let Some((ask, who)) = self.take() else { return Ok(()) };
        match wire.send(&ask, &who).await {
            // It has ended by itself.
            Err(error) if error.status == Some(401) || error.is_missing() => Ok(()),
            done => done.map(drop),
        }
    }

    /// Ends the session in the background, if a runtime is there to do so.
    pub(crate) fn close_later(&mut self, wire: &std::sync::Arc<Wire>) {
        let Some((ask, who)) = self.take() else { return };
        let wire = std::sync::Arc::clone(wire);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Nobody is left to hear of a failure; the service ends idle sessions itself.
                drop(tokio::time::timeout(LOGOUT, wire.send(&ask, &who)).await);
            });
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("user", &self.user).finish_non_exhaustive()
    }
}
