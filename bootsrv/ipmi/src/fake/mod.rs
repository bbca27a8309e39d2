//! Simulated baseboard controllers on real UDP sockets, for tests: RMCP+ with cipher suites 17 and
//! 3, chassis status and control, the next boot's device, a DCMI power meter, an event log.
//!
//! One [`Fake`] is one controller on one socket; a process may hold thousands (raise the limit of
//! open files: a controller takes one, a client's session another). The faults of a controller are
//! [`Knobs`], to be turned at any time; what happened is counted in [`Counters`].
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ipmi::fake::{Fake, Settings};
//! use ipmi::{ChassisControl, Client};
//!
//! let fake = Fake::start(Settings { seed: 42, ..Settings::default() }).await?;
//! fake.turn(|knobs| knobs.ignored_percent = 10);
//!
//! // The simulated machine: it boots when its power comes, or comes again.
//! let mut power = fake.power();
//! let machine = tokio::spawn(async move { power.wait_for(|power| power.on).await.map(|power| power.starts) });
//!
//! let mut client = Client::connect(fake.account()).await?;
//! client.chassis_control(ChassisControl::On).await?;
//! assert_eq!(fake.counters().ignored, u64::from(!fake.power().borrow().on));
//! fake.set_power(false); // The machine shut itself down.
//! # machine.abort();
//! # Ok(()) }
//! ```
//!
//! It is itself proven: ipmitool does every step on it (`tests/fake.rs`).

mod chassis;
mod command;
mod handshake;
mod knobs;
mod log;
mod random;
mod serve;
mod session;
mod wire;

use crate::address::{ControllerAddress, Privilege};
use crate::wire::suite::CipherSuite;
pub use knobs::{Counters, Knobs};
use serve::Machine;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A command's answer: completion code and data.
pub type Answer = (u8, Vec<u8>);

/// Commands of a test's own: network function (even), command, data. `None`: the controller answers
/// as it would.
pub type Commands = Box<dyn FnMut(u8, u8, &[u8]) -> Option<Answer> + Send>;

/// What a controller is, from its start on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it listens; port 0: any free one. Loopback unless a test has its own network.
    pub listen: SocketAddr,
    /// Its only account's name, at most 16 bytes.
    pub user: String,
    /// Its password, at most 20 bytes.
    pub password: String,
    /// K_G, if the site has set one.
    pub controller_key: Option<Vec<u8>>,
    /// The cipher suites it knows.
    pub suites: Vec<CipherSuite>,
    /// The highest privilege that a login may ask for; more is refused in RAKP 2.
    pub login_privilege: Privilege,
    /// The highest privilege that Set Session Privilege Level gives.
    pub session_privilege: Privilege,
    /// How many sessions it holds, those that log in just now included; more are refused with
    /// status 0x01. Real ones hold 4 to 36.
    pub sessions_max: usize,
    /// When a silent session is forgotten: 60 s ± 3 s by IPMI 2.0, section 6.12.15.
    pub session_idle: Duration,
    /// Whether the system has power at first.
    pub power_on: bool,
    /// Where the faults' random numbers start; give each controller its own.
    pub seed: u64,
}

impl Default for Settings {
    /// A healthy controller on a free loopback port: `admin`, `password`, both suites, system off.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            user: "admin".to_owned(),
            password: "password".to_owned(),
            controller_key: None,
            suites: CipherSuite::ALL.to_vec(),
            login_privilege: Privilege::Administrator,
            session_privilege: Privilege::Administrator,
            sessions_max: 16,
            session_idle: Duration::from_secs(60),
            power_on: false,
            seed: 1,
        }
    }
}

/// The system's power, for the simulated machine to follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Power {
    /// It has power.
    pub on: bool,
    /// How often it has started: power-ons, cycles and resets.
    pub starts: u64,
    /// How often it was asked to shut down softly, whether it obeys or not.
    pub soft_offs: u64,
}

/// A running controller; ends with the value.
pub struct Fake {
    addr: SocketAddr,
    settings: Settings,
    machine: Arc<Mutex<Machine>>,
    power: watch::Receiver<Power>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Starts a controller.
    ///
    /// # Errors
    /// When it cannot listen on its address.
    pub async fn start(settings: Settings) -> std::io::Result<Self> {
        let socket = UdpSocket::bind(settings.listen).await?;
        let addr = socket.local_addr()?;
        let first = Power { on: settings.power_on, ..Power::default() };
        let (sender, power) = watch::channel(first);
        let machine = Arc::new(Mutex::new(Machine::new(settings.clone(), sender)));
        let task = tokio::spawn(serve::serve(socket, Arc::clone(&machine)));
        Ok(Self { addr, settings, machine, power, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its address and account, as a client takes it; no cipher suite named.
    #[must_use]
    pub fn account(&self) -> ControllerAddress {
        let Settings { user, password, controller_key, .. } = self.settings.clone();
        ControllerAddress { controller_key, ..ControllerAddress::new(self.addr, user, password) }
    }

    /// The system's power as it is, whatever the status says; wakes whoever waits for a change.
    #[must_use]
    pub fn power(&self) -> watch::Receiver<Power> {
        self.power.clone()
    }

    /// Switches the power from the machine's side: it shut down, or somebody pressed the button.
    pub fn set_power(&self, on: bool) {
        self.lock().chassis.set_power(on);
    }

    /// Turns knobs, from the next packet on.
    pub fn turn(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.lock().knobs);
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.lock().counters
    }

    /// Answers commands as a test wants it, before all others but those that belong to sessions.
    pub fn answer_with(&self, commands: Commands) {
        self.lock().commands = Some(commands);
    }

    /// Appends a record to the event log (16 bytes, IPMI 2.0, table 32-1; the id is set here).
    /// The oldest record goes when 512 are there.
    pub fn add_event(&self, record: [u8; 16]) {
        self.lock().log.add(record);
    }

    /// Forgets all sessions, as a restarted controller does.
    pub fn forget_sessions(&self) {
        self.lock().sessions.clear();
    }

    /// Logs in with the patience of a test.
    #[cfg(test)]
    pub(crate) async fn connect(&self) -> Result<crate::Client, crate::Error> {
        let config = crate::ClientConfig {
            reply_timeout: Duration::from_secs(2),
            tries: 1,
            busy_tries: 2,
            busy_pause: Duration::from_millis(1),
            ..crate::ClientConfig::default()
        };
        crate::Client::connect_with(&self.account(), config).await
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").field("addr", &self.addr).finish_non_exhaustive()
    }
}
