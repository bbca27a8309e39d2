//! Our commands against net-snmp's agent; what they did is proved by net-snmp's commands and by what
//! the outlets' command was told.

use crate::support::{IMPATIENT, QUICK, VirtualPdu, missing};
use pdu::{
    AuthProtocol, Credentials, CustomModel, Model, Outlets, Patience, Power, PrivProtocol, Reading,
    Trouble, Unit, V3Credentials,
};
use std::time::{Duration, Instant};

const RPDU_STATUS: &str = "1.3.6.1.4.1.318.1.1.12.3.5.1.1.4";
const RPDU_CONTROL: &str = "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4";

fn trouble<T: std::fmt::Debug>(result: Result<T, pdu::Error>) -> Trouble {
    result.unwrap_err().trouble
}

#[tokio::test]
async fn every_model_is_switched_and_read() {
    if missing() {
        return;
    }
    for model in Model::names() {
        let unit = VirtualPdu::start(model);
        let outlets = unit.outlets(&[2, 5]);
        assert_eq!(outlets.power().await.unwrap(), Power::Off, "{model}");
        outlets.on().await.unwrap();
        assert_eq!((unit.outlet(2), unit.outlet(5)), ("on".into(), "on".into()), "{model}");
        assert_eq!(unit.outlet(1), "", "{model}: no other outlet");
        assert_eq!(outlets.power().await.unwrap(), Power::On, "{model}");
        unit.outlets(&[5]).off().await.unwrap();
        assert_eq!(outlets.power().await.unwrap(), Power::Partly, "{model}");
        outlets.off().await.unwrap();
        assert_eq!(outlets.power().await.unwrap(), Power::Off, "{model}");
        assert_eq!(unit.file("log"), "2 on\n5 on\n5 off\n2 off\n5 off", "{model}");
    }
}

#[tokio::test]
async fn net_snmp_sees_and_does_the_same() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("apc-rpdu");
    let outlets = unit.outlets(&[3]);
    let status = format!("{RPDU_STATUS}.3");
    outlets.on().await.unwrap();
    assert_eq!(unit.ask("snmpget", "public", &status).unwrap(), "1");
    outlets.off().await.unwrap();
    assert_eq!(unit.ask("snmpget", "public", &status).unwrap(), "2");
    unit.ask("snmpset", "private", &format!("{RPDU_CONTROL}.3 i 1")).unwrap();
    assert_eq!(outlets.power().await.unwrap(), Power::On);
    let error = unit.ask("snmpset", "public", &format!("{RPDU_CONTROL}.3 i 2")).unwrap_err();
    assert!(error.contains("noAccess"), "{error}");
}

#[tokio::test]
async fn a_cycle_is_off_everywhere_at_once_then_on() {
    if missing() {
        return;
    }
    let (left, right) = (VirtualPdu::start("eaton-epdu"), VirtualPdu::start("apc-rpdu2"));
    let both = Outlets::new(vec![left.unit(&[1]), right.unit(&[8])], QUICK).unwrap();
    both.on().await.unwrap();
    let pause = Duration::from_millis(500);
    let (cycled, overlap) = tokio::join!(both.cycle(pause), async {
        let begun = Instant::now();
        let mut off = false;
        while begun.elapsed() < pause * 4 && !off {
            off = left.outlet(1) == "off" && right.outlet(8) == "off";
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        off
    });
    cycled.unwrap();
    assert!(overlap, "never off at the same time");
    assert_eq!(both.power().await.unwrap(), Power::On);
    assert_eq!(
        (left.file("log"), right.file("log")),
        ("1 on\n1 off\n1 on".to_owned(), "8 on\n8 off\n8 on".to_owned(),)
    );
}

#[tokio::test]
async fn one_dead_feed_does_not_keep_the_other_from_being_switched() {
    if missing() {
        return;
    }
    let (mut dead, alive) = (VirtualPdu::start("apc-rpdu"), VirtualPdu::start("apc-rpdu"));
    let both = Outlets::new(vec![dead.unit(&[1]), alive.unit(&[1])], IMPATIENT).unwrap();
    both.on().await.unwrap();
    dead.kill();
    let error = both.off().await.unwrap_err();
    assert_eq!((error.trouble, error.host.clone()), (Trouble::NoAnswer, dead.address()));
    assert_eq!(error.oid.as_deref(), Some(format!("{RPDU_CONTROL}.1").as_str()));
    assert_eq!(alive.outlet(1), "off");
    // A cycle that cannot be whole leaves the node as fed as it can.
    assert_eq!(trouble(both.cycle(Duration::ZERO).await), Trouble::NoAnswer);
    assert_eq!(
        (alive.outlet(1), alive.file("log")),
        ("on".to_owned(), "1 on\n1 off\n1 off\n1 on".to_owned(),)
    );
}

#[tokio::test]
async fn version_three_is_authenticated_and_private() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("raritan-pdu2");
    let outlets = |user: &str, authentication: &str, privacy: &str| {
        let credentials = Credentials::V3(V3Credentials {
            user: user.into(),
            authentication: AuthProtocol::Sha256,
            authentication_password: authentication.into(),
            privacy: PrivProtocol::Aes128,
            privacy_password: privacy.into(),
        });
        Outlets::new(vec![Unit { credentials, ..unit.unit(&[4]) }], IMPATIENT).unwrap()
    };
    let right = outlets("power", "authpass123", "privpass123");
    right.on().await.unwrap();
    assert_eq!((unit.outlet(4), right.power().await.unwrap()), ("on".into(), Power::On));
    for wrong in [
        outlets("nobody", "authpass123", "privpass123"),
        outlets("power", "wrong-authpass", "privpass123"),
    ] {
        assert_eq!(trouble(wrong.off().await), Trouble::Refused);
    }
    // An agent that cannot decrypt may say so or keep silent; nothing is switched either way.
    let error = outlets("power", "authpass123", "wrong-privpass").off().await.unwrap_err();
    assert!(matches!(error.trouble, Trouble::Refused | Trouble::NoAnswer), "{error:?}");
    assert_eq!(unit.file("log"), "4 on");
}

#[tokio::test]
async fn wrong_communities_models_and_outlets_are_told_apart() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("apc-rpdu");
    let with = |community: &str, model: &str, outlet: u32| {
        let credentials = Credentials::Community(community.into());
        let model = Model::named(model).unwrap();
        let unit = Unit { credentials, model, ..unit.unit(&[outlet]) };
        Outlets::new(vec![unit], QUICK).unwrap()
    };
    let reader = with("public", "apc-rpdu", 1);
    assert_eq!(reader.power().await.unwrap(), Power::Off);
    let error = reader.on().await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Refused);
    assert_eq!(
        error.to_string(),
        format!(
            "PDU {}: refused (may this SNMP community or user write?), object {RPDU_CONTROL}.1",
            unit.address()
        )
    );
    assert_eq!(trouble(with("hush", "apc-rpdu", 1).power().await), Trouble::NoAnswer);
    assert_eq!(trouble(with("private", "apc-rpdu", 9).power().await), Trouble::Unsupported);
    assert_eq!(trouble(with("private", "raritan-pdu2", 1).power().await), Trouble::Unsupported);
    // net-snmp refuses to write what does not exist.
    let error = with("private", "raritan-pdu2", 1).on().await.unwrap_err();
    assert!(matches!(error.trouble, Trouble::Refused | Trouble::Unsupported), "{error:?}");
    let far = Unit { address: "no-such-host.invalid".into(), ..unit.unit(&[1]) };
    let error = Outlets::new(vec![far], QUICK).unwrap().power().await.unwrap_err();
    assert_eq!((error.trouble, error.oid), (Trouble::NoAnswer, None));
    assert_eq!(unit.file("log"), "");
}

#[tokio::test]
async fn a_busy_unit_is_asked_again_but_not_for_ever() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("apc-rpdu");
    let outlets = unit.outlets(&[1]);
    unit.knobs("busy=3");
    outlets.on().await.unwrap();
    assert_eq!((unit.outlet(1), unit.file("log")), ("on".into(), "1 on".into()));
    unit.knobs("busy=9");
    assert_eq!(trouble(outlets.off().await), Trouble::Busy);
    assert_eq!((unit.outlet(1), unit.file("knobs")), ("on".into(), "busy=5".into()));
}

#[tokio::test]
async fn units_that_ignore_lie_or_refuse_are_found_out() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("apc-rpdu");
    let outlets = unit.outlets(&[1]);
    outlets.on().await.unwrap();
    unit.knobs("ignore");
    let error = outlets.cycle(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Ignored);
    assert_eq!(error.oid.as_deref(), Some(format!("{RPDU_STATUS}.1").as_str()));
    assert_eq!(unit.file("log"), "1 on\n1 off\n1 on", "asked to be on again");
    // Who lies about it is believed: only the node itself can tell.
    unit.knobs("lie");
    outlets.off().await.unwrap();
    assert_eq!((outlets.power().await.unwrap(), unit.outlet(1)), (Power::Off, "on".into()));
    unit.knobs("deny");
    assert_eq!(trouble(outlets.off().await), Trouble::Refused);
    unit.knobs("pending");
    assert_eq!(outlets.power().await.unwrap(), Power::Unknown);
    unit.knobs("odd");
    assert_eq!(trouble(outlets.power().await), Trouble::Malformed);
}

#[tokio::test]
async fn a_slow_unit_is_waited_for_and_given_up_in_time() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("apc-rpdu");
    unit.knobs("slow=0.2");
    let outlets = unit.outlets(&[1]);
    outlets.on().await.unwrap();
    assert_eq!(unit.outlet(1), "on");
    unit.knobs("slow=30");
    let impatient = Patience { reply_timeout: Duration::from_millis(100), tries: 3, ..QUICK };
    let begun = Instant::now();
    let outlets = Outlets::new(vec![unit.unit(&[1, 2, 3])], impatient).unwrap();
    assert_eq!(trouble(outlets.off().await), Trouble::NoAnswer);
    let took = begun.elapsed();
    // Three tries of 100 ms with pauses of at most 150 and 300 ms between them, for the first
    // outlet only.
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

#[tokio::test]
async fn meters_are_read_where_there_are_some() {
    if missing() {
        return;
    }
    for (model, joules) in [
        ("apc-rpdu2", Some(2.0 * 12.0 * 360_000.0)),
        ("cyberpower-epdu", Some(2.0 * 12.0 * 360_000.0)),
        ("raritan-pdu2", Some(2.0 * 1234.0 * 3600.0)),
        ("eaton-epdu", Some(2.0 * 1234.0 * 3600.0)),
        ("servertech-sentry3", Some(2.0 * 1234.0 * 3600.0)),
        ("apc-rpdu", None),
    ] {
        let unit = VirtualPdu::start(model);
        let outlets = unit.outlets(&[1, 2]);
        assert_eq!(outlets.reading().await.unwrap(), Reading::default(), "{model}: no meter");
        unit.write("meter", "105 1234");
        let reading = outlets.reading().await.unwrap();
        let watts = joules.map(|_| 210.0);
        assert_eq!(reading, Reading { watts, joules }, "{model}");
        unit.write("meter", "-1 -1");
        assert_eq!(outlets.reading().await.unwrap(), Reading::default(), "{model}: no reading");
    }
}

#[tokio::test]
async fn a_site_describes_its_own_model() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("servertech-sentry3");
    let model = Model::custom(&CustomModel {
        status_oid: "1.3.6.1.4.1.1718.3.2.3.1.5.1.1.N".into(),
        status_on: 1,
        status_off: 0,
        control_oid: "1.3.6.1.4.1.1718.3.2.3.1.11.1.1.N".into(),
        control_on: 1,
        control_off: 2,
    });
    let custom = Unit { model: model.unwrap(), ..unit.unit(&[6]) };
    let outlets = Outlets::new(vec![custom], QUICK).unwrap();
    outlets.on().await.unwrap();
    assert_eq!((unit.outlet(6), outlets.power().await.unwrap()), ("on".into(), Power::On));
    outlets.off().await.unwrap();
    assert_eq!((unit.outlet(6), outlets.power().await.unwrap()), ("off".into(), Power::Off));
    assert_eq!(outlets.reading().await.unwrap(), Reading::default());
}
