//! Digest authentication: the client on the fake's formulas.

use crate::support::{PASSWORD, chain, client, start};
use amt::Kind;
use amt::fake::{Algorithm, FakeSettings};
use std::time::Duration;

#[tokio::test]
async fn each_algorithm_passes() {
    for (algorithm, qop) in
        [(Algorithm::Md5, "auth"), (Algorithm::Md5, "auth,auth-int"), (Algorithm::Sha256, "auth")]
    {
        let settings = FakeSettings { algorithm, qop: qop.into(), ..FakeSettings::default() };
        let fake = start(settings).await;
        let client = client(fake.address(), PASSWORD);
        for _ in 0..3 {
            client.power().await.unwrap();
        }
        let counters = fake.counters();
        // One challenge for all: the nonce is kept.
        assert_eq!((counters.requests, counters.challenges), (4, 1), "{algorithm:?} {qop}");
        assert_eq!((counters.stale, counters.wrong_logins), (0, 0), "{algorithm:?} {qop}");
    }
}

#[tokio::test]
async fn a_login_that_we_do_not_know_is_unsupported() {
    let fake = start(FakeSettings { qop: "auth-int".into(), ..FakeSettings::default() }).await;
    let error = client(fake.address(), PASSWORD).power().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported, "{}", chain(&error));
    assert_eq!(fake.counters().requests, 1);
}

#[tokio::test]
async fn a_nonce_that_is_gone_costs_one_more_request() {
    let life = Duration::from_millis(100);
    let fake = start(FakeSettings { nonce_life: life, ..FakeSettings::default() }).await;
    let client = client(fake.address(), PASSWORD);
    client.power().await.unwrap();
    tokio::time::sleep(life * 2).await;
    client.power().await.unwrap();
    fake.forget_nonces();
    client.power().await.unwrap();
    let counters = fake.counters();
    assert_eq!((counters.requests, counters.challenges, counters.stale), (6, 1, 2));
}

#[tokio::test]
async fn a_nonce_for_one_use_works() {
    let fake = start(FakeSettings { nonce_uses: 1, ..FakeSettings::default() }).await;
    let client = client(fake.address(), PASSWORD);
    for _ in 0..3 {
        client.power().await.unwrap();
    }
    assert_eq!(fake.counters().stale, 2);
}

#[tokio::test]
async fn nonces_that_are_never_good_end_the_question() {
    let fake = start(FakeSettings { nonce_uses: 0, ..FakeSettings::default() }).await;
    let error = client(fake.address(), PASSWORD).power().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed, "{}", chain(&error));
    assert_eq!(fake.counters().requests, 3);
}

/// Firmware locks an account after some wrong passwords: a question costs one.
#[tokio::test]
async fn a_wrong_password_is_tried_once_for_each_question() {
    let fake = start(FakeSettings::default()).await;
    let client = client(fake.address(), "wrong");
    for question in 1..=3 {
        let error = client.power().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{}", chain(&error));
        assert!(!chain(&error).contains("wrong"), "{}", chain(&error));
        assert_eq!(fake.counters().wrong_logins, question);
    }
}

#[tokio::test]
async fn questions_at_the_same_time_share_one_login() {
    let fake = start(FakeSettings::default()).await;
    let client = client(fake.address(), PASSWORD);
    let (a, b, c) = tokio::join!(client.power(), client.identify(), client.power());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(fake.counters().requests, 4);
}
