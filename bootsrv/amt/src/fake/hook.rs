//! What a change of power does: sets a flag, or calls a command in the words of a chassis program.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::process::Command;

/// Longest run of a command.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// The machine.
#[derive(Debug, Clone)]
pub enum Hook {
    /// A flag; a machine that is asked to shut down does so.
    Flag(Arc<AtomicBool>),
    /// A command and its first words. More words follow: `get power` is answered with `power:0` or
    /// `power:1`; `set power 1`, `set power 0`, `set shutdown 1`, `set reset 1`, and before each boot
    /// `set boot pxe` or `set boot default`. These are ipmi_sim's words to its chassis program.
    Command(Vec<String>),
}

impl Default for Hook {
    fn default() -> Self {
        Self::Flag(Arc::default())
    }
}

impl Hook {
    pub(super) async fn is_on(&self) -> io::Result<bool> {
        match self {
            Self::Flag(flag) => Ok(flag.load(Ordering::SeqCst)),
            Self::Command(command) => match call(command, &["get", "power"]).await?.trim() {
                "power:1" => Ok(true),
                "power:0" => Ok(false),
                other => Err(io::Error::other(format!("get power: {other:?}"))),
            },
        }
    }

    /// Power on or off.
    pub(super) async fn power(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Flag(flag) => flag.store(on, Ordering::SeqCst),
            Self::Command(command) => {
                call(command, &["set", "power", if on { "1" } else { "0" }]).await?;
            }
        }
        Ok(())
    }

    /// Asks the operating system to shut down.
    pub(super) async fn shut_down(&self) -> io::Result<()> {
        match self {
            Self::Flag(flag) => flag.store(false, Ordering::SeqCst),
            Self::Command(command) => {
                call(command, &["set", "shutdown", "1"]).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn reset(&self) -> io::Result<()> {
        match self {
            Self::Flag(_) => {}
            Self::Command(command) => {
                call(command, &["set", "reset", "1"]).await?;
            }
        }
        Ok(())
    }

    /// Chooses what the boot that comes now boots.
    pub(super) async fn boot(&self, network: bool) -> io::Result<()> {
        match self {
            Self::Flag(_) => {}
            Self::Command(command) => {
                let device = if network { "pxe" } else { "default" };
                call(command, &["set", "boot", device]).await?;
            }
        }
        Ok(())
    }
}

async fn call(command: &[String], words: &[&str]) -> io::Result<String> {
    let [program, first @ ..] = command else {
        return Err(io::Error::other("no command is given"));
    };
    let running = Command::new(program)
        .args(first)
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let late = |_| io::Error::other(format!("{program} took too long"));
    let output = tokio::time::timeout(COMMAND_TIMEOUT, running).await.map_err(late)??;
    if !output.status.success() {
        let words = words.join(" ");
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{program} {words}: {}", said.trim())));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}
