//! The client switches the fake's machine, and chooses what it boots.

use crate::support::{PASSWORD, client, start};
use amt::fake::{FakeSettings, Knobs};
use amt::{Action, Kind, PowerState, Switched};
use std::time::Duration;

#[tokio::test]
async fn each_action_reaches_the_machine_once() {
    let fake = start(FakeSettings::default()).await;
    let client = client(fake.address(), PASSWORD);
    assert_eq!(client.identify().await.unwrap().version, "AMT 12.0.0");
    let off = client.power().await.unwrap();
    assert_eq!((off.state, off.available.as_slice()), (PowerState::Off, &[2][..]));

    for (action, switched, is_on) in [
        (Action::Off, Switched::Already, false),
        (Action::On, Switched::Accepted(2), true),
        (Action::On, Switched::Already, true),
        (Action::Cycle, Switched::Accepted(5), true),
        (Action::Reset, Switched::Accepted(10), true),
        (Action::SoftOff, Switched::Accepted(12), false),
        (Action::SoftOff, Switched::Already, false),
        (Action::On, Switched::Accepted(2), true),
        (Action::Off, Switched::Accepted(8), false),
    ] {
        assert_eq!(client.switch(action).await.unwrap(), switched, "{action:?}");
        assert_eq!(fake.is_on().await.unwrap(), is_on, "{action:?}");
        let expected = if is_on { PowerState::On } else { PowerState::Off };
        assert_eq!(client.power().await.unwrap().state, expected, "{action:?}");
    }
    let counters = fake.counters();
    assert_eq!((counters.on, counters.off), (3, 2));
    assert_eq!((counters.resets, counters.soft_off, counters.power_requests), (1, 1, 6));
}

#[tokio::test]
async fn the_network_is_booted_once() {
    let fake = start(FakeSettings::default()).await;
    let client = client(fake.address(), PASSWORD);
    client.switch(Action::On).await.unwrap();
    assert_eq!(fake.counters().network_boots, 0, "nobody asked for it yet");
    for (action, boots) in
        [(Action::Off, 0), (Action::On, 1), (Action::Cycle, 2), (Action::Reset, 3)]
    {
        client.boot_from_network_once().await.unwrap();
        client.switch(action).await.unwrap();
        assert_eq!(fake.counters().network_boots, boots, "{action:?}");
    }
    client.switch(Action::Cycle).await.unwrap();
    assert_eq!(fake.counters().network_boots, 3, "it was for one boot");
}

/// One excludes the other: firmware refuses a source while something special is set.
#[tokio::test]
async fn what_another_console_left_behind_is_cleared() {
    let fake = start(FakeSettings::default()).await;
    fake.set_boot_setting("UseIDER", "true").await;
    fake.set_boot_setting("BootMediaIndex", "1").await;
    let client = client(fake.address(), PASSWORD);
    client.boot_from_network_once().await.unwrap();
    assert_eq!(fake.boot_setting("UseIDER").await.unwrap(), "false");
    assert_eq!(fake.boot_setting("BootMediaIndex").await.unwrap(), "0");
    assert_eq!(fake.boot_setting("OptionsCleared").await.unwrap(), "true", "as it was");
    client.switch(Action::On).await.unwrap();
    assert_eq!(fake.counters().network_boots, 1);
}

/// The answer comes first, the change later; meanwhile another request is refused.
#[tokio::test]
async fn a_change_takes_its_time() {
    let delay = Duration::from_millis(300);
    let fake = start(FakeSettings { delay, ..FakeSettings::default() }).await;
    let client = client(fake.address(), PASSWORD);
    client.switch(Action::On).await.unwrap();
    assert_eq!(client.power().await.unwrap().state, PowerState::Off);
    let error = client.switch(Action::On).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    for _ in 0..100 {
        if client.power().await.unwrap().state == PowerState::On {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.power().await.unwrap().state, PowerState::On);
    assert_eq!(fake.counters().on, 1);
}

#[tokio::test]
async fn what_is_ignored_or_lied_about_is_seen_by_looking() {
    let fake = start(FakeSettings::default()).await;
    let client = client(fake.address(), PASSWORD);
    fake.turn(|knobs| knobs.ignores = 1);
    assert_eq!(client.switch(Action::On).await.unwrap(), Switched::Accepted(2));
    assert_eq!(client.power().await.unwrap().state, PowerState::Off);
    assert_eq!((fake.counters().ignored, fake.counters().on), (1, 0));
    assert_eq!(client.switch(Action::On).await.unwrap(), Switched::Accepted(2));
    assert_eq!(client.power().await.unwrap().state, PowerState::On);

    fake.turn(|knobs| knobs.lies = Some(8));
    assert_eq!(client.power().await.unwrap().state, PowerState::Off);
    assert!(fake.is_on().await.unwrap());
}

#[tokio::test]
async fn firmware_is_taken_as_it_is() {
    let fake = start(FakeSettings::default()).await;
    let client = client(fake.address(), PASSWORD);
    client.switch(Action::On).await.unwrap();

    fake.turn(|knobs| knobs.without_agent = true);
    let error = client.switch(Action::SoftOff).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(fake.is_on().await.unwrap(), "a hard off was not asked");

    // Only in the list of the base class.
    fake.turn(|knobs| *knobs = Knobs { lists_power_only: true, ..Knobs::default() });
    assert_eq!(client.power().await.unwrap().state, PowerState::On);

    // No list, as old firmware.
    fake.turn(|knobs| *knobs = Knobs { lists: Some(vec![]), ..Knobs::default() });
    assert!(client.power().await.unwrap().available.is_empty());
    assert_eq!(client.switch(Action::SoftOff).await.unwrap(), Switched::Accepted(12));

    // A power cycle it knows by its other number only.
    fake.turn(|knobs| *knobs = Knobs::default());
    client.switch(Action::On).await.unwrap();
    fake.turn(|knobs| knobs.lists = Some(vec![9, 8, 10]));
    assert_eq!(client.switch(Action::Cycle).await.unwrap(), Switched::Accepted(9));
}
