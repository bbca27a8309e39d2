//! The drivers before the simulated controllers of their protocols' crates.

use super::Drivers;
use crate::power::driver::{Command, Driver, Trouble};
use crate::power::testing::definition;
use crate::power::{Captures, Power};
use protocol::api::Firmware;
use serde_json::{Value, json};
use std::time::Duration;

fn open(power: Value) -> Box<dyn Driver> {
    let mut node = definition("n1");
    node.power = serde_json::from_value(power).unwrap();
    Drivers::open(&node, &Captures::default()).unwrap().node
}

/// Every command of a driver that can do all, each with its effect.
async fn obeys(driver: &mut dyn Driver) {
    let can = driver.abilities();
    assert!(can.sees_power && can.switches_off && can.soft_off && can.cycle && can.boot_device);
    assert_eq!(driver.power().await.unwrap(), Power::Off);
    driver.boot_from_network(Firmware::Uefi).await.unwrap();
    for (command, expected) in [
        (Command::On, Power::On),
        (Command::On, Power::On),
        (Command::SoftOff, Power::Off),
        (Command::On, Power::On),
        (Command::Cycle, Power::On),
        (Command::Off, Power::Off),
        (Command::Off, Power::Off),
    ] {
        let is_so = command != Command::Cycle && driver.power().await.unwrap() == expected;
        match driver.command(command).await {
            // Some controllers mind; the worker looks first.
            Err(error) if is_so && error.trouble == Trouble::Busy => {}
            Err(error) if command == Command::Cycle && error.trouble == Trouble::Unsupported => {
                assert!(!driver.abilities().cycle, "it is not asked for that again");
            }
            done => done.unwrap(),
        }
        for _ in 0..50 {
            if driver.power().await.unwrap() == expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(driver.power().await.unwrap(), expected, "{command:?}");
    }
}

#[tokio::test]
async fn ipmi() {
    let fake = ipmi::fake::Fake::start(ipmi::fake::Settings::default()).await.unwrap();
    let address = fake.addr().to_string();
    let power = |password: &str| json!({ "method": "ipmi", "address": address, "user": "admin", "password": password });
    let mut driver = open(power("password"));
    assert_eq!(driver.model(), None);
    obeys(&mut *driver).await;
    assert!(driver.model().unwrap().starts_with("ipmi manufacturer "));
    let reading = driver.reading().await.unwrap().unwrap();
    assert_eq!((reading.milliwatts, reading.meter), (100_000, "ipmi-dcmi"));
    // Of a node that is off, and of one that has power.
    fake.turn(|knobs| knobs.measures = false);
    for (command, expected) in [(Command::Off, None), (Command::On, Some(100_000))] {
        driver.command(command).await.unwrap();
        let reading = driver.reading().await.unwrap();
        assert_eq!(
            reading.map(|reading| reading.milliwatts),
            expected,
            "it says that it measures nothing"
        );
    }
    fake.turn(|knobs| knobs.watts = Some(0));
    assert_eq!(driver.reading().await.unwrap(), None);
    fake.turn(|knobs| knobs.busy = 1_000);
    assert_eq!(driver.power().await.unwrap_err().trouble, Trouble::Busy);
    fake.turn(|knobs| knobs.busy = 0);
    assert_eq!(open(power("wrong")).power().await.unwrap_err().trouble, Trouble::Refused);
}

#[tokio::test]
async fn redfish() {
    use redfish::fake::{Fake, Fault, PASSWORD, Shape, USER};
    for shape in [Shape::Dmtf, Shape::Hpe, Shape::Dell, Shape::OpenBmc] {
        let fake = Fake::start(shape).await.unwrap();
        let power = |password: &str| json!({ "method": "redfish", "url": fake.url(), "user": USER, "password": password });
        let mut driver = open(power(PASSWORD));
        obeys(&mut *driver).await;
        assert_eq!(fake.state().boot[0], "Once", "{shape:?}");
        let reading = driver.reading().await.unwrap().unwrap();
        assert_eq!((reading.milliwatts, reading.meter), (12_000, "redfish"), "{shape:?}");
        let since: jiff::Timestamp = "2026-11-21T10:07:00Z".parse().unwrap();
        let since = i64::try_from(since.as_nanosecond()).unwrap();
        let expected = [9, 8, 7].map(|minute| {
            let time = format!("2026-11-21T10:0{minute}:00Z");
            format!("{time} OK entry {minute}")
        });
        assert_eq!(driver.events(since).await.unwrap(), expected, "{shape:?}");
        fake.state().fail("/Systems", 1, Fault::Status(503));
        assert_eq!(driver.power().await.unwrap_err().trouble, Trouble::Busy, "{shape:?}");
        let refused = open(power("wrong")).power().await.unwrap_err();
        assert_eq!(refused.trouble, Trouble::Refused, "{shape:?} {refused}");
    }
}

#[tokio::test]
async fn amt() {
    let fake = amt::fake::Fake::start(amt::fake::FakeSettings::default()).await.unwrap();
    let address = fake.address().to_string();
    let power = |password: &str| json!({ "method": "amt", "address": address, "password": password, "tls": false });
    let mut driver = open(power("P@ssw0rd"));
    obeys(&mut *driver).await;
    fake.turn(|knobs| knobs.without_agent = true);
    driver.command(Command::On).await.unwrap();
    let error = driver.command(Command::SoftOff).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Unsupported, "nothing listens: {error}");
    assert_eq!(open(power("wrong")).power().await.unwrap_err().trouble, Trouble::Refused);
}

#[tokio::test]
async fn one_that_is_not_there_gives_no_answer() {
    // Taken and given back: nobody listens there.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for power in [
        json!({ "method": "redfish", "url": format!("http://{closed}"), "user": "u", "password": "p" }),
        json!({ "method": "amt", "address": closed.to_string(), "password": "p", "tls": false }),
    ] {
        let error = open(power).power().await.unwrap_err();
        assert_eq!(error.trouble, Trouble::NoAnswer, "{error}");
        assert!(error.to_string().contains(&closed.to_string()), "{error}");
    }
}
