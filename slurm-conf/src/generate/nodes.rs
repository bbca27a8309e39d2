//! nodes.toml, for `bmc node import`. Holds no password: it names the files that do.

use super::header;
use crate::site::{self, Node, PowerMethod, Site};
use crate::toml_text::{array, quoted};
use protocol::api::{ConsoleSource, Firmware};
use std::fmt::Write as _;

/// Every node with its network card and what switches its power.
pub(super) fn definitions(site: &Site) -> String {
    let mut text =
        header(site, "For `bmc node import`, by someone who may read the password files.");
    for node in site::nodes(site) {
        definition(site, &node, &mut text);
    }
    text
}

fn definition(site: &Site, node: &Node<'_>, text: &mut String) {
    let range = node.range;
    let name = node.name.as_str();
    // Writing to a String cannot fail.
    write!(
        text,
        "\n[[node]]\nname = {}\nmac = \"{}\"\naddress = \"{}/{}\"\n",
        quoted(name),
        node.mac,
        node.address,
        site.network.provisioning.prefix(),
    )
    .ok();
    if let Some(gateway) = site.network.gateway {
        writeln!(text, "gateway = \"{gateway}\"").ok();
    }
    writeln!(text, "cpus = {}\nthreads_per_core = {}", range.cpus, range.threads_per_core).ok();
    writeln!(text, "memory_mib = {}", range.memory_mib).ok();
    if range.firmware == Firmware::Uefi {
        writeln!(text, "firmware = \"uefi\"").ok();
    }
    if let Some(log) = &range.console_log {
        writeln!(text, "console_log = {}", quoted(&log.replace("{node}", name))).ok();
    }
    match range.console {
        Some(ConsoleSource::Sol) => writeln!(text, "console = \"sol\"").ok(),
        None => None,
    };
    writeln!(text, "power = {{ {} }}", power(site, node)).ok();
}

/// The inside of the node's power table. A checked site has what its method needs.
fn power(site: &Site, node: &Node<'_>) -> String {
    let range = node.range;
    let file = |path: &String| quoted(&path.replace("{node}", node.name.as_str()));
    let word = |text: &Option<String>| quoted(text.as_deref().unwrap_or_default());
    let controller = node.controller.as_deref().unwrap_or_default();
    let mut keys = match range.power {
        PowerMethod::Ipmi => vec![
            ("method", quoted("ipmi")),
            ("address", quoted(controller)),
            ("user", word(&range.controller_user)),
        ],
        PowerMethod::Redfish => vec![
            ("method", quoted("redfish")),
            ("url", quoted(&format!("https://{controller}"))),
            ("user", word(&range.controller_user)),
        ],
        PowerMethod::Exec => {
            vec![("method", quoted("exec")), ("program", word(&range.power_program))]
        }
        PowerMethod::WakeOnLan => {
            let broadcast = site.network.provisioning.broadcast().to_string();
            vec![("method", quoted("wake_on_lan")), ("broadcast", quoted(&broadcast))]
        }
    };
    let words = &range.power_arguments;
    let arguments = (!words.is_empty()).then(|| array(words.iter().map(String::as_str)));
    let trust = |path| format!("{{ ca_file = {} }}", file(path));
    let more = [
        ("password_file", range.password_file.as_ref().map(file)),
        ("cipher_suite", range.cipher_suite.map(|suite| suite.to_string())),
        ("kg_file", range.kg_file.as_ref().map(file)),
        ("trust", range.controller_ca_file.as_ref().map(trust)),
        ("arguments", arguments),
        ("interface", range.wake_interface.as_deref().map(quoted)),
    ];
    keys.extend(more.into_iter().filter_map(|(key, value)| Some((key, value?))));
    let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    keys.join(", ")
}
