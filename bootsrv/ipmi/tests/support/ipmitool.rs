//! ipmitool as the second opinion on a controller.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;
use tokio::process::Command;

/// An account on a controller, for ipmitool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ipmitool {
    addr: SocketAddr,
    account: (&'static str, &'static str),
    suite: u8,
}

impl Ipmitool {
    pub(crate) fn new(addr: SocketAddr, account: (&'static str, &'static str), suite: u8) -> Self {
        Self { addr, account, suite }
    }

    /// The command, not yet run.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("ipmitool");
        command
            .args(["-I", "lanplus", "-C", &self.suite.to_string()])
            .args(["-H", &self.addr.ip().to_string(), "-p", &self.addr.port().to_string()])
            .args(["-U", self.account.0, "-E"])
            .args(arguments.split(' '))
            .env("IPMI_PASSWORD", self.account.1)
            .env("TZ", "UTC")
            .kill_on_drop(true);
        command
    }

    async fn output(&self, arguments: &str) -> Output {
        self.command(arguments).output().await.unwrap()
    }

    /// What it prints; it must succeed.
    pub(crate) async fn run(&self, arguments: &str) -> String {
        let output = self.output(arguments).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "ipmitool {arguments}: {text} {output:?}");
        text
    }

    /// What it complains about; it must fail.
    pub(crate) async fn fails(&self, arguments: &str) -> String {
        let output = self.output(arguments).await;
        assert!(!output.status.success(), "ipmitool {arguments}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// Gives the reason for skipping if a program is missing; on CI that is a failure.
pub(crate) fn missing(programs: &[&str]) -> bool {
    for program in programs {
        let found = std::env::var("PATH")
            .unwrap_or_default()
            .split(':')
            .any(|dir| Path::new(dir).join(program).is_file());
        if !found {
            let reason = format!("{program} is not installed (Debian: openipmi, ipmitool)");
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
            println!("skipped: {reason}");
            return true;
        }
    }
    false
}
