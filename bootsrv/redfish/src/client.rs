//! The client: what is asked of a service, with a login where one is needed. What the answers mean
//! stands in the other files.

use crate::account::{Account, Patience};
use crate::discovery::{Place, Root};
use crate::document::Document;
use crate::meter::Chosen;
use crate::session::Session;
use crate::wire::{Answer, Ask, Authorization, Wire};
use crate::{Error, ErrorKind};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};

/// One service and one ComputerSystem of it. Nothing is sent before the first question; what was
/// found out about the service is kept as long as the value lives.
///
/// Dropping it ends its session in the background; [`Client::close`] waits for that.
pub struct Client {
    pub(crate) wire: Arc<Wire>,
    /// For one call.
    patience: Duration,
    pub(crate) session: Session,
    /// The ComputerSystem's Id that was asked for.
    pub(crate) wanted: Option<String>,
    root: OnceCell<Root>,
    pub(crate) place: OnceCell<Place>,
    /// Where energy may be read.
    pub(crate) metrics: OnceCell<Vec<String>>,
    /// Where power is read.
    pub(crate) meter: Mutex<Option<Chosen>>,
}

impl Client {
    /// Prepares a client with default patience.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`] if the account cannot be used; nothing is sent.
    pub fn new(account: Account) -> Result<Self, Error> {
        Self::with_patience(account, Patience::default())
    }

    /// Prepares a client.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_patience(account: Account, patience: Patience) -> Result<Self, Error> {
        let wire = Arc::new(Wire::new(&account, patience)?);
        Ok(Self {
            wire,
            patience: patience.call,
            session: Session::new(account.user, account.password),
            wanted: account.system,
            root: OnceCell::new(),
            place: OnceCell::new(),
            metrics: OnceCell::new(),
            meter: Mutex::new(None),
        })
    }

    /// The service, `host[:port]`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.wire.host
    }

    /// Ends the session, if there is one, and waits for the service's word on it.
    ///
    /// # Errors
    /// If there was no such word; the session then ends when the service finds it idle.
    pub async fn close(mut self) -> Result<(), Error> {
        let wire = Arc::clone(&self.wire);
        self.session.close(&wire).await
    }

    pub(crate) fn error(&self, asked: &str, kind: ErrorKind, what: impl Into<String>) -> Error {
        self.wire.error(asked, kind, what)
    }

    /// Carries a call out within its time. One that is cut off in the middle of a login leaves a
    /// session behind, which the service ends when it finds it idle.
    pub(crate) async fn within<T>(
        &self,
        call: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let late = |_| {
            let what = format!("not done in {} s", self.patience.as_secs_f32());
            Err(self.error(call, ErrorKind::NoAnswer, what))
        };
        tokio::time::timeout(self.patience, work).await.unwrap_or_else(late)
    }

    /// What the service's root names; it needs no login.
    pub(crate) async fn root(&self) -> Result<&Root, Error> {
        let read = async || {
            let root = self.get_as(crate::discovery::ROOT, &Authorization::None).await?;
            Ok(Root::of(&root.value))
        };
        self.root.get_or_try_init(read).await
    }

    pub(crate) async fn send(&self, ask: &Ask) -> Result<Answer, Error> {
        let root = self.root().await?;
        self.session.send(&self.wire, root.sessions.as_deref(), ask).await
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Document, Error> {
        let ask = Ask::get(path);
        let answer = self.send(&ask).await?;
        self.wire.document(&ask, &answer)
    }

    /// As somebody, without logging in.
    pub(crate) async fn get_as(&self, path: &str, who: &Authorization) -> Result<Document, Error> {
        let ask = Ask::get(path);
        let answer = self.wire.send(&ask, who).await?;
        self.wire.document(&ask, &answer)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.session.close_later(&self.wire);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("host", &self.wire.host)
            .field("session", &self.session)
            .field("system", &self.wanted)
            .finish_non_exhaustive()
    }
}
