//! The job's application image on this node: asked for, fetched, set up, and left for the plugin, which
//! takes every task of the job into it.
//!
//! Runs in the heartbeat process, beside the image's init. See docs/adr/0015.

pub(crate) mod commands;
mod dress;
mod layers;
mod namespace;
mod node_program;
mod target;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
mod user;

use crate::console::{Complaint, say};
use crate::download;
use crate::report::Reporter;
use crate::server::{Application, Server, is_refused};
use crate::slurmd::Slurmd;
use anyhow::{Context as _, Result};
use protocol::application::{ApplicationPlan, ImageConfig, NodeApplication};
use protocol::boot::{AgentStage, ArtifactRef, BootFailure};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

/// How long errors are put up with: bootsrv is restarted.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions, plus as much again by chance: many nodes ask.
const POLL_MILLISECONDS: u64 = 200;

/// What the job asks cannot be done, on this node or any other: the job is to blame, not the node.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct JobsFault(String);

/// What is known of the node once its slurmd runs.
#[derive(Debug)]
struct NodeFacts {
    /// None: the node does not know the job's user.
    user: Option<user::User>,
    /// slurmd's directory of scripts and sockets.
    spool_directory: String,
    /// The node's own Slurm commands.
    slurm_commands: Option<PathBuf>,
}

/// Sets the image up in the background. `slurmd` says when slurmd runs: then the node's mounts are there
/// and its names can be looked up. `failed` ends the boot.
pub(crate) fn start(
    server: Arc<Server>,
    reporter: Arc<Reporter>,
    slurmd: Receiver<()>,
    failed: impl FnOnce(BootFailure) + Send + 'static,
) {
    thread::spawn(move || match set_up(&server, slurmd) {
        Ok(Some(text)) => {
            reporter.reached(AgentStage::ApplicationReady, &text);
        }
        Ok(None) => say(format_args!("bootsrv has no application image for this job")),
        Err(error) => {
            let reason = format!("application image: {error:#}").replace(['\n', '\r'], " ");
            failed(BootFailure { setting: error.is::<JobsFault>(), reason });
        }
    });
}

fn set_up(server: &Server, slurmd: Receiver<()>) -> Result<Option<String>> {
    let Some(plan) = wait_for_plan(|| server.application())? else { return Ok(None) };
    // Of an earlier job of the same boot.
    namespace::tear_down()?;
    let begin = Instant::now();
    let fetch = |layer: &ArtifactRef, file: &Path| download::fetch(server, layer, file);
    let of_thread = &plan;
    let namespace = namespace::build(&plan, &fetch, move || {
        slurmd.recv().context("waiting for slurmd")?;
        look_at_node(of_thread)
    })?;
    namespace::pin(&namespace, &for_plugin(&plan))?;
    let (count, ms) = (plan.layers.len(), begin.elapsed().as_millis());
    Ok(Some(format!("application image {} ready: {count} layer(s), {ms} ms", plan.reference)))
}

/// Asks until bootsrv has an answer. It may say "not yet" for as long as it likes.
fn wait_for_plan(mut ask: impl FnMut() -> Result<Application>) -> Result<Option<ApplicationPlan>> {
    let mut complaint = Complaint::default();
    let mut last_answer = Instant::now();
    loop {
        match ask() {
            Ok(Application::Plan(plan)) => return Ok(Some(*plan)),
            Ok(Application::None) => return Ok(None),
            Ok(Application::NotYet) => last_answer = Instant::now(),
            Err(error) if is_refused(&error) || last_answer.elapsed() >= PATIENCE => {
                return Err(error);
            }
            Err(error) => complaint.say(&format!("no application image yet: {error:#}")),
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // Nodes started together do not have the same microsecond.
        let chance = u64::from(now.subsec_micros()) % (POLL_MILLISECONDS + 1);
        sleep(Duration::from_millis(POLL_MILLISECONDS + chance));
    }
}

fn look_at_node(plan: &ApplicationPlan) -> Result<NodeFacts> {
    let user = user::look_up(plan.uid)?;
    if user.is_none() {
        say(format_args!("the node knows no user {} ({})", plan.uid, plan.user));
    }
    let slurmd = Slurmd::running();
    let slurm_commands = slurmd.commands_directory(&node_program::PATH);
    if let Some(directory) = &slurm_commands {
        commands::offer(directory, Path::new("/proc/self/exe"))
            .context("offering Slurm's commands")?;
    }
    Ok(NodeFacts { user, spool_directory: slurmd.spool_directory(), slurm_commands })
}

fn for_plugin(plan: &ApplicationPlan) -> NodeApplication {
    let entrypoint = if plan.use_entrypoint { plan.config.entrypoint.clone() } else { Vec::new() };
    NodeApplication {
        job: plan.job,
        uid: plan.uid,
        reference: plan.reference.clone(),
        config: ImageConfig { entrypoint, ..plan.config.clone() },
    }
}
