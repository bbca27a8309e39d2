//! sushy-tools' emulator in front of a chassis program that keeps a node in files.

use crate::python;
use redfish::{Account, Client, Patience, Trust};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Speaks what `tests/sushy_node.py` says of chassis programs.
const CHASSIS: &str = r#"#!/bin/sh
dir=$1; shift
echo "$*" >> "$dir/log"
[ -e "$dir/broken" ] && { echo "the relay is stuck" >&2; exit 1; }
case "$1 $2" in
  "get power") echo "power:$(cat "$dir/power")" ;;
  "get boot") echo "boot:$(cat "$dir/boot")" ;;
  "set power") echo "$3" > "$dir/power" ;;
  "set shutdown") echo 0 > "$dir/power" ;;
  "set boot") echo "$3" > "$dir/boot" ;;
  "set reset") ;;
  *) exit 1 ;;
esac
"#;

/// A running emulator; ends with the value.
pub(crate) struct Emulator {
    dir: TempDir,
    child: Child,
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) certificate: rcgen::Certificate,
    is_tls: bool,
}

impl Emulator {
    /// `None`: it cannot be had here.
    pub(crate) fn start(is_tls: bool) -> Option<Self> {
        let python = python::interpreter()?;
        let dir = TempDir::new().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let path = |name: &str| dir.path().join(name);
        for (name, text) in [
            ("power", "0"),
            ("boot", "default"),
            ("log", ""),
            ("password", "s3cretpw\n"),
            ("chassis.sh", CHASSIS),
            ("certificate", &made.cert.pem()),
            ("key", &made.signing_key.serialize_pem()),
        ] {
            fs::write(path(name), text).unwrap();
        }
        fs::set_permissions(path("chassis.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(python);
        command
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sushy_node.py"))
            .args(["--listen", "127.0.0.1:0", "--name", "n1", "--user", "admin"])
            .arg("--state")
            .arg(path("state"))
            .arg("--password-file")
            .arg(path("password"));
        if is_tls {
            command.arg("--certificate").arg(path("certificate")).arg("--key").arg(path("key"));
        }
        command.arg("--").arg(path("chassis.sh")).arg(dir.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening ").expect("it starts").to_owned();
        let address = address.replace("127.0.0.1", "localhost");
        Some(Self { dir, child, address, certificate: made.cert, is_tls })
    }

    pub(crate) fn account(&self, trust: Trust) -> Account {
        let scheme = if self.is_tls { "https" } else { "http" };
        Account {
            url: format!("{scheme}://{}", self.address),
            user: "admin".into(),
            password: "s3cretpw".into(),
            trust,
            system: None,
        }
    }

    /// With TLS and the certificate's fingerprint, or without TLS.
    pub(crate) fn client(&self) -> Client {
        let trust = if self.is_tls { self.fingerprint() } else { Trust::Host };
        let seconds = Duration::from_secs;
        let patience = Patience { connect: seconds(5), answer: seconds(10), call: seconds(60) };
        Client::with_patience(self.account(trust), patience).unwrap()
    }

    pub(crate) fn fingerprint(&self) -> Trust {
        use sha2::{Digest as _, Sha256};
        Trust::Fingerprint(Sha256::digest(self.certificate.der()).into())
    }

    /// What the chassis program wrote, e.g. `power`.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap().trim().to_owned()
    }

    pub(crate) fn set(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.dir.path().join(name)).unwrap();
    }

    /// The changes that the chassis program was asked for.
    pub(crate) fn changes(&self) -> Vec<String> {
        let log = self.file("log");
        log.lines().filter(|line| line.starts_with("set")).map(str::to_owned).collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
