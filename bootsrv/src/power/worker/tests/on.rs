//! Switching on.

use super::*;
use crate::power::driver::{Command, Trouble};
use crate::power::worker::attempt::BLIND_SENDINGS;

#[tokio::test(start_paused = true)]
async fn a_node_that_obeys_gets_one_command() {
    let bench = Bench::new(Machine::default());
    assert_eq!(bench.power_on().await, None);
    assert_eq!(bench.ear.events(), [Event::PowerOnAccepted]);
    assert_eq!(bench.node.machine().said(), [Command::On]);
}

#[tokio::test(start_paused = true)]
async fn a_node_in_ipxe_is_left_on_and_another_boots_afresh() {
    let cut = vec![Event::Repowered, Event::PowerOnAccepted];
    for (is_held, expected, events) in [
        (true, vec![], vec![Event::PowerOnAccepted]),
        (false, vec![Command::Off, Command::On], cut),
    ] {
        let bench = Bench::new(on());
        bench.ear.told().is_held = is_held;
        assert_eq!(bench.power_on().await, None);
        assert_eq!(bench.ear.events(), events);
        assert_eq!(bench.node.machine().said(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn already_on_is_success_by_hand() {
    let bench = Bench::new(on());
    assert_eq!(bench.by_hand(PowerAction::On).await, Ok(Power::On));
    assert_eq!(bench.node.machine().said(), []);
}

#[tokio::test(start_paused = true)]
async fn an_ignored_command_is_sent_again() {
    let bench = Bench::new(Machine { ignores_first: 2, ..Machine::default() });
    assert_eq!(bench.power_on().await, None);
    let times: Vec<u64> = bench.node.machine().commands.iter().map(|(_, at)| *at).collect();
    assert_eq!(times.len(), 3);
    assert!(times.windows(2).all(|pair| (5..=6).contains(&(pair[1] - pair[0]))), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_kind_is_not_hurried_a_second_time() {
    let slow = || Machine { takes: Duration::from_secs(8), ..Machine::default() };
    let site = site();
    let first = Bench::at(&site, "n1", Fake::new(slow()), None);
    assert_eq!(first.power_on().await, None);
    assert!(first.node.machine().said().len() > 1);
    let second = Bench::at(&site, "n2", Fake::new(slow()), None);
    assert_eq!(second.power_on().await, None);
    assert_eq!(second.node.machine().said(), [Command::On]);
}

#[tokio::test(start_paused = true)]
async fn off_and_on_helps_a_controller_that_ignores_on() {
    let bench = Bench::new(Machine { ignores_first: 8, ..Machine::default() });
    assert_eq!(bench.power_on().await, None);
    let said = bench.node.machine().said();
    assert!(said.contains(&Command::Off) && said.last() == Some(&Command::On), "{said:?}");
    let expected = [Event::PowerOnAccepted, Event::Queued, Event::Repowered];
    assert_eq!(bench.ear.events(), expected, "what had begun is void, and its time begins anew");
}

#[tokio::test(start_paused = true)]
async fn the_outlet_helps_last_and_the_controller_is_waited_for() {
    let bench = Bench::with_outlet(Machine { ignores: vec![Command::On], ..Machine::default() });
    assert_eq!(bench.power_on().await, None);
    let outlet = bench.outlet.as_ref().unwrap();
    assert_eq!(outlet.machine().said(), [Command::Off, Command::On]);
    assert!(bench.node.machine().is_on);
}

#[tokio::test(start_paused = true)]
async fn an_outlet_that_is_off_is_switched_on_first() {
    let bench = Bench::with_outlet(Machine::default());
    let outlet = bench.outlet.clone().unwrap();
    outlet.machine().is_on = false;
    assert_eq!(bench.power_on().await, None);
    assert_eq!(outlet.machine().said(), [Command::On]);
    assert_eq!(bench.node.machine().said(), [Command::On]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stays_off_fails_with_what_was_tried() {
    let bench = Bench::new(Machine { ignores: vec![Command::On], ..Machine::default() });
    let start = Instant::now();
    let reason = bench.power_on().await.unwrap();
    let expected =
        "stays off: its controller accepted power-on, but 60 s later it still has no power";
    assert!(reason.starts_with(expected), "{reason}");
    assert!(reason.contains("(tried: on 6 times, off and on "), "{reason}");
    assert!((60..70).contains(&start.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn one_wrong_answer_is_not_believed() {
    // Once before anything is sent, once after.
    for truths in [1, 2, 3, 4] {
        let bench = Bench::new(Machine { ignores_first: 1, ..Machine::default() });
        let mut lies = vec![Power::Off; truths];
        lies.push(Power::On);
        bench.node.machine().lies = lies.into();
        assert_eq!(bench.power_on().await, None);
        assert!(bench.node.machine().is_on, "after {truths} true answers");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_on_while_nothing_showed_it_boots_afresh_all_the_same() {
    let bench = Bench::new(on());
    bench.node.machine().trouble = Some(Trouble::Broken);
    bench.on();
    // Its first look has failed.
    sleep(Duration::from_millis(15)).await;
    bench.node.machine().trouble = None;
    drop(bench.by_hand(PowerAction::Status).await);
    assert_eq!(bench.node.machine().said(), [Command::Off, Command::On]);
    assert_eq!(bench.ear.failure(), None);
}

#[tokio::test(start_paused = true)]
async fn a_busy_controller_is_asked_again_soon_and_within_bounds() {
    for trouble in [Trouble::Busy, Trouble::NoAnswer] {
        let bench =
            Bench::new(Machine { command_troubles: (3, Some(trouble)), ..Machine::default() });
        let start = Instant::now();
        assert_eq!(bench.power_on().await, None);
        assert_eq!(bench.node.machine().said(), [Command::On; 4]);
        assert!((4..14).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }
    let bench = Bench::new(Machine { trouble: Some(Trouble::Busy), ..Machine::default() });
    let reason = bench.power_on().await.unwrap();
    assert!(reason.starts_with("cannot be powered on: Busy (tried: on "), "{reason}");
    assert!(bench.node.machine().commands.len() < 20);
}

#[tokio::test(start_paused = true)]
async fn a_silent_controller_is_the_nodes_fault_where_it_is_the_only_one() {
    let bench = Bench::new(Machine { trouble: Some(Trouble::NoAnswer), ..Machine::default() });
    let reason = bench.power_on().await.unwrap();
    assert!(reason.starts_with("cannot be powered on: NoAnswer (tried: on "), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_refuses_us_is_asked_once_an_order_and_then_after_a_long_pause() {
    let refused = Machine { trouble: Some(Trouble::Refused), ..Machine::default() };
    let bench = Bench::with_outlet(refused);
    assert_eq!(bench.power_on().await.unwrap(), "cannot be powered on: Refused (tried: on)");
    let asked = |bench: &Bench| {
        let machine = bench.node.machine();
        machine.looks as usize + machine.commands.len()
    };
    // An admin's question comes after it, which is an order too.
    let first = asked(&bench);
    assert!(first <= 3, "{first}");
    assert_eq!(bench.outlet.as_ref().unwrap().machine().said(), [], "no power is taken away");
    seconds(590).await;
    assert_eq!(asked(&bench), first);
    seconds(60).await;
    assert_eq!(asked(&bench), first + 1);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_refuses_commands_only_can_still_be_looked_at() {
    let command_troubles = (99, Some(Trouble::Refused));
    let bench = Bench::with_outlet(Machine { command_troubles, ..Machine::default() });
    assert_eq!(bench.power_on().await.unwrap(), "cannot be powered on: Refused (tried: on)");
    assert_eq!(bench.node.machine().said(), [Command::On]);
    assert_eq!(bench.outlet.as_ref().unwrap().machine().said(), []);
    assert_eq!(bench.by_hand(PowerAction::Status).await, Ok(Power::Off));
}

#[tokio::test(start_paused = true)]
async fn a_later_off_puts_an_end_to_an_on() {
    let bench = Bench::new(Machine { ignores: vec![Command::On], ..Machine::default() });
    bench.on();
    seconds(7).await;
    bench.off(false);
    assert!(bench.seconds_to_off().await <= 2);
    assert_eq!(bench.ear.failure(), None);
}

/// Like Wake-on-LAN.
const BLIND: Abilities =
    Abilities { sees_power: false, switches_off: false, cycle: false, soft_off: false, ..ALL };

#[tokio::test(start_paused = true)]
async fn a_node_that_nothing_shows_is_told_some_times_or_until_it_lives() {
    let bench = Bench::new(Machine { abilities: BLIND, ..Machine::default() });
    assert_eq!(bench.power_on().await, None);
    assert_eq!(bench.node.machine().said(), [Command::On; BLIND_SENDINGS as usize]);

    let bench = Bench::new(Machine { abilities: BLIND, ..Machine::default() });
    bench.ear.told().is_alive = Some(false);
    bench.on();
    seconds(2).await;
    bench.ear.told().is_alive = Some(true);
    assert_eq!(bench.by_hand(PowerAction::Status).await, Ok(Power::On));
    assert_eq!(bench.node.machine().said(), [Command::On]);
}

#[tokio::test(start_paused = true)]
async fn it_shows_that_a_node_is_about_to_lose_its_power_until_it_has() {
    let answers_in = Duration::from_secs(8);
    let bench = Bench::new(Machine { answers_in, ..on() });
    let is_being_cut = || bench.observed.borrow().is_being_cut;
    bench.on();
    // It is looked at twice first; then off is on its way.
    seconds(20).await;
    assert!(is_being_cut() && bench.node.machine().is_on);
    while bench.node.machine().is_on {
        assert!(is_being_cut(), "it may be given a boot that is cut");
        seconds(1).await;
    }
    drop(bench.by_hand(PowerAction::Status).await);
    assert!(!is_being_cut() && bench.node.machine().is_on);
    assert_eq!(bench.node.machine().said(), [Command::Off, Command::On]);
}
