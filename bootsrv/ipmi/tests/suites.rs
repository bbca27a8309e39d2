//! Every step of a deployment with cipher suites 17 and 3 on a controller that is not ours, and each
//! step once more with ipmitool on the same controller.

#[cfg(test)]
#[path = "support/capture.rs"]
mod capture;
#[cfg(test)]
#[path = "support/ipmitool.rs"]
mod ipmitool;
#[cfg(test)]
#[path = "support/pyghmi.rs"]
mod pyghmi;

#[cfg(test)]
mod tests {
    use crate::capture::Capture;
    use crate::ipmitool::missing;
    use crate::pyghmi::Controller;
    use ipmi::{
        BootDevice, CaptureState, ChassisControl, Client, ClientConfig, CompletionCode, Error,
        Firmware, Privilege, Refusal, SerialConsole,
    };
    use std::process::Stdio;
    use std::time::{Duration, Instant};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    const SUITES: [u8; 2] = [17, 3];
    const SECONDS_MAX: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn power_goes_as_ipmitool_sees_it_and_the_other_way_round() {
        if missing(&["ipmitool", "python3"]) {
            return;
        }
        let controller = Controller::start().await;
        for suite in SUITES {
            let mut client = Client::connect(controller.address(suite)).await.unwrap();
            assert_eq!(client.cipher_suite().number(), suite);
            let tool = controller.tool(suite);
            let status = "chassis power status";
            assert!(!client.chassis_status().await.unwrap().power_on);
            assert_eq!(tool.run(status).await, "Chassis Power is off\n");

            let error = client.chassis_control(ChassisControl::Cycle).await.unwrap_err();
            assert_eq!(error.completion_code(), Some(CompletionCode::NOT_IN_PRESENT_STATE));
            let told = tool.fails("chassis power cycle").await;
            assert!(told.contains("not supported in present state"), "{told}");

            client.chassis_control(ChassisControl::On).await.unwrap();
            assert_eq!(tool.run(status).await, "Chassis Power is on\n");
            tool.run("chassis power off").await;
            assert!(!client.chassis_status().await.unwrap().power_on);
            tool.run("chassis power on").await;
            assert!(client.chassis_status().await.unwrap().power_on);
            client.chassis_control(ChassisControl::Off).await.unwrap();
            assert_eq!(tool.run(status).await, "Chassis Power is off\n");

            for by_us in [true, false] {
                tool.run("chassis power on").await;
                controller.write("log", "");
                if by_us {
                    client.chassis_control(ChassisControl::Cycle).await.unwrap();
                    client.chassis_control(ChassisControl::Reset).await.unwrap();
                    client.chassis_control(ChassisControl::Soft).await.unwrap();
                } else {
                    tool.run("chassis power cycle").await;
                    tool.run("chassis power reset").await;
                    tool.run("chassis power soft").await;
                }
                assert_eq!(controller.file("log"), "power 0\npower 1\nreset\nshutdown");
                assert!(!client.chassis_status().await.unwrap().power_on);
            }
            client.close().await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_next_boot_is_from_the_network_with_the_nodes_firmware() {
        if missing(&["ipmitool", "python3"]) {
            return;
        }
        let controller = Controller::start().await;
        for suite in SUITES {
            let mut client = Client::connect(controller.address(suite)).await.unwrap();
            let tool = controller.tool(suite);
            for (firmware, words, option) in [
                (Firmware::Efi, "BIOS EFI boot", "chassis bootdev pxe options=efiboot"),
                (Firmware::Legacy, "BIOS PC Compatible (legacy) boot", "chassis bootdev pxe"),
            ] {
                client.set_next_boot(BootDevice::Pxe, firmware).await.unwrap();
                assert_eq!(controller.file("boot"), "pxe");
                let text = tool.run("chassis bootparam get 5").await;
                for words in ["Boot Flag Valid", "only next boot", words, "Force PXE"] {
                    assert!(text.contains(words), "{words}: {text}");
                }
                let ours = client.next_boot().await.unwrap();
                tool.run("chassis bootdev none").await;
                assert_eq!(client.next_boot().await.unwrap().device, BootDevice::Default);
                tool.run(option).await;
                assert_eq!(client.next_boot().await.unwrap(), ours, "as ipmitool sets it");
            }
            client.chassis_control(ChassisControl::On).await.unwrap();
            assert!(!client.next_boot().await.unwrap().valid, "used up by the start");
            client.chassis_control(ChassisControl::Off).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_power_meter_shows_what_ipmitool_prints() {
        if missing(&["ipmitool", "python3"]) {
            return;
        }
        let controller = Controller::start().await;
        for (suite, watts) in [(17, "236"), (3, "90"), (17, "1207")] {
            controller.write("watts", watts);
            let mut client = Client::connect(controller.address(suite)).await.unwrap();
            assert!(client.dcmi_capabilities().await.unwrap().power);
            let reading = client.power_reading().await.unwrap();
            assert_eq!(reading.current_watts.to_string(), watts);
            let text = controller.tool(suite).run("dcmi power reading").await;
            let line = text.lines().find(|line| line.contains("Instantaneous")).unwrap();
            assert!(line.ends_with(&format!(" {watts} Watts")), "{text}");
        }
    }

    #[tokio::test]
    async fn wrong_accounts_and_low_privileges_get_nothing() {
        if missing(&["ipmitool", "python3"]) {
            return;
        }
        let controller = Controller::start().await;
        for suite in SUITES {
            let mut address = controller.address(suite);
            address.privilege = Some(Privilege::User);
            let mut client = Client::connect(address.clone()).await.unwrap();
            client.chassis_status().await.unwrap();
            let error = client.chassis_control(ChassisControl::On).await.unwrap_err();
            assert_eq!(error.completion_code(), Some(CompletionCode::INSUFFICIENT_PRIVILEGE));
            let told = controller.tool(suite).fails("-L USER chassis power on").await;
            assert!(told.contains("Insufficient privilege level"), "{told}");
            address.privilege = Some(Privilege::Operator);
            let mut client = Client::connect(address.clone()).await.unwrap();
            client.chassis_control(ChassisControl::On).await.unwrap();
            controller.tool(suite).run("-L OPERATOR chassis power off").await;
            address.password = "wrong".to_owned();
            let error = Client::connect(address).await.unwrap_err();
            let Error::AuthenticationRefused { reason: Refusal::WrongPassword, .. } = error else {
                panic!("{error:?}");
            };
        }
    }

    #[tokio::test]
    async fn the_serial_console_comes_with_both_suites() {
        if missing(&["ipmitool", "python3"]) {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let serial = listener.local_addr().unwrap();
        let controller = Controller::start_with_serial(serial).await;
        let mut port = listener.accept().await.unwrap().0;
        for suite in SUITES {
            let address = controller.address(suite);
            let capture = Capture::start(address.clone(), ClientConfig::default(), 50);
            let wanted: Vec<_> = (0..20).map(|line| format!("suite {suite} line {line}")).collect();
            let begun = Instant::now();
            while capture.state() != CaptureState::Open {
                assert!(begun.elapsed() < SECONDS_MAX, "{:?}", capture.state());
                sleep(Duration::from_millis(20)).await;
            }
            let error = SerialConsole::open(Client::connect(address).await.unwrap()).await;
            assert!(matches!(error, Err(Error::ConsoleInUse { .. })), "{error:?}");
            let told = controller.tool(suite).fails("sol activate").await;
            assert!(told.contains("already active on another session"), "{told}");
            for line in &wanted {
                port.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
            }
            while capture.lines() != wanted {
                assert!(begun.elapsed() < SECONDS_MAX, "{:?}", capture.lines());
                sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(capture.stop().await, wanted);

            // Given back: ipmitool has it, and sees the same.
            let mut tool = controller
                .tool(suite)
                .command("sol activate")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut text = Vec::new();
            while !String::from_utf8_lossy(&text).contains("hello ipmitool") {
                assert!(begun.elapsed() < SECONDS_MAX, "{}", String::from_utf8_lossy(&text));
                port.write_all(b"hello ipmitool\r\n").await.unwrap();
                let read = tool.stdout.as_mut().unwrap().read_buf(&mut text);
                drop(timeout(Duration::from_millis(200), read).await);
            }
            controller.tool(suite).run("sol deactivate").await;
        }
    }
}
