//! The real programs of a run: munged, and bootsrv, which is killed and started again.

use crate::site::Site;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::process;

const MUNGED: &str = "/usr/sbin/munged";
/// For either to answer; a debug build on a loaded machine is slow.
const READY: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// What bootsrv took, over all its lives.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Cost {
    /// CPU time, user and system, in seconds.
    pub(crate) cpu_seconds: f64,
    /// The most memory a life had, in MiB.
    pub(crate) peak_rss_mib: u64,
    /// How often it was killed.
    pub(crate) kills: u32,
}

/// Starts munged with a key of this run, at its usual place in our own `/run`.
pub(crate) fn start_munged(site: &Site) -> Result<Child> {
    let key = site.path("munge.key");
    fs::write(&key, site.directory.display().to_string().repeat(64))?;
    std::os::unix::fs::chown(&key, Some(0), Some(0))?;
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let child = Command::new(MUNGED)
        .args(["--foreground", "--force", "--num-threads=4", "--socket=/run/munge/munge.socket.2"])
        .arg(format!("--key-file={}", key.display()))
        .arg(format!("--pid-file={}", site.path("munged.pid").display()))
        .arg(format!("--seed-file={}", site.path("munged.seed").display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log(&site.path("munged.log"))?)
        .spawn()
        .with_context(|| format!("starting {MUNGED}"))?;
    let deadline = Instant::now() + READY;
    while !Path::new("/run/munge/munge.socket.2").exists() {
        if Instant::now() > deadline {
            bail!("{MUNGED} did not come up; see {}", site.path("munged.log").display());
        }
        std::thread::sleep(LOOK);
    }
    Ok(child)
}

fn log(path: &Path) -> Result<Stdio> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    Ok(file.with_context(|| format!("opening {}", path.display()))?.into())
}

/// bootsrv, alive or between two lives.
#[derive(Debug)]
pub(crate) struct Bootsrv {
    site: Site,
    child: Option<Child>,
    cost: Cost,
}

impl Bootsrv {
    pub(crate) fn new(site: Site) -> Self {
        Self { site, child: None, cost: Cost::default() }
    }

    /// Starts it, and returns when it answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        let path = self.site.path("bootsrv.log");
        let child = Command::new(self.site.programs.join("bootsrv"))
            .arg("--config")
            .arg(self.site.path("bootsrv.toml"))
            .arg("--foreground")
            .stdin(Stdio::null())
            .stdout(log(&path)?)
            .stderr(log(&path)?)
            .spawn()
            .with_context(|| {
                format!("starting {}", self.site.programs.join("bootsrv").display())
            })?;
        self.child = Some(child);
        let client = self.site.client()?;
        let deadline = Instant::now() + READY;
        while client.kernels().is_err() {
            if let Some(ended) = self.ended()? {
                bail!("bootsrv ended at once with {ended}; see {}", path.display());
            }
            if Instant::now() > deadline {
                bail!("bootsrv does not answer; see {}", path.display());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// How it ended by itself, if it did.
    pub(crate) fn ended(&mut self) -> Result<Option<String>> {
        let Some(child) = &mut self.child else { return Ok(None) };
        Ok(child.try_wait()?.map(|status| status.to_string()))
    }

    /// Kills it, between any two instructions.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.look();
        if let Some(mut child) = self.child.take() {
            let stat = process::stat(child.id());
            let ticks = stat.map_or(0, |stat| stat.cpu_ticks);
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let seconds = ticks as f64 / process::TICKS_PER_SECOND as f64;
            self.cost.cpu_seconds += seconds;
            self.cost.kills += 1;
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Reads its memory.
    fn look(&mut self) {
        let Some(child) = &self.child else { return };
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        self.cost.peak_rss_mib = self.cost.peak_rss_mib.max(kib.unwrap_or(0) >> 10);
    }

    /// Ends it, and says what it took.
    pub(crate) fn end(&mut self) -> Result<Cost> {
        self.kill()?;
        self.cost.kills -= 1;
        Ok(self.cost)
    }
}
