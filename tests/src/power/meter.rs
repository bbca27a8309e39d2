//! Publishes each node's power every 50 ms and adds up its energy exactly.
//!
//! Truth by definition: between two ticks a node draws what was published at the first of them, so
//! the counter is the integral of the published signal, to the nanosecond, however late a tick is.

use crate::chassis::qemu;
use crate::cluster::node::Hardware;
use crate::power::log::{ENERGY_FILE, EnergyReading, LOG_FILE, LogLine, WATTS_FILE};
use crate::power::model::{Activity, Model, STANDBY_MILLIWATTS};
use crate::process;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time between two ticks.
pub const TICK: Duration = Duration::from_millis(50);
/// The counter file is renewed every so many ticks; the log has every tick.
const COUNTER_TICKS: u32 = 4;
/// A log larger than this, in bytes, is set aside as `power.log.1`: about a day and a half.
const LOG_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// The meter of one node.
#[derive(Debug)]
pub struct Meter {
    dir: PathBuf,
    model: Model,
    log: File,
    log_bytes: u64,
    watts: Option<u64>,
    milliwatts: u64,
    energy: Energy,
    last: Option<Duration>,
    ticks: u32,
}

/// Millijoules, and what is over in millionths of a millionth of a joule (mW × ns).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Energy {
    millijoules: u64,
    picojoules: u64,
}

const PICOJOULES_PER_MILLIJOULE: u128 = 1_000_000_000;

impl Energy {
    /// Adds a constant power over a time. One milliwatt for one nanosecond is one picojoule.
    fn add(&mut self, milliwatts: u64, time: Duration) {
        let total = u128::from(milliwatts) * time.as_nanos() + u128::from(self.picojoules);
        let whole = u64::try_from(total / PICOJOULES_PER_MILLIJOULE).unwrap_or(u64::MAX);
        self.millijoules = self.millijoules.saturating_add(whole);
        self.picojoules = u64::try_from(total % PICOJOULES_PER_MILLIJOULE).unwrap_or(0);
    }
}

impl Meter {
    /// The meter of the node with this directory. It goes on from the counter of an earlier meter.
    ///
    /// # Errors
    /// When the node's directory has no hardware description or cannot be written.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        let hardware: Hardware =
            serde_json::from_str(&fs::read_to_string(dir.join("hardware.json"))?)?;
        let earlier = fs::read_to_string(dir.join(ENERGY_FILE)).unwrap_or_default();
        let millijoules = earlier.parse().map_or(0, |reading: EnergyReading| reading.millijoules);
        let log = open_log(&dir)?;
        Ok(Self {
            model: Model::new(hardware.threads),
            log_bytes: log.metadata()?.len(),
            log,
            dir,
            watts: None,
            milliwatts: STANDBY_MILLIWATTS,
            energy: Energy { millijoules, picojoules: 0 },
            last: None,
            ticks: 0,
        })
    }

    /// One tick: adds up what was drawn since the last one, then publishes the power from now on.
    /// `now` comes from a clock that only goes forward.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn tick(&mut self, now: Duration) -> io::Result<()> {
        let since = self.last.map_or(Duration::ZERO, |last| now.saturating_sub(last));
        self.energy.add(self.milliwatts, since);
        self.last = Some(now);
        self.milliwatts = self.model.milliwatts(now, activity(&self.dir));
        let unix_nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_nanos = u64::try_from(unix_nanos.as_nanos()).unwrap_or(u64::MAX);
        let reading = EnergyReading { unix_nanos, millijoules: self.energy.millijoules };
        self.append(LogLine { reading, milliwatts: self.milliwatts })?;
        let watts = (self.milliwatts + 500) / 1000;
        if self.watts != Some(watts) {
            replace(&self.dir.join(WATTS_FILE), &format!("{watts}\n"))?;
            self.watts = Some(watts);
        }
        if self.ticks.is_multiple_of(COUNTER_TICKS) {
            replace(&self.dir.join(ENERGY_FILE), &reading.to_string())?;
        }
        self.ticks = self.ticks.wrapping_add(1);
        Ok(())
    }

    fn append(&mut self, line: LogLine) -> io::Result<()> {
        if self.log_bytes > LOG_BYTES_MAX {
            fs::rename(self.dir.join(LOG_FILE), self.dir.join("power.log.1"))?;
            self.log = open_log(&self.dir)?;
            self.log_bytes = 0;
        }
        let text = line.to_string();
        self.log_bytes += text.len() as u64;
        self.log.write_all(text.as_bytes())
    }
}

fn open_log(dir: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(dir.join(LOG_FILE))
}

/// Replaces a file whole, so that no reader ever sees half of it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}

fn activity(node_dir: &Path) -> Activity {
    let found = || {
        let pid = qemu::running(node_dir)?;
        let stat = process::stat(pid)?;
        let age_ticks = process::uptime_ticks()?.saturating_sub(stat.start_ticks);
        Some(Activity::On { pid, age_ticks, cpu_ticks: stat.cpu_ticks })
    };
    found().unwrap_or(Activity::Off)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::log::PowerLog;

    #[test]
    fn no_part_of_a_millijoule_is_lost() {
        let mut energy = Energy::default();
        for _ in 0..3_000 {
            energy.add(333, Duration::from_nanos(1_000_001));
        }
        // 333 mW over 3.000003 s.
        assert_eq!(energy, Energy { millijoules: 999, picojoules: 999_000 });
    }

    #[test]
    fn a_node_that_is_off_draws_standby_power() {
        let dir = tempfile::tempdir().unwrap();
        let hardware = Hardware { memory_mib: 512, cpu_model: None, threads: 1 };
        let text = serde_json::to_string(&hardware).unwrap();
        fs::write(dir.path().join("hardware.json"), text).unwrap();
        let mut meter = Meter::open(dir.path().to_owned()).unwrap();
        for second in 0..=8 {
            meter.tick(Duration::from_secs(second)).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read(WATTS_FILE), "4\n");
        assert_eq!(read(ENERGY_FILE).parse::<EnergyReading>().unwrap().millijoules, 32_000);
        assert_eq!(PowerLog::read(dir.path()).unwrap().lines().len(), 9);
        // A meter that is started again goes on.
        let mut meter = Meter::open(dir.path().to_owned()).unwrap();
        meter.tick(Duration::from_secs(100)).unwrap();
        assert!(read(ENERGY_FILE).ends_with(" 32000\n"));
    }
}
