//! What goes wrong is sorted by what the caller does about it.

use crate::support::{PASSWORD, certificates, chain, client, client_by, start};
use amt::fake::{Break, Fake, FakeSettings, Knobs, Refusal, Tls};
use amt::{Action, Cause, Client, Kind, Trust};
use std::time::Duration;

/// A controller whose node is on, and its client.
async fn running() -> (Fake, Client) {
    let fake = start(FakeSettings::default()).await;
    let client = client(fake.address(), PASSWORD);
    client.switch(Action::On).await.unwrap();
    (fake, client)
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let (fake, client) = running().await;
    for (refusal, kind, said) in [
        (Refusal::Http(503), Kind::Busy, "status 503"),
        (Refusal::Http(403), Kind::Refused, "status 403"),
        (Refusal::Http(404), Kind::Unsupported, "status 404"),
        (Refusal::Http(500), Kind::Malformed, "status 500"),
        (Refusal::Http(302), Kind::Malformed, "status 302"),
        (Refusal::Fault("AccessDenied"), Kind::Refused, "The fake says AccessDenied."),
        (Refusal::Fault("ActionNotSupported"), Kind::Unsupported, "ActionNotSupported"),
        (Refusal::Fault("TimedOut"), Kind::Busy, "TimedOut"),
        (Refusal::Fault("InternalError"), Kind::Malformed, "InternalError"),
        (Refusal::Returns(1), Kind::Unsupported, "RequestPowerStateChange returned 1"),
        (Refusal::Returns(2), Kind::Busy, "returned 2 (busy, or not possible"),
        (Refusal::Returns(3), Kind::Busy, "returned 3"),
        (Refusal::Returns(16), Kind::Refused, "returned 16 (not permitted)"),
        (Refusal::Returns(4), Kind::Malformed, "returned 4 (failed)"),
    ] {
        fake.turn(|knobs| knobs.refuses = Some(refusal));
        let error = client.switch(Action::Reset).await.unwrap_err();
        let text = chain(&error);
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(said) && text.contains(&fake.address().to_string()), "{text}");
    }
    assert_eq!(fake.counters().resets, 0);
}

#[tokio::test]
async fn a_refused_boot_choice_names_the_step() {
    let (fake, client) = running().await;
    fake.turn(|knobs| knobs.client_control = true);
    let error = client.boot_from_network_once().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    let text = chain(&error);
    assert!(text.contains("to clear the source of the next boot: ChangeBootOrder"), "{text}");
    fake.turn(|knobs| *knobs = Knobs { refuses: Some(Refusal::Returns(6)), ..Knobs::default() });
    assert_eq!(client.boot_from_network_once().await.unwrap_err().kind(), Kind::Refused);
}

#[tokio::test]
async fn a_broken_connection_is_no_answer() {
    let (fake, client) = running().await;
    for broken in [Break::BeforeAnswer, Break::InAnswer] {
        fake.turn(|knobs| knobs.breaks = Some(broken));
        let error = client.power().await.unwrap_err();
        assert_eq!(error.kind(), Kind::NoAnswer, "{}", chain(&error));
    }
    fake.turn(|knobs| *knobs = Knobs { slow: Duration::from_secs(60), ..Knobs::default() });
    let error = client.power().await.unwrap_err();
    assert!(matches!(error.cause, Cause::Late(_)), "{}", chain(&error));
    assert_eq!(error.kind(), Kind::NoAnswer);

    fake.turn(|knobs| *knobs = Knobs::default());
    client.power().await.expect("it is well again");
    let address = fake.address();
    drop(fake);
    tokio::task::yield_now().await;
    let error = crate::support::client(address, PASSWORD).power().await.unwrap_err();
    assert_eq!(error.kind(), Kind::NoAnswer, "{}", chain(&error));
}

#[tokio::test]
async fn nonsense_is_malformed() {
    let (fake, client) = running().await;
    let envelope = |body: &str| {
        format!(
            "<a:Envelope xmlns:a=\"http://www.w3.org/2003/05/soap-envelope\"><a:Body>{body}</a:Body></a:Envelope>"
        )
    };
    let class = "CIM_AssociatedPowerManagementService";
    let bomb = "<!DOCTYPE a [<!ENTITY b \"c\"><!ENTITY d \"&b;&b;\">]><a>&d;</a>".to_owned();
    for says in [
        String::new(),
        "<html>no</html>".to_owned(),
        bomb,
        "<a>".repeat(20_000),
        "x".repeat(200_000),
        envelope(""),
        envelope("<Other><PowerState>2</PowerState></Other>"),
        envelope(&format!("<{class}/>")),
        envelope(&format!("<{class}><PowerState>70000</PowerState></{class}>")),
    ] {
        fake.turn(|knobs| knobs.says = Some(says.clone().into_bytes()));
        let error = client.power().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed, "{says:.60} {}", chain(&error));
    }
}

#[tokio::test]
async fn only_a_known_certificate_is_trusted() {
    let (tls, authority, fingerprint) = certificates();
    let (_, other_authority, other) = certificates();
    let fake = start(FakeSettings { tls: Some(tls), ..FakeSettings::default() }).await;
    let ask = async |trust| client_by(fake.address(), Some(trust), PASSWORD).power().await;
    ask(Trust::Authority(authority.into())).await.unwrap();
    ask(Trust::Fingerprint(fingerprint)).await.unwrap();
    let asked = fake.counters().requests;
    for trust in [Trust::Host, Trust::Authority(other_authority.into()), Trust::Fingerprint(other)]
    {
        let error = ask(trust.clone()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{trust:?} {}", chain(&error));
        if trust == Trust::Fingerprint(other) {
            let shown: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(chain(&error).contains(&shown), "{}", chain(&error));
        }
    }
    assert_eq!(fake.counters().requests, asked, "who is not trusted is told nothing");
}

/// A self-signed certificate can be its own authority, if it has the controller's name.
#[tokio::test]
async fn a_self_signed_certificate_can_be_named_as_authority() {
    let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (pem, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
    let tls = Tls { certificates: pem.clone().into(), key: key.into() };
    let fake = start(FakeSettings { tls: Some(tls), ..FakeSettings::default() }).await;
    let trust = Some(Trust::Authority(pem.into()));
    client_by(fake.address(), trust, PASSWORD).power().await.unwrap();
}

#[tokio::test]
async fn the_wrong_port_is_said_to_be_one() {
    let (tls, ..) = certificates();
    let with = start(FakeSettings { tls: Some(tls), ..FakeSettings::default() }).await;
    let error = client(with.address(), PASSWORD).power().await.unwrap_err();
    assert_ne!(error.kind(), Kind::Refused, "{}", chain(&error));

    let without = start(FakeSettings::default()).await;
    let trust = Some(Trust::Fingerprint([0; 32]));
    let error = client_by(without.address(), trust, PASSWORD).power().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed, "{}", chain(&error));
    assert!(chain(&error).contains("does not speak TLS"), "{}", chain(&error));
}
