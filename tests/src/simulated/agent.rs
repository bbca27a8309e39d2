//! What the node agent asks bootsrv, in its order: plan, downloads, secrets, reports, orders.

mod boot;
mod calls;
mod orders;

use crate::simulated::node::{Kernel, Node};
use crate::simulated::wire::{Line, Wire};
use protocol::boot::{ARG_ARTIFACTS, ARG_CLEAR_MEMORY, ARG_SERVER, AgentStage, StageTime};
use protocol::names::Secret;
use std::time::Instant;

/// How a boot ends.
#[derive(Debug)]
pub(super) enum End {
    /// Its operating system has shut the node down.
    Off,
    /// It panicked: firmware again.
    Reset,
    /// It starts another kernel, without the firmware.
    Jump(Kernel),
    /// Nothing is heard of it any more.
    Hang,
}

/// A boot's way on, or its end.
type Step<T> = Result<T, End>;

/// One boot.
struct Agent<'a> {
    node: &'a Node,
    wire: Wire,
    server: String,
    artifacts: String,
    token: Secret,
    boot_id: String,
    release: String,
    memory_cleared: Option<bool>,
    started: Instant,
    stages: Vec<StageTime>,
    cpus_online: u32,
    line: Option<Line>,
}

/// Runs a boot to its end.
pub(super) async fn run(node: &Node, kernel: Kernel) -> End {
    let argument = |name: &str| {
        let mut words = kernel.command_line.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let (Some(server), Some(artifacts)) = (argument(ARG_SERVER), argument(ARG_ARTIFACTS)) else {
        node.around.slurmctld.broken(&format!("no server in {}", kernel.command_line));
        return End::Hang;
    };
    let clears = kernel.command_line.split_whitespace().any(|word| word == ARG_CLEAR_MEMORY);
    node.around.note_token(&kernel.token);
    let mut agent = Agent {
        node,
        wire: node.wire.clone(),
        server,
        artifacts,
        token: kernel.token,
        boot_id: format!("{:016x}-{}", node.dice.below(usize::MAX), node.index),
        release: kernel.release,
        memory_cleared: clears.then_some(true),
        started: Instant::now(),
        stages: Vec::new(),
        cpus_online: 0,
        line: None,
    };
    match agent.boot().await {
        Ok(beats) => agent.serve(beats).await,
        Err(end) => end,
    }
}

impl Agent<'_> {
    fn uptime_ns(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    fn reach(&mut self, stage: AgentStage) {
        let uptime_ns = self.uptime_ns();
        self.stages.push(StageTime { stage, uptime_ns });
    }
}
