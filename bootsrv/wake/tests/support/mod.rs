//! Two ends of a link: this thread in a network namespace of its own, and in another one a machine
//! (a Python script) that prints what it receives.

use nix::sched::{CloneFlags, unshare};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longest wait for a line of the machine at the other end.
const LINE_SECONDS_MAX: u64 = 10;

/// Gives this thread, and what it starts, a network of its own. `false`, with the reason printed:
/// something is missing; on CI that is a failure.
pub(crate) fn own_network(programs: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let there = |program: &&&str| path.split(':').any(|dir| Path::new(dir).join(program).is_file());
    let needed = ["ip", "python3", "unshare"];
    let missing = needed.iter().chain(programs).find(|program| !there(program));
    let reason = match missing {
        Some(program) => Some(format!("{program} is not installed")),
        None => unshare(CloneFlags::CLONE_NEWNET)
            .err()
            .map(|errno| format!("no network namespace can be made (run as root): {errno}")),
    };
    let Some(reason) = reason else { return true };
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{reason}");
    println!("skipped: {reason}");
    false
}

/// Runs a program that must succeed and gives what it printed.
pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the machine saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A datagram on that port, with the decoder's verdict.
    Udp(u16, String),
    /// A frame: type, destination, source, all of it, and the verdict.
    Frame { kind: String, to: String, source: String, bytes: Vec<u8>, magic: String },
}

/// A machine on a link; ends with the value.
pub(crate) struct Machine {
    child: Child,
    lines: Receiver<String>,
    /// Our end of the link.
    pub(crate) interface: String,
}

impl Machine {
    /// Network `10.9.NUMBER.0/24`; we are .1, the machine is .2.
    pub(crate) fn on_link(number: u8) -> Self {
        let (ours, theirs) = (format!("link{number}"), format!("machine{number}"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/receive.py");
        let mut child = Command::new("unshare")
            .args(["--net", "python3", script, &theirs, &format!("10.9.{number}.2/24")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = read_lines(child.stdout.take().unwrap());
        run("ip", &format!("link add {ours} type veth peer name {theirs}"));
        run("ip", &format!("addr add 10.9.{number}.1/24 broadcast + dev {ours}"));
        run("ip", &format!("link set {ours} up"));
        hand_over(&theirs, child.id());
        let machine = Self { child, lines, interface: ours };
        assert_eq!(machine.line(), "ready");
        machine
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(LINE_SECONDS_MAX)).unwrap()
    }

    /// Waits for the next thing it sees.
    pub(crate) fn next(&self) -> Seen {
        let line = self.line();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["udp", port, mac, password] => {
                Seen::Udp(port.parse().unwrap(), format!("{mac} {password}"))
            }
            ["frame", kind, to, source, bytes, mac, password] => Seen::Frame {
                kind: kind.to_owned(),
                to: to.to_owned(),
                source: source.to_owned(),
                bytes: bytes_of(bytes),
                magic: format!("{mac} {password}"),
            },
            _ => panic!("{line}"),
        }
    }

    /// Waits for the next frame, whatever comes before it.
    pub(crate) fn next_frame(&self) -> Vec<u8> {
        loop {
            if let Seen::Frame { bytes, .. } = self.next() {
                return bytes;
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It ends by itself when its standard input does; this is quicker.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Gives an interface to the child's namespace, once it has one.
fn hand_over(interface: &str, pid: u32) {
    let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let theirs = || std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    for _ in 0..1000 {
        if theirs() != own {
            run("ip", &format!("link set {interface} netns {pid}"));
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the machine has no network namespace");
}

fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            if line.is_err() || sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn bytes_of(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
