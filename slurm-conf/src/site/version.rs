//! Slurm's major versions. Only their order and spelling; what differs is said where it matters.

use serde::Deserialize;

/// A major version of Slurm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct SlurmVersion {
    /// `22` in 22.05.
    pub year: u8,
    /// `5` in 22.05.
    pub month: u8,
}

impl SlurmVersion {
    /// The first version with `PowerDownOnIdle`, which older ones refuse to start with.
    pub const POWER_DOWN_ON_IDLE: Self = Self { year: 23, month: 2 };
    /// The last version known to keep only one PrologSlurmctld of several lines; 24.05 keeps all.
    pub const ONE_HOOK: Self = Self { year: 23, month: 2 };
    /// The oldest version this system is tried with.
    pub const OLDEST: Self = Self { year: 22, month: 5 };
}

impl std::str::FromStr for SlurmVersion {
    type Err = String;
    /// Takes `22.05`, `22.05.8`, and `slurm 22.05.8` or Debian's `slurm-wlm 22.05.8` as
    /// `scontrol --version` prints them.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.split_whitespace().last().unwrap_or_default();
        let mut parts = number.split('.');
        let mut next = || parts.next().filter(|part| part.len() == 2)?.parse().ok();
        match (next(), next()) {
            (Some(year), Some(month)) => Ok(Self { year, month }),
            _ => Err(format!("{text:?} is not a Slurm version like \"22.05\"")),
        }
    }
}

impl TryFrom<String> for SlurmVersion {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::fmt::Display for SlurmVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}.{:02}", self.year, self.month)
    }
}
