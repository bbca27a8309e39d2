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
}

impl Fault {
    const ALL: [Self; 4] = [Self::None, Self::IgnorePower, Self::NoBoot, Self::Panic];

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
        })
    }
}

/// Not the name of a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a fault: none, ignore-power, no-boot or panic")]
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
