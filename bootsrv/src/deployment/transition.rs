//! (deployment, event) → what becomes of it. Pure: every rule of a deployment's life is here, and
//! nowhere else. The reconciler carries the actions out; carrying one out twice must be harmless.

use super::{Application, Blame, Deployment, Failure, Mark, State, Way};
use crate::config::Limits;
use protocol::boot::AgentStage;

/// Something that happened to a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// No earlier deployment holds the node any more.
    NodeFree,
    /// The running node may be taken over from the deployment that has it.
    TakeOver(Way),
    /// The agent could not be taken over: this boot, or the node's, has to begin anew.
    TakeOverFailed,
    /// The next deployment has taken the running node over.
    HandedOver,
    /// A power order waits: power-on for its turn (inrush limit) or for a harder means, either for a
    /// management network that is away. No limit counts that.
    Queued,
    /// The controller accepted power-on.
    PowerOnAccepted,
    /// The power was cut and given back for this deployment: whatever the node had begun is void.
    Repowered,
    /// iPXE asked for the script.
    ScriptAsked,
    /// The node asked for its script while it was in use, and was not heard of since.
    Silent,
    /// The agent reached a stage.
    Agent(AgentStage),
    /// The agent has set the application image up.
    ApplicationReady,
    /// slurmctld shows the node as registered.
    Registered,
    /// Prolog was told that every node of the job is ready.
    JobStarted,
    /// EpilogSlurmctld came, or the try was replaced by a later one.
    JobEnded,
    /// SuspendProgram came.
    GivenBack,
    /// Another job's deployment wants the node: slurmctld has given it away.
    Superseded,
    /// The controller shows the power off.
    PowerSeenOff,
    /// The readings have settled after power-off.
    Settled,
    /// ResumeFailProgram came: slurmctld has waited for longer than ResumeTimeout.
    ResumeTimedOut,
    /// Something went wrong.
    Failed(Failure),
    /// The state has lasted longer than its limit.
    TimedOut,
}

/// What has to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Power the node on from off.
    PowerOn,
    /// Power it off and look until it is.
    PowerOff,
    /// Take it out of service in Slurm.
    Drain(String),
    /// Set it DOWN in Slurm, which ends the job on it.
    Down(String),
    /// Ask slurmctld to power it down: the way out of POWERING_UP for a boot nobody waits for.
    PowerDownInSlurm,
    /// Tell slurmctld that it is off and may be allocated again.
    ResumeInSlurm,
}

impl Action {
    /// What changes who may use the node: nothing an old deployment has to say, once Slurm has given
    /// the node to a newer one.
    pub(super) fn is_about_use(&self) -> bool {
        match self {
            Self::PowerOn | Self::PowerOff | Self::Drain(_) => false,
            Self::Down(_) | Self::PowerDownInSlurm | Self::ResumeInSlurm => true,
        }
    }
}

/// The result of one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The new state; `None`: it stays.
    pub state: Option<State>,
    /// The application image is set up on the node: to be noted.
    pub application_ready: bool,
    /// A failure to note, if none is noted yet.
    pub failure: Option<Failure>,
    /// How the node comes to the deployment, if that is decided now.
    pub way: Option<Way>,
    /// Marks to set.
    pub marks: Vec<Mark>,
    /// What to do.
    pub actions: Vec<Action>,
}

impl Outcome {
    fn to(state: State) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    fn mark(mut self, mark: Mark) -> Self {
        self.marks.push(mark);
        self
    }

    fn act(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }
}

/// Decides what an event makes of a deployment.
#[must_use]
pub fn next(deployment: &Deployment, event: &Event, limits: &Limits) -> Outcome {
    let state = deployment.state;
    match event {
        Event::NodeFree if state == State::Waiting => {
            Outcome::to(State::PoweringOn).act(Action::PowerOn)
        }
        Event::TakeOver(way) if state == State::Waiting => {
            let outcome = Outcome::to(State::TakingOver).mark(Mark::TakeOver);
            Outcome { way: Some(*way), ..outcome }
        }
        Event::TakeOverFailed if state == State::TakingOver => boot_instead(),
        Event::HandedOver if may_be_taken_over(deployment) => {
            Outcome::to(State::Released).mark(Mark::HandedOver)
        }
        // The state begins anew, so that its limit counts from when the order can be carried out.
        Event::Queued if matches!(state, State::PoweringOn | State::PoweringOff) => {
            Outcome::to(state)
        }
        // The node had asked for its script meanwhile: after a restart of ours, or unseen by its controller.
        Event::Repowered if matches!(state, State::Booting | State::Starting) => {
            Outcome { way: Some(Way::Boot), ..Outcome::to(State::PoweringOn) }
        }
        Event::PowerOnAccepted if state == State::PoweringOn => {
            Outcome::to(State::PoweringOn).mark(Mark::PowerOn)
        }
        // The node was quicker than this word: without the mark its energy would count from nowhere.
        Event::PowerOnAccepted if matches!(state, State::Booting | State::Starting) => {
            Outcome::default().mark(Mark::PowerOn)
        }
        Event::ScriptAsked => script_asked(deployment),
        Event::Silent if state == State::Ready => crashed(deployment, "while in use"),
        Event::Silent if state == State::Kept => crashed(deployment, "while it was idle"),
        Event::Agent(stage) => agent(state, *stage),
        Event::ApplicationReady => application_ready(deployment),
        Event::Registered if matches!(state, State::Starting | State::Registering) => {
            Outcome::to(registered(deployment.application)).mark(Mark::Registered)
        }
        Event::JobStarted if state == State::Ready => Outcome::default().mark(Mark::JobStarted),
        Event::JobEnded => job_ended(deployment),
        Event::GivenBack => given_back(deployment),
        Event::Superseded => superseded(state),
        Event::PowerSeenOff if state == State::PoweringOff => {
            Outcome::to(State::Settling).mark(Mark::PowerOff).act(Action::ResumeInSlurm)
        }
        Event::Settled if state == State::Settling => {
            Outcome::to(State::Released).mark(Mark::Settled)
        }
        Event::ResumeTimedOut => resume_timed_out(deployment),
        Event::Failed(failure) => failed(deployment, failure.clone()),
        Event::TimedOut => timed_out(deployment, limits),
        Event::NodeFree
        | Event::TakeOver(_)
        | Event::TakeOverFailed
        | Event::HandedOver
        | Event::Queued
        | Event::PowerOnAccepted
        | Event::Repowered
        | Event::Silent
        | Event::Registered
        | Event::JobStarted
        | Event::PowerSeenOff
        | Event::Settled => Outcome::default(),
    }
}

/// A node in use by nobody that is on: its job is over, or it was booted for none.
#[must_use]
pub fn may_be_taken_over(deployment: &Deployment) -> bool {
    let idle = deployment.state == State::Ready && deployment.job.is_none();
    deployment.stays_on && (deployment.state == State::Kept || idle)
}

/// What a node that cannot be taken over needs: its power-on begins with switching it off.
fn boot_instead() -> Outcome {
    let outcome = Outcome::to(State::PoweringOn).act(Action::PowerOn);
    Outcome { way: Some(Way::Boot), ..outcome }
}

fn script_asked(deployment: &Deployment) -> Outcome {
    match deployment.state {
        // The kernel did not come up by kexec, and the node was reset: it boots.
        State::TakingOver => {
            let outcome = Outcome::to(State::Booting).mark(Mark::ScriptServed);
            Outcome { way: Some(Way::Boot), ..outcome }
        }
        State::PoweringOn => Outcome::to(State::Booting).mark(Mark::ScriptServed),
        State::Booting if deployment.token_served => {
            crashed(deployment, "before the kernel reported")
        }
        // Else the kernel cannot have started: the firmware began anew, or a download was cut. However
        // often, the state's limit ends it.
        State::Starting | State::Registering => crashed(deployment, "before slurmd registered"),
        // No program of the job runs on it yet.
        State::FetchingImage => crashed(deployment, "before its job started"),
        // Anybody's program on the node could have asked: the engine waits for a sign of life.
        State::Ready
        | State::Waiting
        | State::Booting
        | State::Ended
        | State::Kept
        | State::PoweringOff
        | State::Settling
        | State::Released => Outcome::default(),
    }
}

fn crashed(deployment: &Deployment, when: &str) -> Outcome {
    let reason =
        format!("asked for its boot script again {when}: the kernel crashed or the node was reset");
    failed(deployment, Failure { blame: Blame::Node, reason })
}

fn agent(state: State, stage: AgentStage) -> Outcome {
    match (state, stage) {
        (State::TakingOver | State::Booting | State::Starting, AgentStage::SlurmdStarted) => {
            Outcome::to(State::Registering)
        }
        // By kexec it stays in this state until slurmd is there: whatever fails before is a reason to
        // boot afresh, and none to drain the node.
        (State::Booting, _) => Outcome::to(State::Starting),
        _ => Outcome::default(),
    }
}

/// Where a registered node stands.
fn registered(application: Application) -> State {
    match application {
        Application::None | Application::Ready => State::Ready,
        Application::Awaited => State::FetchingImage,
    }
}

/// The mark comes with its own time, from the agent.
fn application_ready(deployment: &Deployment) -> Outcome {
    if deployment.application != Application::Awaited || !deployment.state.is_before_ready() {
        return Outcome::default();
    }
    let state = (deployment.state == State::FetchingImage).then_some(State::Ready);
    Outcome { state, application_ready: true, ..Outcome::default() }
}

fn job_ended(deployment: &Deployment) -> Outcome {
    let outcome = match deployment.state {
        // The hardware was not touched yet; Slurm still thinks that the node powers up.
        State::Waiting => Outcome::to(State::Released).act(Action::PowerDownInSlurm),
        State::TakingOver
        | State::PoweringOn
        | State::Booting
        | State::Starting
        | State::Registering
        | State::FetchingImage => power_off().act(Action::PowerDownInSlurm),
        State::Ready if deployment.stays_on => Outcome::to(State::Kept),
        State::Ready => Outcome::to(State::Ended),
        // A failed boot: only now has the job left the node, so that slurmctld may be told.
        State::PoweringOff | State::Settling | State::Released if deployment.failure.is_some() => {
            Outcome::default().act(Action::PowerDownInSlurm)
        }
        State::Ended | State::Kept | State::PoweringOff | State::Settling | State::Released => {
            Outcome::default()
        }
    };
    outcome.mark(Mark::JobEnded)
}

fn given_back(deployment: &Deployment) -> Outcome {
    match deployment.state {
        State::Ready | State::Ended | State::Kept => power_off(),
        State::PoweringOff => Outcome::default(),
        State::Settling => Outcome::default().act(Action::ResumeInSlurm),
        // It may have come on since, by hand or after a power failure: Slurm wants it off.
        State::Released => Outcome::default().act(Action::PowerOff).act(Action::ResumeInSlurm),
        State::Waiting
        | State::TakingOver
        | State::PoweringOn
        | State::Booting
        | State::Starting
        | State::Registering
        | State::FetchingImage => Outcome {
            failure: Some(Failure {
                blame: Blame::Node,
                reason: "was powered down by Slurm while it booted".into(),
            }),
            ..power_off()
        },
    }
}

fn superseded(state: State) -> Outcome {
    match state {
        State::Waiting | State::Settling => Outcome::to(State::Released).mark(Mark::Settled),
        State::PoweringOff | State::Released => Outcome::default(),
        State::TakingOver
        | State::PoweringOn
        | State::Booting
        | State::Starting
        | State::Registering
        | State::FetchingImage
        | State::Ready
        | State::Ended
        | State::Kept => power_off().mark(Mark::JobEnded),
    }
}

fn power_off() -> Outcome {
    Outcome::to(State::PoweringOff).mark(Mark::PowerOffOrdered).act(Action::PowerOff)
}

fn failed(deployment: &Deployment, failure: Failure) -> Outcome {
    if deployment.state >= State::PoweringOff {
        return Outcome::default();
    }
    let mut outcome = power_off();
    if failure.blame == Blame::Node {
        let reason = failure.reason.clone();
        let in_use = deployment.state == State::Ready;
        outcome.actions.push(if in_use { Action::Down(reason) } else { Action::Drain(reason) });
    }
    // A job's epilog says this when the job has left; here nobody else would end POWERING_UP, or would
    // tell that an idle node is gone.
    let jobless = deployment.job.is_none() && deployment.state.is_before_ready();
    if jobless || deployment.state == State::Kept {
        outcome.actions.push(Action::PowerDownInSlurm);
    }
    Outcome { failure: Some(failure), ..outcome }
}

/// A node that is at fault meets a limit of ours long before: what is wrong is Slurm's setting, or we were
/// away. The job's epilog may have been heard first: then this is why it ended.
fn resume_timed_out(deployment: &Deployment) -> Outcome {
    let reason = "did not register within Slurm's ResumeTimeout: slurm-conf check says how long it has \
                  to be";
    let failure = Failure { blame: Blame::Site, reason: reason.to_owned() };
    let goes_off = matches!(deployment.state, State::PoweringOff | State::Settling);
    if deployment.state.is_before_ready() {
        failed(deployment, failure)
    } else if goes_off && deployment.failure.is_none() {
        Outcome { failure: Some(failure), ..Outcome::default() }
    } else {
        Outcome::default()
    }
}

/// What a crash may have lost: ordered again at a start, as every action may be carried out twice.
#[must_use]
pub fn taken_up_again(state: State, has_failed: bool) -> Vec<Action> {
    match state {
        State::PoweringOn => vec![Action::PowerOn],
        State::PoweringOff if has_failed => vec![Action::PowerDownInSlurm, Action::PowerOff],
        State::PoweringOff => vec![Action::PowerOff],
        State::Settling => vec![Action::ResumeInSlurm],
        State::Waiting
        | State::TakingOver
        | State::Booting
        | State::Starting
        | State::Registering
        | State::FetchingImage
        | State::Ready
        | State::Ended
        | State::Kept
        | State::Released => Vec::new(),
    }
}

/// How long a state may last, in seconds; `None`: as long as the job or Slurm wants.
#[must_use]
pub fn limit_seconds(deployment: &Deployment, limits: &Limits) -> Option<u32> {
    match deployment.state {
        State::Waiting => Some(limits.power_seconds.saturating_mul(2)),
        State::TakingOver if deployment.way == Way::Adopt => Some(ADOPT_SECONDS),
        State::TakingOver => Some(limits.boot_seconds + starting_seconds(limits)),
        State::PoweringOn => Some(limits.firmware_seconds),
        State::Booting => Some(limits.boot_seconds),
        // Together register_seconds, which Slurm's own limits are computed from.
        State::Starting => Some(starting_seconds(limits)),
        State::Registering => Some(limits.register_seconds / 3),
        // Counted from when the image is prepared, and from the last byte of it: the caller knows.
        State::FetchingImage => Some(limits.image_seconds),
        State::Ended => Some(limits.power_seconds),
        // An outlet is the last resort, and comes when everything else has had its time. Below Slurm's
        // SuspendTimeout as slurm-conf derives it: nobody gets the node before.
        State::PoweringOff => Some(limits.power_seconds.saturating_add(OUTLET_SECONDS)),
        State::Settling => Some(SETTLE_SECONDS_MAX),
        // Slurm's SuspendTime ends it.
        State::Kept | State::Ready | State::Released => None,
    }
}

fn starting_seconds(limits: &Limits) -> u32 {
    limits.register_seconds - limits.register_seconds / 3
}

/// For a running node to say that it is what the next job asks for; it has only to look.
const ADOPT_SECONDS: u32 = 10;

/// For an outlet to take the power away after a controller has not.
const OUTLET_SECONDS: u32 = 20;

/// Longest wait for readings to settle after power-off.
const SETTLE_SECONDS_MAX: u32 = 30;

fn timed_out(deployment: &Deployment, limits: &Limits) -> Outcome {
    let seconds = limit_seconds(deployment, limits).unwrap_or(0);
    let node = |reason: String| failed(deployment, Failure { blame: Blame::Node, reason });
    match deployment.state {
        State::Waiting => node(format!("was not powered off by its last use within {seconds} s")),
        State::TakingOver => boot_instead(),
        State::PoweringOn => node(format!(
            "did not ask for its boot script within {seconds} s of power-on: check that it boots \
             from the network first, and its cable"
        )),
        State::Booting => node(format!(
            "loaded its boot script, but its kernel did not report within {seconds} s"
        )),
        State::Starting => node(format!("booted, but slurmd did not start within {seconds} s")),
        State::Registering => {
            node(format!("runs slurmd, but slurmctld did not see it register within {seconds} s"))
        }
        // The way to the image is the site's, and the same for every node: none is drained for it.
        State::FetchingImage => {
            let reason = format!(
                "registered, but got nothing of the application image for {seconds} s: see to the network, \
                 bootsrv and the NFS server, then release the job; the node is not drained"
            );
            failed(deployment, Failure { blame: Blame::Job, reason })
        }
        // SuspendProgram did not come: ask for it, and again after the same time.
        State::Ended => Outcome::to(State::Ended).act(Action::PowerDownInSlurm),
        State::PoweringOff => Outcome::to(State::PoweringOff)
            .act(Action::Drain(format!("power does not go off within {seconds} s")))
            .act(Action::PowerOff),
        State::Settling => Outcome::to(State::Released).mark(Mark::Settled),
        State::Kept | State::Ready | State::Released => Outcome::default(),
    }
}
