//! Power, boot device and trust on sushy-tools' emulator, whose node is a program's.

use crate::emulator::Emulator;
use redfish::{BootMode, Client, ErrorKind, PowerState, ResetType, Trust};

#[tokio::test]
async fn power_goes_on_and_off_with_and_without_tls() {
    for is_tls in [false, true] {
        let Some(emulator) = Emulator::start(is_tls) else { return };
        let client = emulator.client();
        assert_eq!(client.power_state().await.unwrap(), Some(PowerState::Off));
        for (reset, power, state) in [
            (ResetType::On, "1", PowerState::On),
            (ResetType::ForceRestart, "1", PowerState::On),
            (ResetType::GracefulShutdown, "0", PowerState::Off),
            (ResetType::On, "1", PowerState::On),
            (ResetType::ForceOff, "0", PowerState::Off),
        ] {
            client.reset(reset).await.unwrap();
            assert_eq!(emulator.file("power"), power, "{reset:?}");
            assert_eq!(client.power_state().await.unwrap(), Some(state), "{reset:?}");
        }
        let wanted = ["set power 1", "set reset 1", "set shutdown 1", "set power 1", "set power 0"];
        assert_eq!(emulator.changes(), wanted);
        // Switched by somebody else.
        emulator.set("power", "1");
        assert_eq!(client.power_state().await.unwrap(), Some(PowerState::On));
        assert!(!client.can_reset(ResetType::PowerCycle).await.unwrap());
        let error = client.reset(ResetType::PowerCycle).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert_eq!(emulator.changes().len(), wanted.len());
        client.close().await.unwrap();
    }
}

#[tokio::test]
async fn the_next_boot_is_from_the_network_in_both_modes() {
    let Some(emulator) = Emulator::start(true) else { return };
    let client = emulator.client();
    for mode in [BootMode::Legacy, BootMode::Uefi] {
        emulator.set("boot", "default");
        client.boot_from_network_once(mode).await.unwrap();
        assert_eq!(emulator.file("boot"), "pxe");
        let boot = client.boot_override().await.unwrap();
        assert_eq!(boot.target.as_deref(), Some("Pxe"));
        assert_eq!(boot.mode, Some(mode));
    }
    assert_eq!(emulator.changes(), ["set boot pxe", "set boot pxe"]);
}

#[tokio::test]
async fn what_fails_says_why() {
    let Some(emulator) = Emulator::start(false) else { return };
    let client = emulator.client();
    client.power_state().await.unwrap();
    emulator.set("broken", "");
    let error = client.reset(ResetType::On).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.to_string().contains("the relay is stuck"), "{error}");
    emulator.remove("broken");
    client.reset(ResetType::On).await.unwrap();

    let account = redfish::Account { password: "wrong".into(), ..emulator.account(Trust::Host) };
    let error = Client::new(account).unwrap().power_state().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    let wanted = |name: &str| {
        let account = emulator.account(Trust::Host);
        Client::new(redfish::Account { system: Some(name.into()), ..account }).unwrap()
    };
    assert!(wanted("n1").power_state().await.is_ok());
    let error = wanted("n2").power_state().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Misconfigured);
    assert!(error.to_string().contains("n1"), "{error}");
}

#[tokio::test]
async fn what_the_emulator_lacks_is_none() {
    let Some(emulator) = Emulator::start(false) else { return };
    let client = emulator.client();
    assert_eq!(client.power_reading().await.unwrap(), None);
    assert_eq!(client.energy_reading().await.unwrap(), None);
    assert!(client.events().await.unwrap().is_none());
    assert_eq!(client.log_entries(5).await.unwrap(), []);
}

#[tokio::test]
async fn only_the_named_certificate_is_believed() {
    let Some(emulator) = Emulator::start(true) else { return };
    let pem = emulator.certificate.pem();
    for (trust, is_believed) in [
        (Trust::Host, false),
        (Trust::Fingerprint([7; 32]), false),
        (emulator.fingerprint(), true),
        (Trust::Authority(pem.into_bytes()), true),
    ] {
        let client = Client::new(emulator.account(trust.clone())).unwrap();
        match client.power_state().await {
            Ok(_) => assert!(is_believed, "{trust:?}"),
            Err(error) => {
                assert!(!is_believed, "{error}");
                assert_eq!(error.kind, ErrorKind::Refused, "{error}");
            }
        }
    }
    // A service with TLS asked without it.
    let url = format!("http://{}", emulator.address);
    let account = redfish::Account { url, ..emulator.account(Trust::Host) };
    let error = Client::new(account).unwrap().power_state().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoAnswer, "{error}");
}
