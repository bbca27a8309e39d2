//! The process that stays: it tells bootsrv that the node lives, and ends the node when asked to.
//!
//! Started by the first process just before the image's init, and gone only with the node. Asked
//! by bootsrv (an order, or an answer to a heartbeat) or by the power button; it asks the image's init first.

use crate::console::say;
use crate::machine::{cpus_online, memory};
use crate::orders::{self, Node};
use crate::report::{Reporter, one_line};
use crate::server::Server;
use crate::{application, power_button, settings, shut_down, slurmd};
use anyhow::{Context as _, Result};
use protocol::boot::{AgentStage, BootFailure, Heartbeat};
use protocol::names::Secret;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Read as _;
use std::sync::{Arc, mpsc};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Between two looks for slurmd.
const SLURMD_POLL: Duration = Duration::from_millis(50);
/// Bounds of the plan's interval, in seconds: a zero would flood bootsrv.
const INTERVAL_SECONDS: (u32, u32) = (1, 3600);
/// Largest errand, in bytes.
const ERRAND_BYTES_MAX: u64 = 16 << 20;

/// What the first process hands to this one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Errand {
    /// Base URL of bootsrv.
    pub(crate) server: String,
    /// Base URL of artifacts.
    pub(crate) artifacts: String,
    /// The job has an application image.
    pub(crate) application: bool,
    /// The certificate it must show, PEM.
    pub(crate) certificate_pem: String,
    /// The token of this boot.
    pub(crate) token: Secret,
    /// Between two heartbeats.
    pub(crate) interval_seconds: u32,
    /// What was reported so far.
    pub(crate) heartbeat: Heartbeat,
}

/// Runs until the node goes off.
pub(crate) fn run() -> Result<()> {
    let mut text = Vec::new();
    std::io::stdin().take(ERRAND_BYTES_MAX).read_to_end(&mut text)?;
    let errand: Errand = serde_json::from_slice(&text).context("reading the errand")?;
    drop(text);
    settle_in();
    let server = Arc::new(Server::new(
        &errand.server,
        &errand.artifacts,
        errand.certificate_pem.as_bytes(),
        errand.token,
    )?);
    let interval = errand.interval_seconds.clamp(INTERVAL_SECONDS.0, INTERVAL_SECONDS.1);
    let reporter = Reporter::start(errand.heartbeat, server.clone(), shut_down::unwanted);
    let of_button = reporter.clone();
    power_button::watch(move || shut_down::button_pressed(&of_button));
    let (slurmd_is_there, slurmd_seen) = mpsc::channel();
    if errand.application {
        application::start(server.clone(), reporter.clone(), slurmd_seen);
    }
    let mut slurmd_runs = false;
    let mut next_beat = Instant::now() + Duration::from_secs(interval.into());
    loop {
        if !slurmd_runs && let Some(slurmd) = slurmd::find() {
            slurmd_runs = true;
            if !errand.application
                && let Err(error) = application::declare_none()
            {
                let failure = BootFailure { setting: false, reason: one_line(&error) };
                shut_down::failed(
                    &reporter,
                    failure,
                    "tasks cannot be told that they have no image",
                );
            }
            slurmd_started(&reporter);
            slurmd_is_there.send(slurmd).ok();
            let available_kib = memory("MemAvailable");
            let node = Node { reporter: reporter.clone(), slurmd, available_kib };
            let server = server.clone();
            thread::spawn(move || orders::obey(&node, server));
        }
        let now = Instant::now();
        if now >= next_beat {
            reporter.beat();
            next_beat = now + Duration::from_secs(interval.into());
        }
        let pause = next_beat.saturating_duration_since(now);
        sleep(if slurmd_runs { pause } else { pause.min(SLURMD_POLL) });
    }
}

/// Before bootsrv hears of slurmd: from then on the job may start.
fn slurmd_started(reporter: &Reporter) {
    let applied = reporter.heartbeat().applied;
    let Err(changed) = settings::still_applied(&applied) else {
        reporter.settings(applied, cpus_online(), memory("MemTotal"));
        reporter.reached(AgentStage::SlurmdStarted, "slurmd runs");
        return;
    };
    let failure = BootFailure { setting: true, reason: changed.to_string() };
    shut_down::failed(reporter, failure, "the kernel is not what the job asked for");
}

/// Makes the process one that a busy node keeps: named, not the first to be ended when memory is
/// short, and deaf to the signals with which an init ends everything.
fn settle_in() {
    crate::sys::ignore_end_signals();
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "-1000") {
        say(format_args!("oom_score_adj was not set: {error}"));
    }
    rustix::thread::set_name(c"node-agent").ok();
}
