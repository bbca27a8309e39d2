//! Power, the boot device, and finding the system.

use crate::fake::{Fake, Shape};
use crate::{BootMode, Client, ErrorKind, PowerState, ResetType};

const SHAPES: [Shape; 4] = [Shape::Dmtf, Shape::Hpe, Shape::Dell, Shape::OpenBmc];

#[tokio::test]
async fn power_goes_on_and_off_on_every_shape() {
    for shape in SHAPES {
        let fake = Fake::start(shape).await.unwrap();
        let client = fake.client().unwrap();
        for (reset, state) in [
            (ResetType::On, PowerState::On),
            (ResetType::ForceRestart, PowerState::On),
            (ResetType::GracefulShutdown, PowerState::Off),
            (ResetType::On, PowerState::On),
            (ResetType::ForceOff, PowerState::Off),
        ] {
            client.reset(reset).await.unwrap();
            assert_eq!(client.power_state().await.unwrap(), Some(state), "{shape:?} {reset:?}");
        }
        let sent = ["On", "ForceRestart", "GracefulShutdown", "On", "ForceOff"];
        assert_eq!(fake.state().resets, sent, "{shape:?}");
        let can_cycle = client.can_reset(ResetType::PowerCycle).await.unwrap();
        assert_eq!(can_cycle, shape != Shape::Hpe, "{shape:?}");
        let cycled = client.reset(ResetType::PowerCycle).await;
        assert_eq!(cycled.is_ok(), can_cycle, "{shape:?}");
        if let Err(error) = cycled {
            assert_eq!(error.kind, ErrorKind::Unsupported);
        }
    }
}

#[tokio::test]
async fn power_is_what_is_seen_and_not_what_was_asked() {
    let fake = Fake::start(Shape::Hpe).await.unwrap();
    (fake.state().stale_reads, fake.state().resets_ignored) = (2, 0);
    let client = fake.client().unwrap();
    client.reset(ResetType::On).await.unwrap();
    for state in [PowerState::Off, PowerState::Off, PowerState::On] {
        assert_eq!(client.power_state().await.unwrap(), Some(state));
    }
    fake.state().resets_ignored = 1;
    client.reset(ResetType::ForceOff).await.unwrap();
    assert_eq!(client.power_state().await.unwrap(), Some(PowerState::On));
}

#[tokio::test]
async fn the_services_own_words_come_back() {
    let fake = Fake::start(Shape::Dell).await.unwrap();
    let client = fake.client().unwrap();
    client.reset(ResetType::On).await.unwrap();
    let error = client.reset(ResetType::On).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::Busy { .. }));
    let text = error.to_string();
    assert!(text.contains("already powered ON") && text.contains("ComputerSystem.Reset"), "{text}");
    assert!(text.starts_with(client.host()), "{text}");
}

#[tokio::test]
async fn the_next_boot_is_from_the_network() {
    for shape in SHAPES {
        for (wants_version, wants_strong) in [(false, false), (true, false), (false, true)] {
            let fake = Fake::start(shape).await.unwrap();
            fake.state().wants_version = wants_version;
            fake.state().wants_strong_version = wants_strong;
            let client = fake.client().unwrap();
            assert_eq!(client.boot_override().await.unwrap().target.as_deref(), Some("None"));
            client.boot_from_network_once(BootMode::Legacy).await.unwrap();
            let boot = client.boot_override().await.unwrap();
            assert_eq!(boot.enabled.as_deref(), Some("Once"), "{shape:?}");
            assert_eq!(boot.target.as_deref(), Some("Pxe"), "{shape:?}");
            assert_eq!(boot.mode, Some(BootMode::Legacy), "{shape:?}");
        }
    }
}

#[tokio::test]
async fn settings_of_their_own_are_changed_where_there_are_some() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    (fake.state().has_settings, fake.state().wants_version) = (true, true);
    fake.client().unwrap().boot_from_network_once(BootMode::Legacy).await.unwrap();
    assert_eq!(fake.state().boot, ["Once", "Pxe", "Legacy"]);
    let changes = fake.state().count("PATCH");
    assert_eq!((changes, fake.state().count("PATCH /redfish/v1/Systems/437XR1138R2/SD")), (2, 2));
}

#[tokio::test]
async fn a_mode_that_cannot_change_is_left_alone() {
    let fake = Fake::start(Shape::Dell).await.unwrap();
    fake.state().has_fixed_mode = true;
    let client = fake.client().unwrap();
    for mode in [BootMode::Legacy, BootMode::Uefi] {
        fake.state().boot = ["Disabled".into(), "None".into(), "UEFI".into()];
        client.boot_from_network_once(mode).await.unwrap();
        assert_eq!(fake.state().boot, ["Once", "Pxe", "UEFI"]);
    }
}

#[tokio::test]
async fn a_document_that_always_changes_is_given_up() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    let client = fake.client().unwrap();
    client.power_state().await.unwrap();
    let before = fake.state().asked.len();
    fake.state().wants_version = true;
    // Each GET is answered before somebody else changes it.
    let other = async {
        loop {
            fake.state().version += 1;
            tokio::task::yield_now().await;
        }
    };
    let result = tokio::select! {
        result = client.boot_from_network_once(BootMode::Uefi) => result,
        () = other => unreachable!("it has no end"),
    };
    assert_eq!(result.unwrap_err().kind, ErrorKind::Failed);
    assert_eq!(fake.state().count("PATCH"), 3);
    assert!(fake.state().asked.len() - before < 10);
}

#[tokio::test]
async fn one_system_of_several_has_to_be_named() {
    let fake = Fake::start(Shape::Dmtf).await.unwrap();
    fake.state().systems = 3;
    let error = fake.client().unwrap().power_state().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured);
    assert!(error.to_string().contains("437XR1138R2, other1, other2"), "{error}");
    let named = |name: &str| {
        Client::new(crate::Account { system: Some(name.into()), ..fake.account() }).unwrap()
    };
    assert!(named("437XR1138R2").power_state().await.is_ok());
    let other = named("other2");
    assert_eq!(other.power_state().await.unwrap(), Some(PowerState::Off));
    assert_eq!(other.reset(ResetType::On).await.unwrap_err().kind, ErrorKind::Unsupported);
    let boot = other.boot_from_network_once(BootMode::Uefi).await;
    assert_eq!(boot.unwrap_err().kind, ErrorKind::Unsupported);
    assert_eq!(other.power_reading().await.unwrap(), None);
    assert_eq!(other.log_entries(5).await.unwrap(), []);
    let error = named("other9").power_state().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured);
}
