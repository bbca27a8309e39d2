//! Programs of the node, asked for what only they know: names and addresses.
//!
//! The agent is static and has no name service. Nothing of an image is ever run here.

use super::blame::EveryNodes;
use anyhow::{Context as _, Result, bail};
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Where programs are looked for, in this order.
pub(super) const PATH: [&str; 6] =
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];
/// How long a program may take: a directory service may have to be waited for.
const LIMIT: Duration = Duration::from_secs(60);
/// Most bytes read of what it prints.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// What a program prints; none if it says that there is no such thing (any status but 0).
pub(super) fn output(name: &str, arguments: &[&str]) -> Result<Option<String>> {
    let program = find(name)
        .with_context(|| EveryNodes(format!("the node has no {name}: the node image lacks it")))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH.join(":"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let pipe = child.stdout.take().context("the program has no output")?;
    let (done, text) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut text).map(|_| text);
        done.send(read).ok();
    });
    let text = text.recv_timeout(LIMIT);
    if text.is_err() {
        child.kill().ok();
    }
    let status = child.wait()?;
    match text {
        Err(_) => bail!(EveryNodes(format!("{name} did not answer in {} s", LIMIT.as_secs()))),
        Ok(text) if status.success() => {
            Ok(Some(String::from_utf8(text?).with_context(|| format!("what {name} prints"))?))
        }
        Ok(_) => Ok(None),
    }
}

/// The address of a server, as it stands in front of the `:/` of an NFS source.
pub(super) fn address_of(host: &str) -> Result<String> {
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Ok(host.to_owned());
    }
    let text = output("getent", &["ahosts", host])?.unwrap_or_default();
    let first = text.split_ascii_whitespace().next().and_then(|word| word.parse().ok());
    match first.with_context(|| format!("the node finds no address of {host}"))? {
        IpAddr::V4(address) => Ok(address.to_string()),
        IpAddr::V6(address) => Ok(format!("[{address}]")),
    }
}

fn find(name: &str) -> Option<PathBuf> {
    PATH.iter().map(|directory| Path::new(directory).join(name)).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_answer_refuse_or_are_missing() {
        let root = output("getent", &["passwd", "0"]).unwrap().unwrap();
        assert!(root.starts_with("root:"), "{root}");
        assert_eq!(output("getent", &["passwd", "no-such-user"]).unwrap(), None);
        let error = output("no-such-program", &[]).unwrap_err().to_string();
        assert_eq!(error, "the node has no no-such-program: the node image lacks it");
    }

    #[test]
    fn addresses_are_kept_and_names_are_asked_for() {
        assert_eq!(address_of("10.0.0.1").unwrap(), "10.0.0.1");
        assert_eq!(address_of("[fd77::1]").unwrap(), "[fd77::1]");
        let localhost = address_of("localhost").unwrap();
        assert!(["127.0.0.1", "[::1]"].contains(&localhost.as_str()), "{localhost}");
        assert!(address_of("no-such-host.invalid").is_err());
    }
}
