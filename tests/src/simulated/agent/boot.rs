//! From the agent's start to a slurmd that runs.

use super::{Agent, End, Step};
use crate::simulated::slurmctld::Slurmd;
use hyper::Method;
use protocol::boot::{AgentStage, BootPlan, PLAN_PATH, SECRETS_PATH, Secrets};
use std::time::Duration;

/// Bounds of the plan's interval, in seconds (node-agent: `heartbeats.rs`).
const BEAT_SECONDS: (u32, u32) = (1, 3600);

impl Agent<'_> {
    /// Gives the time between two heartbeats.
    pub(super) async fn boot(&mut self) -> Step<Duration> {
        let (node, odds) = (self.node, self.node.around.odds);
        self.reach(AgentStage::AgentStarted);
        self.report().await?;
        self.perhaps_hang(odds.agent_hangs)?;
        let plan: BootPlan = self.insist(Method::GET, PLAN_PATH, false).await?;
        self.reach(AgentStage::PlanReceived);
        if plan.node != node.definition.name || plan.kernel_release != self.release {
            node.around.slurmctld.broken(&format!(
                "{}: runs {}, its plan is {}'s for {}",
                node.definition.name, self.release, plan.node, plan.kernel_release
            ));
            return self.fail(false, "another kernel's plan").await;
        }
        self.fetch(&plan.modules).await?;
        for layer in &plan.root {
            self.fetch(layer).await?;
        }
        let secrets: Secrets = self.insist(Method::POST, SECRETS_PATH, true).await?;
        if secrets.files.is_empty() {
            node.around.slurmctld.broken(&format!("{}: got no secrets", node.definition.name));
        }
        if node.bad("agent gives up", odds.gives_up) {
            return self.fail(false, "the disk is broken").await;
        }
        if node.bad("setting refused", odds.refuses_setting) {
            return self.fail(true, "no such setting").await;
        }
        let missing = u32::from(node.bad("a CPU is missing", odds.fewer_cpus));
        self.cpus_online = node.definition.cpus - missing;
        self.reach(AgentStage::SettingsApplied);
        self.report().await?;
        node.rest(0.1, 0.4).await;
        self.reach(AgentStage::RootReady);
        self.reach(AgentStage::InitStarted);
        self.report().await?;
        node.controller.turn(|knobs| {
            knobs.obeys_soft_off = true;
            knobs.switch_time = Duration::from_millis(200);
        });
        self.perhaps_hang(odds.agent_hangs)?;
        node.rest(0.3, 1.0).await;
        if node.bad("reports from another boot", odds.wrong_boot) {
            self.boot_id.push_str("-other");
        }
        if !node.bad("slurmd does not register", odds.unregistered) {
            self.start_slurmd(plan.job.map(|job| job.0));
        }
        self.reach(AgentStage::SlurmdStarted);
        self.report().await?;
        let seconds = plan.heartbeat_seconds.clamp(BEAT_SECONDS.0, BEAT_SECONDS.1);
        Ok(Duration::from_secs(seconds.into()))
    }

    /// slurmctld hears of it.
    pub(super) fn start_slurmd(&self, job: Option<u32>) {
        let slurmd = Slurmd { job, release: self.release.clone() };
        self.node.around.slurmctld.registered(self.node.index, slurmd);
    }

    fn perhaps_hang(&self, odds: f64) -> Step<()> {
        if self.node.bad("agent hangs", odds) { Err(End::Hang) } else { Ok(()) }
    }
}
