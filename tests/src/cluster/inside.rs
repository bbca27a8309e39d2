//! Runs commands inside a cluster's namespaces, as root or as another of its users, and starts
//! long-living services there. It knows processes, not what they are for.

use crate::cluster::accounts;
use crate::cluster::error::{ClusterError, Result, file};
use crate::cluster::layout::RunDir;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The search path inside: system programs and our own.
const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/libexec/bare-metal-container";
/// Most of a failed program's output that an error carries, in bytes.
const OUTPUT_BYTES_MAX: usize = 500;
/// How long a service may need to be gone after a signal.
const SERVICE_END_TIMEOUT: Duration = Duration::from_secs(20);

/// The way into one cluster's namespaces.
#[derive(Debug, Clone)]
pub struct Inside {
    run: RunDir,
    init_pid: u32,
}

impl Inside {
    /// The way into the namespaces of this process 1.
    pub(crate) fn new(run: RunDir, init_pid: u32) -> Self {
        Self { run, init_pid }
    }

    /// Process 1 of the cluster, by its id outside.
    pub(crate) fn init_pid(&self) -> u32 {
        self.init_pid
    }

    /// A command inside, in the user's home directory and with the user's environment.
    #[must_use]
    pub fn command(&self, user: &str, words: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/nsenter");
        let home = accounts::home(user).filter(|home| *home != "/nonexistent" && *home != "/root");
        command
            .args(["--target", &self.init_pid.to_string(), "--all"])
            .arg(format!("--wdns={}", home.unwrap_or("/")))
            .arg("--");
        if user != "root" {
            let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
            command.args(["setpriv", &uid, &gid, "--init-groups"]);
        }
        let home = accounts::home(user).unwrap_or("/");
        command.args(words);
        command.env_clear().env("PATH", SEARCH_PATH).env("HOME", home).env("USER", user);
        command.env("LANG", "C.UTF-8").env("TERM", "dumb");
        command
    }

    /// Runs a command inside to its end.
    ///
    /// # Errors
    /// When it cannot be started; a failure of the command itself is in the output.
    pub fn output(&self, user: &str, words: &[&str]) -> Result<Output> {
        let start = |source| ClusterError::Start { program: words.join(" "), source };
        self.command(user, words).stdin(Stdio::null()).output().map_err(start)
    }

    /// Runs a command inside as root and gives its standard output.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub fn check(&self, words: &[&str]) -> Result<String> {
        let output = self.output("root", words)?;
        check_output(&words.join(" "), &output)
    }

    /// Starts a service that lives until it is stopped or the cluster ends. Its process id (inside)
    /// goes to `pids/NAME`, what it prints to `log/services/NAME.log`.
    pub(crate) fn start_service(&self, name: &str, user: &str, words: &[&str]) -> Result<()> {
        let log_path = self.run.join("log/services").join(format!("{name}.log"));
        let open = || OpenOptions::new().create(true).append(true).open(&log_path);
        let log = open().map_err(file("open", &log_path))?;
        let log_too = log.try_clone().map_err(file("open", &log_path))?;
        // The id of an earlier life must not be taken for this one's.
        crate::cluster::layout::remove(&self.pid_file(name))?;
        let pid_file = self.pid_file(name).display().to_string();
        // The shell writes its own id and becomes the service: the id stays right.
        let script = "echo $$ > \"$0\" && exec \"$@\"";
        let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
        let mut all = vec!["setsid", "--fork", "sh", "-c", script, &pid_file];
        if user != "root" {
            all.extend(["setpriv", &uid, &gid, "--init-groups"]);
        }
        all.extend(words);
        let status = self
            .command("root", &all)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .status()
            .map_err(|source| ClusterError::Start { program: name.to_owned(), source })?;
        if status.success() { Ok(()) } else { Err(failed(name, &status.to_string(), "")) }
    }

    /// Whether the service's process is there.
    #[must_use]
    pub fn is_running(&self, name: &str) -> bool {
        // The kernel shows the inner /proc through process 1's root directory.
        self.service_pid(name).is_some_and(|pid| {
            let stat = format!("/proc/{}/root/proc/{pid}/stat", self.init_pid);
            std::fs::read_to_string(stat).is_ok_and(|text| !text.contains(") Z "))
        })
    }

    /// The service's process id as it is inside.
    #[must_use]
    pub fn service_pid(&self, name: &str) -> Option<u32> {
        crate::process::read_pid_file(&self.pid_file(name))
    }

    /// Sends a signal (`TERM`, `KILL`) to a service and waits until it is gone. One that does not
    /// run is fine.
    pub(crate) fn stop_service(&self, name: &str, signal: &str) -> Result<()> {
        let Some(pid) = self.service_pid(name).filter(|_| self.is_running(name)) else {
            return Ok(());
        };
        self.check(&["sh", "-c", &format!("kill -{signal} {pid}")])?;
        let deadline = Instant::now() + SERVICE_END_TIMEOUT;
        while self.is_running(name) {
            if Instant::now() > deadline {
                return Err(ClusterError::NotReady {
                    what: format!("the end of {name}"),
                    seconds: SERVICE_END_TIMEOUT.as_secs(),
                    hint: format!("signal {signal} was sent to process {pid} inside"),
                });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn pid_file(&self, name: &str) -> PathBuf {
        self.run.join("pids").join(name)
    }
}

/// The standard output of a program that succeeded; else an error with what it printed.
pub(crate) fn check_output(program: &str, output: &Output) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    Err(failed(program, &output.status.to_string(), &String::from_utf8_lossy(&text)))
}

fn failed(program: &str, status: &str, output: &str) -> ClusterError {
    let line = output.split_whitespace().collect::<Vec<_>>().join(" ");
    let output = line.chars().take(OUTPUT_BYTES_MAX).collect();
    ClusterError::Failed { program: program.to_owned(), status: status.to_owned(), output }
}
