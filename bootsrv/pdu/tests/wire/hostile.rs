//! Between us and net-snmp's agent packets are lost, cut, changed and forged: nothing panics, nothing
//! takes longer than said, and with v3 nothing wrong is believed.

use crate::support::relay::{Relay, Weather, fair};
use crate::support::{IMPATIENT, QUICK, VirtualPdu, missing};
use pdu::{
    AuthProtocol, Credentials, Outlets, Patience, Power, PrivProtocol, Trouble, Unit, V3Credentials,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// One try of 60 ms.
const ONCE: Patience = Patience { reply_timeout: Duration::from_millis(60), tries: 1, ..QUICK };
/// Two tries of 100 ms.
const TWICE: Patience = Patience { reply_timeout: Duration::from_millis(100), tries: 2, ..QUICK };

fn through(relay: &Relay, unit: &VirtualPdu, patience: Patience) -> Outlets {
    let unit = Unit { address: relay.address(), ..unit.unit(&[1]) };
    Outlets::new(vec![unit], patience).unwrap()
}

/// Changes one bit of every answer, each time another one; counts the answers.
fn flipping(first: usize, step: usize) -> (Weather, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let weather = Box::new(move |mut packet: Vec<u8>| {
        let bit = (first + counter.fetch_add(1, Ordering::Relaxed) * step) % (packet.len() * 8);
        packet[bit / 8] ^= 1 << (bit % 8);
        vec![packet]
    });
    (weather, count)
}

#[tokio::test]
async fn lost_questions_and_answers_are_made_up_for() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("apc-rpdu");
    let losing = |lost: usize| -> Weather {
        let mut seen = 0;
        Box::new(move |packet| {
            seen += 1;
            if seen <= lost { vec![] } else { vec![packet] }
        })
    };
    for (questions, answers) in [(losing(2), fair()), (fair(), losing(2)), (losing(1), losing(1))] {
        let relay = Relay::to(&unit.address(), questions, answers).await;
        let patience = Patience { tries: 4, ..IMPATIENT };
        let outlets = through(&relay, &unit, patience);
        outlets.on().await.unwrap();
        assert_eq!((unit.outlet(1), outlets.power().await.unwrap()), ("on".into(), Power::On));
        unit.outlets(&[1]).off().await.unwrap();
    }
    let relay = Relay::to(&unit.address(), losing(2), fair()).await;
    let error = through(&relay, &unit, IMPATIENT).on().await.unwrap_err();
    assert_eq!((error.trouble, unit.outlet(1)), (Trouble::NoAnswer, "off".to_owned()));
}

#[tokio::test]
async fn changed_answers_neither_panic_nor_hold_up() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("apc-rpdu");
    let (weather, count) = flipping(0, 9);
    let relay = Relay::to(&unit.address(), fair(), weather).await;
    let outlets = through(&relay, &unit, ONCE);
    let begun = Instant::now();
    let mut failed = 0;
    for _ in 0..40 {
        // A changed value is another value: v2c cannot tell.
        if outlets.power().await.is_err() {
            failed += 1;
        }
    }
    assert!(count.load(Ordering::Relaxed) >= 40);
    assert!(failed > 20, "{failed} of 40 found out");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn with_version_three_nothing_changed_is_believed() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("apc-rpdu");
    unit.outlets(&[1]).on().await.unwrap();
    let credentials = Credentials::V3(V3Credentials {
        user: "power".into(),
        authentication: AuthProtocol::Sha256,
        authentication_password: "authpass123".into(),
        privacy: PrivProtocol::Aes128,
        privacy_password: "privpass123".into(),
    });
    let v3 = |address: String| {
        let credentials = credentials.clone();
        let unit = Unit { address, credentials, ..unit.unit(&[1]) };
        Outlets::new(vec![unit], ONCE).unwrap()
    };
    assert_eq!(v3(unit.address()).power().await.unwrap(), Power::On);
    let (weather, count) = flipping(3, 53);
    let relay = Relay::to(&unit.address(), fair(), weather).await;
    for _ in 0..8 {
        let power = v3(relay.address()).power().await;
        assert!(!matches!(power, Ok(power) if power != Power::On), "{power:?}");
    }
    assert!(count.load(Ordering::Relaxed) >= 8);
}

#[tokio::test]
async fn forged_and_cut_answers_are_no_answers() {
    if missing() {
        return;
    }
    let unit = VirtualPdu::start("apc-rpdu");
    let each = |change: fn(Vec<u8>) -> Vec<Vec<u8>>| -> Weather { Box::new(change) };
    for weather in [
        each(|packet| vec![packet[..packet.len() - 1].to_vec()]),
        each(|packet| vec![packet[..9].to_vec()]),
        each(|_| vec![vec![]]),
        each(|_| vec![vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]]),
        each(|_| vec![vec![0x30; 1400]]),
        each(|_| vec![vec![0xff; 60]; 2000]),
    ] {
        let relay = Relay::to(&unit.address(), fair(), weather).await;
        let begun = Instant::now();
        let error = through(&relay, &unit, TWICE).power().await.unwrap_err();
        let kinds = [Trouble::NoAnswer, Trouble::Malformed];
        assert!(kinds.contains(&error.trouble), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    // The question itself, sent back.
    let echo = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let there = echo.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let mut packet = [0; 2048];
        while let Ok((length, from)) = echo.recv_from(&mut packet).await {
            drop(echo.send_to(&packet[..length], from).await);
        }
    });
    let mirror = Unit { address: there, ..unit.unit(&[1]) };
    let error = Outlets::new(vec![mirror], TWICE).unwrap().power().await.unwrap_err();
    assert!([Trouble::NoAnswer, Trouble::Malformed].contains(&error.trouble), "{error:?}");
    task.abort();
}
