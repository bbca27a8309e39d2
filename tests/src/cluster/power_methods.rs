//! Services that switch nodes by other methods than the cluster's usual one, each on its real wire and
//! each in front of the node's own chassis program; and what an admin tells bootsrv of them.

use crate::cluster::accounts::SLURM_ID;
use crate::cluster::error::Result;
use crate::cluster::layout::{Access, PROGRAM_DIR, PUBLIC, PUBLIC_DIR, RunDir, make_dir, write};
use crate::cluster::network::BRIDGE;
use crate::cluster::node::{HEAD_MANAGEMENT_ADDRESS, Node};
use crate::cluster::on_demand::{OnDemand, Ready, certificate};

/// sushy-tools' emulator: Redfish, with TLS; the second node.
pub const REDFISH: &str = "redfish";
/// The card of the third node, which only a magic packet wakes.
pub const WAKE: &str = "wake";
/// The second node by AMT, with TLS.
pub const AMT: &str = "amt";
/// net-snmp's agent as a power distribution unit: an outlet for each of the first four nodes.
pub const PDU: &str = "pdu";
/// pyghmi's controller with cipher suite 17; the fourth node.
pub const SUITE_17: &str = "ipmi-suite-17";

/// Where [`REDFISH`] is.
pub const REDFISH_ADDRESS: &str = "10.77.1.12:8443";
/// Where [`SUITE_17`] is: an address and a port of its own, beside the node's `ipmi_sim`.
pub const SUITE_17_ADDRESS: (&str, &str) = ("10.77.1.14", "6230");
/// The certificate of [`REDFISH`] and [`AMT`] as it is seen inside the cluster.
pub const CERTIFICATE: &str = "/etc/bare-metal-container/site/n2.pem";
/// Where AMT listens with TLS.
const AMT_ADDRESS: &str = "10.77.1.12:16993";
/// What [`PDU`] is like, and its objects that say how an outlet is and switch it; the outlet's number
/// follows.
const PDU_MODEL: &str = "apc-rpdu";
const PDU_STATUS: &str = "1.3.6.1.4.1.318.1.1.12.3.5.1.1.4";
const PDU_CONTROL: &str = "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4";
/// The SecureOn password of [`WAKE`].
pub const SECURE_ON: &str = "10:20:30:40:50:60";
/// A site's own program, for method `exec`.
const EXEC: &str = "/etc/bare-metal-container/site/rack-power";

/// The launchers, as they stand beside their protocols' tests.
const PROGRAMS: [(&str, &str); 3] = [
    ("sushy_node.py", include_str!("../../../bootsrv/redfish/tests/sushy_node.py")),
    ("virtual_pdu.py", include_str!("../../../bootsrv/pdu/tests/virtual_pdu.py")),
    ("controller.py", include_str!("../../../bootsrv/ipmi/tests/support/controller.py")),
];

/// What a site without a method of ours writes: ADDRESS PASSWORD-FILE on|off|status.
const RACK_POWER: &str = r#"#!/bin/sh
ask() { /usr/bin/ipmitool -I lanplus -C 3 -H "$address" -U admin -f "$password" chassis power "$1"; }
address=$1 password=$2
case $3 in
  status)
    case $(ask status) in
      *"is on") echo on ;;
      *"is off") echo off ;;
      *) exit 1 ;;
    esac ;;
  *) ask "$3" >&2 ;;
esac
"#;

/// All of them.
pub(crate) fn all(run: &RunDir) -> Vec<OnDemand> {
    let path = |name: &str| run.join(name).display().to_string();
    let own = |name: &str| format!("{PROGRAM_DIR}/{name}");
    let [python, dir, chassis] = [path("python/bin/python"), path(""), own("vcluster-chassis")];
    let accepts = |address: &str| Ready::Accepts(address.to_owned());
    let one = |name, ready, words: &[&str]| OnDemand { name, ready, words: owned(words) };
    let (key, pem) = (path("controllers/key.pem"), path("etc/site/n2.pem"));
    let (of_n2, of_n4) = (path("nodes/n2/password"), path("nodes/n4/password"));

    let redfish = [&python, &path("controllers/sushy_node.py"), "--listen", REDFISH_ADDRESS];
    let redfish = [&redfish[..], &["--name", "n2", "--state", &path("controllers/redfish")]];
    let account = ["--user", "admin", "--password-file", &of_n2, "--mode", "Legacy"];
    let tls = ["--certificate", &pem, "--key", &key, "--", &chassis, &dir, "n2"];
    let redfish = [&redfish.concat()[..], &account, &tls].concat();

    let amt = [&own("amt-fake"), "--listen", AMT_ADDRESS, "--password-file", &of_n2];
    let tls = ["--tls-certificate", &pem, "--tls-key", &key, &chassis, &dir, "n2"];

    let switch = "exec \"$0\" \"$1\" \"n$2\" outlet \"$3\"";
    let address = format!("{HEAD_MANAGEMENT_ADDRESS}:161");
    let pdu = [&python, &path("controllers/virtual_pdu.py"), "serve", "--listen", &address];
    let unit = ["--directory", &path("controllers/pdu"), "--model", PDU_MODEL, "--outlets", "4"];
    let switch = ["--", "sh", "-c", switch, &chassis, &dir];
    let asked = outlet_status(1);

    // Its password comes by the environment, and stands in no command line.
    let script = "PASSWORD=$(cat \"$0\") && export PASSWORD && exec \"$@\"";
    let (host, port) = SUITE_17_ADDRESS;
    let address = format!("{host}:{port}");
    let ipmi = ["sh", "-c", script, &of_n4, &python, &path("controllers/controller.py")];
    let account = ["--listen", &address, "--user", "admin", "--watts", &path("nodes/n4/watts")];
    let ipmi = [&ipmi[..], &account, &[&chassis, &dir, "n4"]].concat();
    let status = ipmitool(run, &["chassis", "power", "status"]);

    // A card in standby keeps its link, and with it the bridge's: without any, the kernel sends nothing.
    let script = "ip link show card3 >/dev/null 2>&1 || { \
                  ip link add standby3 type veth peer name card3 && ip link set card3 up && \
                  ip link set standby3 master \"$0\" up; } && exec \"$@\"";
    let card = [&own("vcluster-wake"), &dir, "n3", "card3", &path("controllers/secure-on")];
    let card = [&["sh", "-c", script, BRIDGE][..], &card].concat();
    let listens = "ss --packet --numeric --processes | grep --quiet vcluster-wake";
    let listens = Ready::Succeeds(owned(&["sh", "-c", listens]));
    vec![
        one(REDFISH, accepts(REDFISH_ADDRESS), &redfish),
        one(WAKE, listens, &card),
        one(AMT, accepts(AMT_ADDRESS), &[&amt[..], &tls].concat()),
        one(PDU, Ready::Succeeds(asked), &[&pdu[..], &unit, &switch].concat()),
        one(SUITE_17, Ready::Succeeds(status), &ipmi),
    ]
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// `ipmitool` for [`SUITE_17`].
#[must_use]
pub fn ipmitool(run: &RunDir, words: &[&str]) -> Vec<String> {
    let (host, port) = SUITE_17_ADDRESS;
    let password = run.join("nodes/n4/password").display().to_string();
    let to =
        ["ipmitool", "-I", "lanplus", "-C", "17", "-N", "1", "-R", "1", "-H", host, "-p", port];
    owned(&[&to[..], &["-U", "admin", "-f", &password], words].concat())
}

/// `snmpget` for an outlet's state, which it prints: 1 is on, 2 is off.
#[must_use]
pub fn outlet_status(outlet: u8) -> Vec<String> {
    let object = format!("{PDU_STATUS}.{outlet}");
    let words = ["snmpget", "-v2c", "-c", "public", "-t", "1", "-r", "3", "-Oqv"];
    owned(&[&words[..], &[HEAD_MANAGEMENT_ADDRESS, &object]].concat())
}

/// `snmpset` that switches an outlet off.
#[must_use]
pub fn outlet_off(outlet: u8) -> Vec<String> {
    let object = format!("{PDU_CONTROL}.{outlet}");
    let words = ["snmpset", "-v2c", "-c", "private", "-t", "1", "-r", "3", "-Oqv"];
    owned(&[&words[..], &[HEAD_MANAGEMENT_ADDRESS, &object, "i", "2"]].concat())
}

/// How a node of the cluster can be switched, beside the usual way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// [`REDFISH`].
    Redfish,
    /// [`WAKE`].
    WakeOnLan,
    /// [`AMT`].
    Amt,
    /// [`PDU`].
    Pdu,
    /// [`SUITE_17`].
    Suite17,
    /// A program of the site's own.
    Exec,
}

impl Method {
    /// The service that it takes.
    #[must_use]
    pub fn service(self) -> Option<&'static str> {
        match self {
            Self::Redfish => Some(REDFISH),
            Self::WakeOnLan => Some(WAKE),
            Self::Amt => Some(AMT),
            Self::Pdu => Some(PDU),
            Self::Suite17 => Some(SUITE_17),
            Self::Exec => None,
        }
    }

    /// What `bmc node import` is told of it, as an inline table; `fingerprint`: of [`CERTIFICATE`].
    #[must_use]
    pub fn definition(self, run: &RunDir, node: Node, fingerprint: &str) -> String {
        let password = run.node(node).join("password").display().to_string();
        let (suite_17, port) = SUITE_17_ADDRESS;
        let words = match self {
            Self::Redfish => format!(
                "method = \"redfish\", url = \"https://{REDFISH_ADDRESS}\", user = \"admin\", \
                 password_file = \"{password}\", trust = {{ ca_file = \"{CERTIFICATE}\" }}"
            ),
            Self::WakeOnLan => format!(
                "method = \"wake_on_lan\", broadcast = \"10.77.0.255\", interface = \"{BRIDGE}\", \
                 password_file = \"{}\"",
                run.join("controllers/secure-on").display()
            ),
            Self::Amt => format!(
                "method = \"amt\", address = \"{AMT_ADDRESS}\", password_file = \"{password}\", \
                 trust = {{ certificate_sha256 = \"{fingerprint}\" }}"
            ),
            Self::Pdu => format!(
                "method = \"pdu\", address = \"{HEAD_MANAGEMENT_ADDRESS}\", \
                 community = \"private\", model = \"{PDU_MODEL}\", outlets = [{}]",
                node.number()
            ),
            Self::Suite17 => format!(
                "method = \"ipmi\", address = \"{suite_17}:{port}\", user = \"admin\", \
                 password_file = \"{password}\", cipher_suite = 17"
            ),
            Self::Exec => format!(
                "method = \"exec\", program = \"{EXEC}\", arguments = [\"{}\", \"{password}\"]",
                node.controller_address()
            ),
        };
        format!("{{ {words} }}")
    }
}

/// Writes their files.
pub(crate) fn prepare(run: &RunDir) -> Result<()> {
    for name in ["controllers", "controllers/pdu", "controllers/redfish"] {
        make_dir(&run.join(name), PUBLIC_DIR)?;
    }
    for (name, text) in PROGRAMS {
        write(&run.join("controllers").join(name), text, PUBLIC)?;
    }
    let secret = Access { owner: SLURM_ID, mode: 0o600 };
    write(&run.join("controllers/secure-on"), format!("{SECURE_ON}\n"), secret)?;
    write(&run.join("etc/site/rack-power"), RACK_POWER, PUBLIC_DIR)?;
    let (key, pem) = (run.join("controllers/key.pem"), run.join("etc/site/n2.pem"));
    certificate(&key, &pem, "n2-controller", "IP:10.77.1.12")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn no_command_line_and_no_definition_shows_a_password() {
        let run = RunDir::new(Path::new("/var/tmp/x")).unwrap();
        let node = "n2".parse().unwrap();
        for method in [Method::Redfish, Method::WakeOnLan, Method::Amt, Method::Suite17] {
            let definition = method.definition(&run, node, "00");
            assert!(definition.contains("password_file = \"/var/tmp/x/"), "{definition}");
        }
        for one in all(&run) {
            assert!(!one.words.contains(&SECURE_ON.to_owned()), "{}", one.name);
        }
        let words = ipmitool(&run, &["chassis", "status"]).join(" ");
        assert!(words.ends_with("-f /var/tmp/x/nodes/n4/password chassis status"));
    }

    #[test]
    fn every_definition_is_an_inline_table_of_its_method() {
        use Method::{Amt, Exec, Pdu, Redfish, Suite17, WakeOnLan};
        let run = RunDir::new(Path::new("/var/tmp/x")).unwrap();
        let services: Vec<_> = all(&run).into_iter().map(|one| one.name).collect();
        for method in [Redfish, WakeOnLan, Amt, Pdu, Suite17, Exec] {
            let text = method.definition(&run, "n3".parse().unwrap(), "00");
            let table: toml::Table = toml::from_str(&format!("power = {text}")).unwrap();
            assert!(table["power"]["method"].is_str());
            assert!(method.service().is_none_or(|service| services.contains(&service)));
        }
    }
}
