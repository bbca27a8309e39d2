//! A controller for tests: speaks HTTP, digest authentication and WS-Management as AMT does, and
//! switches a machine that is only a flag, or one that a command switches.
//!
//! Foreign AMT clients prove it (`tests/foreign`). The login is checked by formulas of
//! its own; the XML reader is the client's.

mod answer;
mod boot;
mod classes;
mod digest;
mod door;
mod hook;
mod machine;
mod settings;

pub use hook::Hook;
pub use settings::{Algorithm, Break, Counters, FakeSettings, Knobs, Refusal, Tls};

use digest::Guard;
use machine::Machine;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// Most connections at a time; AMT has few.
const CONNECTIONS_MAX: usize = 16;

/// What all connections share.
#[derive(Debug)]
struct Shared {
    guard: Mutex<Guard>,
    knobs: Mutex<Knobs>,
    counters: Mutex<Counters>,
    machine: tokio::sync::Mutex<Machine>,
    /// Changes of power on their way.
    changes: Mutex<JoinSet<()>>,
}

impl Shared {
    fn knobs(&self) -> Knobs {
        lock(&self.knobs).clone()
    }

    fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut lock(&self.counters));
    }
}

/// Nothing here is left half done by a panic: a poisoned lock is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running fake; ends with the value.
#[derive(Debug)]
pub struct Fake {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Starts to listen; port 0: any that is free.
    ///
    /// # Errors
    /// When the address is taken, or the certificate cannot be used.
    pub async fn start(settings: FakeSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let tls = settings.tls.as_ref().map(Tls::acceptor).transpose()?;
        let shared = Arc::new(Shared {
            machine: tokio::sync::Mutex::new(Machine::new(settings.hook.clone(), settings.delay)),
            guard: Mutex::new(Guard::new(settings)),
            knobs: Mutex::default(),
            counters: Mutex::default(),
            changes: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, tls, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it did so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        lock(&self.shared.counters).clone()
    }

    /// Makes it misbehave, or not any more.
    pub fn turn(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut lock(&self.shared.knobs));
    }

    /// Forgets all nonces, as firmware does when it restarts.
    pub fn forget_nonces(&self) {
        lock(&self.shared.guard).forget();
    }

    /// Whether its machine has power.
    ///
    /// # Errors
    /// When the machine's command fails.
    pub async fn is_on(&self) -> io::Result<bool> {
        self.shared.machine.lock().await.hook().is_on().await
    }

    /// What one of AMT_BootSettingData's settings is now.
    pub async fn boot_setting(&self, name: &str) -> Option<String> {
        self.shared.machine.lock().await.boot().setting(name)
    }

    /// Sets one of them, as another console would have done before.
    pub async fn set_boot_setting(&self, name: &str, value: &str) {
        self.shared.machine.lock().await.boot().set(name, value);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
        lock(&self.shared.changes).abort_all();
    }
}

async fn serve(listener: TcpListener, tls: Option<tokio_rustls::TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        // Out of descriptors, or a client that is gone already: the next one may be better.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        connections.spawn(async move {
            match tls {
                None => door::serve(stream, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        door::serve(stream, shared).await;
                    }
                }
            }
        });
    }
}
