//! One session for a client, and no trace of it afterwards.

use crate::fake::{Fake, Fault, Shape};
use crate::{Client, ErrorKind, PowerState};
use std::time::Duration;

const SHAPES: [Shape; 4] = [Shape::Dmtf, Shape::Hpe, Shape::Dell, Shape::OpenBmc];

async fn wait_for_no_session(fake: &Fake) {
    for _ in 0..100 {
        if fake.state().sessions.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the session stays open");
}

#[tokio::test]
async fn one_session_serves_all_questions_and_is_ended() {
    for shape in SHAPES {
        let fake = Fake::start(shape).await.unwrap();
        let client = fake.client().unwrap();
        assert_eq!(fake.state().asked.len(), 0, "nothing is asked before it must be");
        for _ in 0..3 {
            assert_eq!(client.power_state().await.unwrap(), Some(PowerState::Off));
        }
        assert_eq!(fake.state().count("POST"), 1, "{shape:?}");
        assert_eq!(fake.state().sessions.len(), 1, "{shape:?}");
        client.close().await.unwrap();
        assert_eq!(fake.state().sessions.len(), 0, "{shape:?}: {:?}", fake.state().asked);
        let client = fake.client().unwrap();
        client.power_state().await.unwrap();
        drop(client);
        wait_for_no_session(&fake).await;
    }
}

#[tokio::test]
async fn questions_at_the_same_time_share_a_login() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let client = fake.client().unwrap();
    let three = tokio::join!(client.power_state(), client.power_state(), client.power_state());
    assert!(three.0.is_ok() && three.1.is_ok() && three.2.is_ok());
    fake.state().end_sessions();
    let three = tokio::join!(client.power_state(), client.power_state(), client.power_state());
    assert!(three.0.is_ok() && three.1.is_ok() && three.2.is_ok());
    assert_eq!(fake.state().count("POST /redfish/v1/SessionService/Sessions"), 2);
}

#[tokio::test]
async fn an_ended_session_is_renewed_once() {
    let fake = Fake::start(Shape::OpenBmc).await.unwrap();
    let client = fake.client().unwrap();
    client.power_state().await.unwrap();
    fake.state().end_sessions();
    client.power_state().await.unwrap();
    assert_eq!(fake.state().count("POST"), 2);
    // A service that lets us in and then does not know us is not asked for ever.
    fake.state().fail("/Systems/system", 9, Fault::Status(401));
    assert_eq!(client.power_state().await.unwrap_err().kind, ErrorKind::Refused);
    assert_eq!(fake.state().count("POST"), 3);
    assert_eq!(fake.state().sessions.len(), 1, "the one before it stays open");
}

#[tokio::test]
async fn a_wrong_password_is_refused_after_one_try() {
    let fake = Fake::start(Shape::Dell).await.unwrap();
    let mut account = fake.account();
    account.password = "wrong".into();
    let client = Client::new(account).unwrap();
    let error = client.power_state().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.to_string().contains("Invalid username or password."), "{error}");
    assert!(!format!("{error:?}").contains("wrong"));
    assert_eq!(fake.state().count("POST"), 1);
}

#[tokio::test]
async fn used_up_sessions_are_worth_another_try() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    fake.state().sessions_max = 1;
    let first = fake.client().unwrap();
    first.power_state().await.unwrap();
    let second = fake.client().unwrap();
    let error = second.power_state().await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Busy { .. }), "{error}");
    first.close().await.unwrap();
    second.power_state().await.unwrap();
}

#[tokio::test]
async fn a_service_without_sessions_gets_the_account_each_time() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    fake.state().has_sessions = false;
    let client = fake.client().unwrap();
    client.power_state().await.unwrap();
    assert_eq!(fake.state().count("POST"), 0);
    client.close().await.unwrap();
    // One that names sessions and has none.
    fake.state().has_sessions = true;
    fake.state().fail("/Sessions", 1, Fault::Status(405));
    fake.client().unwrap().power_state().await.unwrap();
    let mut account = fake.account();
    (fake.state().has_sessions, account.password) = (false, "wrong".into());
    let error = Client::new(account).unwrap().power_state().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
}
