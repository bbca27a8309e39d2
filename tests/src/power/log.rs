//! The truth that energy records are compared with: a node's energy counter and the log of its
//! power. The meter writes them; tests read them. It must not know how the power came about.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// File name of the counter in a node's directory: one line `UNIX_NANOSECONDS MILLIJOULES`.
pub const ENERGY_FILE: &str = "energy_mj";
/// File name of the log: lines `UNIX_NANOSECONDS MILLIWATTS MILLIJOULES`.
pub const LOG_FILE: &str = "power.log";
/// File name of the power that the node's controller reports, in whole watts.
pub const WATTS_FILE: &str = "watts";

/// The exact energy of a node up to one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnergyReading {
    /// When, in nanoseconds since 1970.
    pub unix_nanos: u64,
    /// The energy since the cluster came up, in millijoules.
    pub millijoules: u64,
}

/// A line of a log or counter file that we did not write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a line of an energy counter")]
pub struct BadLine(String);

fn numbers<const N: usize>(text: &str) -> Result<[u64; N], BadLine> {
    let bad = || BadLine(text.chars().take(100).collect());
    let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
    numbers.map_err(|_| bad())?.try_into().map_err(|_| bad())
}

impl FromStr for EnergyReading {
    type Err = BadLine;
    fn from_str(text: &str) -> Result<Self, BadLine> {
        let [unix_nanos, millijoules] = numbers(text)?;
        Ok(Self { unix_nanos, millijoules })
    }
}

impl fmt::Display for EnergyReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.unix_nanos, self.millijoules)
    }
}

/// One line of the log: from this moment on the node draws this power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine {
    /// The energy up to this moment.
    pub reading: EnergyReading,
    /// The power from this moment to the next line, in milliwatts.
    pub milliwatts: u64,
}

impl FromStr for LogLine {
    type Err = BadLine;
    fn from_str(text: &str) -> Result<Self, BadLine> {
        let [unix_nanos, milliwatts, millijoules] = numbers(text)?;
        Ok(Self { reading: EnergyReading { unix_nanos, millijoules }, milliwatts })
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EnergyReading { unix_nanos, millijoules } = self.reading;
        writeln!(f, "{unix_nanos} {} {millijoules}", self.milliwatts)
    }
}

/// The log of one node, read whole.
#[derive(Debug, Clone, Default)]
pub struct PowerLog(Vec<LogLine>);

impl PowerLog {
    /// Reads the log in a node's directory; a last line that is still being written is left out.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(node_dir: &Path) -> std::io::Result<Self> {
        let text = std::fs::read_to_string(node_dir.join(LOG_FILE))?;
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        Ok(Self(whole.filter_map(|line| line.parse().ok()).collect()))
    }

    /// The energy up to a moment in nanoseconds since 1970, in millijoules; `None` outside the log.
    #[must_use]
    pub fn at(&self, unix_nanos: u64) -> Option<u64> {
        let next = self.0.partition_point(|line| line.reading.unix_nanos <= unix_nanos);
        let line = self.0.get(next.checked_sub(1)?)?;
        if next == self.0.len() && line.reading.unix_nanos < unix_nanos {
            return None;
        }
        let since = u128::from(unix_nanos - line.reading.unix_nanos);
        let more = u128::from(line.milliwatts) * since / 1_000_000_000;
        Some(line.reading.millijoules + u64::try_from(more).ok()?)
    }

    /// The energy between two moments in nanoseconds since 1970, in millijoules.
    #[must_use]
    pub fn between(&self, start: u64, end: u64) -> Option<u64> {
        self.at(end)?.checked_sub(self.at(start)?)
    }

    /// All lines, in time's order.
    #[must_use]
    pub fn lines(&self) -> &[LogLine] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_back_as_they_were_written() {
        let reading = EnergyReading { unix_nanos: 5, millijoules: 7 };
        let line = LogLine { reading, milliwatts: 9 };
        assert_eq!(reading.to_string().parse(), Ok(reading));
        assert_eq!(line.to_string(), "5 9 7\n");
        assert_eq!(line.to_string().parse(), Ok(line));
        assert!("5".parse::<EnergyReading>().is_err());
        assert!("5 x 7".parse::<LogLine>().is_err());
    }

    #[test]
    fn energy_between_two_lines_grows_with_the_first_line_s_power() {
        let dir = tempfile::tempdir().unwrap();
        let second = 1_000_000_000;
        let text = format!("0 4000 0\n{second} 60000 4000\n{} 60000 64000\n99", 2 * second);
        std::fs::write(dir.path().join(LOG_FILE), text).unwrap();
        let log = PowerLog::read(dir.path()).unwrap();
        assert_eq!(log.lines().len(), 3);
        assert_eq!(log.at(second / 2), Some(2_000));
        assert_eq!(log.between(second / 2, second + second / 2), Some(32_000));
        assert_eq!(log.at(2 * second), Some(64_000));
        assert_eq!(log.at(2 * second + 1), None);
    }
}
