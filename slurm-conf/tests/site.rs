//! Site files that are refused, each with the line and what is wrong with it.
#![expect(
    clippy::unwrap_used,
    reason = "clippy sees only #[test] functions as tests, not their helpers"
)]

use slurm_conf::site::Site;
use std::path::Path;

const GOOD: &str = include_str!("../../examples/site.toml");

/// The message a site file gives in which the first `from` is `to`.
fn refusal(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the good file");
    Site::parse(&GOOD.replacen(from, to, 1), Path::new("site.toml")).unwrap_err().to_string()
}

/// Where `text` stands in the good file.
fn line_of(text: &str) -> usize {
    1 + GOOD.lines().position(|line| line.contains(text)).unwrap()
}

/// A good file in which `from` is `to` is refused, with the line and what is wrong.
fn assert_refused(from: &str, to: &str, expected: &str) {
    let message = refusal(from, to);
    let key = from.split(" = ").next().unwrap().trim_start_matches([',', ' ', '"']);
    let line = format!("site.toml:{}: ", line_of(from));
    assert!(message.contains(expected), "{key}: {message}");
    assert!(message.starts_with(&line), "{key}: expected {line:?}: {message}");
}

#[test]
fn each_mistake_is_named_with_its_line() {
    for (from, to, expected) in [
        ("interface = ", "interfaces = ", "unknown field `interfaces`"),
        ("cluster = ", "energy.pue = 0.9\ncluster = ", "must be from 1 to 10"),
        ("cluster = ", "energy.pu = 1.5\ncluster = ", "unknown field `pu`"),
        ("cluster = \"lab\"", "cluster = \"my lab\"", "cluster \"my lab\" is not a name"),
        ("user = \"slurm\"", "user = \"slurm\\nx\"", "user \"slurm\\nx\" is not a name"),
        ("version = \"22.05\"", "version = \"22\"", "\"22\" is not a Slurm version"),
        ("version = \"22.05\"", "version = \"20.11\"", "version is older than 22.05"),
        ("provisioning = \"10.77.0.0/24\"", "provisioning = \"10.77.0.1/24\"", "no bit set behind"),
        ("names = \"n[1-2]\"", "names = \"n[1-\"", "names is refused: node list \"n[1-\""),
        (
            "first_address = \"10.77.0.11\"",
            "first_address = \"10.77.9.11\"",
            "gives n1 10.77.9.11, which is not a host of 10.77.0.0/24",
        ),
        (
            "first_address = \"10.77.0.11\"",
            "first_address = \"10.77.0.254\"",
            "gives n2 10.77.0.255, which is not",
        ),
        (", \"52:54:00:77:00:02\"", "", "macs lists 1 addresses for 2 nodes"),
        ("52:54:00:77:00:02", "52:54:00:77:00", "MAC address \"52:54:00:77:00\" is not valid"),
        ("cpus = 1", "cpus = 0", "cpus is not a multiple"),
        ("memory_mib = 256", "memory_mib = 0", "memory_mib is 0"),
        (
            "controller = \"10.77.1.11\"",
            "controller = \"10.78.1.11\"",
            "which is not a host of 10.77.1.0/24",
        ),
        (
            "controller = \"10.77.1.11\"",
            "controller = \"ipmi\"",
            "neither an IPv4 address nor a host name with {node}",
        ),
        ("cipher_suite = 3", "cipher_suite = 8", "cipher_suite is neither 17 nor 3"),
        ("consoles/{node}.log", "consoles/all.log", "console_log is one file for several nodes"),
        (
            "consoles/{node}.log",
            "consoles/{name}.log",
            "console_log has braces that are not {node}",
        ),
        (
            "secrets/ipmi-password",
            "secrets/{nodes}",
            "password_file has braces that are not {node}",
        ),
        ("\"/etc/bare-metal-container/secrets/ipmi", "\"ipmi", "password_file is not an absolute"),
        (
            "nodes = \"n[1-4]\"",
            "nodes = \"n[1-5]\"",
            "nodes names n5, which no [[nodes]] table has",
        ),
        (
            "default_kernel = \"6.1-cloud\"",
            "default_kernel = \"../x\"",
            "kernel name \"../x\" is not valid",
        ),
        (
            "default_image = \"debian12\"",
            "canary = { kernel = \"x\", nodes = \"n9\" }\ndefault_image = \"debian12\"",
            "canary names n9, which is no node of bmc",
        ),
        ("mode = \"0400\"", "mode = \"0444\"", "mode lets others read a secret"),
        ("target = \"/home\"", "target = \"home\"", "target is not an absolute path"),
    ] {
        assert_refused(from, to, expected);
    }
}

#[test]
fn each_power_method_has_its_own_keys() {
    for (from, to, expected) in [
        ("cipher_suite = 3", "power = \"snmp\"", "unknown variant `snmp`"),
        ("cipher_suite = 3", "power = \"exec\"", "power_program is missing: power = \"exec\""),
        ("cipher_suite = 3", "power = \"exec\"", "controller is of no use with power = \"exec\""),
        (
            "controller_user = \"admin\"",
            "",
            "controller_user is missing: power = \"ipmi\" needs it",
        ),
        ("controller_user = \"admin\"", "controller_user = \"\"", "controller_user is empty"),
        (
            "cpus = 1",
            "cpus = 1\npower = \"redfish\"",
            "cipher_suite is of no use with power = \"redfish\"",
        ),
        ("cipher_suite = 3", "power_program = \"p\"", "power_program is not an absolute path"),
        ("cipher_suite = 3", "wake_interface = \"a b\"", "wake_interface is not the name of"),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(expected), "{to}: {message}");
    }
}

#[test]
fn a_console_has_one_source() {
    for (from, to, expected) in [
        (
            "cipher_suite = 3",
            "console = \"sol\"",
            "console and console_log are two ways to one console",
        ),
        ("cipher_suite = 3", "console = \"vga\"", "unknown variant `vga`"),
        (
            "cpus = 1",
            "cpus = 1\npower = \"exec\"\nconsole = \"sol\"",
            "console is of no use with power = \"exec\"",
        ),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(expected), "{to}: {message}");
    }
}

#[test]
fn mistakes_about_application_images_are_named_with_their_line() {
    for (from, to, expected) in [
        ("mounts = [\"/home\"]", "mounts = [\"home\"]", "mounts is refused: mount \"home\""),
        ("mounts = [\"/home\"]", "root = \"nfs\"", "root is \"nfs\", and no nfs names the export"),
        ("mounts = [\"/home\"]", "mount = [\"/home\"]", "mount is no key of [application_images]"),
        (
            "default_image = \"debian12\"",
            "root = \"nfs\"\ndefault_image = \"debian12\"",
            "root is \"nfs\", and no application_images.nfs names the export",
        ),
    ] {
        assert_refused(from, to, expected);
    }
}

#[test]
fn an_address_given_twice_is_named_with_its_owner() {
    for (from, to, expected) in [
        (
            "52:54:00:77:00:03",
            "52:54:00:77:00:01",
            "macs gives n3 52:54:00:77:00:01, which n1 has already",
        ),
        (
            "\"10.77.0.13\"",
            "\"10.77.0.12\"",
            "first_address gives n3 10.77.0.12, which n2 has already",
        ),
        (
            "\"10.77.1.13\"",
            "\"10.77.1.12\"",
            "controller gives n3 10.77.1.12, which n2 has already",
        ),
        (
            "\"10.77.0.11\"",
            "\"10.77.0.1\"",
            "first_address gives n1 10.77.0.1, which slurmctld has already",
        ),
        (
            "names = \"n[3-4]\"",
            "names = \"n[2-3]\"",
            "names gives n2 node n2, which n2 has already",
        ),
    ] {
        let message = refusal(from, to);
        assert!(message.contains(expected), "{from}: {message}");
    }
}

#[test]
fn all_mistakes_come_at_once() {
    let text = GOOD.replace("memory_mib = 256", "memory_mib = 0").replace("\"n[1-4]\"", "\"n9\"");
    let message = Site::parse(&text, Path::new("site.toml")).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 3, "{message}");
}

#[test]
fn versions_are_read_as_scontrol_prints_them() {
    use slurm_conf::site::SlurmVersion;
    for text in ["22.05", "22.05.8", "slurm 22.05.8\n", "slurm-wlm 22.05.8\n", "22.05.0-0rc1"] {
        assert_eq!(text.parse(), Ok(SlurmVersion { year: 22, month: 5 }), "{text:?}");
    }
    for bad in ["", "slurm", "22", "22.5", "x.y"] {
        assert!(bad.parse::<SlurmVersion>().is_err(), "{bad:?}");
    }
}
