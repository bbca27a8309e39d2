//! The event log, written and read by ipmitool and read by us.

use crate::support::ipmitool::missing;
use crate::support::{ADMIN, OPERATOR, PROGRAMS, Simulator};
use ipmi::SystemEvent;
use std::time::{Duration, SystemTime};

/// Sensor type, event type, event data; what we say; what ipmitool says.
type Case = (u8, u8, [u8; 3], &'static str, &'static str);

/// Why nodes die or do not boot.
const CASES: [Case; 16] = [
    (0x07, 0x6F, [0x00, 0xFF, 0xFF], "processor 0x10: IERR", "Processor #0x10 | IERR"),
    (
        0x07,
        0x6F,
        [0x01, 0xFF, 0xFF],
        "processor 0x10: thermal trip",
        "Processor #0x10 | Thermal Trip",
    ),
    (
        0x08,
        0x6F,
        [0x01, 0xFF, 0xFF],
        "power supply 0x10: failure detected",
        "Power Supply #0x10 | Failure detected",
    ),
    (
        0x08,
        0x6F,
        [0x03, 0xFF, 0xFF],
        "power supply 0x10: power supply AC lost",
        "Power Supply #0x10 | Power Supply AC lost",
    ),
    (
        0x09,
        0x6F,
        [0x06, 0xFF, 0xFF],
        "power unit 0x10: failure detected",
        "Power Unit #0x10 | Failure detected",
    ),
    (
        0x0C,
        0x6F,
        [0x01, 0xFF, 0xFF],
        "memory 0x10: uncorrectable ECC",
        "Memory #0x10 | Uncorrectable ECC",
    ),
    (
        0x0F,
        0x6F,
        [0xC0, 0x01, 0xFF],
        "system firmware 0x10: POST error, no memory installed",
        "No system memory installed",
    ),
    (
        0x13,
        0x6F,
        [0x0A, 0xFF, 0xFF],
        "critical interrupt 0x10: bus fatal error",
        "Critical Interrupt #0x10 | Bus Fatal Error",
    ),
    (0x1E, 0x6F, [0x00, 0xFF, 0xFF], "boot 0x10: no bootable media", "No bootable media"),
    (0x1E, 0x6F, [0x02, 0xFF, 0xFF], "boot 0x10: PXE server not found", "PXE server not found"),
    (0x1D, 0x6F, [0x07, 0xFF, 0xFF], "system boot 0x10: system restart", "System Restart"),
    (
        0x20,
        0x6F,
        [0x01, 0xFF, 0xFF],
        "OS 0x10: run-time critical stop",
        "#0x10 | Run-time critical stop",
    ),
    (
        0x23,
        0x6F,
        [0xC1, 0x03, 0xFF],
        "watchdog 2 0x10: hard reset, set for OS load",
        "Watchdog2 #0x10 | Hard reset",
    ),
    (
        0x23,
        0x6F,
        [0x00, 0xFF, 0xFF],
        "watchdog 2 0x10: timer expired",
        "Watchdog2 #0x10 | Timer expired",
    ),
    (
        0x01,
        0x01,
        [0x09, 0xFF, 0xFF],
        "temperature 0x10: upper critical, rising",
        "Temperature #0x10 | Upper Critical going high",
    ),
    (
        0x04,
        0x01,
        [0x02, 0xFF, 0xFF],
        "fan 0x10: lower critical, falling",
        "Fan #0x10 | Lower Critical going low",
    ),
];

async fn add(simulator: &Simulator, (sensor, event_type, data, ..): Case) {
    let [a, b, c] = data;
    let record =
        format!("raw 0x0a 0x44 0 0 2 0 0 0 0 0x20 0 4 {sensor} 0x10 {event_type} {a} {b} {c}");
    simulator.ipmitool(&record).await;
}

/// A simulator whose clock is set: it starts with one that counts from its start.
async fn started() -> Simulator {
    let simulator = Simulator::start().await;
    simulator.ipmitool("sel time set now").await;
    simulator
}

fn what(event: &SystemEvent) -> String {
    event.to_string().split_once(' ').unwrap().1.to_owned()
}

#[tokio::test]
async fn events_are_what_ipmitool_says() {
    if missing(&PROGRAMS) {
        return;
    }
    let simulator = started().await;
    let begun = SystemTime::now();
    for case in CASES {
        add(&simulator, case).await;
    }
    let mut client = simulator.connect(OPERATOR).await.unwrap();
    let ours = client.newest_events(begun, CASES.len()).await.unwrap();
    let text = simulator.ipmitool("sel list").await;
    let theirs: Vec<&str> = text.lines().rev().collect();
    let cases: Vec<&Case> = CASES.iter().rev().collect();
    assert!(ours.len() == cases.len() && theirs.len() >= cases.len(), "{ours:?}\n{text}");
    for ((case, event), line) in cases.iter().zip(&ours).zip(&theirs) {
        assert_eq!(what(event), case.3);
        assert!(line.contains(case.4), "{} is not in {line}", case.4);
        let id = u16::from_str_radix(line.split('|').next().unwrap().trim(), 16).unwrap();
        assert_eq!(event.record, id, "{line}");
        let time = jiff::Timestamp::from_second(event.unix_s.unwrap()).unwrap();
        assert!(time.duration_since(begun.try_into().unwrap()).as_secs().abs() < 30, "{time}");
        // `sel elist` and `sel list` print the controller's own clock, which is this machine's.
        let printed = line.split('|').nth(2).unwrap().trim().trim_end_matches(" UTC");
        assert!(time.strftime("%H:%M").to_string()[..2] == printed[..2], "{time}: {line}");
    }
    let elist = simulator.ipmitool("sel elist").await;
    assert_eq!(elist.lines().count(), text.lines().count());
}

#[tokio::test]
async fn only_what_is_new_is_told() {
    if missing(&PROGRAMS) {
        return;
    }
    let simulator = started().await;
    add(&simulator, CASES[0]).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let since = SystemTime::now();
    let mut client = simulator.connect(ADMIN).await.unwrap();
    assert_eq!(client.newest_events(since, 9).await.unwrap(), []);
    add(&simulator, CASES[1]).await;
    add(&simulator, CASES[5]).await;
    let new = client.newest_events(since, 9).await.unwrap();
    let lines: Vec<_> = new.iter().map(what).collect();
    assert_eq!(lines, [CASES[5].3, CASES[1].3]);
    let newest = client.newest_events(since, 1).await.unwrap();
    assert_eq!(newest[..], new[..1]);
    // A record was deleted in between.
    add(&simulator, CASES[2]).await;
    let gone = new[0].record;
    simulator.ipmitool(&format!("sel delete {gone}")).await;
    let left = client.newest_events(since, 9).await.unwrap();
    assert_eq!(left.iter().map(what).collect::<Vec<_>>(), [CASES[2].3, CASES[1].3]);
    // A clock that is a day behind: the controller is asked for it.
    let wrong = simulator.ipmitool("raw 0x0a 0x49 0x00 0x00 0x00 0x60").await;
    assert_eq!(wrong.trim(), "");
    add(&simulator, CASES[3]).await;
    let events = client.newest_events(since, 1).await.unwrap();
    assert_eq!(events.iter().map(what).collect::<Vec<_>>(), [CASES[3].3]);
    let since = jiff::Timestamp::try_from(since).unwrap().as_second();
    assert!((events[0].unix_s.unwrap() - since).abs() < 30, "put right: {events:?}");
}

#[tokio::test]
async fn a_controller_without_a_clock_has_events_without_a_time() {
    if missing(&PROGRAMS) {
        return;
    }
    let simulator = Simulator::start().await;
    add(&simulator, CASES[1]).await;
    let mut client = simulator.connect(ADMIN).await.unwrap();
    let events = client.newest_events(SystemTime::now(), 9).await.unwrap();
    assert_eq!(events[0].unix_s, None);
    assert_eq!(events[0].to_string(), "at an unknown time processor 0x10: thermal trip");
    let text = simulator.ipmitool("sel list").await;
    assert!(text.contains("Pre-Init") && text.contains("Thermal Trip"), "{text}");
}

#[tokio::test]
async fn an_empty_log_has_no_events() {
    if missing(&PROGRAMS) {
        return;
    }
    let simulator = Simulator::start().await;
    simulator.ipmitool("sel clear").await;
    let mut client = simulator.connect(ADMIN).await.unwrap();
    let events = client.newest_events(SystemTime::UNIX_EPOCH, 9).await.unwrap();
    let text = simulator.ipmitool("sel list").await;
    assert_eq!(events.len(), text.lines().count(), "{events:?}\n{text}");
}
