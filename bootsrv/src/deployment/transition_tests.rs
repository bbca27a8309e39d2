//! Every rule of a deployment's life, one by one.

use super::transition::*;
use super::*;
use crate::config::Limits;
use protocol::boot::AgentStage;

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
    assert!(late.failure.unwrap().reason.contains("nothing of the application image for 300 s"));
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
fn a_running_node_goes_from_job_to_job() {
    let kept = |state| Deployment { stays_on: true, ..deployment(state) };
    let after = |state, event: Event| next(&kept(state), &event, &Limits::default());
    assert_eq!(after(State::Ready, Event::JobEnded).state, Some(State::Kept));
    assert_eq!(after(State::Kept, Event::HandedOver).state, Some(State::Released));
    assert_eq!(after(State::Kept, Event::GivenBack).actions, [Action::PowerOff]);
    assert_eq!(after(State::Kept, Event::Superseded).actions, [Action::PowerOff]);
    // In use, or to be powered off: not to be had.
    for state in [State::Ready, State::Ended, State::PoweringOff, State::Starting] {
        assert_eq!(after(state, Event::HandedOver), Outcome::default(), "{state:?}");
    }
    let off = step(State::Kept, Event::HandedOver);
    assert_eq!(off, Outcome::default(), "its partition powers off");
    let crashed = after(State::Kept, Event::Silent);
    assert!(matches!(
        &crashed.actions[..],
        [Action::PowerOff, Action::Drain(_), Action::PowerDownInSlurm]
    ));
}

#[test]
fn a_node_that_cannot_be_taken_over_boots_instead() {
    let take = step(State::Waiting, Event::TakeOver(Way::Kexec));
    assert_eq!((take.state, take.way), (Some(State::TakingOver), Some(Way::Kexec)));
    assert_eq!(take.actions, [], "its agent asks");
    for event in [Event::TakeOverFailed, Event::TimedOut] {
        let boots = step(State::TakingOver, event);
        assert_eq!((boots.state, boots.way), (Some(State::PoweringOn), Some(Way::Boot)));
        assert_eq!((boots.actions, boots.failure), (vec![Action::PowerOn], None));
    }
    let reset = step(State::TakingOver, Event::ScriptAsked);
    assert_eq!((reset.state, reset.way), (Some(State::Booting), Some(Way::Boot)));
    let agent = |stage| step(State::TakingOver, Event::Agent(stage)).state;
    assert_eq!(agent(AgentStage::AgentStarted), None);
    assert_eq!(agent(AgentStage::SlurmdStarted), Some(State::Registering));
    let adopt = Deployment { way: Way::Adopt, ..deployment(State::TakingOver) };
    let limits = Limits::default();
    assert!(limit_seconds(&adopt, &limits) < Some(limits.boot_seconds));
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
        State::TakingOver,
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

#[test]
fn a_power_order_that_waits_begins_its_limit_anew_and_nothing_else_does() {
    for state in State::ALL {
        let outcome = step(state, Event::Queued);
        let waits = matches!(state, State::PoweringOn | State::PoweringOff);
        assert_eq!(outcome.state, waits.then_some(state), "{state:?}");
        assert_eq!((outcome.marks.len(), outcome.actions.len()), (0, 0), "{state:?}");
    }
}

/// Whichever of slurmctld's two programs is heard first: the try has failed, and no node is drained.
#[test]
fn a_resume_timeout_that_is_too_short_is_no_nodes_fault() {
    let blames = |outcome: &Outcome| outcome.failure.as_ref().map(|failure| failure.blame);
    for state in State::ALL {
        let outcome = step(state, Event::ResumeTimedOut);
        let is_about_it =
            state.is_before_ready() || matches!(state, State::PoweringOff | State::Settling);
        assert_eq!(blames(&outcome), is_about_it.then_some(Blame::Site), "{state:?}");
        let drains = |action: &Action| matches!(action, Action::Drain(_) | Action::Down(_));
        assert!(!outcome.actions.iter().any(drains), "{state:?}");
        assert_eq!(
            outcome.state,
            state.is_before_ready().then_some(State::PoweringOff),
            "{state:?}"
        );
    }
    let failure = Some(Failure { blame: Blame::Node, reason: "its own".into() });
    let failed = Deployment { failure, ..deployment(State::PoweringOff) };
    let outcome = next(&failed, &Event::ResumeTimedOut, &Limits::default());
    assert_eq!(outcome, Outcome::default(), "the first reason stays");
}

/// Whatever comes, in whatever order and however often, no deployment goes back in time and
/// power is never ordered on again once it was ordered off.
#[test]
fn no_event_leads_back() {
    let failure = Failure { blame: Blame::Node, reason: "r".into() };
    let events = [
        Event::ApplicationReady,
        Event::NodeFree,
        Event::TakeOver(Way::Adopt),
        Event::TakeOverFailed,
        Event::HandedOver,
        Event::Queued,
        Event::PowerOnAccepted,
        Event::Repowered,
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
        Event::ResumeTimedOut,
        Event::Failed(failure),
        Event::TimedOut,
    ];
    for state in State::ALL {
        for event in &events {
            let outcome = step(state, event.clone());
            // The one way back: its power was cut, so it is on its way up once more.
            let void = *event == Event::Repowered && outcome.state == Some(State::PoweringOn);
            assert!(void || outcome.state.is_none_or(|next| next >= state), "{state:?} {event:?}");
            if state >= State::Ended {
                assert!(!outcome.actions.contains(&Action::PowerOn), "{state:?} {event:?}");
            }
        }
    }
}

/// Every state but those that wait for a job or rest ends by itself.
#[test]
fn no_state_lasts_for_ever() {
    for state in State::ALL {
        let limited = limit_seconds(&deployment(state), &Limits::default()).is_some();
        let rests = matches!(state, State::Ready | State::Kept | State::Released);
        assert_eq!(limited, !rests, "{state:?}");
        let outcome = step(state, Event::TimedOut);
        assert_eq!(outcome.state.is_some(), limited, "{state:?}");
    }
}

#[test]
fn a_boot_whose_power_was_cut_begins_anew() {
    for state in [State::Booting, State::Starting] {
        let outcome = step(state, Event::Repowered);
        assert_eq!((outcome.state, outcome.way), (Some(State::PoweringOn), Some(Way::Boot)));
        assert_eq!(outcome.actions, [], "whoever cut it gives it back");
    }
    assert_eq!(step(State::PoweringOn, Event::Repowered), Outcome::default());
    assert_eq!(step(State::Ready, Event::Repowered), Outcome::default());
}
