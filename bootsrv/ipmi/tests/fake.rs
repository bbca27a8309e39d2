//! The simulated controller of `ipmi::fake` under ipmitool: what it does on the wire is what a
//! foreign client expects, with both cipher suites.

#[cfg(test)]
#[path = "support/ipmitool.rs"]
mod ipmitool;

#[cfg(test)]
mod tests {
    use crate::ipmitool::{Ipmitool, missing};
    use ipmi::fake::{Fake, Settings};
    use ipmi::{BootDevice, ChassisControl, CipherSuite, Client, CompletionCode, Firmware};
    use std::time::{Duration, Instant};
    use tokio::net::UdpSocket;
    use tokio::task::JoinSet;

    const PROGRAMS: [&str; 1] = ["ipmitool"];

    const ACCOUNT: (&str, &str) = ("admin", "password");

    async fn started() -> (Fake, Ipmitool) {
        let fake = Fake::start(Settings::default()).await.unwrap();
        let tool = Ipmitool::new(fake.addr(), ACCOUNT, 17);
        (fake, tool)
    }

    #[tokio::test]
    async fn ipmitool_does_every_step_with_both_suites() {
        if missing(&PROGRAMS) {
            return;
        }
        for suite in CipherSuite::ALL {
            let (fake, _) = started().await;
            let tool = Ipmitool::new(fake.addr(), ACCOUNT, suite.number());
            let power = fake.power();
            assert_eq!(tool.run("chassis power status").await, "Chassis Power is off\n");
            tool.run("chassis bootdev pxe options=efiboot").await;
            let text = tool.run("chassis bootparam get 5").await;
            assert!(text.contains("Force PXE") && text.contains("BIOS EFI boot"), "{text}");
            tool.run("chassis power on").await;
            assert_eq!((power.borrow().on, power.borrow().starts), (true, 1));
            let text = tool.run("chassis bootparam get 5").await;
            assert!(text.contains("Boot Flag Invalid"), "used up: {text}");
            assert_eq!(tool.run("chassis power status").await, "Chassis Power is on\n");
            tool.run("chassis power cycle").await;
            tool.run("chassis power reset").await;
            assert_eq!((power.borrow().on, power.borrow().starts), (true, 3));
            fake.turn(|knobs| knobs.watts = Some(236));
            let text = tool.run("dcmi power reading").await;
            assert!(
                text.contains("Instantaneous power reading:                   236 Watts"),
                "{text}"
            );
            tool.run("chassis power soft").await;
            assert_eq!((power.borrow().on, power.borrow().soft_offs), (false, 1));
            tool.run("chassis power on").await;
            tool.run("chassis power off").await;
            assert!(!power.borrow().on);
            let seen = fake.counters();
            assert_eq!((seen.on, seen.off, seen.cycle, seen.reset, seen.soft), (2, 1, 1, 1, 1));
            assert_eq!((seen.boot_flags, seen.readings, seen.refused_logins), (1, 1, 0));
        }
    }

    #[tokio::test]
    async fn a_controller_may_know_one_suite_only() {
        if missing(&PROGRAMS) {
            return;
        }
        let settings = Settings { suites: vec![CipherSuite::Sha1], ..Settings::default() };
        let fake = Fake::start(settings).await.unwrap();
        Ipmitool::new(fake.addr(), ACCOUNT, 3).run("chassis status").await;
        let error = Ipmitool::new(fake.addr(), ACCOUNT, 17).fails("chassis status").await;
        assert!(error.contains("no matching cipher suite"), "{error}");
    }

    #[tokio::test]
    async fn wrong_accounts_are_refused() {
        if missing(&PROGRAMS) {
            return;
        }
        let (fake, _) = started().await;
        for account in [("admin", "wrong"), ("nobody", "password")] {
            let tool = Ipmitool::new(fake.addr(), account, 17);
            tool.fails("chassis power on").await;
        }
        assert!(!fake.power().borrow().on);
        assert_eq!(fake.counters().sessions, 0);
        // The wrong password ipmitool finds out itself, and tells nobody.
        assert_eq!(fake.counters().refused_logins, 1);
    }

    #[tokio::test]
    async fn knobs_do_what_they_say() {
        if missing(&PROGRAMS) {
            return;
        }
        let (fake, tool) = started().await;
        fake.turn(|knobs| knobs.ignored_percent = 100);
        tool.run("chassis power on").await;
        assert!(!fake.power().borrow().on, "ignored, but answered as done");
        fake.turn(|knobs| {
            knobs.ignored_percent = 0;
            knobs.refused_percent = 100;
            knobs.refusal = CompletionCode::NOT_IN_PRESENT_STATE;
        });
        let error = tool.fails("chassis power on").await;
        assert!(error.contains("Command not supported in present state"), "{error}");
        fake.turn(|knobs| {
            knobs.refused_percent = 0;
            knobs.status_says = Some(true);
        });
        assert_eq!(tool.run("chassis power status").await, "Chassis Power is on\n", "a lie");
        fake.turn(|knobs| knobs.switch_time = Duration::from_millis(300));
        let mut power = fake.power();
        tool.run("chassis power on").await;
        assert!(!power.borrow_and_update().on, "not yet");
        power.changed().await.unwrap();
        assert!(power.borrow().on);
        fake.turn(|knobs| knobs.delay = Duration::from_millis(400));
        let begun = Instant::now();
        tool.run("chassis power status").await;
        assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
        let counters = fake.counters();
        assert_eq!((counters.ignored, counters.refused, counters.on), (1, 1, 1));
    }

    #[tokio::test]
    async fn a_lossy_controller_costs_ipmitool_time_only() {
        if missing(&PROGRAMS) {
            return;
        }
        let (fake, tool) = started().await;
        fake.turn(|knobs| knobs.lost_percent = 15);
        tool.run("-N 1 -R 12 chassis power on").await;
        assert!(fake.power().borrow().on);
        assert!(fake.counters().lost > 0, "{:?}", fake.counters());
    }

    #[tokio::test]
    async fn sessions_are_as_few_as_the_settings_say() {
        if missing(&PROGRAMS) {
            return;
        }
        let settings = Settings { sessions_max: 1, ..Settings::default() };
        let fake = Fake::start(settings).await.unwrap();
        let tool = Ipmitool::new(fake.addr(), ACCOUNT, 3);
        let mut client = Client::connect(fake.account()).await.unwrap();
        let error = tool.fails("chassis status").await;
        assert!(error.contains("insufficient resources for session"), "{error}");
        client.chassis_status().await.unwrap();
        fake.forget_sessions();
        tool.run("chassis status").await;
    }

    #[tokio::test]
    async fn ipmitool_reads_the_event_log() {
        if missing(&PROGRAMS) {
            return;
        }
        let (fake, tool) = started().await;
        let mut record = [0, 0, 2, 0, 0, 0, 0x60, 0x20, 0, 4, 0x07, 0x10, 0x6F, 1, 0xFF, 0xFF];
        fake.add_event(record);
        record[10] = 0x0C;
        fake.add_event(record);
        let text = tool.run("sel list").await;
        assert!(text.contains("Processor #0x10 | Thermal Trip | Asserted"), "{text}");
        assert!(text.contains("Memory #0x10 | Uncorrectable ECC"), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[tokio::test]
    async fn random_and_broken_packets_do_it_no_harm() {
        if missing(&PROGRAMS) {
            return;
        }
        let (fake, tool) = started().await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(fake.addr()).await.unwrap();
        let mut seed = 0x9E37_79B9_7F4A_7C15u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()
        };
        for round in 0..5_000u32 {
            let [length, kind, rest @ ..] = random();
            let mut packet: Vec<u8> = (0..length).map(|_| random()[2]).collect();
            // Half of them get as far as the handshake's decoders.
            if kind & 1 == 0 && packet.len() > 20 {
                let payload = u8::try_from(packet.len() - 16).unwrap();
                let start =
                    [6, 0, 0xFF, 7, 6, 0x10 | kind >> 5, 0, 0, 0, 0, 0, 0, 0, 0, payload, 0];
                packet[..16].copy_from_slice(&start);
                packet[16] = rest[0];
            }
            socket.send(&packet).await.unwrap();
            if round % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        fake.forget_sessions();
        assert!(fake.counters().packets > 1_000, "{:?}", fake.counters());
        tool.run("chassis power on").await;
        assert!(fake.power().borrow().on);
    }

    /// As many as fit into the usual limit of 1,024 open files with their clients.
    #[tokio::test]
    async fn hundreds_of_controllers_live_in_one_process() {
        let mut fakes = Vec::new();
        for seed in 0..600 {
            let fake = Fake::start(Settings { seed, ..Settings::default() }).await.unwrap();
            fake.turn(|knobs| knobs.ignored_percent = 10);
            fakes.push(fake);
        }
        let begun = Instant::now();
        for fakes in fakes.chunks(100) {
            let mut clients = JoinSet::new();
            for account in fakes.iter().map(Fake::account) {
                clients.spawn(async move {
                    let mut client = Client::connect(account).await.unwrap();
                    client.set_next_boot(BootDevice::Pxe, Firmware::Efi).await.unwrap();
                    client.chassis_control(ChassisControl::On).await.unwrap();
                    client.chassis_status().await.unwrap();
                    client.close().await.unwrap();
                });
            }
            clients.join_all().await;
        }
        let on = fakes.iter().filter(|fake| fake.power().borrow().on).count();
        let ignored: u64 = fakes.iter().map(|fake| fake.counters().ignored).sum();
        assert_eq!(u64::try_from(on).unwrap() + ignored, 600);
        assert!((30..=90).contains(&ignored), "a tenth of 600, but {ignored}");
        assert!(fakes.iter().all(|fake| fake.counters().sessions == 1));
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}
