//! A private munged for tests: own key, own socket, own folder, ended with the value.
//!
//! Behind the feature `test-daemon`; no product program has it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian and the Red Hat family put it.
const MUNGED: &str = "/usr/sbin/munged";
/// A munged is up in some milliseconds; a loaded machine gets this long.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A running munged with a key nobody else has.
#[derive(Debug)]
pub struct PrivateMunged {
    child: Child,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl PrivateMunged {
    /// Starts one. `None` where munged is not installed, with a line on standard error; with `CI`
    /// set that is a failure.
    ///
    /// # Panics
    /// When it is installed but does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        if !Path::new(MUNGED).exists() {
            assert!(std::env::var_os("CI").is_none(), "{MUNGED} is not installed (package munge)");
            eprintln!("skipped: {MUNGED} is not installed (package munge)");
            return None;
        }
        Some(Self::start_installed().unwrap_or_else(|reason| fail(&reason)))
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn start_installed() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = |name: &str| folder.path().join(name);
        // The folder's name is random enough to tell two test daemons' keys apart.
        let mut key = folder.path().to_string_lossy().repeat(8).into_bytes();
        key.truncate(1024);
        std::fs::write(path("key"), key).map_err(|error| error.to_string())?;
        for (name, mode) in [("key", 0o600), ("", 0o755)] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(path(name), mode).map_err(|error| error.to_string())?;
        }
        let socket = path("socket");
        let child = Command::new(MUNGED)
            .args(["--foreground", "--force", "--socket"])
            .arg(&socket)
            .args(["--num-threads", "1", "--key-file"])
            .arg(path("key"))
            .arg("--pid-file")
            .arg(path("pid"))
            .arg("--seed-file")
            .arg(path("seed"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{MUNGED}: {error}"))?;
        let munged = Self { child, socket, _folder: folder };
        let deadline = Instant::now() + START_LIMIT;
        while crate::encode(b"", Some(munged.socket())).is_err() {
            if Instant::now() > deadline {
                return Err(format!("{MUNGED} did not come up within {START_LIMIT:?}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(munged)
    }
}

impl Drop for PrivateMunged {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[expect(clippy::panic, reason = "a test helper: the test fails here")]
fn fail(reason: &str) -> ! {
    panic!("{reason}")
}
