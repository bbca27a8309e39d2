//! The outlet that feeds a node: what a power distribution unit switches, whatever fault the node's
//! controller has. It is on until somebody switches it off.

use crate::chassis::{Chassis, ChassisError};
use std::fs;

/// The file in the node's directory with the outlet's state.
pub const OUTLET_FILE: &str = "outlet";
/// The file that is there when the firmware is set to start the machine once power comes back.
pub const RESTORE_FILE: &str = "starts-with-power";

const OFF: &str = "off";

impl Chassis {
    /// Carries out `on` or `off`, or gives the text for `status`.
    ///
    /// # Errors
    /// When the word is unknown or the command failed.
    pub fn outlet(&self, word: &str) -> Result<String, ChassisError> {
        match word {
            "status" => return Ok(if self.is_fed() { "on\n" } else { "off\n" }.to_owned()),
            // In this order, so that nobody can start it in between.
            OFF => {
                self.write(OUTLET_FILE, OFF)?;
                self.kill()?;
            }
            "on" if !self.is_fed() => {
                self.write(OUTLET_FILE, "on")?;
                if self.file(RESTORE_FILE).exists() {
                    self.start_machine()?;
                }
            }
            "on" => {}
            _ => return Err(ChassisError::Unknown(format!("outlet {word}"))),
        }
        Ok(String::new())
    }

    /// Whether there is power to start with.
    pub(super) fn is_fed(&self) -> bool {
        !fs::read_to_string(self.file(OUTLET_FILE)).is_ok_and(|state| state == OFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::layout::RunDir;
    use crate::cluster::node::Hardware;

    #[test]
    fn a_node_without_power_does_not_start() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path()).unwrap();
        let node = "n1".parse().unwrap();
        fs::create_dir_all(run.node(node)).unwrap();
        let chassis = Chassis { run, node, hardware: Hardware::of(node, 1, 512) };
        assert_eq!(chassis.outlet("status").unwrap(), "on\n");
        chassis.outlet("off").unwrap();
        assert_eq!(chassis.outlet("status").unwrap(), "off\n");
        // It would fail for want of nearly everything.
        chassis.control(&["set", "power", "1"]).unwrap();
        chassis.outlet("on").unwrap();
        assert_eq!(chassis.outlet("status").unwrap(), "on\n");
        assert!(chassis.outlet("cycle").is_err());
    }
}
