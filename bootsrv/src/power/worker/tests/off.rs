//! Switching off.

use super::*;
use crate::power::SILENCE;
use crate::power::driver::{Command, Trouble};

#[tokio::test(start_paused = true)]
async fn already_off_is_success() {
    let bench = Bench::new(Machine::default());
    // It was silent for long.
    bench.ear.told().is_alive = Some(false);
    bench.off(true);
    assert_eq!(bench.seconds_to_off().await, 0);
    assert_eq!(bench.node.machine().said(), []);
}

/// The store is locked just when the node is seen off.
#[tokio::test(start_paused = true)]
async fn that_it_is_off_is_said_until_it_is_taken() {
    let bench = Bench::new(on());
    bench.ear.told().deaf_for = 20;
    bench.off(false);
    let took = bench.seconds_to_off().await;
    assert!((18..=23).contains(&took), "{took}");
    seconds(60).await;
    assert_eq!(bench.ear.events(), [Event::PowerSeenOff], "once");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_said_until_it_is_taken() {
    let bench = Bench::new(Machine { ignores: vec![Command::On], ..Machine::default() });
    bench.on();
    seconds(50).await;
    bench.ear.told().deaf_for = 5;
    seconds(30).await;
    assert!(bench.ear.failure().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_operating_system_is_asked_first_where_it_is_up() {
    for (gently, expected) in [(true, Command::SoftOff), (false, Command::Off)] {
        let bench = Bench::new(Machine { takes: Duration::from_secs(4), ..on() });
        bench.off(gently);
        assert_eq!(bench.seconds_to_off().await, 4);
        assert_eq!(bench.node.machine().said(), [expected]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_listen_is_switched_off_hard() {
    let bench = Bench::new(Machine { ignores: vec![Command::SoftOff], ..on() });
    bench.off(true);
    assert!((15..18).contains(&bench.seconds_to_off().await));
    assert_eq!(bench.node.machine().said(), [Command::SoftOff, Command::Off]);
}

#[tokio::test(start_paused = true)]
async fn a_driver_without_soft_off_loses_no_time() {
    let abilities = Abilities { soft_off: false, ..ALL };
    let bench = Bench::new(Machine { abilities, ..on() });
    bench.off(true);
    assert_eq!(bench.seconds_to_off().await, 0);
    assert_eq!(bench.node.machine().said(), [Command::Off]);
}

#[tokio::test(start_paused = true)]
async fn a_cycle_helps_one_that_ignores_off_and_its_own_on_is_not_missed() {
    let ignores = vec![Command::Off];
    let bench = Bench::new(Machine { ignores, cycle_heals: true, ..on() });
    bench.off(false);
    let took = bench.seconds_to_off().await;
    let said = bench.node.machine().said();
    assert_eq!(said[said.len() - 2..], [Command::Cycle, Command::Off]);
    assert!((30..50).contains(&took), "{took}");
    seconds(20).await;
    assert!(!bench.node.machine().is_on);
}

#[tokio::test(start_paused = true)]
async fn the_outlet_is_the_last_means_and_is_on_again_before_the_next_power_on() {
    let bench = Bench::with_outlet(Machine { ignores: vec![Command::Off, Command::Cycle], ..on() });
    bench.off(false);
    let took = bench.seconds_to_off().await;
    assert!((40..62).contains(&took), "{took}");
    let outlet = bench.outlet.clone().unwrap();
    assert_eq!(outlet.machine().said(), [Command::Off]);
    assert_eq!(bench.by_hand(PowerAction::Status).await, Ok(Power::Off));
    assert_eq!(bench.power_on().await, None);
    assert_eq!(outlet.machine().said(), [Command::Off, Command::On]);
    assert_eq!(bench.node.machine().said().last(), Some(&Command::On));
}

#[tokio::test(start_paused = true)]
async fn one_that_never_obeys_is_tried_on_slowly_and_that_is_said_once() {
    let ignores = vec![Command::SoftOff, Command::Off, Command::Cycle];
    let bench = Bench::new(Machine { ignores, ..on() });
    bench.off(true);
    seconds(90).await;
    let quick = bench.node.machine().commands.len();
    seconds(510).await;
    let slow = bench.node.machine().commands.len() - quick;
    assert!((17..=36).contains(&slow), "{slow} commands in 510 s");
    assert_eq!(bench.ear.told().stuck.len(), 1);
    let tried = bench.ear.told().stuck[0].clone();
    assert!(tried.starts_with("tried soft off, off "), "{tried}");
    assert!(tried.contains(", cycle and off "), "{tried}");
    assert_eq!(bench.by_hand(PowerAction::Status).await, Ok(Power::On));
    assert_eq!(bench.by_hand(PowerAction::On).await, Err(format!("does not go off: {tried}")));
    assert_eq!(bench.ear.events(), []);
    bench.node.machine().ignores.clear();
    assert!(bench.seconds_to_off().await < 40);
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_node_got_another_one_leaves_it_alone() {
    let ignores = vec![Command::Off, Command::Cycle];
    let bench = Bench::new(Machine { ignores, ..on() });
    bench.off(false);
    seconds(90).await;
    let (node, ear) = (bench.node.clone(), bench.ear.clone());
    drop(bench);
    seconds(60).await;
    let commands = node.machine().commands.len();
    seconds(600).await;
    assert_eq!(node.machine().commands.len(), commands);
    assert_eq!(ear.events(), []);
}

#[tokio::test(start_paused = true)]
async fn an_outlet_that_somebody_switches_on_is_noticed() {
    let bench = Bench::with_outlet(Machine { ignores: vec![Command::Off, Command::Cycle], ..on() });
    bench.off(false);
    bench.seconds_to_off().await;
    assert_eq!(bench.by_hand(PowerAction::Status).await, Ok(Power::Off));
    bench.node.machine().trouble = None;
    bench.node.machine().is_on = true;
    bench.outlet.as_ref().unwrap().machine().is_on = true;
    assert_eq!(bench.by_hand(PowerAction::Status).await, Ok(Power::On));
}

#[tokio::test(start_paused = true)]
async fn one_that_lies_always_is_never_believed_to_be_off() {
    let bench = Bench::new(Machine { lies_always: Some(Power::On), ..on() });
    bench.off(false);
    seconds(300).await;
    assert_eq!(bench.ear.events(), []);
    assert_eq!(bench.ear.told().stuck.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_wrong_answer_is_not_believed() {
    for truths in [0, 1, 3] {
        let bench = Bench::new(Machine { takes: Duration::from_secs(3), ..on() });
        seconds(1).await;
        let mut lies = vec![Power::On; truths];
        lies.push(Power::Off);
        bench.node.machine().lies = lies.into();
        bench.off(false);
        bench.seconds_to_off().await;
        assert!(!bench.node.machine().is_on, "after {truths} true answers");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_refuses_us_is_asked_once_and_its_outlet_taken_at_once() {
    let bench = Bench::with_outlet(Machine { trouble: Some(Trouble::Refused), ..on() });
    seconds(1).await;
    bench.off(true);
    assert!(bench.seconds_to_off().await <= 6);
    assert!(bench.node.machine().commands.len() <= 1);
    assert_eq!(bench.outlet.as_ref().unwrap().machine().said(), [Command::Off]);
}

#[tokio::test(start_paused = true)]
async fn what_the_log_says_since_power_on_is_handed_on_once_the_node_is_off() {
    let log = vec!["memory error".to_owned()];
    let bench = Bench::new(Machine { log: log.clone(), ..Machine::default() });
    bench.off(false);
    bench.seconds_to_off().await;
    assert_eq!(bench.node.machine().log_asked_since, None, "when it was powered on is not known");
    bench.ear.told().events.clear();
    bench.power_on().await;
    bench.off(false);
    bench.seconds_to_off().await;
    seconds(1).await;
    assert!(bench.node.machine().log_asked_since.is_some());
    assert_eq!(bench.ear.told().explained, log);
}

#[tokio::test(start_paused = true)]
async fn a_slow_log_holds_nothing_up() {
    let log = vec!["memory error".to_owned()];
    let log_takes = Duration::from_secs(20);
    let bench = Bench::new(Machine { log, log_takes, ..Machine::default() });
    bench.power_on().await;
    bench.off(false);
    assert!(bench.seconds_to_off().await <= 1);
    let start = Instant::now();
    assert_eq!(bench.by_hand(PowerAction::Status).await, Ok(Power::Off));
    assert!((2..=3).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(bench.ear.told().explained.len(), 0);
}

const BLIND: Abilities =
    Abilities { sees_power: false, switches_off: false, cycle: false, soft_off: false, ..ALL };

#[tokio::test(start_paused = true)]
async fn a_node_that_nothing_shows_is_off_when_it_is_silent() {
    let blind = || Machine { abilities: BLIND, ..on() };
    let bench = Bench::new(blind());
    bench.ear.told().is_alive = Some(true);
    bench.off(true);
    seconds(19).await;
    assert_eq!(bench.ear.events(), [Event::Queued], "no limit counts the wait for its silence");
    bench.ear.told().is_alive = Some(false);
    assert!(bench.seconds_to_off().await <= 2);
    assert_eq!(bench.node.machine().said(), []);

    let bench = Bench::new(blind());
    seconds(1).await;
    bench.off(true);
    let took = bench.seconds_to_off().await;
    let expected = SILENCE.as_secs()..SILENCE.as_secs() + 5;
    assert!(expected.contains(&took), "not known to live: {took} s");

    let bench = Bench::new(blind());
    bench.ear.told().is_alive = Some(true);
    bench.off(true);
    seconds(100).await;
    assert_eq!(bench.ear.told().stuck.len(), 1, "its agent does not end it");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_another_outlet_feeds_too_is_not_off_when_one_is() {
    let node = Fake::new(Machine { ignores: vec![Command::Off, Command::Cycle], ..on() });
    // It feeds neither the node nor its controller.
    let outlet = Fake::new(on());
    let bench = Bench::at(&site(), "n1", node, Some(outlet.clone()));
    bench.off(false);
    seconds(300).await;
    assert!(outlet.machine().said().contains(&Command::Off));
    assert!(!bench.ear.events().contains(&Event::PowerSeenOff), "the node has power");
    assert_eq!(bench.observed.borrow().power, Some(Power::On));
}
