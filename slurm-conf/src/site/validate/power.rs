//! The rules of what switches the power of a range's nodes.

use super::{PATH, Problems, is_plain_path, is_word};
use crate::site::{NodeRange, PowerMethod};
use std::net::Ipv4Addr;
use std::path::Path;

/// Longest interface name that the kernel takes, in bytes.
const INTERFACE_BYTES_MAX: usize = 15;

/// A key, and the methods that need it and that can do with it.
struct Key {
    name: &'static str,
    is_given: bool,
    needed_by: &'static [PowerMethod],
    used_by: &'static [PowerMethod],
}

fn keys(range: &NodeRange) -> [Key; 10] {
    use PowerMethod::{Exec, Ipmi, Redfish, WakeOnLan};
    let key = |name, is_given, needed_by, used_by| Key { name, is_given, needed_by, used_by };
    [
        key("controller", range.controller.is_some(), &[Ipmi, Redfish], &[]),
        key("controller_user", range.controller_user.is_some(), &[Ipmi, Redfish], &[]),
        key("password_file", range.password_file.is_some(), &[Ipmi, Redfish], &[WakeOnLan]),
        key("cipher_suite", range.cipher_suite.is_some(), &[], &[Ipmi]),
        key("kg_file", range.kg_file.is_some(), &[], &[Ipmi]),
        key("controller_ca_file", range.controller_ca_file.is_some(), &[], &[Redfish]),
        key("power_program", range.power_program.is_some(), &[Exec], &[]),
        key("power_arguments", !range.power_arguments.is_empty(), &[], &[Exec]),
        key("console", range.console.is_some(), &[], &[Ipmi]),
        key("wake_interface", range.wake_interface.is_some(), &[], &[WakeOnLan]),
    ]
}

/// Checks a range's keys: those its method needs, none that it does not know, and their values.
pub(super) fn rules(range: &NodeRange, index: usize, problems: &mut Problems<'_>) {
    let method = match range.power {
        PowerMethod::Ipmi => "ipmi",
        PowerMethod::Redfish => "redfish",
        PowerMethod::Exec => "exec",
        PowerMethod::WakeOnLan => "wake_on_lan",
    };
    for key in keys(range) {
        let (needed, used) =
            (key.needed_by.contains(&range.power), key.used_by.contains(&range.power));
        if needed && !key.is_given {
            let what = format_args!("is missing: power = \"{method}\" needs it");
            problems.add("[[nodes]]", index, key.name, what);
        }
        if key.is_given && !needed && !used {
            let what = format_args!("is of no use with power = \"{method}\"");
            problems.add("[[nodes]]", index, key.name, what);
        }
    }
    values(range, &mut |key, what| problems.add("[[nodes]]", index, key, what));
}

fn values(range: &NodeRange, add: &mut dyn FnMut(&str, &str)) {
    if range.controller.as_deref().is_some_and(|controller| !is_controller(controller)) {
        add("controller", "is neither an IPv4 address nor a host name with {node} in it");
    }
    if range.controller_user.as_deref() == Some("") {
        add("controller_user", "is empty");
    }
    for (key, path) in [
        ("password_file", &range.password_file),
        ("kg_file", &range.kg_file),
        ("controller_ca_file", &range.controller_ca_file),
    ] {
        if let Some(what) = path.as_deref().and_then(path_pattern) {
            add(key, what);
        }
    }
    if range.cipher_suite.is_some_and(|suite| suite != 3 && suite != 17) {
        add("cipher_suite", "is neither 17 nor 3, the two that encrypt and are known to work");
    }
    if range.power_program.as_deref().is_some_and(|program| !is_plain_path(Path::new(program))) {
        add("power_program", PATH);
    }
    let is_interface = |name: &str| is_word(name) && name.len() <= INTERFACE_BYTES_MAX;
    if range.wake_interface.as_deref().is_some_and(|name| !is_interface(name)) {
        add("wake_interface", "is not the name of a network interface");
    }
}

fn is_controller(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
        || (text.contains("{node}") && is_word(&text.replace("{node}", "n1")))
}

/// What is wrong with a path in which `{node}` may stand.
pub(super) fn path_pattern(text: &str) -> Option<&'static str> {
    if text.replace("{node}", "").contains(['{', '}']) {
        return Some("has braces that are not {node}, the only pattern there is");
    }
    (!is_plain_path(Path::new(text))).then_some(PATH)
}
