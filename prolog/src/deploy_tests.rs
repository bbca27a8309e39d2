//! The sequence ask, wait, report against a fake bootsrv, a fake scontrol and a clock that jumps.

use super::*;
use protocol::api::{DeploymentView, JobFailure};
use protocol::error::ApiError;
use protocol::names::JobReference;
use std::cell::{Cell, RefCell};

/// A clock that sleeping moves.
#[derive(Default)]
struct FakeClock(Cell<Duration>);

impl Clock for FakeClock {
    fn elapsed(&self) -> Duration {
        self.0.get()
    }
    fn sleep(&self, time: Duration) {
        self.0.set(self.0.get() + time);
    }
}

type Reply = Result<JobView, ClientError>;

/// Answers by the number of the call; remembers which calls were made.
struct FakeServer<'a, F: Fn(usize) -> Reply> {
    reply: F,
    calls: RefCell<String>,
    /// It keeps answers about a booting job back; an older bootsrv does not.
    waits: bool,
    clock: &'a FakeClock,
}

impl<F: Fn(usize) -> Reply> FakeServer<'_, F> {
    fn next(&self, call: char) -> Reply {
        self.calls.borrow_mut().push(call);
        (self.reply)(self.calls.borrow().len())
    }
}

impl<F: Fn(usize) -> Reply> Server for FakeServer<'_, F> {
    fn put(&self, _: JobId, _: &JobRequest) -> Reply {
        self.next('P')
    }
    fn get(&self, _: JobId, wait: Duration) -> Reply {
        let reply = self.next('g');
        if self.waits && reply.as_ref().is_ok_and(|view| view.state == JobState::Booting) {
            self.clock.sleep(Duration::from_secs(wait.as_secs()));
        }
        reply
    }
}

fn view(state: JobState, restart_count: u32) -> JobView {
    let node = |name: &str, state: &str| DeploymentView {
        node: name.parse().unwrap(),
        state: state.into(),
        detail: "kernel loaded".into(),
        since_unix_ns: 0,
        timeline: vec![],
        applied: vec![],
        console: vec![],
    };
    JobView {
        job: JobId(7),
        reference: JobReference::Job(JobId(7)),
        restart_count,
        user: "alice".into(),
        partition: "bmc".into(),
        kernel: "6.1-cloud".parse().unwrap(),
        image: "debian12".parse().unwrap(),
        application: None,
        state,
        nodes: vec![node("n1", "ready"), node("n2", "booting")],
        failure: None,
        failed_tries: 0,
        power_off_after: true,
    }
}

fn failure(hold: bool, node: Option<&str>, reason: &str) -> JobView {
    let failure =
        JobFailure { hold, node: node.map(|name| name.parse().unwrap()), reason: reason.into() };
    JobView { failure: Some(failure), failed_tries: 1, ..view(JobState::Failed, 1) }
}

fn silent() -> Reply {
    Err(ClientError::Transport { url: "http://h/v1".into(), source: ureq_error() })
}

fn ureq_error() -> Box<dyn std::error::Error + Send + Sync> {
    "connection refused".into()
}

fn refused_with(kind: ErrorKind, message: &str) -> Reply {
    Err(ApiError::new(kind, message).into())
}

/// Runs the sequence; answers with the verdict, the calls made and the time it took.
fn run(reply: impl Fn(usize) -> Reply) -> (Verdict, String, Duration) {
    run_with(reply, false)
}

fn run_with(reply: impl Fn(usize) -> Reply, waits: bool) -> (Verdict, String, Duration) {
    let clock = FakeClock::default();
    let server = FakeServer { reply, calls: RefCell::default(), waits, clock: &clock };
    let request = JobRequest {
        reference: JobReference::Job(JobId(7)),
        nodes: protocol::node_list::expand("n[1-2]").unwrap(),
        restart_count: 1,
        user: "alice".into(),
        uid: 2001,
        account: None,
        partition: "bmc".into(),
        options: Default::default(),
    };
    let limits = Limits { timeout: Duration::from_secs(60) };
    let verdict = wait(&server, &clock, JobId(7), &request, limits);
    (verdict, server.calls.into_inner(), clock.0.get())
}

fn ready() -> Verdict {
    let nodes = protocol::node_list::expand("n[1-2]").unwrap();
    Verdict::Ready { nodes, power_off_after: true }
}

#[test]
fn ready_is_heard_at_the_next_look() {
    let (verdict, calls, took) =
        run(|call| Ok(view(if call < 4 { JobState::Booting } else { JobState::Ready }, 1)));
    assert_eq!((verdict, calls.as_str(), took), (ready(), "Pggg", Duration::from_millis(200)));
}

#[test]
fn a_bootsrv_that_keeps_its_answer_back_is_asked_seldom() {
    let booting = |_| Ok(view(JobState::Booting, 1));
    let (verdict, calls, took) = run_with(booting, true);
    assert!(matches!(verdict, Verdict::TryAgain { .. }), "{verdict:?}");
    assert_eq!((calls.as_str(), took), ("Pggg", Duration::from_secs(60)));
    // It answers at once when there is something to say.
    let (verdict, calls, took) = run_with(
        |call| Ok(view(if call < 3 { JobState::Booting } else { JobState::Ready }, 1)),
        true,
    );
    assert_eq!((verdict, calls.as_str(), took), (ready(), "Pgg", Duration::from_secs(20)));
}

#[test]
fn started_again_by_slurmctld_it_finds_the_job_ready() {
    let (verdict, calls, took) = run(|_| Ok(view(JobState::Ready, 1)));
    assert_eq!((verdict, calls.as_str(), took), (ready(), "P", Duration::ZERO));
}

#[test]
fn a_failure_says_whether_to_hold() {
    let (verdict, ..) = run(|_| Ok(failure(true, None, "setting x: refused")));
    let reason = "setting x: refused".to_owned();
    assert_eq!(verdict, Verdict::Hold { reason, kind: ErrorKind::User });
    let (verdict, ..) = run(|_| Ok(failure(false, Some("n2"), "no power")));
    let reason = "n2: no power".to_owned();
    let failed_tries = Some(1);
    assert_eq!(verdict, Verdict::TryAgain { reason, kind: ErrorKind::Site, failed_tries });
}

#[test]
fn a_refused_request_holds_and_a_faulty_site_does_not() {
    for (kind, holds) in [
        (ErrorKind::User, true),
        (ErrorKind::Forbidden, true),
        (ErrorKind::Site, false),
        (ErrorKind::Internal, false),
    ] {
        let (verdict, calls, _) = run(|_| refused_with(kind, "no"));
        assert_eq!(calls, "P");
        assert_eq!(matches!(verdict, Verdict::Hold { .. }), holds, "{verdict:?}");
    }
}

#[test]
fn a_silent_bootsrv_is_waited_for() {
    let (verdict, calls, took) = run(|call| match call {
        1..=3 | 6 => silent(),
        4 | 5 => Ok(view(JobState::Booting, 1)),
        _ => Ok(view(JobState::Ready, 1)),
    });
    // 0.2 + 0.4 + 0.8 s without an answer, a look, and again 0.2 s.
    assert_eq!((verdict, calls.as_str(), took), (ready(), "PPPPggg", Duration::from_millis(1700)));
}

#[test]
fn the_deadline_names_what_the_image_was_doing() {
    let application = PreparationView {
        reference: "docker://r.io/x:1".into(),
        digest: None,
        state: PreparationState::Pulling,
        bytes_done: 120_000_000,
        bytes_total: Some(500_000_000),
        bytes_per_second: None,
        layers_done: 0,
        layers_total: Some(3),
        detail: Some("waiting for the registry".into()),
        blame: None,
    };
    let booting = JobView { application: Some(application), ..view(JobState::Booting, 1) };
    let (verdict, _, _) = run(|_| Ok(booting.clone()));
    let reason =
        "not up after 60 s: docker://r.io/x:1 is being fetched, 120 of 500 MB: waiting for \
                  the registry, n2 is booting (kernel loaded)"
            .to_owned();
    assert_eq!(verdict, Verdict::TryAgain { reason, kind: ErrorKind::Site, failed_tries: None });
}

#[test]
fn the_deadline_names_what_was_last_seen() {
    let (verdict, _, took) = run(|_| Ok(view(JobState::Booting, 1)));
    let reason = "not up after 60 s: n2 is booting (kernel loaded)".to_owned();
    let failed_tries = None;
    assert_eq!(verdict, Verdict::TryAgain { reason, kind: ErrorKind::Site, failed_tries });
    assert!(took < Duration::from_secs(60) && took > Duration::from_secs(59));
    let (verdict, calls, _) = run(|_| refused_with(ErrorKind::Busy, "n1 belongs to job 6"));
    let reason = "gave up after 60 s: n1 belongs to job 6".to_owned();
    assert_eq!(verdict, Verdict::TryAgain { reason, kind: ErrorKind::Busy, failed_tries });
    assert!(calls.len() < 40 && !calls.contains('g'), "{calls}");
}

#[test]
fn a_bootsrv_that_forgot_the_job_is_asked_anew() {
    let (verdict, calls, _) = run(|call| match call {
        1 => Ok(view(JobState::Booting, 1)),
        2 => refused_with(ErrorKind::User, "no job 7"),
        _ => Ok(view(JobState::Ready, 1)),
    });
    assert_eq!((verdict, calls.as_str()), (ready(), "PgP"));
}

#[test]
fn tries_are_not_mixed_up() {
    let (verdict, calls, _) = run(|call| Ok(view(JobState::Ready, u32::from(call > 2))));
    assert_eq!((verdict, calls.as_str()), (ready(), "PPP"));
    let (verdict, ..) = run(|_| Ok(view(JobState::Booting, 2)));
    assert!(matches!(verdict, Verdict::Over { .. }), "{verdict:?}");
}

#[test]
fn a_job_cancelled_while_it_boots_is_not_waited_for() {
    let (verdict, calls, _) =
        run(|call| Ok(view(if call < 3 { JobState::Booting } else { JobState::Ending }, 1)));
    assert!(matches!(verdict, Verdict::Over { .. }), "{verdict:?}");
    // Once more: why it ended may be heard after that it did.
    assert_eq!(calls, "Pggg");
}

#[test]
fn why_a_job_was_ended_may_be_heard_after_that_it_was() {
    let (verdict, calls, _) = run(|call| match call {
        1 => Ok(view(JobState::Booting, 1)),
        2 => Ok(view(JobState::Ending, 1)),
        _ => Ok(failure(false, Some("n1"), "too late")),
    });
    assert!(matches!(verdict, Verdict::TryAgain { failed_tries: Some(1), .. }), "{verdict:?}");
    assert_eq!(calls, "Pgg");
}
