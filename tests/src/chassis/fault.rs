//! The faults that a node can be told to have, one word in a file of its directory.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// What is broken in a node. It is looked at whenever the node is powered on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The controller accepts "power on" and nothing happens.
    IgnorePower,
    /// The network card has no boot ROM: the firmware finds nothing to boot.
    NoBoot,
    /// The kernel's first program is sent to nowhere as soon as it runs: the kernel panics.
    Panic,
    /// The controller answers every power command with an error.
    RefusePower,
    /// The controller accepts "power off" and nothing happens.
    IgnoreOff,
    /// The controller accepts every power command, and does not carry out one in ten.
    FlakyPower,
    /// The controller says that the power is off, whatever it is.
    SaysOff,
    /// The firmware needs [`FIRMWARE_SECONDS`], as a server's does.
    SlowFirmware,
}

/// How long the firmware of many a server takes until it boots something, in seconds.
pub const FIRMWARE_SECONDS: u64 = 90;

impl Fault {
    const ALL: [Self; 9] = [
        Self::None,
        Self::IgnorePower,
        Self::NoBoot,
        Self::Panic,
        Self::RefusePower,
        Self::IgnoreOff,
        Self::FlakyPower,
        Self::SaysOff,
        Self::SlowFirmware,
    ];

    /// Whether a power command to switch on (or off) has no effect this time.
    pub(crate) fn ignores(self, on: bool) -> bool {
        match self {
            Self::IgnorePower => on,
            Self::IgnoreOff => !on,
            Self::FlakyPower => one_in_ten(),
            Self::None
            | Self::NoBoot
            | Self::Panic
            | Self::RefusePower
            | Self::SaysOff
            | Self::SlowFirmware => false,
        }
    }

    /// The fault in the node's directory; no file, or a word nobody wrote, is none.
    #[must_use]
    pub fn read(node_dir: &Path) -> Self {
        let word = std::fs::read_to_string(node_dir.join("fault")).unwrap_or_default();
        word.trim().parse().unwrap_or_default()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::IgnorePower => "ignore-power",
            Self::NoBoot => "no-boot",
            Self::Panic => "panic",
            Self::RefusePower => "refuse-power",
            Self::IgnoreOff => "ignore-off",
            Self::FlakyPower => "flaky-power",
            Self::SaysOff => "says-off",
            Self::SlowFirmware => "slow-firmware",
        })
    }
}

fn one_in_ten() -> bool {
    rand::random_bool(0.1)
}

/// Not the name of a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a fault: {known}", known = Fault::ALL.map(|fault| fault.to_string()).join(", "))]
pub struct NoSuchFault(String);

impl FromStr for Fault {
    type Err = NoSuchFault;
    fn from_str(text: &str) -> Result<Self, NoSuchFault> {
        let found = Self::ALL.into_iter().find(|fault| fault.to_string() == text);
        found.ok_or_else(|| NoSuchFault(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_fixed() {
        for (word, fault) in [
            ("none", Fault::None),
            ("ignore-power", Fault::IgnorePower),
            ("no-boot", Fault::NoBoot),
            ("panic", Fault::Panic),
            ("refuse-power", Fault::RefusePower),
            ("ignore-off", Fault::IgnoreOff),
            ("flaky-power", Fault::FlakyPower),
            ("says-off", Fault::SaysOff),
            ("slow-firmware", Fault::SlowFirmware),
        ] {
            assert_eq!(word.parse(), Ok(fault));
            assert_eq!(fault.to_string(), word);
        }
        assert!("fire".parse::<Fault>().is_err());
    }

    #[test]
    fn no_file_is_no_fault() {
        assert_eq!(Fault::read(Path::new("/nonexistent")), Fault::None);
    }
}
