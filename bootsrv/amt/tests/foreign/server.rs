//! Our client's login on CherryPy's digest authentication.

use crate::python::{program, programs, script};
use crate::support::{PASSWORD, chain, client};
use amt::{Kind, PowerState};
use std::io::{BufRead as _, BufReader, Lines};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

/// Seconds a nonce is good for.
const NONCE_SECONDS: u64 = 1;

/// The server; ends with the value.
struct Server {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(programs: &Path) -> (Self, SocketAddr) {
        let mut command = program(programs, "python");
        command.arg(script("digest_server.py")).args(["admin", PASSWORD]);
        command.arg(NONCE_SECONDS.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { child, lines };
        let port = server.lines(1).remove(0).parse().expect("its port");
        (server, (Ipv4Addr::LOCALHOST, port).into())
    }

    /// Its next lines.
    fn lines(&mut self, count: usize) -> Vec<String> {
        let lines = self.lines.by_ref().take(count);
        lines.map(|line| line.unwrap().trim().to_owned()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_server_accepts_the_login() {
    let Some(programs) = programs() else { return };
    let (mut server, address) = Server::start(&programs);
    let known = client(address, PASSWORD);
    assert_eq!(known.power().await.unwrap().state, PowerState::Off);
    assert_eq!(server.lines(2), ["401", "200"]);
    known.power().await.unwrap();
    let next = server.lines(1);
    // The nonce is kept, unless a slow machine has let it grow old already.
    assert!(next == ["200"] || next == ["401 stale"], "{next:?}");
    if next == ["401 stale"] {
        assert_eq!(server.lines(1), ["200"]);
    }

    tokio::time::sleep(Duration::from_secs(NONCE_SECONDS + 2)).await;
    assert_eq!(known.power().await.unwrap().state, PowerState::Off);
    assert_eq!(server.lines(2), ["401 stale", "200"]);

    let error = client(address, "wrong").power().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Refused, "{}", chain(&error));
    assert_eq!(server.lines(2), ["401", "401"]);
}
