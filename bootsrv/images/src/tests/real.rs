//! The real registry program on a port of its own.

use super::sample::Sample;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Ends with the test.
#[derive(Debug)]
pub(super) struct RealRegistry {
    child: Child,
    _directory: TempDir,
    /// `127.0.0.1:PORT`.
    pub(super) name: String,
}

impl RealRegistry {
    pub(super) fn start() -> Self {
        Self::start_with(|_| String::new())
    }

    /// `more` writes files and returns sections of the configuration.
    pub(super) fn start_with(more: impl FnOnce(&TempDir) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let name = format!("127.0.0.1:{port}");
        let path = directory.path().display();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {path}/data}}}}\n\
             http:\n  addr: {name}\n{}",
            more(&directory)
        );
        let file = directory.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        while TcpStream::connect(&name).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "docker-registry ended");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, _directory: directory, name }
    }

    /// Copies an image there with skopeo; `login` is `user:password`.
    pub(super) fn push(&self, sample: &Sample, image: &str, login: Option<&str>) {
        let layout = tempfile::tempdir().unwrap();
        sample.save(layout.path(), "x");
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]);
        skopeo.arg("--preserve-digests");
        skopeo.args(login.iter().flat_map(|login| ["--dest-creds", login]));
        let from = format!("oci:{}:x", layout.path().display());
        let copied = skopeo.arg(from).arg(self.image(image)).output().unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    }

    /// Its name for users.
    pub(super) fn image(&self, image: &str) -> String {
        format!("docker://{}/{image}", self.name)
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
