//! A controller that says off, and a node that is heard of: the node is believed.

use super::*;
use crate::power::SILENCE;
use crate::power::driver::Command;
use crate::power::worker::attempt::BLIND_SENDINGS;

fn says_off(is_on: bool) -> Machine {
    Machine { is_on, lies_always: Some(Power::Off), ..Machine::default() }
}

impl Bench {
    /// An agent that reports as long as its machine has power.
    fn with_agent(self) -> Self {
        let (node, ear) = (self.node.clone(), self.ear.clone());
        tokio::spawn(async move {
            loop {
                // As the true controller would have it.
                node.machine().settle();
                if node.machine().is_on {
                    ear.told().heard_at = Some(Instant::now());
                }
                seconds(10).await;
            }
        });
        self
    }
}

#[tokio::test(start_paused = true)]
async fn a_boot_that_is_heard_of_is_not_cut() {
    let bench = Bench::new(says_off(false));
    bench.on();
    seconds(12).await;
    bench.ear.told().boot_heard_at = Some(Instant::now());
    drop(bench.by_hand(PowerAction::Status).await);
    assert_eq!(bench.ear.events(), [Event::PowerOnAccepted]);
    let said = bench.node.machine().said();
    assert!(said.iter().all(|one| *one == Command::On), "{said:?}");
    assert!((12..15).contains(&bench.node.machine().start.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_before_the_command_does_not_count() {
    let bench = Bench::new(says_off(false));
    seconds(1).await;
    bench.ear.told().boot_heard_at = Some(Instant::now());
    bench.on();
    seconds(40).await;
    assert!(bench.node.machine().said().contains(&Command::Off), "off and on");
    let reason = bench.power_on().await.unwrap();
    assert!(reason.starts_with("stays off: "), "{reason}");
}

/// What ran before is heard of too: that is no sign of the boot.
#[tokio::test(start_paused = true)]
async fn a_node_that_runs_something_else_is_cut_first() {
    let bench = Bench::new(says_off(true)).with_agent();
    seconds(60).await;
    assert_eq!(bench.observed.borrow().power, Some(Power::On), "its own word");
    assert!(bench.observed.borrow().is_contradicted);
    bench.on();
    seconds(60).await;
    let said = bench.node.machine().said();
    assert_eq!(said.first(), Some(&Command::Off), "{said:?}");
    let commands = bench.node.machine().commands.clone();
    let on = commands.iter().find(|(one, _)| *one == Command::On).unwrap();
    let silent = on.1 - commands[0].1;
    assert!(silent >= SILENCE.as_secs() - 11, "after {silent} s");
    assert!(bench.ear.events().contains(&Event::Repowered));
}

#[tokio::test(start_paused = true)]
async fn it_is_off_when_it_is_commanded_and_silent() {
    let bench = Bench::new(says_off(true)).with_agent();
    seconds(60).await;
    bench.off(true);
    let took = bench.seconds_to_off().await;
    assert!(!bench.node.machine().is_on);
    assert!((SILENCE.as_secs() - 11..SILENCE.as_secs() + 16).contains(&took), "{took}");
    let said = bench.node.machine().said();
    assert!(said.contains(&Command::Off) && !said.contains(&Command::Cycle), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_stays_on_blames_the_controller() {
    let ignores = vec![Command::SoftOff, Command::Off, Command::Cycle];
    let bench = Bench::new(Machine { ignores, ..says_off(true) }).with_agent();
    seconds(60).await;
    bench.off(true);
    seconds(200).await;
    let events = bench.ear.events();
    assert!(!events.contains(&Event::PowerSeenOff), "{events:?}");
    assert!(events.contains(&Event::Queued), "no limit counts the wait for its silence");
    let stuck = bench.ear.told().stuck.clone();
    let expected = "its controller says off while the node reports; tried soft off, off ";
    assert!(stuck.len() == 1 && stuck[0].starts_with(expected), "{stuck:?}");
    bench.node.machine().ignores.clear();
    assert!(bench.seconds_to_off().await < 100);
    assert!(!bench.node.machine().is_on);
}

/// Its firmware takes longer than power-on may: the boot has failed, and the node runs.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_commanded_on_is_commanded_off() {
    let bench = Bench::new(says_off(false));
    bench.ear.told().is_alive = Some(false);
    assert!(bench.power_on().await.is_some());
    bench.node.machine().settle();
    assert!(bench.node.machine().is_on);
    bench.off(false);
    bench.seconds_to_off().await;
    seconds(1).await;
    bench.node.machine().settle();
    assert!(!bench.node.machine().is_on);
    bench.ear.told().events.clear();
    bench.node.machine().commands.clear();
    bench.off(false);
    bench.seconds_to_off().await;
    assert_eq!(bench.node.machine().said(), [], "once");
}

/// bootsrv was started just now, and has not heard of anybody yet.
#[tokio::test(start_paused = true)]
async fn off_is_commanded_once_where_nothing_is_known_but_the_controllers_word() {
    for gently in [false, true] {
        let bench = Bench::new(says_off(true));
        bench.off(gently);
        assert!(bench.seconds_to_off().await <= 1);
        assert_eq!(bench.node.machine().said(), [Command::Off]);
        seconds(1).await;
        bench.node.machine().settle();
        assert!(!bench.node.machine().is_on);
    }
}

/// The one that was found out once is not asked about the next boot: the firmware has its time.
#[tokio::test(start_paused = true)]
async fn a_liars_next_boot_is_not_cut_either() {
    let bench = Bench::new(says_off(true)).with_agent();
    seconds(60).await;
    bench.off(false);
    bench.seconds_to_off().await;
    bench.node.machine().commands.clear();
    // Its firmware takes its time: no agent yet.
    bench.ear.told().heard_at = None;
    assert_eq!(bench.power_on().await, None);
    assert_eq!(bench.node.machine().said(), [Command::On; BLIND_SENDINGS as usize]);
}

#[tokio::test(start_paused = true)]
async fn a_word_that_was_under_way_when_the_power_went_is_none() {
    let bench = Bench::new(on()).with_agent();
    seconds(5).await;
    bench.off(false);
    bench.seconds_to_off().await;
    bench.ear.told().heard_at = Some(Instant::now());
    assert_eq!(bench.by_hand(PowerAction::Status).await, Ok(Power::Off));
    assert!(!bench.observed.borrow().is_contradicted);
}
