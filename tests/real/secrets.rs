//! The boot token and the munge key are found nowhere they must not be.

use crate::case::{BOOT_SECONDS, Case};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the job's user looks at on the node: everything readable, for the key's bytes.
const SEARCH: &str = "id -u; cat /proc/cmdline; cat /etc/munge/munge.key 2>&1; \
    [ -e /boot-token ] && echo token is there; \
    find / -xdev -name '*boot-token*' 2>/dev/null; ls -l /etc/munge 2>&1; \
    find / -xdev -type f -readable -size -64k -not -path '/proc/*' -not -path '/sys/*' \
    -exec grep -l --binary-files=binary -f /home/alice/needle {} + 2>/dev/null; echo searched";

/// Searches as the job's user on the node, and as root through every log and world-readable file.
pub(crate) fn no_secret_is_seen(case: &Case<'_>) -> Result<()> {
    let dir = case.cluster.dir();
    let key = fs::read(dir.join("munge/munge.key"))?;
    // A piece of the key without line ends, as a pattern for grep: the test's own file is no leak.
    let piece: Vec<u8> =
        key.split(|b| *b == b'\n' || *b == 0).max_by_key(|part| part.len()).unwrap_or(&[]).to_vec();
    ensure!(piece.len() >= 8, "no piece of the key can be searched for");
    let job = case.submit(&["-w", "n1"], SEARCH)?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let printed = case.output(job);
    ensure!(printed.contains("searched"), "{printed}");
    ensure!(printed.contains("Permission denied"), "the user may read the key: {printed}");
    ensure!(!printed.contains("token is there"), "the token is still on the node: {printed}");
    ensure!(!contains(printed.as_bytes(), &piece), "the key was printed");

    let mut files = Vec::new();
    collect(&dir.join("log"), &mut files)?;
    collect(&dir.join("nodes"), &mut files)?;
    ensure!(!files.is_empty(), "no logs to search");
    for path in files.iter().filter(|path| path.file_name() != Some("munge.key".as_ref())) {
        let content = fs::read(path).unwrap_or_default();
        ensure!(!contains(&content, &piece), "{} has the munge key", path.display());
    }
    for name in ["state/store.sqlite", "etc/site/munge.key", "state/tls/key.pem"] {
        let mode =
            fs::metadata(dir.join(name)).with_context(|| name.to_owned())?.permissions().mode();
        ensure!(mode & 0o077 == 0, "{name} is readable by others: {mode:o}");
    }
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)?.flatten() {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn contains(text: &[u8], piece: &[u8]) -> bool {
    text.windows(piece.len()).any(|window| window == piece)
}
