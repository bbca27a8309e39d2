//! The processes that hold a cluster's namespaces: `unshare`, which waits outside, and its child
//! `vcluster-init`, process 1 inside. When process 1 dies, the kernel ends everything inside and
//! drops the namespaces with their mounts, whatever state the cluster is in.

use crate::cluster::error::{ClusterError, Result, file};
use crate::cluster::layout::{PUBLIC, RunDir, remove, write};
use crate::process;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// How long process 1 may need to make its mounts.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the kernel may need to end everything inside.
const END_TIMEOUT: Duration = Duration::from_secs(20);
/// How long `unshare` may need to end by itself once it has collected process 1.
const OUTER_TIMEOUT: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(10);
/// What process 1 is told when it shall outlive us.
pub const KEEP: &str = "keep\n";
/// The file that process 1 writes when its mounts are made.
pub const READY_FILE: &str = "init.ready";

/// A process that is told from a later one with the same id by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    pid: u32,
    start_ticks: u64,
}

impl Identity {
    fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, start_ticks: process::stat(pid)?.start_ticks })
    }

    fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Kills exactly this process: the descriptor is opened before the start time is compared.
    fn kill(self) {
        let id = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(descriptor) = id.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok()) else {
            return;
        };
        if self.is_alive() {
            // Whether it worked is seen by the caller, who waits until the process is gone.
            pidfd_send_signal(descriptor, Signal::KILL).ok();
        }
    }
}

/// The holder of a cluster that is up, as written into the run directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    outer: Identity,
    init: Identity,
    network: String,
}

impl Holder {
    /// Process 1 of the cluster, by its id outside.
    #[must_use]
    pub fn init_pid(&self) -> u32 {
        self.init.pid
    }

    /// The holder of the cluster in this directory, if it is alive and not about to end: a dying
    /// process 1 has no arguments any more, but waits for the dead inside to be collected.
    #[must_use]
    pub fn find(run: &RunDir) -> Option<Self> {
        let is_up = |holder: &Self| {
            holder.init.is_alive() && !process::arguments(holder.init.pid).is_empty()
        };
        Self::read(run).filter(is_up)
    }

    /// The holder that the run directory names, dead or alive. A damaged file names none: then
    /// process 1 either never got further or is ended by its closed lifeline.
    fn read(run: &RunDir) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(run.holder()).ok()?).ok()
    }

    /// Ends the cluster in this directory, alive or crashed, and returns when nothing of it is
    /// left. Gives whether there was anything to end.
    ///
    /// # Errors
    /// When something is still there after 20 s.
    pub fn end(run: &RunDir) -> Result<bool> {
        let Some(holder) = Self::read(run) else { return Ok(false) };
        let was_alive = holder.init.is_alive() || holder.outer.is_alive();
        holder.init.kill();
        let start = Instant::now();
        loop {
            let pids = holder.members();
            if pids.is_empty() && !holder.init.is_alive() && !holder.outer.is_alive() {
                break;
            }
            if start.elapsed() > END_TIMEOUT {
                return Err(ClusterError::LeftOver { pids, seconds: END_TIMEOUT.as_secs() });
            }
            if start.elapsed() > OUTER_TIMEOUT {
                holder.outer.kill();
            }
            std::thread::sleep(INTERVAL);
        }
        remove(&run.holder())?;
        Ok(was_alive)
    }

    /// All processes in the cluster's network namespace, also `nsenter` processes outside.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        let inside =
            |pid: &u32| process::namespace(*pid, "net").as_deref() == Some(self.network.as_str());
        process::all().into_iter().filter(inside).collect()
    }
}

/// Our end of the pipe that process 1 listens to: when it closes, process 1 ends.
#[derive(Debug)]
pub struct Lifeline {
    outer: Child,
    pipe: Option<ChildStdin>,
}

impl Lifeline {
    /// Lets the cluster outlive us.
    pub(crate) fn cut_loose(mut self) -> Result<()> {
        if let Some(mut pipe) = self.pipe.take() {
            pipe.write_all(KEEP.as_bytes()).map_err(file("write", "the pipe to vcluster-init"))?;
        }
        Ok(())
    }

    /// Collects `unshare` after the end, so that it is no zombie of ours.
    pub(crate) fn collect(&mut self) {
        self.pipe = None;
        self.outer.wait().ok();
    }
}

/// Starts process 1 in new namespaces and returns when its mounts are made.
///
/// # Errors
/// When it does not get that far; then nothing of it is left.
pub(crate) fn start(run: &RunDir) -> Result<(Holder, Lifeline)> {
    remove(&run.join(READY_FILE))?;
    let program = run.programs().join("vcluster-init");
    let log_path = run.join("log/vcluster-init.log");
    let log = fs::File::create(&log_path).map_err(file("make", &log_path))?;
    let log_too = log.try_clone().map_err(file("make", &log_path))?;
    // A session of its own, so that closing the terminal does not end the cluster.
    let mut outer = Command::new("/usr/bin/setsid")
        .args(["/usr/bin/unshare", "--pid", "--fork", "--mount", "--net", "--uts", "--ipc"])
        .args(["--mount-proc", "--kill-child=KILL", "--"])
        .arg(program)
        .arg(run.path())
        .stdin(Stdio::piped())
        .stdout(log)
        .stderr(log_too)
        .spawn()
        .map_err(|source| ClusterError::Start { program: "unshare".to_owned(), source })?;
    let mut lifeline = Lifeline { pipe: outer.stdin.take(), outer };
    match wait_until_ready(run, &mut lifeline) {
        Ok(holder) => Ok((holder, lifeline)),
        Err(error) => {
            lifeline.outer.kill().ok();
            lifeline.collect();
            Err(error)
        }
    }
}

fn wait_until_ready(run: &RunDir, lifeline: &mut Lifeline) -> Result<Holder> {
    let deadline = Instant::now() + START_TIMEOUT;
    let ready = run.join(READY_FILE);
    while !ready.exists() {
        if Instant::now() > deadline || !matches!(lifeline.outer.try_wait(), Ok(None)) {
            return Err(ClusterError::NotReady {
                what: "vcluster-init".to_owned(),
                seconds: START_TIMEOUT.as_secs(),
                hint: format!("see {}", run.join("log/vcluster-init.log").display()),
            });
        }
        std::thread::sleep(INTERVAL);
    }
    let outer_pid = lifeline.outer.id();
    let is_child = |pid: &u32| process::stat(*pid).is_some_and(|stat| stat.parent == outer_pid);
    let holder = process::all().into_iter().find(is_child).and_then(|init_pid| {
        Some(Holder {
            outer: Identity::of(outer_pid)?,
            init: Identity::of(init_pid)?,
            network: process::namespace(init_pid, "net")?,
        })
    });
    let Some(holder) = holder else { return Err(ClusterError::NotUp { dir: run.path().into() }) };
    let text = serde_json::to_string(&holder)
        .map_err(|error| ClusterError::Damaged { path: run.holder(), rule: error.to_string() })?;
    write(&run.holder(), text, PUBLIC)?;
    Ok(holder)
}
