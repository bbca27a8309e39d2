//! A controller with cipher suites 17 and 3 (`controller.py`), on pyghmi in a virtual environment
//! below target/.

use crate::ipmitool::Ipmitool;
use ipmi::ControllerAddress;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const PYGHMI: &str = "pyghmi==1.6.19";
const ACCOUNT: (&str, &str) = ("admin", "s3cretpw");

/// Keeps the power in files instead of a machine, as ipmi_sim's chassis program in its tests.
const CHASSIS: &str = include_str!("chassis.sh");

/// A running controller; ends with the value.
pub(crate) struct Controller {
    dir: TempDir,
    addr: SocketAddr,
    _child: Child,
}

impl Controller {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With the serial port's other end at `serial`, where somebody must listen already.
    pub(crate) async fn start_with_serial(serial: SocketAddr) -> Self {
        Self::start_with(&["--serial", &serial.to_string()]).await
    }

    async fn start_with(options: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let program = dir.path().join("chassis.sh");
        for (name, text) in [("chassis.sh", CHASSIS), ("power", "0"), ("watts", "236")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = Command::new(python().await)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/controller.py"))
            .args(["--end-with-stdin", "--listen", "127.0.0.1:0", "--user", ACCOUNT.0, "--watts"])
            .arg(dir.path().join("watts"))
            .args(options)
            .args([&program, dir.path()])
            .env("PASSWORD", ACCOUNT.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the controller ended");
        let addr = line.strip_prefix("listening on ").unwrap().parse().unwrap();
        Self { dir, addr, _child: child }
    }

    pub(crate) fn address(&self, suite: u8) -> ControllerAddress {
        let (user, password) = ACCOUNT;
        let cipher_suite = Some(suite);
        let address = ControllerAddress::new(self.addr, user.to_owned(), password.to_owned());
        ControllerAddress { cipher_suite, ..address }
    }

    pub(crate) fn tool(&self, suite: u8) -> Ipmitool {
        Ipmitool::new(self.addr, ACCOUNT, suite)
    }

    /// What the chassis program wrote.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default().trim().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }
}

/// The environment's interpreter; made at first use, by one test at a time.
async fn python() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pyghmi");
    let lock = fs::File::create(dir.with_extension("lock")).unwrap();
    let lock = tokio::task::spawn_blocking(|| lock.lock().map(|()| lock)).await.unwrap().unwrap();
    let ready = dir.join(PYGHMI);
    if !ready.exists() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir)).await;
        run(Command::new(dir.join("bin/pip")).args(["install", "--quiet", PYGHMI])).await;
        fs::write(&ready, "").unwrap();
    }
    drop(lock);
    dir.join("bin/python")
}

async fn run(command: &mut Command) {
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{command:?} (Debian: python3-venv): {output:?}");
}
