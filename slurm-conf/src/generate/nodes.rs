//! nodes.toml, for `bmc node import`. Holds no password: it names the files that do.

use super::header;
use crate::site::{self, Node, Site};
use crate::toml_text::quoted;
use protocol::api::Firmware;
use std::fmt::Write as _;

/// Every node with its network card and its baseboard controller.
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
    if range.firmware == Firmware::Uefi {
        writeln!(text, "firmware = \"uefi\"").ok();
    }
    if let Some(log) = &range.console_log {
        writeln!(text, "console_log = {}", quoted(&log.replace("{node}", name))).ok();
    }
    let suite =
        range.cipher_suite.map_or(String::new(), |suite| format!(", cipher_suite = {suite}"));
    let kg = range.kg_file.as_ref().map_or(String::new(), |file| {
        format!(", kg_file = {}", quoted(&file.replace("{node}", name)))
    });
    writeln!(
        text,
        "power = {{ method = \"ipmi\", address = {}, user = {}, password_file = {}{suite}{kg} }}",
        quoted(&node.controller),
        quoted(&range.controller_user),
        quoted(&range.password_file.replace("{node}", name)),
    )
    .ok();
}
