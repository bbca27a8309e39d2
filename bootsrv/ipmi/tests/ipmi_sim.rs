//! Our commands against a real controller simulator; what they did is proved by ipmitool.

#[cfg(test)]
#[path = "ipmi_sim/console.rs"]
mod console;
#[cfg(test)]
#[path = "ipmi_sim/events.rs"]
mod events;
#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use crate::support::ipmitool::missing;
    use crate::support::network::{Network, Weather};
    use crate::support::{ADMIN, CONTROLLER_KEY, IMPATIENT, OPERATOR, PROGRAMS, Simulator};
    use ipmi::{
        BootDevice, ChassisControl, CipherSuite, Client, ClientConfig, CompletionCode,
        ControllerAddress, Error, Firmware, Privilege, Refusal, SessionStatus,
        choose_system_sensor,
    };
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn power_commands_do_what_ipmitool_sees() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let mut client = simulator.connect(ADMIN).await.unwrap();
        assert_eq!(client.cipher_suite(), CipherSuite::Sha1, "17 is refused, 3 is taken");
        assert_eq!(client.privilege(), Privilege::Administrator);
        assert!(!client.chassis_status().await.unwrap().power_on);

        client.chassis_control(ChassisControl::On).await.unwrap();
        assert_eq!(simulator.ipmitool("chassis power status").await, "Chassis Power is on\n");
        assert!(client.chassis_status().await.unwrap().power_on);
        simulator.ipmitool("chassis power off").await;
        assert!(!client.chassis_status().await.unwrap().power_on);
        simulator.ipmitool("chassis power on").await;
        client.chassis_control(ChassisControl::Reset).await.unwrap();
        assert!(simulator.file("log").ends_with("\nreset"));
        client.chassis_control(ChassisControl::Off).await.unwrap();
        assert_eq!(simulator.ipmitool("chassis power status").await, "Chassis Power is off\n");
        client.chassis_control(ChassisControl::On).await.unwrap();
        client.chassis_control(ChassisControl::Soft).await.unwrap();
        assert!(simulator.file("log").ends_with("\nshutdown"));
        assert_eq!(simulator.ipmitool("chassis power status").await, "Chassis Power is off\n");
        client.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_cycle_ends_with_the_power_on() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let mut client = simulator.connect(ADMIN).await.unwrap();
        client.chassis_control(ChassisControl::On).await.unwrap();
        client.chassis_control(ChassisControl::Cycle).await.unwrap();
        let begun = Instant::now();
        while !client.chassis_status().await.unwrap().power_on {
            assert!(begun.elapsed() < Duration::from_secs(10), "never on again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(simulator.ipmitool("chassis power status").await, "Chassis Power is on\n");
    }

    #[tokio::test]
    async fn the_next_boot_is_from_the_network() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let mut client = simulator.connect(ADMIN).await.unwrap();
        // The simulator keeps the device and forgets the firmware: see command/boot.rs for that.
        for firmware in [Firmware::Legacy, Firmware::Efi] {
            client.set_next_boot(BootDevice::Pxe, firmware).await.unwrap();
            assert_eq!(simulator.file("boot"), "pxe");
            let flags = client.next_boot().await.unwrap();
            assert_eq!((flags.device, flags.persistent), (BootDevice::Pxe, false));
            let text = simulator.ipmitool("chassis bootparam get 5").await;
            assert!(text.contains("Boot Device Selector : Force PXE"), "{text}");
            assert!(text.contains("apply to only next boot"), "{text}");
        }
        simulator.ipmitool("chassis bootdev none").await;
        assert_eq!(client.next_boot().await.unwrap().device, BootDevice::Default);
    }

    #[tokio::test]
    async fn the_power_sensor_is_found_and_read() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let mut client = simulator.connect(OPERATOR).await.unwrap();
        let sensors = client.power_sensors().await.unwrap();
        assert_eq!(sensors.len(), 1, "{sensors:?}");
        let sensor = choose_system_sensor(&sensors).unwrap();
        assert_eq!((sensor.name.as_str(), sensor.entity), ("Pwr Consumption", 7));
        for (watts, wanted) in [("236", 236.0), ("400", 400.0)] {
            simulator.write("watts", watts);
            let begun = Instant::now();
            // The simulator looks into the file ten times a second.
            while client.sensor_watts(sensor).await.unwrap() != Some(wanted) {
                assert!(begun.elapsed() < Duration::from_secs(10), "never {wanted} W");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let text = simulator.ipmitool("sdr list full").await;
            assert!(text.contains(watts), "{text}");
        }
    }

    #[tokio::test]
    async fn the_controller_is_the_one_ipmitool_describes() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let mut client = simulator.connect(ADMIN).await.unwrap();
        let device = client.device_id().await.unwrap();
        let text = simulator.ipmitool("mc info").await;
        let line = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once(": ").unwrap().1.to_owned()
        };
        assert_eq!(line("Device ID "), device.device_id.to_string());
        let (major, minor) = device.firmware;
        assert_eq!(line("Firmware Revision "), format!("{major}.{minor:02}"));
        assert_eq!(line("IPMI Version "), format!("{}.{}", device.ipmi.0, device.ipmi.1));
        assert_eq!(line("Manufacturer ID "), device.manufacturer.to_string());
        assert!(line("Product ID ").starts_with(&device.product.to_string()), "{text}");
        assert!(device.has_sensor_records);
    }

    #[tokio::test]
    async fn an_operator_may_switch_the_power() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let mut client = simulator.connect(OPERATOR).await.unwrap();
        client.chassis_control(ChassisControl::On).await.unwrap();
        assert_eq!(simulator.ipmitool("chassis power status").await, "Chassis Power is on\n");
    }

    #[tokio::test]
    async fn wrong_accounts_are_refused_quickly() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let begun = Instant::now();
        let error = simulator.connect(("admin", "wrong")).await.unwrap_err();
        let Error::AuthenticationRefused { reason: Refusal::WrongPassword, .. } = error else {
            panic!("{error:?}");
        };
        let error = simulator.connect(("nobody", "s3cretpw")).await.unwrap_err();
        let Error::AuthenticationRefused { reason: Refusal::ByController(status), .. } = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(status.name(), "unauthorized name");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        // The failed logins leave no session behind: the simulator has few.
        for _ in 0..40 {
            simulator.connect(("admin", "wrong")).await.unwrap_err();
        }
        simulator.connect(ADMIN).await.unwrap();
    }

    #[tokio::test]
    async fn dropped_sessions_do_not_use_up_the_controller() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        for round in 0..100 {
            let mut client = simulator.connect(ADMIN).await.unwrap_or_else(|error| {
                panic!("session {round}: {error}");
            });
            client.device_id().await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_named_cipher_suite_is_not_replaced_by_a_weaker_one() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let mut address = simulator.address(ADMIN);
        address.cipher_suite = Some(17);
        let error = Client::connect_with(&address, IMPATIENT).await.unwrap_err();
        let Error::SessionRefused { status: SessionStatus(0x04), .. } = error else {
            panic!("{error:?}");
        };
        address.cipher_suite = Some(3);
        Client::connect_with(&address, IMPATIENT).await.unwrap();
    }

    #[tokio::test]
    async fn the_controller_key_is_needed_where_there_is_one() {
        if missing(&PROGRAMS) {
            return;
        }
        let key = format!("bmc_key \"{}\"", String::from_utf8_lossy(CONTROLLER_KEY));
        let simulator = Simulator::start_with(&key, "").await;
        let mut address = simulator.address(ADMIN);
        let error = Client::connect_with(&address, IMPATIENT).await.unwrap_err();
        let Error::AuthenticationRefused { reason: Refusal::WrongControllerKey, .. } = error else {
            panic!("{error:?}");
        };
        address.controller_key = Some(CONTROLLER_KEY.to_vec());
        let mut client = Client::connect_with(&address, IMPATIENT).await.unwrap();
        client.chassis_status().await.unwrap();
    }

    #[tokio::test]
    async fn unknown_commands_are_errors_with_a_name_and_keep_the_session() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let mut client = simulator.connect(ADMIN).await.unwrap();
        let error = client.power_reading().await.unwrap_err();
        assert_eq!(error.completion_code(), Some(CompletionCode::INVALID_COMMAND));
        assert!(!error.session_is_lost());
        client.chassis_status().await.unwrap();
    }

    #[tokio::test]
    async fn a_lossy_network_costs_time_only() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let delay = Duration::ZERO;
        let weather = Weather { lost_percent: 10, late_percent: 0, delay };
        let network = Network::to(simulator.addr(), weather).await;
        let mut address = simulator.address(ADMIN);
        address.addr = network.addr;
        for _ in 0..5 {
            let mut client = Client::connect_with(&address, IMPATIENT).await.unwrap();
            for _ in 0..20 {
                client.device_id().await.unwrap();
            }
        }
        assert!(network.lost() > 10, "only {} lost", network.lost());
    }

    #[tokio::test]
    async fn late_answers_are_not_taken_for_the_answers_to_later_questions() {
        if missing(&PROGRAMS) {
            return;
        }
        let simulator = Simulator::start().await;
        let config = ClientConfig { reply_timeout: Duration::from_millis(100), ..IMPATIENT };
        // Late by a bit more than one try: the answer comes in the middle of the next question.
        let delay = Duration::from_millis(130);
        let weather = Weather { lost_percent: 0, late_percent: 30, delay };
        let network = Network::to(simulator.addr(), weather).await;
        let mut address = simulator.address(ADMIN);
        address.addr = network.addr;
        let mut client = Client::connect_with(&address, config).await.unwrap();
        for round in 0..60 {
            let on = round % 2 == 0;
            let wanted = if on { ChassisControl::On } else { ChassisControl::Off };
            client.chassis_control(wanted).await.unwrap();
            assert_eq!(client.chassis_status().await.unwrap().power_on, on, "round {round}");
        }
        assert!(network.late() > 20, "only {} late", network.late());
    }

    #[tokio::test]
    async fn a_restarted_controller_wants_a_new_session() {
        if missing(&PROGRAMS) {
            return;
        }
        let mut simulator = Simulator::start().await;
        let config = ClientConfig { tries: 2, ..IMPATIENT };
        let mut client = Client::connect_with(&simulator.address(ADMIN), config).await.unwrap();
        client.chassis_control(ChassisControl::On).await.unwrap();
        simulator.restart().await;
        let error = client.chassis_status().await.unwrap_err();
        assert!(matches!(error, Error::Timeout { tries: 2, .. }), "{error:?}");
        assert!(error.session_is_lost());
        let mut client = simulator.connect(ADMIN).await.unwrap();
        assert!(client.chassis_status().await.unwrap().power_on);
    }

    #[tokio::test]
    async fn silence_is_a_timeout() {
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = silent.local_addr().unwrap();
        let address = ControllerAddress::new(addr, "admin".to_owned(), "password".to_owned());
        let config =
            ClientConfig { reply_timeout: Duration::from_millis(20), tries: 3, ..IMPATIENT };
        let begun = Instant::now();
        let error = Client::connect_with(&address, config).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { tries: 3, source: None, .. }), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
