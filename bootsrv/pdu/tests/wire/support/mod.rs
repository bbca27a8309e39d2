//! A virtual unit (net-snmp's agent with a script behind it) on a free loopback port, and net-snmp's
//! commands as the second opinion on it.

pub(crate) mod relay;

use pdu::{Credentials, Model, Outlets, Patience, Unit};
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait for a unit to be there.
const START_SECONDS_MAX: u64 = 20;
/// Tests do not wait for relays.
pub(crate) const QUICK: Patience = Patience {
    reply_timeout: Duration::from_millis(700),
    tries: 3,
    busy_tries: 3,
    busy_pause: Duration::from_millis(20),
    settle: Duration::from_millis(600),
};
/// For units that will not answer.
pub(crate) const IMPATIENT: Patience =
    Patience { reply_timeout: Duration::from_millis(400), tries: 2, ..QUICK };

/// Keeps outlets in files: `switch.sh OUTLET on|off|status`.
const SWITCH: &str = r#"#!/bin/sh
file=$(dirname "$0")/outlet.$1
case $2 in
  status) cat "$file" 2>/dev/null || echo off ;;
  *) echo "$2" > "$file" ;;
esac
"#;

/// Gives the reason for skipping if a program is missing; on CI that is a failure.
pub(crate) fn missing() -> bool {
    for program in ["snmpd", "snmpget", "snmpset", "snmpwalk", "python3"] {
        if find(program).is_none() {
            let reason = format!("{program} is not installed (Debian: snmpd, snmp, python3)");
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
            println!("skipped: {reason}");
            return true;
        }
    }
    false
}

fn find(program: &str) -> Option<PathBuf> {
    let path = format!("/usr/sbin:{}", std::env::var("PATH").unwrap_or_default());
    path.split(':').map(|dir| Path::new(dir).join(program)).find(|file| file.is_file())
}

/// A running unit; ends with the value.
pub(crate) struct VirtualPdu {
    dir: TempDir,
    port: u16,
    model: Model,
    child: Child,
}

impl VirtualPdu {
    pub(crate) fn start(model: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let switch = dir.path().join("switch.sh");
        fs::write(&switch, SWITCH).unwrap();
        fs::set_permissions(&switch, fs::Permissions::from_mode(0o755)).unwrap();
        // A port that is free now; the agent can bind to a fixed one only.
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/virtual_pdu.py"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--model", model])
            .arg("--directory")
            .arg(dir.path())
            .arg("--")
            .arg(&switch)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut unit = Self { dir, port, model: Model::named(model).unwrap(), child };
        unit.wait();
        unit
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        // snmpd says its version when it listens; a question before that would wait for long.
        while !self.file("snmpd.log").contains("NET-SNMP version") {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "snmpd ended: {ended:?}; {}", self.file("snmpd.log"));
            assert!(begun.elapsed().as_secs() < START_SECONDS_MAX, "snmpd does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        // The first question about an outlet also starts the script.
        self.ask("snmpwalk", "public", "1.3.6.1.4.1").unwrap();
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// These outlets of it, for who may write.
    pub(crate) fn unit(&self, outlets: &[u32]) -> Unit {
        Unit {
            address: self.address(),
            credentials: Credentials::Community("private".into()),
            model: self.model.clone(),
            outlets: outlets.to_vec(),
        }
    }

    pub(crate) fn outlets(&self, outlets: &[u32]) -> Outlets {
        Outlets::new(vec![self.unit(outlets)], QUICK).unwrap()
    }

    /// What happened to an outlet itself.
    pub(crate) fn outlet(&self, outlet: u32) -> String {
        self.file(&format!("outlet.{outlet}"))
    }

    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default().trim().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // In one step, as it may be read right now.
        let new = self.dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.dir.path().join(name)).unwrap();
    }

    /// How it misbehaves from now on; see the script.
    pub(crate) fn knobs(&self, words: &str) {
        self.write("knobs", words);
    }

    /// What net-snmp's command prints about an object, or its complaint.
    pub(crate) fn ask(&self, command: &str, community: &str, rest: &str) -> Result<String, String> {
        let output = Command::new(command)
            .args(["-v2c", "-c", community, "-t0.5", "-r3", "-Oqv", &self.address()])
            .args(rest.split(' '))
            .env("MIBS", "")
            .env("SNMP_PERSISTENT_DIR", self.dir.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// It is gone, and its address silent.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for VirtualPdu {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing left to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
