//! A dead management network.

use super::*;
use crate::power::driver::{Command, Trouble};

/// Seven nodes, silent but for the last, and what all of them were told.
fn nodes() -> (Vec<Bench>, Ear) {
    let site = site();
    let machine = |number| Machine {
        trouble: (number < 6).then_some(Trouble::NoAnswer),
        ..Machine::default()
    };
    let bench =
        |number: usize| Bench::at(&site, &format!("n{number}"), Fake::new(machine(number)), None);
    let benches: Vec<Bench> = (0..7).map(bench).collect();
    let ear = benches[0].ear.clone();
    (benches, ear)
}

fn of(ear: &Ear, name: &str) -> Vec<Event> {
    let told = ear.told();
    let its = told.events.iter().filter(|(node, _)| node.as_str() == name);
    its.map(|(_, event)| event.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn power_ons_wait_for_the_network_and_nobody_is_blamed() {
    let (benches, ear) = nodes();
    benches.iter().for_each(Bench::on);
    seconds(1200).await;
    assert!(benches[0].site.breaker.is_open());
    assert_eq!(ear.failure(), None);
    let queued = of(&ear, "n0").iter().filter(|event| **event == Event::Queued).count();
    assert!(queued > 1200 / 60, "no limit may count the wait: told {queued} times");
    assert_eq!(of(&ear, "n6"), [Event::PowerOnAccepted], "its controller answers: it goes on");

    for bench in &benches {
        bench.node.machine().trouble = None;
    }
    seconds(60).await;
    assert!(!benches[0].site.breaker.is_open());
    for (number, bench) in benches.iter().enumerate() {
        assert_eq!(bench.node.machine().said().last(), Some(&Command::On), "n{number}");
        assert!(bench.node.machine().is_on, "n{number}");
    }
    assert_eq!(ear.failure(), None);
}

#[tokio::test(start_paused = true)]
async fn the_wait_has_an_end_and_a_cancelled_job_does_not_wait() {
    let (benches, ear) = nodes();
    benches.iter().for_each(Bench::on);
    seconds(600).await;
    benches[1].off(false);
    seconds(1500).await;
    let failed = |name| of(&ear, name).iter().any(|event| matches!(event, Event::Failed(_)));
    assert!(failed("n0"));
    assert!(!failed("n1"));
}

#[tokio::test(start_paused = true)]
async fn a_power_off_is_tried_on_and_nobody_is_drained_for_it() {
    let (benches, ear) = nodes();
    for bench in &benches {
        bench.node.machine().is_on = true;
        bench.off(true);
    }
    seconds(900).await;
    assert_eq!(ear.told().stuck.len(), 0);
    let queued = of(&ear, "n0").iter().filter(|event| **event == Event::Queued).count();
    assert!(queued > 900 / 60, "its limit does not count the wait: told {queued} times");
    for bench in &benches {
        bench.node.machine().trouble = None;
    }
    seconds(60).await;
    for number in 0..7 {
        assert!(of(&ear, &format!("n{number}")).contains(&Event::PowerSeenOff), "n{number}");
    }
}
