//! The files of one `ipmi_sim`, a node's baseboard controller: pure texts.
//! It must not know how QEMU is started; that is the chassis program's affair.

use crate::cluster::layout::RunDir;
use crate::cluster::node::Node;
use crate::cluster::serial;

/// The passwords of one controller: at most 16 characters, the limit of IPMI 1.5.
#[derive(Clone)]
pub struct Passwords {
    /// Of the user `admin`.
    pub admin: String,
    /// Of the user `operator`, who may switch power but change nothing in the controller.
    pub operator: String,
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passwords(…)")
    }
}

/// The user who may do everything.
pub const ADMIN: &str = "admin";
/// The user who may switch power.
pub const OPERATOR: &str = "operator";
/// The largest power that the sensor of the sensor data repository shows: 255 steps of 2 W.
pub const SENSOR_WATTS_MAX: u32 = 510;

/// The network and user part (`-c`); with the node's serial console over LAN or without.
#[must_use]
pub fn lan_conf(run: &RunDir, node: Node, passwords: &Passwords, console: bool) -> String {
    let dir = run.node(node);
    let address = node.controller_address();
    let number = node.number();
    let program = run.programs().join("vcluster-chassis");
    let module = run.join("lib/dcmi_module.so");
    let Passwords { admin, operator } = passwords;
    let (host, port) = serial::cable(node);
    let serial =
        if console { format!("\n  sol \"tcp:{host}:{port}\" 115200") } else { String::new() };
    format!(
        r#"# Written by `vcluster up`.
name "{node}"
loadlib "{module}" "{dir}/watts"
set_working_mc 0x20
  startlan 1
    addr {address} 623
    priv_limit admin
    allowed_auths_callback md5
    allowed_auths_user md5
    allowed_auths_operator md5
    allowed_auths_admin md5
    guid a123456789abcdefa1234567890000{number:02x}
  endlan{serial}
  chassis_control "{program} {run} {node}"
  user 2 true "{ADMIN}" "{admin}" admin 10 none md2 md5 straight
  user 3 true "{OPERATOR}" "{operator}" operator 10 none md2 md5 straight
"#,
        module = module.display(),
        dir = dir.display(),
        program = program.display(),
        run = run.path().display(),
    )
}

/// The emulator part (`-f`): one controller with a power sensor that follows the watts file.
#[must_use]
pub fn emulator(run: &RunDir, node: Node) -> String {
    let none = "000000000000000";
    format!(
        "mc_setbmc 0x20\n\
         mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr\n\
         sel_enable 0x20 1000 0x0a\n\
         sensor_add 0x20 0 1 0x0b 0x01 poll 1000 file \"{}/watts\" div=2\n\
         sensor_set_event_support 0x20 0 1 enable scanning per-state {none} {none} {none} {none}\n\
         mc_enable 0x20\n",
        run.node(node).display()
    )
}

/// The sensor data records, as `sdrcomp` reads them: the controller itself and its power sensor,
/// whose 8-bit reading counts in steps of 2 W up to [`SENSOR_WATTS_MAX`].
#[must_use]
pub fn sensor_records(node: Node) -> String {
    let locator = [
        ("device_slave_address", "0x20"),
        ("device_channel_number", "0"),
        ("chassis", "true"),
        ("fru_inventory", "true"),
        ("sel", "true"),
        ("sdr", "true"),
        ("sensor", "true"),
        ("entity_id", "system_board"),
        ("entity_instance", "1"),
    ];
    let sensor = [
        ("sensor_owner_id", "0x20"),
        ("sensor_owner_lun", "0"),
        ("channel_number", "0"),
        ("sensor_number", "1"),
        ("entity_id", "system_board"),
        ("entity_instance", "1"),
        ("sensor_type", "Other_Units_Based_Sensor"),
        ("init_scanning", "true"),
        ("init_sensor_type", "true"),
        ("default_sensor_scan_on", "true"),
        ("event_reading_type_code", "1"),
        ("analog_data_format", "unsigned"),
        ("rate_unit", "none"),
        ("modifier_unit", "none"),
        ("percentage", "false"),
        ("base_unit", "Watts"),
        ("modifier_unit_code", "unspecified"),
        ("linearization", "linear"),
        ("m", "2"),
        ("tolerance", "0"),
        ("b", "0"),
        ("accuracy", "1"),
        ("accuracy_exp", "0"),
        ("sensor_direction", "input"),
        ("r_exp", "0"),
        ("b_exp", "0"),
        ("sensor_maximum", "255"),
        ("sensor_minimum", "0"),
    ];
    let record = |kind: u8, fields: &[(&str, &str)], name: &str| {
        let lines: String =
            fields.iter().map(|(key, value)| format!("\t{key}\t{value}\n")).collect();
        format!("sdr type {kind}\n{lines}\tid_string\t\"{name}\"\nendsdr\n")
    };
    record(18, &locator, &node.to_string()) + &record(1, &sensor, "Pwr Consumption")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_controller_calls_the_chassis_program_for_its_node() {
        let run = RunDir::new(Path::new("/var/tmp/x")).unwrap();
        let passwords = Passwords { admin: "one".into(), operator: "two".into() };
        let text = lan_conf(&run, "n3".parse().unwrap(), &passwords, false);
        assert!(!text.contains("sol "));
        let with_console = lan_conf(&run, "n3".parse().unwrap(), &passwords, true);
        assert!(with_console.contains("  endlan\n  sol \"tcp:10.77.1.1:9103\" 115200\n  chassis"));
        assert!(text.contains("chassis_control \"/var/tmp/x/bin/vcluster-chassis /var/tmp/x n3\""));
        assert!(text.contains("addr 10.77.1.13 623\n"));
        assert!(text.contains("user 3 true \"operator\" \"two\" operator"));
        assert!(!format!("{passwords:?}").contains("one"));
    }
}
