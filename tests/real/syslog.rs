//! bootsrv's log goes to syslog where there is one.

use crate::case::Case;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use tests::cluster::holder::Holder;
use tests::cluster::layout::RunDir;
use tests::product::{bmc, check};

/// A socket stands where a syslog daemon's would, and bootsrv's lines arrive, with name and level.
/// /dev is the machine's own, so it is the other place where clients look: /run is the cluster's.
pub(crate) fn log_goes_to_syslog(case: &Case<'_>) -> Result<()> {
    ensure!(!Path::new("/dev/log").exists(), "this machine has a syslog daemon: not looked at");
    let run = RunDir::new(case.cluster.dir())?;
    let holder = Holder::find(&run).context("the cluster has no process 1")?;
    let path = format!("/proc/{}/root/run/syslog", holder.init_pid());
    let socket = UnixDatagram::bind(&path).with_context(|| format!("binding {path}"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let restart = || {
        case.cluster.stop_service("bootsrv", "TERM")?;
        case.cluster.start_service("bootsrv")
    };
    restart()?;
    let first = expect_line(&socket, "listening on 10.77.0.1:8080 and 10.77.0.1:8443");
    // Back to standard error, where the other cases' log is.
    fs::remove_file(&path)?;
    drop(socket);
    restart()?;
    first?;
    tests::product::wait_until(Duration::from_secs(20), "bootsrv answers", || {
        Ok(bmc(case.cluster, &["node", "list"])?.status.success())
    })?;
    check(bmc(case.cluster, &["node", "list"])?).map(drop)
}

/// The line comes, as a notice of the daemon facility (3 * 8 + 6 for info).
fn expect_line(socket: &UnixDatagram, text: &str) -> Result<()> {
    let mut lines = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let length = socket.recv(&mut buffer).with_context(|| format!("only {lines:?} came"))?;
        let line = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        if line.contains(text) {
            ensure!(line.starts_with("<30>") && line.contains(" bootsrv["), "{line:?}");
            return Ok(());
        }
        lines.push(line);
    }
}
