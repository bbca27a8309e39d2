//! The boot token and the munge key are found nowhere they must not be.

use crate::case::{BOOT_SECONDS, Case};
use crate::search::{Files, Secret, in_files, on_command_lines, tokens};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tests::product::wait_until;

/// What the job's user looks at on the node: every readable file and every process, for a piece of
/// the key and for the token. That the search finds something is seen by the two copies it has
/// planted itself.
const SEARCH: &str = r#"id -u; cat /proc/cmdline; cat /etc/munge/munge.key 2>&1
    [ -e /boot-token ] && echo token is there
    find / -xdev -name '*boot-token*' 2>/dev/null; ls -l /etc/munge 2>&1
    export LC_ALL=C needle=/home/alice/needle
    cp $needle /tmp/planted; sh -c 'sleep 60; true' "$(tail -n 1 $needle)" & echo "planted $!"
    find / /run /tmp /dev/shm -xdev -type f -readable -size -1025k -not -path '/proc/*' \
        -not -path '/sys/*' -exec grep -l -a -F -f $needle {} + 2>/dev/null | sed 's/^/found /'
    grep -l -a -F -f $needle /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/cmdline 2>/dev/null |
        sed 's/^/found /'
    kill $!; echo searched"#;
/// Where the job's user has what to look for: the test's own file is no leak.
const NEEDLE: &str = "home/alice/needle";

/// Searches as the job's user on the node, and as root through every log, every file that others
/// may read (iPXE prints the URLs it asks for on the console), and the command lines during a boot.
pub(crate) fn no_secret_is_seen(case: &Case<'_>) -> Result<()> {
    let dir = case.cluster.dir();
    let key = key_piece(dir)?;
    let before = stored_tokens(dir)?;
    let job = case.submit(&["-w", "n1"], SEARCH)?;
    let token = wait_for_token(dir, &before)?;
    fs::write(dir.join(NEEDLE), [&key[..], b"\n", token.as_bytes(), b"\n"].concat())?;
    let secrets = [
        Secret { name: "munge key", value: key },
        Secret { name: "boot token", value: token.into_bytes() },
    ];
    let mut seen = Vec::new();
    wait_until(Duration::from_secs(BOOT_SECONDS), "the job runs", || {
        seen.extend(on_command_lines(&secrets)?);
        Ok(["RUNNING", "COMPLETED"].contains(&case.field(job, "JobState")?.as_str()))
    })?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure!(seen.is_empty(), "on a command line: {seen:?}");
    not_seen_on_the_node(&case.output(job))?;
    for place in ["log", "nodes"] {
        let found = in_files(&dir.join(place), Files::All, &secrets)?;
        ensure!(found.is_empty(), "{found:?}");
    }
    let mut readable = in_files(dir, Files::WorldReadable, &secrets)?;
    let own = format!(": {}", dir.join(NEEDLE).display());
    readable.retain(|line| !line.ends_with(&own));
    ensure!(readable.is_empty(), "readable by all: {readable:?}");
    for name in ["state/store.sqlite", "etc/site/munge.key", "state/tls/key.pem"] {
        let mode =
            fs::metadata(dir.join(name)).with_context(|| name.to_owned())?.permissions().mode();
        ensure!(mode & 0o077 == 0, "{name} is readable by others: {mode:o}");
    }
    Ok(())
}

fn not_seen_on_the_node(printed: &str) -> Result<()> {
    ensure!(printed.contains("searched"), "{printed}");
    ensure!(printed.contains("Permission denied"), "the user may read the key: {printed}");
    ensure!(!printed.contains("token is there"), "the token is still on the node: {printed}");
    let after =
        |word: &'static str| printed.lines().filter_map(move |line| line.strip_prefix(word));
    let planted = after("planted ").next().context("nothing was planted")?;
    let found: Vec<&str> = after("found ").collect();
    ensure!(
        found == ["/tmp/planted", &format!("/proc/{planted}/cmdline")],
        "copies beside the two planted ones, or these not found: {found:?}"
    );
    Ok(())
}

/// A piece of the key without line ends, as a pattern for grep.
fn key_piece(dir: &Path) -> Result<Vec<u8>> {
    let key = fs::read(dir.join("munge/munge.key"))?;
    let parts = key.split(|b| *b == b'\n' || *b == 0);
    let piece = parts.max_by_key(|part| part.len()).unwrap_or(&[]).to_vec();
    ensure!(piece.len() >= 8, "no piece of the key can be searched for");
    Ok(piece)
}

/// The token of the boot that has just been asked for, which only bootsrv's store has.
fn wait_for_token(dir: &Path, before: &BTreeSet<String>) -> Result<String> {
    let mut new = None;
    wait_until(Duration::from_secs(60), "the store has the boot's token", || {
        new = stored_tokens(dir)?.into_iter().find(|token| !before.contains(token));
        Ok(new.is_some())
    })?;
    new.context("no token")
}

fn stored_tokens(dir: &Path) -> Result<BTreeSet<String>> {
    let read = |name: &str| fs::read(dir.join("state").join(name));
    let store = read("store.sqlite")?;
    // Without the second file everything has been moved to the first one.
    let recent = read("store.sqlite-wal").unwrap_or_default();
    Ok(&tokens(&store) | &tokens(&recent))
}
