//! Real packets on a veth pair, seen by a decoder that is not ours; and packets of other senders,
//! read by our parser.

#[cfg(test)]
mod support;

#[cfg(test)]
mod tests {
    use crate::support::{Machine, Seen, own_network, run};
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    use std::io::ErrorKind;
    use std::net::UdpSocket;
    use std::time::Duration;
    use wake::{Burst, MagicPacket, NotMagic, Route, WakeError, broadcast, parse_frame, wake};

    const MAC: &str = "52:54:00:77:00:01";

    fn packet(password: Option<&str>) -> MagicPacket {
        let password = password.map(|text| text.parse().unwrap());
        MagicPacket { mac: MAC.parse().unwrap(), password }
    }

    fn udp(to: &str, interface: Option<&Machine>) -> Route {
        let interface = interface.map(|machine| machine.interface.parse().unwrap());
        Route::Udp { to: broadcast(to).unwrap(), interface }
    }

    fn ethernet(interface: &str) -> Route {
        Route::Ethernet { interface: interface.parse().unwrap() }
    }

    fn quick() -> Burst {
        Burst::new(3, Duration::from_millis(5)).unwrap()
    }

    #[tokio::test]
    async fn a_directed_broadcast_arrives_as_often_as_asked() {
        if !own_network(&[]) {
            return;
        }
        let machine = Machine::on_link(1);
        for (to, port, password, shown) in [
            ("10.9.1.255", 9, None, "-"),
            ("10.9.1.255:7", 7, Some("01:02:03:0a:0b:0c"), "0102030a0b0c"),
            ("10.9.1.255:9", 9, Some("192.168.1.7"), "c0a80107"),
        ] {
            wake(&packet(password), &udp(to, None), quick()).await.unwrap();
            let (mut datagrams, mut frames) = (0, 0);
            while datagrams < 3 || frames < 3 {
                match machine.next() {
                    Seen::Udp(to_port, magic) => {
                        assert_eq!((to_port, magic), (port, format!("{MAC} {shown}")));
                        datagrams += 1;
                    }
                    Seen::Frame { kind, to, bytes, .. } => {
                        assert_eq!((kind.as_str(), to.as_str()), ("0800", "ff:ff:ff:ff:ff:ff"));
                        assert_eq!(parse_frame(&bytes), Ok(packet(password)));
                        frames += 1;
                    }
                }
            }
            assert_eq!((datagrams, frames), (3, 3));
        }
    }

    #[tokio::test]
    async fn the_interface_is_the_one_that_was_named() {
        if !own_network(&[]) {
            return;
        }
        let (first, second) = (Machine::on_link(1), Machine::on_link(2));
        let everybody = "255.255.255.255";
        let error = wake(&packet(None), &udp(everybody, None), quick()).await.unwrap_err();
        assert!(
            matches!(&error, WakeError::Send { source, .. }
            if source.kind() == ErrorKind::NetworkUnreachable),
            "{error:?}"
        );

        wake(&packet(None), &udp(everybody, Some(&second)), quick()).await.unwrap();
        for _ in 0..6 {
            match second.next() {
                Seen::Udp(9, magic) | Seen::Frame { magic, .. } => {
                    assert_eq!(magic, format!("{MAC} -"));
                }
                other => panic!("{other:?}"),
            }
        }
        // What the first sees first was sent after that.
        wake(&packet(Some("1.1.1.1")), &udp(everybody, Some(&first)), quick()).await.unwrap();
        let frame = first.next_frame();
        assert_eq!(parse_frame(&frame), Ok(packet(Some("1.1.1.1"))));
    }

    #[tokio::test]
    async fn frames_go_to_everybody_from_our_address() {
        if !own_network(&[]) {
            return;
        }
        let machine = Machine::on_link(1);
        let link = run("ip", &format!("-o link show {}", machine.interface));
        let ours = link.split(' ').skip_while(|word| *word != "link/ether").nth(1).unwrap();
        for (password, shown) in [(None, "-"), (Some("1.2.3.4"), "01020304")] {
            let route = ethernet(&machine.interface);
            wake(&packet(password), &route, quick()).await.unwrap();
            for _ in 0..3 {
                let Seen::Frame { kind, to, source, magic, .. } = machine.next() else {
                    panic!("not a frame")
                };
                assert_eq!((kind.as_str(), to.as_str()), ("0842", "ff:ff:ff:ff:ff:ff"));
                assert_eq!((source.as_str(), magic), (ours, format!("{MAC} {shown}")));
            }
        }
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_told() {
        if !own_network(&[]) {
            return;
        }
        let machine = Machine::on_link(1);
        let gone = "not-there".parse().unwrap();
        let to = broadcast("10.9.1.255").unwrap();
        for route in
            [Route::Udp { to, interface: Some(gone) }, ethernet("not-there"), ethernet("lo")]
        {
            let error = wake(&packet(None), &route, quick()).await.unwrap_err();
            assert!(matches!(error, WakeError::Interface { .. }), "{route:?}: {error:?}");
        }
        run("ip", &format!("link set {} down", machine.interface));
        let error = wake(&packet(None), &ethernet(&machine.interface), quick()).await.unwrap_err();
        assert!(
            matches!(&error, WakeError::Send { source, .. }
            if source.kind() == ErrorKind::NetworkDown),
            "{error:?}"
        );
        run("ip", &format!("link set {} up", machine.interface));

        let mut few = capabilities(None).unwrap();
        few.effective.remove(CapabilitySet::NET_RAW);
        set_capabilities(None, few).unwrap();
        let error = wake(&packet(None), &ethernet(&machine.interface), quick()).await.unwrap_err();
        assert!(matches!(error, WakeError::Forbidden { .. }), "{error:?}");
        // UDP needs no right, not even to choose the interface.
        wake(&packet(None), &udp("10.9.1.255", Some(&machine)), quick()).await.unwrap();
        assert_eq!(parse_frame(&machine.next_frame()), Ok(packet(None)));
    }

    #[tokio::test]
    async fn packets_of_other_senders_are_read() {
        if !own_network(&["etherwake", "wakeonlan"]) {
            return;
        }
        let machine = Machine::on_link(1);
        let interface = &machine.interface;
        for (program, arguments, password) in [
            ("wakeonlan", format!("-i 10.9.1.255 {MAC}"), None),
            ("wakeonlan", format!("-i 10.9.1.255 -p 7 {MAC}"), None),
            ("etherwake", format!("-b -i {interface} {MAC}"), None),
            ("etherwake", format!("-i {interface} {MAC}"), None),
            (
                "etherwake",
                format!("-b -i {interface} -p 01:02:03:0a:0b:0c {MAC}"),
                Some("01:02:03:0a:0b:0c"),
            ),
            ("etherwake", format!("-b -i {interface} -p 192.168.1.7 {MAC}"), Some("192.168.1.7")),
        ] {
            run(program, &arguments);
            assert_eq!(parse_frame(&machine.next_frame()), Ok(packet(password)), "{arguments}");
        }
        // And one that is none, of the same length.
        let other = UdpSocket::bind("10.9.1.1:0").unwrap();
        other.send_to(&[0; 102], "10.9.1.2:9").unwrap();
        assert_eq!(parse_frame(&machine.next_frame()), Err(NotMagic::Sync));
    }
}
