//! The stream of events on the wire, whole and broken.

use crate::fake::{Fake, Fault, Shape};
use crate::{Client, Error, ErrorKind, Event, EventStream, Patience, ResetType};
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

async fn next(stream: &mut EventStream) -> Result<Event, Error> {
    timeout(SOON, stream.next()).await.expect("something comes")
}

/// A client that has logged in.
async fn client(fake: &Fake) -> Client {
    let client = fake.client().unwrap();
    client.power_state().await.unwrap();
    client
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..250 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}");
}

#[tokio::test]
async fn a_change_of_power_is_told_within_the_clients_session() {
    for shape in [Shape::Dmtf, Shape::Dell, Shape::OpenBmc] {
        let fake = Fake::start(shape).await.unwrap();
        fake.state().sessions_max = 1;
        let client = client(&fake).await;
        let mut stream = client.events().await.unwrap().unwrap();
        client.reset(ResetType::On).await.unwrap();
        let event = next(&mut stream).await.unwrap();
        assert_eq!(event.records[0].message.as_deref(), Some("The power state is On."));
        assert_eq!(event.records[0].severity.as_deref(), Some("OK"));
        assert_eq!(fake.state().sessions.len(), 1, "{shape:?}");
        assert_eq!(fake.state().streams.len(), 1, "{shape:?}");
        drop(stream);
        wait_until("the subscription stays", || fake.state().streams.is_empty()).await;
        client.close().await.unwrap();
        assert!(fake.state().sessions.is_empty(), "{shape:?}");
    }
}

#[tokio::test]
async fn what_is_no_event_is_passed_over_and_any_cut_of_the_bytes_does() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let client = client(&fake).await;
    let mut stream = client.events().await.unwrap().unwrap();
    for piece in [
        ": keep-alive\r\n\r\n",
        "data: {\"MetricValues\": []}\n\n",
        "data: no JSON\n\nretry: 1\n\nevent: x\n\n",
        "id: 7\r\nda",
        "ta: {\"Events\":\r\ndata: [{\"Message\": \"caf\u{e9}",
        "\"}]}\r\n",
    ] {
        fake.state().send(piece);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fake.state().send("\r\n");
    let event = next(&mut stream).await.unwrap();
    assert_eq!(event.records[0].message.as_deref(), Some("caf\u{e9}"));
}

#[tokio::test]
async fn a_service_without_a_stream_is_none() {
    let fake = Fake::start(Shape::Hpe).await.unwrap();
    assert!(client(&fake).await.events().await.unwrap().is_none(), "no EventService");
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let client = client(&fake).await;
    fake.state().has_stream = false;
    assert!(client.events().await.unwrap().is_none(), "pushes only");
    let off = r#"{"ServiceEnabled": false, "ServerSentEventUri": "/redfish/v1/EventService/SSE"}"#;
    fake.state().fail("EventService", 1, Fault::Text(off.into()));
    assert!(client.events().await.unwrap().is_none(), "switched off");
    // A new firmware has it.
    fake.state().has_stream = true;
    assert!(client.events().await.unwrap().is_some());
}

#[tokio::test]
async fn a_stream_that_is_offered_and_refused_is_an_error_and_opens_no_sessions() {
    let fake = Fake::start(Shape::OpenBmc).await.unwrap();
    let client = client(&fake).await;
    let busy = ErrorKind::Busy { retry_after: None };
    for (fault, kind) in [
        (Fault::Status(403), ErrorKind::Refused),
        (Fault::Status(404), ErrorKind::Unsupported),
        (Fault::Status(503), busy),
        (Fault::Status(204), ErrorKind::Malformed),
        (Fault::Text("{}".into()), ErrorKind::Malformed),
        (Fault::Endless, ErrorKind::Malformed),
    ] {
        fake.state().fail("EventService/SSE", 1, fault.clone());
        let error = client.events().await.unwrap_err();
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
    }
    assert_eq!(fake.state().count("POST"), 1, "one login");
    fake.state().streams_max = 0;
    assert_eq!(client.events().await.unwrap_err().kind, busy);
}

#[tokio::test]
async fn a_stream_that_does_not_begin_is_not_waited_for_as_long_as_one_lasts() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let (answer, call) = (Duration::from_secs(2), Duration::from_millis(700));
    let patience = Patience { connect: answer, answer, call };
    let client = Client::with_patience(fake.account(), patience).unwrap();
    client.power_state().await.unwrap();
    fake.state().fail("/SSE", 1, Fault::Hang);
    let error = timeout(SOON, client.events()).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoAnswer);
    assert!(client.events().await.unwrap().is_some());
}

#[tokio::test]
async fn a_stream_ends_with_an_error() {
    let fake = Fake::start(Shape::Dell).await.unwrap();
    let client = client(&fake).await;
    let mut stream = client.events().await.unwrap().unwrap();
    fake.state().end_streams();
    assert_eq!(next(&mut stream).await.unwrap_err().kind, ErrorKind::NoAnswer);
    // In the same session.
    let mut stream = client.events().await.unwrap().unwrap();
    assert_eq!(fake.state().count("POST"), 1);
    fake.state().tell("Critical", "Power supply 1 has lost its input.");
    let event = next(&mut stream).await.unwrap();
    assert_eq!(event.records[0].severity.as_deref(), Some("Critical"));
}

#[tokio::test]
async fn a_stream_logs_in_nowhere() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let client = fake.client().unwrap();
    assert_eq!(client.events().await.unwrap_err().kind, ErrorKind::LoggedOut);
    assert!(fake.state().asked.is_empty(), "another call comes first");
    client.power_state().await.unwrap();
    for path in ["/EventService", "/SSE", "the session has ended"] {
        drop(client.events().await.unwrap().unwrap());
        fake.state().fail(path, 1, Fault::Status(401));
        if !path.starts_with('/') {
            fake.state().end_sessions();
        }
        let logins = fake.state().count("POST");
        let error = client.events().await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::LoggedOut, "{path}: {error}");
        let asked = fake.state().asked.len();
        assert_eq!(client.events().await.unwrap_err().kind, ErrorKind::LoggedOut);
        assert_eq!(fake.state().asked.len(), asked, "{path}: that session is not tried again");
        assert_eq!(fake.state().count("POST"), logins, "{path}");
        // Another call logs in, if that is what it takes.
        fake.state().end_sessions();
        client.power_state().await.unwrap();
        assert_eq!(fake.state().count("POST"), logins + 1, "{path}");
    }
    assert!(client.events().await.unwrap().is_some());
}

#[tokio::test]
async fn a_stream_without_sessions_is_refused_as_anything_else() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    fake.state().has_sessions = false;
    let client = client(&fake).await;
    assert!(client.events().await.unwrap().is_some());
    fake.state().fail("/SSE", 1, Fault::Status(401));
    assert_eq!(client.events().await.unwrap_err().kind, ErrorKind::Refused);
    assert!(client.events().await.unwrap().is_some());
}

#[tokio::test]
async fn a_stream_of_too_much_is_given_up() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let client = client(&fake).await;
    let oversize = "x".repeat(300 << 10);
    for endless in [format!("data: {oversize}"), format!("id: {oversize}")] {
        let mut stream = client.events().await.unwrap().unwrap();
        fake.state().send(&endless);
        let error = next(&mut stream).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed);
        assert!(error.to_string().contains("more than 65536 bytes"), "{error}");
        drop(stream);
        wait_until("it stays open", || fake.state().streams.is_empty()).await;
    }
    // Each is small, and there is no end of them.
    let mut stream = client.events().await.unwrap().unwrap();
    for _ in 0..20_000 {
        fake.state().tell("OK", "Something happened.");
    }
    let mut events = 0;
    let error = loop {
        match next(&mut stream).await {
            Ok(_) => events += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, ErrorKind::Malformed);
    assert!(error.to_string().contains("within a minute"), "{error}");
    assert!((100..10_000).contains(&events), "{events}");
}
