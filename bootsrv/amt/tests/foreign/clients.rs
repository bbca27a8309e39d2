//! Whole clients: amtctrl as it is, and two more through their modules.

use crate::process::{run, text};
use crate::python::{program, programs, script};
use crate::support::{PASSWORD, certificates, start};
use amt::fake::{Fake, FakeSettings};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// amtctrl knows one port: each run gets a loopback address of its own.
fn address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, 142, high, low), amt::PORT_PLAIN).into()
}

fn amtctrl(programs: &Path, home: &Path, fake: &Fake, password: &str, verb: &str) -> String {
    let mut command = program(programs, "amtctrl");
    command.env("HOME", home).env("XDG_DATA_HOME", home);
    command.args(["-p", &fake.address().ip().to_string(), verb]);
    text(&run(&mut command, &format!("{password}\n")))
}

#[tokio::test(flavor = "multi_thread")]
async fn amtctrl_drives_the_fake() {
    let Some(programs) = programs() else { return };
    let fake = start(FakeSettings { listen: address(), ..FakeSettings::default() }).await;
    let home = tempfile::tempdir().unwrap();
    let ask = |verb| amtctrl(&programs, home.path(), &fake, PASSWORD, verb);
    assert_eq!(ask("status"), "off\n", "8 by its table");
    for (verb, said) in
        [("on", ""), ("status", "on\n"), ("pxeboot", ""), ("reboot", ""), ("off", "")]
    {
        assert_eq!(ask(verb), said, "{verb}");
    }
    let counters = fake.counters();
    // A power cycle is what it calls a reboot; only the first one was to be from the network.
    assert_eq!((counters.on, counters.off, counters.network_boots), (3, 3, 1));
    let refused = ask("reboot");
    assert!(refused.contains("<g:ReturnValue>2</g:ReturnValue>"), "off takes no cycle: {refused}");
    let wrong = amtctrl(&programs, home.path(), &fake, "wrong", "on");
    assert!(wrong.contains("401") && !fake.is_on().await.unwrap(), "{wrong}");
}

fn client(programs: &Path, name: &str, fake: &Fake, authority: &str, verb: &str) -> String {
    let mut command = program(programs, "python");
    command.env("AMT_PASSWORD", PASSWORD).arg(script("clients.py")).arg(name);
    let address = fake.address();
    command.args([&address.ip().to_string(), &address.port().to_string(), authority, verb]);
    text(&run(&mut command, ""))
}

/// With TLS too, by OpenSSL; napalm's checks the certificate.
#[tokio::test(flavor = "multi_thread")]
async fn powerctl_and_napalm_drive_the_fake() {
    let Some(programs) = programs() else { return };
    let (tls, authority, _) = certificates();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    for (tls, authority) in [(None, "-"), (Some(tls), file.to_str().unwrap())] {
        let fake = start(FakeSettings { tls, ..FakeSettings::default() }).await;
        let ask = |name, verb| client(&programs, name, &fake, authority, verb);
        for (name, verb, said) in [
            ("powerctl", "status", "off\n"),
            ("powerctl", "power_on", "True\n"),
            ("powerctl", "status", "on\n"),
            ("powerctl", "power_cycle", "True\n"),
            ("powerctl", "reboot", "True\n"),
            ("powerctl", "shutdown", "True\n"),
            ("napalm", "get", "8 2\n"),
            ("napalm", "2", "0\n"),
            ("napalm", "get", "2 ['10', '8', '5', '12']\n"),
            ("napalm", "fault", "Sender DestinationUnreachable\n"),
            (
                "napalm",
                "list",
                "1 2\n['Intel(r) AMT: Force Hard-drive Boot', 'Intel(r) AMT: Force PXE Boot', \
                 'Intel(r) AMT: Force CD/DVD Boot']\n",
            ),
            ("napalm", "8", "0\n"),
            ("powerctl", "status", "off\n"),
        ] {
            assert_eq!(ask(name, verb), said, "{name} {verb} {authority}");
        }
        let counters = fake.counters();
        assert_eq!((counters.on, counters.off), (3, 2));
        assert_eq!((counters.resets, counters.soft_off, counters.wrong_logins), (1, 1, 0));
    }
}
