//! (deployment, event) → what becomes of it. Pure: every rule of a deployment's life is here, and
//! nowhere else. The reconciler carries the actions out; carrying one out twice must be harmless.

use super::{Application, Blame, Deployment, Failure, Mark, State};
use crate::config::Limits;
use protocol::boot::AgentStage;

/// Something that happened to a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// No earlier deployment holds the node any more.
    NodeFree,
    /// Power-on waits for its turn (inrush limit): not the firmware's time yet.
    Queued,
    /// The controller accepted power-on.
    PowerOnAccepted,
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

/// Most boot scripts one boot may ask for before its token is fetched: firmware may restart once
/// or twice (memory training), a loop may not.
const SCRIPTS_MAX: u32 = 3;

/// Decides what an event makes of a deployment.
#[must_use]
pub fn next(deployment: &Deployment, event: &Event, limits: &Limits) -> Outcome {
    let state = deployment.state;
    match event {
        Event::NodeFree if state == State::Waiting => {
            Outcome::to(State::PoweringOn).act(Action::PowerOn)
        }
        // Both begin the state anew, so that its limit counts from power-on.
        Event::Queued if state == State::PoweringOn => Outcome::to(State::PoweringOn),
        Event::PowerOnAccepted if state == State::PoweringOn => {
            Outcome::to(State::PoweringOn).mark(Mark::PowerOn)
        }
        Event::ScriptAsked => script_asked(deployment),
        Event::Silent if state == State::Ready => crashed(deployment, "while in use"),
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
        Event::Failed(failure) => failed(deployment, failure.clone()),
        Event::TimedOut => timed_out(deployment, limits),
        Event::NodeFree
        | Event::Queued
        | Event::PowerOnAccepted
        | Event::Silent
        | Event::Registered
        | Event::JobStarted
        | Event::PowerSeenOff
        | Event::Settled => Outcome::default(),
    }
}

fn script_asked(deployment: &Deployment) -> Outcome {
    match deployment.state {
        State::PoweringOn => Outcome::to(State::Booting).mark(Mark::ScriptServed),
        State::Booting if deployment.token_served => {
            crashed(deployment, "before the kernel reported")
        }
        State::Booting if deployment.scripts_served >= SCRIPTS_MAX => {
            crashed(deployment, "three times without loading the kernel")
        }
        State::Starting | State::Registering => crashed(deployment, "before slurmd registered"),
        // No program of the job runs on it yet.
        State::FetchingImage => crashed(deployment, "before its job started"),
        // Anybody's program on the node could have asked: the engine waits for a sign of life.
        State::Ready
        | State::Waiting
        | State::Booting
        | State::Ended
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
        (State::Booting | State::Starting, AgentStage::SlurmdStarted) => {
            Outcome::to(State::Registering)
        }
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
        State::PoweringOn
        | State::Booting
        | State::Starting
        | State::Registering
        | State::FetchingImage => power_off().act(Action::PowerDownInSlurm),
        State::Ready => Outcome::to(State::Ended),
        // A failed boot: only now has the job left the node, so that slurmctld may be told.
        State::PoweringOff | State::Settling | State::Released if deployment.failure.is_some() => {
            Outcome::default().act(Action::PowerDownInSlurm)
        }
        State::Ended | State::PoweringOff | State::Settling | State::Released => Outcome::default(),
    };
    outcome.mark(Mark::JobEnded)
}

fn given_back(deployment: &Deployment) -> Outcome {
    match deployment.state {
        State::Ready | State::Ended => power_off(),
        State::PoweringOff => Outcome::default(),
        State::Settling => Outcome::default().act(Action::ResumeInSlurm),
        // It may have come on since, by hand or after a power failure: Slurm wants it off.
        State::Released => Outcome::default().act(Action::PowerOff).act(Action::ResumeInSlurm),
        State::Waiting
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
        State::PoweringOn
        | State::Booting
        | State::Starting
        | State::Registering
        | State::FetchingImage
        | State::Ready
        | State::Ended => power_off().mark(Mark::JobEnded),
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
    // A job's epilog says this when the job has left; here nobody else would end POWERING_UP.
    if deployment.job.is_none() && deployment.state.is_before_ready() {
        outcome.actions.push(Action::PowerDownInSlurm);
    }
    Outcome { failure: Some(failure), ..outcome }
}

/// How long a state may last, in seconds; `None`: as long as the job or Slurm wants.
#[must_use]
pub fn limit_seconds(state: State, limits: &Limits) -> Option<u32> {
    match state {
        State::Waiting => Some(limits.power_seconds.saturating_mul(2)),
        State::PoweringOn => Some(limits.firmware_seconds),
        State::Booting => Some(limits.boot_seconds),
        // Together register_seconds, which Slurm's own limits are computed from.
        State::Starting => Some(limits.register_seconds - limits.register_seconds / 3),
        State::Registering => Some(limits.register_seconds / 3),
        // Counted from when the image is prepared, and from the last byte of it: the caller knows.
        State::FetchingImage => Some(limits.image_seconds),
        State::Ended | State::PoweringOff => Some(limits.power_seconds),
        State::Settling => Some(SETTLE_SECONDS_MAX),
        State::Ready | State::Released => None,
    }
}

/// Longest wait for readings to settle after power-off.
const SETTLE_SECONDS_MAX: u32 = 30;

fn timed_out(deployment: &Deployment, limits: &Limits) -> Outcome {
    let seconds = limit_seconds(deployment.state, limits).unwrap_or(0);
    let node = |reason: String| failed(deployment, Failure { blame: Blame::Node, reason });
    match deployment.state {
        State::Waiting => node(format!("was not powered off by its last use within {seconds} s")),
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
        State::Ready | State::Released => Outcome::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(state: State) -> Deployment {
        Deployment { state, ..Deployment::example() }
    }

    fn step(state: State, event: Event) -> Outcome {
        next(&deployment(state), &event, &Limits::default())
    }

    #[test]
    fn a_boot_without_fault_goes_through_every_state() {
        let events = [
            (Event::NodeFree, State::PoweringOn),
            (Event::ScriptAsked, State::Booting),
            (Event::Agent(AgentStage::AgentStarted), State::Starting),
            (Event::Agent(AgentStage::SlurmdStarted), State::Registering),
            (Event::Registered, State::Ready),
            (Event::JobEnded, State::Ended),
            (Event::GivenBack, State::PoweringOff),
            (Event::PowerSeenOff, State::Settling),
            (Event::Settled, State::Released),
        ];
        let mut state = State::Waiting;
        for (event, expected) in events {
            state = step(state, event).state.unwrap();
            assert_eq!(state, expected);
        }
    }

    /// A node with an application image is ready when slurmctld has it and tasks can enter the image,
    /// whichever comes first.
    #[test]
    fn an_application_image_and_the_registration_wait_for_each_other() {
        let with = |state, application| Deployment { application, ..deployment(state) };
        let after = |state, application, event: Event| {
            let outcome = next(&with(state, application), &event, &Limits::default());
            (outcome.state, outcome.application_ready)
        };
        let (awaited, ready) = (Application::Awaited, Application::Ready);
        for state in [State::Starting, State::Registering] {
            let fetching = (Some(State::FetchingImage), false);
            assert_eq!(after(state, awaited, Event::Registered), fetching);
            assert_eq!(after(state, ready, Event::Registered), (Some(State::Ready), false));
            assert_eq!(after(state, awaited, Event::ApplicationReady), (None, true));
        }
        let fetching = State::FetchingImage;
        assert_eq!(after(fetching, awaited, Event::Registered), (None, false));
        assert_eq!(after(fetching, awaited, Event::ApplicationReady), (Some(State::Ready), true));
        assert_eq!(after(State::Ready, ready, Event::ApplicationReady), (None, false));
        assert_eq!(after(State::PoweringOff, awaited, Event::ApplicationReady), (None, false));
        let none = Application::None;
        assert_eq!(after(State::Registering, none, Event::ApplicationReady), (None, false));
        // The report of slurmd comes late: it leads nowhere back.
        let slurmd = Event::Agent(AgentStage::SlurmdStarted);
        assert_eq!(after(fetching, awaited, slurmd), (None, false));
    }

    #[test]
    fn an_image_that_cannot_be_had_or_does_not_come_spares_the_node() {
        let failure = Failure { blame: Blame::Job, reason: "manifest unknown".into() };
        let outcome = step(State::FetchingImage, Event::Failed(failure));
        assert_eq!(outcome.actions, [Action::PowerOff]);
        let late = step(State::FetchingImage, Event::TimedOut);
        assert_eq!(late.actions, [Action::PowerOff], "else one switch drains a thousand");
        assert!(
            late.failure.unwrap().reason.contains("nothing of the application image for 300 s")
        );
    }

    #[test]
    fn a_node_that_boots_twice_has_crashed_unless_its_firmware_restarted() {
        assert_eq!(step(State::Booting, Event::ScriptAsked), Outcome::default());
        let mut fetched = deployment(State::Booting);
        fetched.token_served = true;
        let outcome = next(&fetched, &Event::ScriptAsked, &Limits::default());
        assert_eq!(outcome.state, Some(State::PoweringOff));
        assert!(outcome.failure.unwrap().reason.contains("crashed"));
        assert_eq!(step(State::Ready, Event::ScriptAsked), Outcome::default());
        assert!(matches!(step(State::Ready, Event::Silent).actions[..], [_, Action::Down(_)]));
    }

    #[test]
    fn a_jobs_own_fault_spares_the_node() {
        let blame = |blame| Event::Failed(Failure { blame, reason: "r".into() });
        assert_eq!(step(State::Starting, blame(Blame::Job)).actions, [Action::PowerOff]);
        let outcome = step(State::Starting, blame(Blame::Node));
        assert_eq!(outcome.actions, [Action::PowerOff, Action::Drain("r".into())]);
    }

    #[test]
    fn a_failed_boot_for_no_job_ends_in_slurm_too() {
        let failure = Failure { blame: Blame::Node, reason: "r".into() };
        let jobless = Deployment { job: None, ..deployment(State::Booting) };
        let outcome = next(&jobless, &Event::Failed(failure), &Limits::default());
        assert_eq!(outcome.actions.last(), Some(&Action::PowerDownInSlurm));
    }

    #[test]
    fn cancelling_while_booting_powers_off_and_tells_slurm() {
        for state in [
            State::PoweringOn,
            State::Booting,
            State::Starting,
            State::Registering,
            State::FetchingImage,
        ] {
            let outcome = step(state, Event::JobEnded);
            assert_eq!(outcome.state, Some(State::PoweringOff), "{state:?}");
            assert_eq!(outcome.actions, [Action::PowerOff, Action::PowerDownInSlurm]);
        }
        let waiting = step(State::Waiting, Event::JobEnded);
        assert_eq!(waiting.actions, [Action::PowerDownInSlurm], "hardware is not touched");
    }

    /// Whatever comes, in whatever order and however often, no deployment goes back in time and
    /// power is never ordered on again once it was ordered off.
    #[test]
    fn no_event_leads_back() {
        let failure = Failure { blame: Blame::Node, reason: "r".into() };
        let events = [
            Event::ApplicationReady,
            Event::NodeFree,
            Event::Queued,
            Event::PowerOnAccepted,
            Event::ScriptAsked,
            Event::Silent,
            Event::Agent(AgentStage::AgentStarted),
            Event::Agent(AgentStage::SlurmdStarted),
            Event::Registered,
            Event::JobStarted,
            Event::JobEnded,
            Event::GivenBack,
            Event::Superseded,
            Event::PowerSeenOff,
            Event::Settled,
            Event::Failed(failure),
            Event::TimedOut,
        ];
        for state in State::ALL {
            for event in &events {
                let outcome = step(state, event.clone());
                assert!(outcome.state.is_none_or(|next| next >= state), "{state:?} {event:?}");
                if state >= State::Ended {
                    assert!(!outcome.actions.contains(&Action::PowerOn), "{state:?} {event:?}");
                }
            }
        }
    }

    /// Every state but the two that wait for the job or rest ends by itself.
    #[test]
    fn no_state_lasts_for_ever() {
        for state in State::ALL {
            let limited = limit_seconds(state, &Limits::default()).is_some();
            assert_eq!(limited, !matches!(state, State::Ready | State::Released), "{state:?}");
            let outcome = step(state, Event::TimedOut);
            assert_eq!(outcome.state.is_some(), limited, "{state:?}");
        }
    }
}
