//! A program of the site's own; docs/admin.md has the contract.

use crate::power::Power;
use crate::power::driver::{Abilities, Answer, Command, Driver, DriverError, Reading, Trouble};
use futures_util::FutureExt;
use protocol::api::{Firmware, NodeDefinition};
use protocol::power::Exec as Definition;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command as Process};

/// For one run of the program.
const LIMIT: Duration = Duration::from_secs(30);
/// Most bytes read of what it prints, each of output and errors; more ends it.
const OUTPUT_BYTES_MAX: usize = 4096;
/// Most arguments of the site's.
const ARGUMENTS_MAX: usize = 64;
/// Most characters of its errors that are shown.
const SHOWN_MAX: usize = 200;

/// The program, and what it is told of the node.
#[derive(Debug)]
pub(super) struct Exec {
    definition: Definition,
    environment: [(&'static str, OsString); 3],
    sees_power: bool,
    limit: Duration,
}

impl Exec {
    /// # Errors
    /// The key and what is wrong with it.
    pub(super) fn new(definition: &Definition, node: &NodeDefinition) -> Result<Self, String> {
        let program = definition.program.display();
        if !definition.program.is_absolute() {
            return Err(format!("program = \"{program}\" is not an absolute path"));
        }
        if definition.arguments.len() > ARGUMENTS_MAX {
            return Err(format!("arguments has more than {ARGUMENTS_MAX} words"));
        }
        let words = definition.arguments.iter().map(String::as_bytes);
        if words.chain([program.to_string().as_bytes()]).any(|word| word.contains(&0)) {
            return Err("program or arguments has a zero byte".into());
        }
        let address = node.address.split('/').next().unwrap_or_default();
        let environment = [
            ("NODE_NAME", node.name.to_string().into()),
            ("NODE_MAC", node.mac.to_string().into()),
            ("NODE_ADDRESS", address.into()),
        ];
        Ok(Self { definition: definition.clone(), environment, sees_power: true, limit: LIMIT })
    }

    /// Runs the program with that last argument; gives what it printed.
    async fn run(&self, argument: &str) -> Result<String, DriverError> {
        let error = |trouble, text: &str| {
            let program = self.definition.program.display();
            DriverError::new(trouble, format!("{program} {argument} {text}"))
        };
        let failed = |source: std::io::Error| DriverError {
            source: Some(Box::new(source)),
            ..error(Trouble::Broken, "cannot be run")
        };
        let mut child = self.start(argument).map_err(failed)?;
        // Taken now: it has no number any more when it has ended.
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let _ends_with_us = Group(group);
        let (status, output, errors) = tokio::time::timeout(self.limit, outcome(&mut child))
            .await
            .map_err(|_| {
                error(Trouble::NoAnswer, &format!("did not end within {} s", self.limit.as_secs()))
            })?
            .map_err(failed)?;
        if output.len() > OUTPUT_BYTES_MAX {
            return Err(error(Trouble::Broken, "printed more than 4 KiB"));
        }
        if !status.success() {
            let text = format!("failed, {status}: {}", last_line(&errors));
            return Err(error(Trouble::Broken, &text));
        }
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    fn start(&self, argument: &str) -> std::io::Result<Child> {
        Process::new(&self.definition.program)
            .args(&self.definition.arguments)
            .arg(argument)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// What it started ends with it, also when the time is over or nobody waits any more.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Most often there is nothing left to end.
            kill_process_group(group, Signal::KILL).unwrap_or_default();
        }
    }
}

/// Waits for its end and reads what it prints, a byte more than allowed at most.
async fn outcome(child: &mut Child) -> std::io::Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let (status, output, errors) = tokio::join!(child.wait(), read(output), read(errors));
    Ok((status?, output?, errors?))
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if let Some(from) = from {
        from.take(OUTPUT_BYTES_MAX as u64 + 1).read_to_end(&mut text).await?;
    }
    Ok(text)
}

/// The last line with anything in it, without control characters.
fn last_line(errors: &[u8]) -> String {
    let text = String::from_utf8_lossy(errors);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no error text");
    line.trim().chars().filter(|letter| !letter.is_control()).take(SHOWN_MAX).collect()
}

impl Driver for Exec {
    fn abilities(&self) -> Abilities {
        Abilities {
            sees_power: self.sees_power,
            switches_off: true,
            soft_off: false,
            cycle: false,
            boot_device: false,
            meter: false,
        }
    }

    fn power(&mut self) -> Answer<'_, Power> {
        async {
            let printed = self.run("status").await?;
            let what = |text| format!("{} status {text}", self.definition.program.display());
            let (sees_power, answer) = match printed.trim() {
                "on" => (true, Ok(Power::On)),
                "off" => (true, Ok(Power::Off)),
                "unknown" => (false, Err((Trouble::Unsupported, what("does not know")))),
                _ => (true, Err((Trouble::Broken, what("printed neither on, off nor unknown")))),
            };
            self.sees_power = sees_power;
            answer.map_err(|(trouble, what)| DriverError::new(trouble, what))
        }
        .boxed()
    }

    fn command(&mut self, command: Command) -> Answer<'_, ()> {
        async move {
            match command {
                Command::On => self.run("on").await.map(drop),
                Command::Off => self.run("off").await.map(drop),
                Command::SoftOff | Command::Cycle => Err(cannot()),
            }
        }
        .boxed()
    }

    fn boot_from_network(&mut self, _: Firmware) -> Answer<'_, ()> {
        async { Err(cannot()) }.boxed()
    }

    fn reading(&mut self) -> Answer<'_, Option<Reading>> {
        async { Ok(None) }.boxed()
    }

    fn events(&mut self, _: i64) -> Answer<'_, Vec<String>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

fn cannot() -> DriverError {
    DriverError::new(Trouble::Unsupported, "a program knows on, off and status only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::testing::definition;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use tempfile::TempDir;

    fn exec(program: &Path, arguments: &[&str]) -> Result<Exec, String> {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        Exec::new(&Definition { program: program.into(), arguments }, &definition("n1"))
    }

    fn script(text: &str) -> (TempDir, Exec) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("power");
        std::fs::write(&path, format!("#!/bin/sh\ncd {}\n{text}", directory.path().display()))
            .unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let driver = exec(&path, &["-v"]).unwrap();
        (directory, driver)
    }

    #[tokio::test]
    async fn the_contract_is_kept() {
        let (directory, mut driver) = script(
            "env | grep -v '^PWD=\\|^OLDPWD=\\|^_=\\|^SHLVL=' | sort > env\n\
             echo \"$@\" >> log\ncase $2 in status) cat state;; *) echo $2 > state;; esac",
        );
        driver.command(Command::On).await.unwrap();
        assert_eq!(driver.power().await.unwrap(), Power::On);
        driver.command(Command::Off).await.unwrap();
        assert_eq!(driver.power().await.unwrap(), Power::Off);
        let read = |name| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(read("log"), "-v on\n-v status\n-v off\n-v status\n");
        assert_eq!(
            read("env"),
            "NODE_ADDRESS=10.77.0.11\nNODE_MAC=52:54:00:77:00:01\nNODE_NAME=n1\n"
        );
        for command in [Command::SoftOff, Command::Cycle] {
            assert_eq!(driver.command(command).await.unwrap_err().trouble, Trouble::Unsupported);
        }
    }

    #[tokio::test]
    async fn a_program_that_cannot_see_says_so() {
        let (_directory, mut driver) = script("echo unknown");
        assert!(driver.abilities().sees_power);
        assert_eq!(driver.power().await.unwrap_err().trouble, Trouble::Unsupported);
        assert!(!driver.abilities().sees_power);
    }

    #[tokio::test]
    async fn what_breaks_the_contract_is_an_error_that_says_what() {
        for (text, expected) in [
            ("echo maybe", "printed neither"),
            ("echo on; echo 'no route' >&2; echo >&2; exit 3", "exit status: 3: no route"),
            ("exit 1", "no error text"),
            ("head -c 5000 /dev/zero", "more than 4 KiB"),
            ("kill -9 $$", "signal: 9"),
        ] {
            let (_directory, mut driver) = script(text);
            let error = driver.power().await.unwrap_err();
            assert_eq!(error.trouble, Trouble::Broken, "{text}");
            assert!(error.to_string().contains(expected), "{text}: {error}");
        }
        let mut missing = exec(Path::new("/nonexistent/power"), &[]).unwrap();
        let error = missing.command(Command::On).await.unwrap_err();
        assert!(error.to_string().contains("/nonexistent/power on cannot be run"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_ends_with_all_it_started() {
        let (directory, mut driver) = script("sleep 987 & echo $! > child; wait");
        driver.limit = Duration::from_secs(1);
        let error = driver.command(Command::On).await.unwrap_err();
        assert_eq!(error.trouble, Trouble::NoAnswer);
        assert!(error.to_string().ends_with("on did not end within 1 s"), "{error}");
        let child = std::fs::read_to_string(directory.path().join("child")).unwrap();
        let is_over = || {
            std::fs::read_to_string(format!("/proc/{}/stat", child.trim()))
                .map_or(true, |stat| stat.contains(") Z "))
        };
        for _ in 0..200 {
            if is_over() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the program's child {child} lives on");
    }

    #[test]
    fn only_an_absolute_path_is_a_program() {
        let error = exec(Path::new("power.sh"), &[]).unwrap_err();
        assert_eq!(error, "program = \"power.sh\" is not an absolute path");
    }
}
