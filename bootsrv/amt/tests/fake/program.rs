//! The program `amt-fake`: a machine that a command switches.

use crate::support::client;
use amt::{Action, Client, PowerState};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The running program; ends with the value.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A chassis program: its power is a file, its calls are a log.
const SCRIPT: &str = r#"#!/bin/sh
directory=$1; shift
echo "$*" >> "$directory/log"
case "$*" in
    "get power") if [ -e "$directory/on" ]; then echo power:1; else echo power:0; fi ;;
    "set power 1") : > "$directory/on" ;;
    "set power 0" | "set shutdown 1") rm -f "$directory/on" ;;
esac
"#;

fn start(directory: &Path) -> (Program, Client) {
    let script = directory.join("chassis");
    std::fs::write(&script, SCRIPT).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(directory.join("password"), "se\"c\\ret\n").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_amt-fake"))
        .args(["--listen", "127.0.0.1:0", "--password-file"])
        .arg(directory.join("password"))
        .arg(script)
        .arg(directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let program = Program(child);
    let address = line.trim().strip_prefix("listening on ").expect("its first line");
    (program, client(address.parse().unwrap(), "se\"c\\ret"))
}

#[tokio::test]
async fn the_command_is_called_in_the_words_of_a_chassis_program() {
    let directory = tempfile::tempdir().unwrap();
    let (_program, client) = start(directory.path());
    client.boot_from_network_once().await.unwrap();
    client.switch(Action::On).await.unwrap();
    assert_eq!(client.power().await.unwrap().state, PowerState::On);
    client.switch(Action::Cycle).await.unwrap();
    client.switch(Action::Reset).await.unwrap();
    client.switch(Action::SoftOff).await.unwrap();
    assert_eq!(client.power().await.unwrap().state, PowerState::Off);
    let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
    let set: Vec<&str> = log.lines().filter(|line| *line != "get power").collect();
    assert_eq!(
        set,
        [
            "set boot pxe",
            "set power 1",
            "set power 0",
            "set boot default",
            "set power 1",
            "set boot default",
            "set reset 1",
            "set shutdown 1",
        ]
    );
}
