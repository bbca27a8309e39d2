//! The job's application image on this node: asked for, fetched, set up, and left for the plugin, which
//! takes every task of the job into it.
//!
//! Runs in the heartbeat process, beside the image's init. See docs/adr/0015.

mod blame;
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

use self::blame::{EveryNodes, spares_node};
use crate::console::{Complaint, say};
use crate::report::{Reporter, one_line};
use crate::server::{Application, Server, is_refused};
use crate::slurmd::{self, Slurmd};
use crate::{clock, download, shut_down};
use anyhow::{Context as _, Result, bail};
use protocol::application::{ApplicationPlan, ImageConfig, NODE_FILE_BYTES_MAX, NodeApplication};
use protocol::boot::{AgentStage, ArtifactRef, BootFailure};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// How long errors are put up with before the first answer: bootsrv is restarted.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two questions, at least and at most, plus as much again by chance: many nodes ask.
const POLL: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(3)];
/// A wait is made longer by at most this part of it, on average one and a half times that.
const POLL_PART: u32 = 16;
/// What takes the tasks into the image, in slurmd's plugins.
const PLUGIN: &str = "spank_bmc.so";
/// Most variables an image sets.
const VARIABLES_MAX: usize = 1024;

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

/// How many jobs have begun to set their image up in this boot: only the last one's may be left for the
/// plugin. A job can end, and another one get the node, while the image of the first is still on its way.
static TURN: Mutex<u64> = Mutex::new(0);

/// Sets the image up in the background. `slurmd` says when slurmd runs, with its process id: then the
/// node's mounts are there and its names can be looked up. A failure ends the boot.
pub(crate) fn start(server: Arc<Server>, reporter: Arc<Reporter>, slurmd: Receiver<u32>) {
    let mine = {
        let mut turn = turn();
        *turn += 1;
        *turn
    };
    thread::spawn(move || match set_up(&server, mine, slurmd) {
        _ if *turn() != mine => {
            say(format_args!("no job waits for this application image any more"));
        }
        Ok(Some(text)) => {
            reporter.reached(AgentStage::ApplicationReady, &text);
        }
        Ok(None) => say(format_args!("bootsrv has no application image for this job")),
        Err(error) => {
            let reason = format!("application image: {}", one_line(&error));
            let setting = spares_node(&error);
            let failure = BootFailure { setting, reason };
            shut_down::failed(&reporter, failure, "the job's image cannot be had");
        }
    });
}

/// Takes the image of the job before away, even if it is still on its way, for a job without one.
pub(crate) fn declare_none() -> Result<()> {
    let mut turn = turn();
    *turn += 1;
    namespace::declare_none()
}

/// Takes the image of the job before away: no task enters it any more.
pub(crate) fn clear() -> Result<()> {
    let mut turn = turn();
    *turn += 1;
    namespace::tear_down()
}

/// A poisoned lock is taken as it is: it holds a number.
fn turn() -> MutexGuard<'static, u64> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Changes what the plugin finds, unless another job has had its turn meanwhile.
fn in_turn(mine: u64, act: impl FnOnce() -> Result<()>) -> Result<()> {
    let turn = turn();
    if *turn == mine { act() } else { Ok(()) }
}

fn set_up(server: &Server, mine: u64, slurmd: Receiver<u32>) -> Result<Option<String>> {
    let ask = || if *turn() == mine { server.application() } else { Ok(Application::None) };
    let Some(plan) = wait_for_plan(ask)? else {
        in_turn(mine, namespace::declare_none)?;
        return Ok(None);
    };
    let for_plugin = for_plugin(&plan)?;
    let begin = Instant::now();
    let fetch = |layer: &ArtifactRef, file: &Path| download::fetch(server, layer, file);
    let of_thread = &plan;
    let namespace = namespace::build(&plan, &fetch, move || {
        look_at_node(of_thread, slurmd.recv().context("waiting for slurmd")?)
    })?;
    in_turn(mine, || namespace::pin(&namespace, &for_plugin))?;
    let (count, ms) = (plan.layers.len(), begin.elapsed().as_millis());
    Ok(Some(format!("application image {} ready: {count} layer(s), {ms} ms", plan.reference)))
}

/// Asks until bootsrv has an answer. It may say "not yet" for as long as it likes, and be away in between:
/// it is bootsrv that ends a wait.
fn wait_for_plan(mut ask: impl FnMut() -> Result<Application>) -> Result<Option<ApplicationPlan>> {
    let mut complaint = Complaint::default();
    let begin = Instant::now();
    let mut has_answered = false;
    loop {
        match ask() {
            Ok(Application::Plan(plan)) => return Ok(Some(*plan)),
            Ok(Application::None) => return Ok(None),
            Ok(Application::NotYet) => has_answered = true,
            Err(error) if is_over(&error, has_answered, begin.elapsed()) => {
                // If it hears of this, the node could reach it, and it has nothing to say to any node.
                return Err(error.context(EveryNodes("bootsrv does not say which".into())));
            }
            Err(error) => complaint.say(&format!("no application image yet: {error:#}")),
        }
        sleep(pause(begin.elapsed(), clock::chance()));
    }
}

fn is_over(error: &anyhow::Error, has_answered: bool, waited: Duration) -> bool {
    is_refused(error) || (!has_answered && waited >= PATIENCE)
}

/// Until the next question, after so long a wait; `chance` is below 1000.
fn pause(waited: Duration, chance: u32) -> Duration {
    let [least, most] = POLL;
    let pause = (waited / POLL_PART).clamp(least, most);
    pause + pause * chance / 1000
}

/// `seen`: slurmd's process id.
fn look_at_node(plan: &ApplicationPlan, seen: u32) -> Result<NodeFacts> {
    let user = user::look_up(plan.uid)?;
    if user.is_none() {
        say(format_args!("the node knows no user {} ({})", plan.uid, plan.user));
    }
    let slurmd = Slurmd::running(seen);
    let spool_directory = slurmd.spool_directory();
    if !slurmd::loads(seen, PLUGIN) {
        bail!(EveryNodes(format!(
            "the node's slurmd has not loaded {PLUGIN}, and tasks would run outside of the image: the \
             node image lacks the plugin, or one for its release of Slurm, or its line in plugstack.conf"
        )));
    }
    let slurm_commands = slurmd.commands_directory(&node_program::PATH);
    if let Some(directory) = &slurm_commands {
        commands::offer(directory, Path::new("/proc/self/exe"))
            .context("offering Slurm's commands")?;
    }
    Ok(NodeFacts { user, spool_directory, slurm_commands })
}

/// What the plugin reads for every task, so it must be short. Slurm looks through all variables for each
/// that is set, and no program can be started with more than a few megabytes of them.
fn for_plugin(plan: &ApplicationPlan) -> Result<NodeApplication> {
    let count = plan.config.environment.len();
    if count > VARIABLES_MAX {
        bail!(EveryNodes(format!(
            "the image sets {count} variables, {VARIABLES_MAX} are the limit"
        )));
    }
    let entrypoint = if plan.use_entrypoint { plan.config.entrypoint.clone() } else { Vec::new() };
    let application = NodeApplication {
        job: plan.job,
        uid: plan.uid,
        reference: plan.reference.clone(),
        config: ImageConfig { entrypoint, ..plan.config.clone() },
    };
    let bytes = serde_json::to_vec(&application)?.len() as u64;
    if bytes >= NODE_FILE_BYTES_MAX {
        bail!(EveryNodes(format!(
            "the image's configuration takes {bytes} bytes, {NODE_FILE_BYTES_MAX} are the limit"
        )));
    }
    Ok(application)
}
