//! The file of `bmc node import`: `[[node]]` tables, each a node's definition. A password and a
//! controller's key may stand in files of their own, named relative to this one, so that this one
//! can be shared.

use crate::failure::refused;
use anyhow::Context;
use protocol::api::NodeDefinition;
use protocol::node_list::NODES_MAX;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use toml::{Table, Value};

/// Longest file, in bytes: 10,000 nodes with 400 bytes each.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Longest file with a secret, in bytes; IPMI allows passwords and keys of 20.
const SECRET_BYTES_MAX: u64 = 1024;
/// What may stand in a file of its own, named by the same key with `_file` behind it.
const SECRETS: [&str; 3] = ["password", "kg", "community"];

/// Reads the nodes and the passwords they refer to.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<NodeDefinition>> {
    let text = read_text(path, FILE_BYTES_MAX)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    parse(&text, directory).with_context(|| path.display().to_string())
}

fn parse(text: &str, directory: &Path) -> anyhow::Result<Vec<NodeDefinition>> {
    let mut file: Table = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        // The text of the line is left out: it may hold a password.
        anyhow::anyhow!("line {line}: {}", error.message())
    })?;
    let nodes = file.remove("node");
    if let Some(key) = file.keys().next() {
        return Err(refused(format!("{key:?} is not known here"), "Nodes are [[node]] tables."));
    }
    let Some(Value::Array(nodes)) = nodes else {
        return Err(refused("there is no [[node]] table", "See `bmc node import --help`."));
    };
    if nodes.len() > NODES_MAX {
        return Err(refused(
            format!("more than {NODES_MAX} nodes"),
            "Import them in several files.",
        ));
    }
    let numbered = nodes.into_iter().enumerate();
    numbered.map(|(index, node)| definition(node, index, directory)).collect()
}

fn definition(mut node: Value, index: usize, directory: &Path) -> anyhow::Result<NodeDefinition> {
    let name = node.get("name").and_then(Value::as_str).map(str::to_owned);
    let which = || match &name {
        Some(name) => format!("node {name:?}"),
        None => format!("node number {}", index + 1),
    };
    for switch in ["power", "outlet"] {
        let Some(switch) = node.get_mut(switch).and_then(Value::as_table_mut) else { continue };
        for key in SECRETS {
            resolve_secret(switch, key, directory).with_context(which)?;
        }
    }
    let parsed = NodeDefinition::deserialize(node)
        .map_err(|error| anyhow::anyhow!("{}", error.message().trim_end().replace('\n', " ")));
    parsed.with_context(which)
}

/// Puts the first line of the file that `KEY_file` names in the place of `KEY`.
fn resolve_secret(power: &mut Table, key: &str, directory: &Path) -> anyhow::Result<()> {
    let Some(file) = power.remove(&format!("{key}_file")) else { return Ok(()) };
    if power.contains_key(key) {
        let message = format!("both {key} and {key}_file are given");
        return Err(refused(message, "Leave one of them out."));
    }
    let Value::String(file) = file else { anyhow::bail!("{key}_file is not a text") };
    let text = read_text(&directory.join(file), SECRET_BYTES_MAX)?;
    let secret = text.lines().next().unwrap_or_default();
    anyhow::ensure!(!secret.is_empty(), "the first line of {key}_file is empty");
    power.insert(key.to_owned(), Value::String(secret.to_owned()));
    Ok(())
}

fn read_text(path: &Path, bytes_max: u64) -> anyhow::Result<String> {
    let cannot_read = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot_read)?;
    let mut text = String::new();
    let limit = bytes_max.saturating_add(1);
    let bytes = file.take(limit).read_to_string(&mut text).with_context(cannot_read)?;
    let fits = u64::try_from(bytes).is_ok_and(|bytes| bytes <= bytes_max);
    anyhow::ensure!(fits, "{} is longer than {bytes_max} bytes", path.display());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::api::Firmware;
    use protocol::power::PowerDefinition;

    const NODE: &str = "[[node]]\nname = \"n1\"\nmac = \"52:54:00:77:00:01\"\n\
        address = \"10.77.0.11/24\"\ncpus = 2\n";

    fn with_power(lines: &str) -> String {
        format!(
            "{NODE}[node.power]\nmethod = \"ipmi\"\naddress = \"10.77.1.11\"\nuser = \"admin\"\n{lines}"
        )
    }

    fn parse_in(directory: &Path, text: &str) -> Result<Vec<NodeDefinition>, String> {
        parse(text, directory).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_password_comes_from_the_file_or_from_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "wörd#1\n").unwrap();
        for (line, expected) in
            [("password = \"pass\"\n", "pass"), ("password_file = \"secret\"\n", "wörd#1")]
        {
            let path = directory.path().join("nodes.toml");
            std::fs::write(&path, with_power(line)).unwrap();
            let nodes = read(&path).unwrap();
            let PowerDefinition::Ipmi { password, .. } = &nodes[0].power else { panic!() };
            assert_eq!(password.expose(), expected);
            assert_eq!((nodes.len(), nodes[0].threads_per_core), (1, 1));
            assert_eq!(nodes[0].firmware, Firmware::Bios);
        }
    }

    #[test]
    fn a_controllers_key_may_stand_in_a_file_and_firmware_is_of_the_node() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("key"), "0x00ff\n").unwrap();
        let text = with_power("password = \"p\"\nkg_file = \"key\"\n")
            .replace("cpus = 2", "cpus = 2\nfirmware = \"uefi\"");
        let nodes = parse_in(directory.path(), &text).unwrap();
        let PowerDefinition::Ipmi { kg, .. } = &nodes[0].power else { panic!() };
        assert_eq!(kg.as_ref().unwrap().expose(), "0x00ff");
        assert_eq!(nodes[0].firmware, Firmware::Uefi);
    }

    #[test]
    fn every_method_is_read_with_its_secrets_from_files_and_so_is_an_outlet() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), "hush\n").unwrap();
        let pdu = "method = \"pdu\", address = \"p\", community_file = \"secret\", \
                   model = \"apc-rpdu\", outlets = [3]";
        for (power, shown) in [
            (
                "method = \"redfish\", url = \"https://b\", user = \"u\", password_file = \"secret\", \
              trust = { ca_file = \"/c\" }",
                "redfish https://b",
            ),
            ("method = \"amt\", address = \"c\", password_file = \"secret\"", "amt c"),
            (
                "method = \"wake_on_lan\", broadcast = \"10.0.0.255\", password_file = \"secret\"",
                "wake_on_lan 10.0.0.255",
            ),
            (pdu, "pdu p outlet 3"),
            ("method = \"exec\", program = \"/p\", arguments = [\"a\"]", "exec /p"),
        ] {
            let text = format!("{NODE}power = {{ {power} }}\noutlet = {{ {pdu} }}\n");
            let nodes = parse_in(directory.path(), &text).unwrap();
            assert_eq!(nodes[0].power.to_string(), shown);
            let sent = serde_json::to_value(&nodes[0]).unwrap();
            assert_eq!(sent["outlet"]["community"], "hush");
            for key in ["password", "community"] {
                assert!(sent["power"].get(key).is_none_or(|secret| secret == "hush"), "{shown}");
            }
            assert!(!format!("{:?}", nodes[0]).contains("hush"), "{shown}");
        }
    }

    #[test]
    fn mistakes_in_an_outlet_name_the_node() {
        let directory = tempfile::tempdir().unwrap();
        for (outlet, expected) in [
            ("method = \"ipmi\"", "node \"n1\": unknown variant `ipmi`"),
            ("method = \"exec\", program = \"/p\", typo = 1", "unknown field `typo`"),
            ("method = \"pdu\", community_file = \"none\"", "node \"n1\": cannot read"),
        ] {
            let power = "power = { method = \"exec\", program = \"/p\" }";
            let text = format!("{NODE}{power}\noutlet = {{ {outlet} }}\n");
            let message = parse_in(directory.path(), &text).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn mistakes_name_the_node_and_never_the_password() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("empty"), "\n").unwrap();
        let password = "password = \"hush\"\n";
        for (text, expected) in [
            (String::new(), "there is no [[node]] table"),
            (format!("[nodes]\n{NODE}"), "\"nodes\" is not known here"),
            (NODE.to_owned(), "node \"n1\": missing field `power`"),
            (with_power(""), "node \"n1\": missing field `password`"),
            (with_power("password_file = \"none\"\n"), "cannot read"),
            (with_power("password_file = \"empty\"\n"), "first line of password_file is empty"),
            (with_power(&format!("{password}password_file = \"x\"\n")), "both password"),
            (with_power(&format!("{password}typo = 1\n")), "unknown field `typo`"),
            (with_power(&password.replace("hush\"", "hush")), "line 10: "),
            (with_power(password).replace("\"n1\"", "\"n 1\""), "node name \"n 1\" is not valid"),
            (with_power(password).replace("name = \"n1\"\n", ""), "node number 1: missing field"),
        ] {
            let message = parse_in(directory.path(), &text).unwrap_err();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("hush"), "{message}");
        }
    }
}
