//! The words that `ipmi_sim` says to its chassis program, and what they do.
//!
//! Called as `get power|boot …` or `set power|reset|shutdown|boot|identify VALUE …`; answers to
//! `get` are lines `name:value`. One more, `direct KERNEL INITRD ARGUMENTS`, is for measurements: it
//! powers the node on with that kernel in its memory.

use crate::chassis::fault::{FIRMWARE_SECONDS, Fault};
use crate::chassis::qemu::DirectKernel;
use crate::chassis::{Chassis, ChassisError, qemu, qmp};
use serde_json::json;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The boot device that the controller reports when none was ever set.
const BOOT_DEFAULT: &str = "default";
/// The boot devices that IPMI can name; those of our machine that cannot boot are only remembered.
const BOOT_DEVICES: [&str; 5] = [BOOT_DEFAULT, "none", "pxe", "cdrom", "bios"];

impl Chassis {
    /// Carries out one call of the controller and gives the text for its standard output.
    ///
    /// # Errors
    /// When the words are unknown or the command failed; the controller reports it to its caller.
    pub fn control(&self, words: &[&str]) -> Result<String, ChassisError> {
        match words {
            ["get", names @ ..] => names.iter().map(|name| self.get(name)).collect(),
            ["set", settings @ ..] => {
                for setting in settings.chunks(2) {
                    self.set(setting)?;
                }
                Ok(String::new())
            }
            ["direct", kernel, initrd, arguments] => {
                self.start_directly(DirectKernel { kernel, initrd, arguments })?;
                Ok(String::new())
            }
            _ => Err(ChassisError::Unknown(words.join(" "))),
        }
    }

    fn get(&self, name: &str) -> Result<String, ChassisError> {
        match name {
            "power" => {
                let says_off = self.fault() == Fault::SaysOff;
                Ok(format!("power:{}\n", u8::from(self.is_on() && !says_off)))
            }
            "boot" => {
                let stored = fs::read_to_string(self.file("bootdev"));
                Ok(format!("boot:{}\n", stored.as_deref().map_or(BOOT_DEFAULT, str::trim)))
            }
            _ => Err(ChassisError::Unknown(format!("get {name}"))),
        }
    }

    fn set(&self, setting: &[&str]) -> Result<(), ChassisError> {
        match setting {
            ["power" | "shutdown", _] if self.fault() == Fault::RefusePower => {
                Err(ChassisError::Refused)
            }
            ["power", "1"] => self.power_on(),
            ["power", "0"] if self.fault().ignores(false) => Ok(()),
            ["power", "0"] => self.kill(),
            ["reset", _] => self.ask_qemu("system_reset"),
            ["shutdown", _] => self.ask_qemu("system_powerdown"),
            ["boot", device] if BOOT_DEVICES.contains(device) => {
                self.write("bootdev", &format!("{device}\n"))
            }
            // The simulator gives `identify` two values: an interval and a force flag.
            ["identify", _] | [_] => Ok(()),
            _ => Err(ChassisError::Unknown(format!("set {}", setting.join(" ")))),
        }
    }

    fn is_on(&self) -> bool {
        qemu::running(&self.run.node(self.node)).is_some()
    }

    fn power_on(&self) -> Result<(), ChassisError> {
        if self.is_on() || !self.is_fed() || self.fault().ignores(true) {
            return Ok(());
        }
        self.start_machine()
    }

    pub(super) fn start_machine(&self) -> Result<(), ChassisError> {
        let fault = self.fault();
        self.start(fault)?;
        match fault {
            Fault::Panic => self.leave_behind("panic"),
            Fault::SlowFirmware => self.leave_behind("firmware"),
            Fault::None
            | Fault::IgnorePower
            | Fault::NoBoot
            | Fault::RefusePower
            | Fault::IgnoreOff
            | Fault::FlakyPower
            | Fault::SaysOff => Ok(()),
        }
    }

    fn fault(&self) -> Fault {
        Fault::read(&self.run.node(self.node))
    }

    /// Lets a machine run that was started and stands still, after the time that its firmware is to
    /// take. Ends quietly when it was switched off before.
    ///
    /// # Errors
    /// When QEMU does not take the command.
    pub fn firmware_ends(&self) -> Result<(), ChassisError> {
        let started = qemu::running(&self.run.node(self.node));
        std::thread::sleep(Duration::from_secs(FIRMWARE_SECONDS));
        if started.is_some() && qemu::running(&self.run.node(self.node)) == started {
            qmp::command(&self.file("qmp"), "cont", json!({}))?;
        }
        Ok(())
    }

    /// A node that is off takes no button press: as on hardware, nothing happens.
    fn ask_qemu(&self, command: &str) -> Result<(), ChassisError> {
        if self.is_on() {
            qmp::command(&self.file("qmp"), command, json!({}))?;
        }
        Ok(())
    }

    /// Leaves a second copy of this program behind that has something to wait for.
    fn leave_behind(&self, what: &str) -> Result<(), ChassisError> {
        let program: PathBuf = self.run.programs().join("vcluster-chassis");
        Command::new(program)
            .arg(self.run.path())
            .arg(self.node.to_string())
            .arg(what)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|source| ChassisError::Start { program: "vcluster-chassis", source })?;
        Ok(())
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), ChassisError> {
        let path = self.file(name);
        fs::write(&path, text).map_err(|source| ChassisError::File { doing: "write", path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::layout::RunDir;
    use crate::cluster::node::Hardware;

    fn chassis(dir: &tempfile::TempDir) -> Chassis {
        let run = RunDir::new(dir.path()).unwrap();
        let node = "n1".parse().unwrap();
        fs::create_dir_all(run.node(node)).unwrap();
        Chassis { run, node, hardware: Hardware::of(node, 1, 512) }
    }

    fn call(chassis: &Chassis, words: &str) -> Result<String, ChassisError> {
        chassis.control(&words.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn the_boot_device_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let chassis = chassis(&dir);
        assert_eq!(call(&chassis, "get power boot").unwrap(), "power:0\nboot:default\n");
        call(&chassis, "set boot pxe").unwrap();
        assert_eq!(call(&chassis, "get boot").unwrap(), "boot:pxe\n");
        assert!(call(&chassis, "set boot floppy;rm").is_err());
    }

    #[test]
    fn power_is_ignored_when_the_fault_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let chassis = chassis(&dir);
        chassis.write("fault", "ignore-power\n").unwrap();
        call(&chassis, "set power 1").unwrap();
        assert_eq!(call(&chassis, "get power").unwrap(), "power:0\n");
    }

    #[test]
    fn what_is_off_stays_quiet_and_the_unknown_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let chassis = chassis(&dir);
        for words in ["set power 0", "set reset 1", "set shutdown 1", "set identify 15 0"] {
            assert_eq!(call(&chassis, words).unwrap(), "", "{words}");
        }
        for words in ["get colour", "set power 2", "do it", ""] {
            assert!(call(&chassis, words).is_err(), "{words}");
        }
    }
}
