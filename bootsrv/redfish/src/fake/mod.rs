//! A made-up Redfish service for tests of what the emulator of `tests/sushy.rs` lacks: sessions,
//! meters, logs and events, several makers' shapes, and faults.
//!
//! **Not proved on foreign code as a service**: its documents are made after DMTF's public mock-ups
//! (DSP2043) and what makers document, and no controller was at hand to compare it with. What is
//! proved, by `tests/foreign`: DMTF's own client and utilities log in, switch power, set the boot
//! device, read sensors and logs on it; and DMTF's protocol validator finds its stream of events right.

mod answers;
mod documents;
mod logs;
mod service;
mod shape;
mod state;
mod streams;

pub use shape::Shape;
pub use state::{Fault, State};

use crate::{Account, Client, Error, Patience, Trust};
use axum::Router;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The account that every fake knows.
pub const USER: &str = "admin";
/// Its password.
pub const PASSWORD: &str = "s3cretpw";

/// A running service on a free port of 127.0.0.1, over plain HTTP; ends with the value.
#[derive(Debug)]
pub struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Starts one; the node is off.
    ///
    /// # Errors
    /// If there is no free port.
    pub async fn start(shape: Shape) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::new(shape)));
        let router = service::router(&state);
        // It never ends by itself.
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Ok(Self { address, state, task })
    }

    /// What the service answers, to be served in another way, e.g. with TLS.
    pub fn router(&self) -> Router {
        service::router(&self.state)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The account to use on it.
    #[must_use]
    pub fn account(&self) -> Account {
        Account {
            url: self.url(),
            user: USER.into(),
            password: PASSWORD.into(),
            trust: Trust::Host,
            system: None,
        }
    }

    /// A client that waits two seconds at most.
    ///
    /// # Errors
    /// None that a test would expect.
    pub fn client(&self) -> Result<Client, Error> {
        let seconds = Duration::from_secs;
        let patience = Patience { connect: seconds(1), answer: seconds(2), call: seconds(20) };
        Client::with_patience(self.account(), patience)
    }

    /// Knobs and counters; to be let go before anything is awaited.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}
