//! Services that are slow, busy, broken or away.

use crate::fake::{Fake, Fault, Shape};
use crate::{Client, ErrorKind, Patience, ResetType};
use std::time::{Duration, Instant};

#[tokio::test]
async fn each_fault_is_told_by_its_kind() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let client = fake.client().unwrap();
    client.power_state().await.unwrap();
    let busy = ErrorKind::Busy { retry_after: Some(Duration::from_secs(7)) };
    for (fault, kind) in [
        (Fault::Busy(7), busy),
        (Fault::Status(403), ErrorKind::Refused),
        (Fault::Status(404), ErrorKind::Unsupported),
        (Fault::Status(500), ErrorKind::Failed),
        (Fault::Status(307), ErrorKind::Malformed),
        (Fault::Cut, ErrorKind::NoAnswer),
        (Fault::Hang, ErrorKind::NoAnswer),
        (Fault::Text("<html>".into()), ErrorKind::Malformed),
        (Fault::Text("[1]".into()), ErrorKind::Malformed),
        (Fault::Text("[".repeat(100_000)), ErrorKind::Malformed),
        (Fault::Endless, ErrorKind::Malformed),
    ] {
        fake.state().fail("/Systems/", 1, fault.clone());
        let begun = Instant::now();
        let error = client.power_state().await.unwrap_err();
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{fault:?}");
        assert!(error.to_string().len() < 500, "{error}");
        client.power_state().await.unwrap();
    }
}

#[tokio::test]
async fn a_call_of_many_questions_has_an_end() {
    let fake = Fake::start(Shape::Hpe).await.unwrap();
    let (answer, call) = (Duration::from_secs(2), Duration::from_millis(700));
    let patience = Patience { connect: answer, answer, call };
    let client = Client::with_patience(fake.account(), patience).unwrap();
    client.power_state().await.unwrap();
    // No answer is late, but all of them together.
    fake.state().fail("/Entries/", 99, Fault::Slow(Duration::from_millis(200)));
    let begun = Instant::now();
    let error = client.log_entries(8).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoAnswer);
    assert!(error.to_string().contains("not done in 0.7 s"), "{error}");
    assert!(begun.elapsed() < Duration::from_millis(1500));
    client.power_state().await.unwrap();
}

#[tokio::test]
async fn a_command_whose_answer_is_lost_is_not_repeated() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let client = fake.client().unwrap();
    client.power_state().await.unwrap();
    fake.state().fail("ComputerSystem.Reset", 1, Fault::Cut);
    let error = client.reset(ResetType::On).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoAnswer);
    assert_eq!(fake.state().resets, ["On"]);
}

#[tokio::test]
async fn what_failed_to_be_found_is_looked_for_again() {
    let fake = Fake::start(Shape::OpenBmc).await.unwrap();
    let client = fake.client().unwrap();
    for path in ["/redfish/v1", "/Sessions", "/Systems", "ResetActionInfo", "/chassis"] {
        fake.state().fail(path, 1, Fault::Busy(1));
    }
    for _ in 0..5 {
        let error = client.power_reading().await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Busy { .. }), "{error}");
    }
    assert!(client.power_reading().await.unwrap().is_some());
}

#[tokio::test]
async fn nobody_there_is_no_answer() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let account = fake.account();
    drop(fake);
    let unbound = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let account = crate::Account { url: format!("http://{unbound}"), ..account };
    let error = Client::new(account).unwrap().power_state().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoAnswer, "{error}");
}

#[tokio::test]
async fn hostile_links_lead_nowhere_else() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    for path in ["https://elsewhere.example/", "relative", ""] {
        let root = format!(r#"{{"Systems": {{"@odata.id": "{path}"}}}}"#);
        fake.state().fail("/redfish/v1", 1, Fault::Text(root));
        let error = fake.client().unwrap().power_state().await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Malformed | ErrorKind::Unsupported), "{error}");
    }
    // A list without an end: each page names the next.
    let client = fake.client().unwrap();
    let page = r#"{"Members": [], "Members@odata.nextLink": "/redfish/v1/Systems?$skip=1"}"#;
    fake.state().fail("/redfish/v1/Systems", 1_000, Fault::Text(page.into()));
    assert_eq!(client.power_state().await.unwrap_err().kind, ErrorKind::Unsupported);
    assert!(fake.state().asked.len() < 20, "{}", fake.state().asked.len());
}
