//! Events of the made-up service, on the wire.

use super::super::Drivers;
use super::super::redfish::{Definition, Redfish};
use super::*;
use crate::config::Limits;
use crate::deployment::State;
use crate::power::driver::{Command, Driver};
use crate::power::testing::definition;
use crate::power::worker::{self, Lines};
use crate::power::{Observed, Order, Power, Site};
use protocol::names::Secret;
use protocol::power::Trust;
use redfish::fake::{Fake, Fault, PASSWORD, Shape, USER};
use std::collections::BTreeSet;
use std::time::Instant as WallInstant;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Everything a thousand times as fast, but for what counts as good.
const QUICK: Pace = Pace {
    first: Duration::from_millis(20),
    longest: Duration::from_millis(200),
    good: Duration::from_secs(600),
    not_offered: Duration::from_secs(2),
};

fn driver(fake: &Fake) -> Redfish {
    driver_at(fake, QUICK)
}

fn driver_at(fake: &Fake, pace: Pace) -> Redfish {
    let node = "n1".parse().unwrap();
    let mut driver = Redfish::new(&Definition {
        url: &fake.url(),
        user: USER,
        password: &Secret::new(PASSWORD.into()),
        system: None,
        trust: &Trust::default(),
        events: Some(&node),
    })
    .unwrap();
    driver.listening = Some(Listening::new(&driver.client, &node, pace));
    driver
}

/// The beginning of an event without an end.
fn oversize() -> String {
    format!("data: {}", "x".repeat(300 << 10))
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = WallInstant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn is_open(fake: &Fake) {
    wait_until("no stream", || fake.state().streams.len() == 1).await;
}

async fn is_closed(fake: &Fake) {
    wait_until("the stream stays", || fake.state().streams.is_empty()).await;
}

async fn is_cued(cue: &Cue) -> bool {
    timeout(Duration::from_secs(2), cue.given()).await.is_ok()
}

#[tokio::test]
async fn an_event_is_a_cue_and_the_session_is_the_drivers() {
    let fake = Fake::start(Shape::OpenBmc).await.unwrap();
    fake.state().sessions_max = 1;
    let mut driver = driver(&fake);
    let cue = driver.cue().unwrap();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(fake.state().asked.len(), 0, "nothing is asked before the driver is");
    driver.power().await.unwrap();
    is_open(&fake).await;
    assert!(is_cued(&cue).await, "what happened before it was open");
    fake.state().tell("Critical", "Power supply 1 has lost its input.");
    assert!(is_cued(&cue).await);
    assert!(timeout(Duration::from_millis(100), cue.given()).await.is_err());
    driver.command(Command::On).await.unwrap();
    assert!(is_cued(&cue).await);
    assert_eq!(fake.state().sessions.len(), 1);
    drop(driver);
    is_closed(&fake).await;
    wait_until("its session stays", || fake.state().sessions.is_empty()).await;
}

#[tokio::test]
async fn a_lost_stream_is_opened_again_in_the_same_session() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let mut driver = driver(&fake);
    let cue = driver.cue().unwrap();
    driver.power().await.unwrap();
    for round in 0..3 {
        is_open(&fake).await;
        assert!(is_cued(&cue).await);
        match round {
            1 => fake.state().send(&oversize()),
            _ => fake.state().end_streams(),
        }
        is_closed(&fake).await;
    }
    is_open(&fake).await;
    assert_eq!(fake.state().sessions.len(), 1);
    assert_eq!(fake.state().count("POST"), 1);
}

#[tokio::test]
async fn power_commands_come_before_the_stream() {
    let fake = Fake::start(Shape::Dell).await.unwrap();
    let mut driver = driver(&fake);
    driver.power().await.unwrap();
    for fault in [Fault::Busy(1), Fault::Status(403), Fault::Cut] {
        is_open(&fake).await;
        fake.state().fail("/Systems/", 1, fault.clone());
        driver.power().await.unwrap_err();
        is_closed(&fake).await;
        let asked = fake.state().count("/SSE");
        sleep(Duration::from_millis(300)).await;
        assert_eq!(fake.state().count("/SSE"), asked, "{fault:?}: as long as it is in trouble");
        driver.power().await.unwrap();
    }
    is_open(&fake).await;
}

#[tokio::test]
async fn a_stream_is_not_opened_into_a_recovery() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let first = Duration::from_millis(500);
    let mut driver = driver_at(&fake, Pace { first, ..QUICK });
    driver.power().await.unwrap();
    is_open(&fake).await;
    // Longer than any pause.
    fake.state().fail("/Systems/", 20, Fault::Busy(1));
    for _ in 0..20 {
        driver.power().await.unwrap_err();
        sleep(Duration::from_millis(100)).await;
    }
    driver.power().await.unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(fake.state().count("/SSE"), 1, "it has just begun to answer");
    fake.state().fail("/Systems/", 1, Fault::Busy(1));
    driver.power().await.unwrap_err();
    driver.power().await.unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(fake.state().count("/SSE"), 1, "and that again");
    is_open(&fake).await;
}

#[tokio::test]
async fn a_question_that_is_given_up_closes_the_stream() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let mut driver = driver(&fake);
    driver.power().await.unwrap();
    for is_command in [false, true] {
        is_open(&fake).await;
        fake.state().fail("/Systems/", 1, Fault::Hang);
        let patience = Duration::from_millis(200);
        let is_late = match is_command {
            true => timeout(patience, driver.command(Command::On)).await.is_err(),
            false => timeout(patience, driver.power()).await.is_err(),
        };
        assert!(is_late);
        is_closed(&fake).await;
        let asked = fake.state().count("/SSE");
        sleep(Duration::from_millis(300)).await;
        assert_eq!(fake.state().count("/SSE"), asked, "{is_command}");
        driver.power().await.unwrap();
    }
    is_open(&fake).await;
}

#[tokio::test]
async fn a_meter_or_log_that_is_refused_leaves_the_stream_alone() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let mut driver = driver(&fake);
    driver.power().await.unwrap();
    is_open(&fake).await;
    for path in ["/Chassis", "/LogServices"] {
        fake.state().fail(path, 1_000, Fault::Status(403));
    }
    assert_eq!(driver.reading().await.unwrap_err().trouble, Trouble::Refused);
    assert_eq!(driver.events(0).await.unwrap_err().trouble, Trouble::Refused);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(fake.state().streams.len(), 1);
    assert_eq!(fake.state().count("/SSE"), 1);
}

#[tokio::test]
async fn a_stream_that_was_there_once_comes_back_soon() {
    for fault in [Fault::Status(404), Fault::Status(403)] {
        let fake = Fake::start(Shape::Dmtf).await.unwrap();
        let mut driver =
            driver_at(&fake, Pace { not_offered: Duration::from_secs(3_600), ..QUICK });
        driver.power().await.unwrap();
        is_open(&fake).await;
        // The controller starts anew: first nothing is there, then not all.
        fake.state().fail("/EventService", 2, Fault::Status(404));
        fake.state().fail("/SSE", 2, fault);
        fake.state().end_streams();
        is_closed(&fake).await;
        is_open(&fake).await;
        assert_eq!(fake.state().count("GET /redfish/v1/EventService/SSE"), 4);
    }
}

#[tokio::test]
async fn a_stream_waits_until_the_driver_has_logged_in() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let mut driver = driver_at(&fake, Pace { not_offered: Duration::from_secs(3_600), ..QUICK });
    driver.power().await.unwrap();
    is_open(&fake).await;
    fake.state().end_sessions();
    fake.state().end_streams();
    is_closed(&fake).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(fake.state().count("POST"), 1);
    assert_eq!(fake.state().count("/SSE"), 1);
    driver.power().await.unwrap();
    is_open(&fake).await;
    assert_eq!(fake.state().count("POST"), 2);
    assert_eq!(fake.state().sessions.len(), 1);
}

#[tokio::test]
async fn what_is_not_offered_or_refused_is_left_alone_for_long() {
    for (shape, has_stream, fault) in [
        (Shape::Hpe, true, None),
        (Shape::Dmtf, false, None),
        (Shape::Dmtf, true, Some(Fault::Status(401))),
        (Shape::Dmtf, true, Some(Fault::Status(403))),
        (Shape::Dmtf, true, Some(Fault::Status(405))),
    ] {
        let fake = Fake::start(shape).await.unwrap();
        fake.state().has_stream = has_stream;
        if let Some(fault) = &fault {
            fake.state().fail("/SSE", 1_000, fault.clone());
        }
        let mut driver = driver(&fake);
        driver.power().await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let asked = fake.state().asked.clone();
        let streams = fake.state().count("EventService/SSE");
        assert_eq!(streams, usize::from(fault.is_some()), "{shape:?} {fault:?}: {asked:?}");
        assert!(fake.state().count("GET /redfish/v1/EventService") <= 1 + streams);
        assert_eq!(fake.state().sessions.len(), 1, "{shape:?} {fault:?}");
        assert_eq!(fake.state().count("POST"), 1, "{shape:?} {fault:?}");
    }
}

#[tokio::test]
async fn one_that_is_busy_or_mad_is_asked_with_growing_pauses() {
    let no_event = format!("data: {}\n\n", "x".repeat(60 << 10));
    let minute = vec![no_event; 20];
    for (fault, mad) in [
        (Some(Fault::Status(503)), vec![]),
        // No stream of events.
        (Some(Fault::Endless), vec![]),
        (None, vec![oversize()]),
        (None, minute),
    ] {
        let fake = Fake::start(Shape::Dmtf).await.unwrap();
        if let Some(fault) = &fault {
            fake.state().fail("/SSE", 1_000, fault.clone());
        }
        let mut driver = driver(&fake);
        driver.power().await.unwrap();
        let (start, mut told) = (WallInstant::now(), BTreeSet::new());
        while start.elapsed() < Duration::from_secs(1) {
            let opened: Vec<u64> = fake.state().streams.keys().copied().collect();
            if opened.into_iter().any(|stream| told.insert(stream)) {
                mad.iter().for_each(|text| fake.state().send(text));
            }
            sleep(Duration::from_millis(5)).await;
        }
        // After 20, 40, 80, 160, 200, 200, … ms, each up to half as long again.
        let asked = fake.state().count("/SSE");
        let text = format!("{fault:?} {}: {asked}", mad.len());
        assert!((3..=10).contains(&asked), "{text}");
        assert!(told.len() + 1 >= asked || fault.is_some(), "{text}: each is opened");
        assert_eq!(fake.state().count("POST"), 1, "{text}");
        driver.power().await.unwrap();
    }
}

#[test]
fn pauses_grow_and_a_good_stream_makes_them_short_again() {
    let (pace, seconds) = (Pace::default(), Duration::from_secs);
    let error = |kind| Ended::from(failed(kind));
    let mut grown = pace.first;
    for expected in [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600] {
        let (pause, next) = pace.after(&error(ErrorKind::NoAnswer), seconds(1), grown, false);
        assert_eq!(pause, seconds(expected));
        grown = next;
    }
    let (pause, next) = pace.after(&error(ErrorKind::NoAnswer), pace.good, grown, true);
    assert_eq!((pause, next), (seconds(10), seconds(20)));
    // A controller that is in trouble now and then does not lose its stream for longer each time.
    for ended in [Ended::GaveWay, error(ErrorKind::LoggedOut)] {
        let pauses = pace.after(&ended, seconds(1), seconds(40), true);
        assert_eq!(pauses, (seconds(40), seconds(40)));
    }
    for ended in [Ended::NotOffered, error(ErrorKind::Refused), error(ErrorKind::Unsupported)] {
        assert_eq!(pace.after(&ended, seconds(1), grown, false).0, pace.not_offered, "{ended:?}");
        let pauses = pace.after(&ended, seconds(1), seconds(40), true);
        assert_eq!(pauses, (seconds(40), seconds(80)), "{ended:?}");
    }
}

#[test]
fn a_busy_service_says_itself_when_it_may_be_asked_again() {
    let (pace, seconds) = (Pace::default(), Duration::from_secs);
    for (retry_after, expected) in [(None, 20), (Some(5), 20), (Some(300), 300)] {
        let retry_after = retry_after.map(seconds);
        let busy = Ended::from(failed(ErrorKind::Busy { retry_after }));
        let pauses = pace.after(&busy, seconds(1), seconds(20), false);
        assert_eq!(pauses, (seconds(expected), seconds(40)));
    }
}

fn failed(kind: ErrorKind) -> Error {
    // None has a constructor: one that was made by what it stands for.
    let account = redfish::Account {
        url: "ftp://c1".into(),
        user: USER.into(),
        password: PASSWORD.into(),
        trust: redfish::Trust::Host,
        system: None,
    };
    let mut error = Client::new(account).unwrap_err();
    error.kind = kind;
    error
}

#[test]
fn the_worst_record_is_the_line() {
    let record = |severity: Option<&str>| EventRecord {
        severity: severity.map(String::from),
        message_id: Some("Power.1.0.Lost".into()),
        message: Some("Input lost.".into()),
    };
    assert_eq!(line(&record(Some("Critical"))), "Critical Input lost. Power.1.0.Lost");
    assert_eq!(line(&record(None)), "Input lost. Power.1.0.Lost");
    let ranks = [None, Some("OK"), Some("Warning"), Some("Critical")];
    assert_eq!(ranks.map(|severity| rank(&record(severity))), [0, 0, 1, 2]);
}

/// What keeps a worker at work, and what it has seen.
type Work = (mpsc::UnboundedSender<Order>, watch::Sender<State>, watch::Receiver<Observed>);

/// A worker with that driver; its node belongs to nobody, so it looks each 30 s.
fn work(fake: &Fake) -> Work {
    let (orders, orders_receiver) = mpsc::unbounded_channel();
    let (state, active) = watch::channel(State::Released);
    let (observed_sender, observed) = watch::channel(Observed::default());
    let lines = Lines { orders: orders_receiver, active, observed: observed_sender };
    let drivers = Drivers { node: Box::new(driver(fake)), outlet: None };
    worker::start(definition("n1"), drivers, Arc::new(Site::new(&Limits::default())), lines);
    (orders, state, observed)
}

#[tokio::test]
async fn a_worker_sees_at_once_what_is_told_and_looks_once_a_second_in_a_storm() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let (orders, _state, observed) = work(&fake);
    let power = || observed.borrow().power;
    wait_until("no look", || power() == Some(Power::Off)).await;
    is_open(&fake).await;
    // Somebody else presses the button; the next look of its own would be half a minute later.
    fake.state().is_on = true;
    fake.state().tell("OK", "The power state is On.");
    wait_until("not seen", || power() == Some(Power::On)).await;
    let looks = || fake.state().count("GET /redfish/v1/Systems/437XR1138R2");
    let (before, start) = (looks(), WallInstant::now());
    while start.elapsed() < Duration::from_secs(4) {
        fake.state().tell("Critical", "It is mad.");
        sleep(Duration::from_millis(10)).await;
    }
    let in_storm = looks() - before;
    assert!((2..=5).contains(&in_storm), "{in_storm}");
    // A forged word changes nothing but that it is looked at.
    let before = looks();
    fake.state().tell("OK", "The power state is Off.");
    wait_until("no look", || looks() >= before + 2).await;
    assert_eq!(power(), Some(Power::On));
    drop(orders);
    is_closed(&fake).await;
    wait_until("its session stays", || fake.state().sessions.is_empty()).await;
}
