//! Looks for secrets where they must not be: in files that others can read, and on command lines.

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Length of a boot token, and of a SHA-256, in hexadecimal digits.
const DIGITS: usize = 64;

/// A secret to look for.
pub(crate) struct Secret {
    /// What it is, for the failure's text.
    pub(crate) name: &'static str,
    /// Its bytes.
    pub(crate) value: Vec<u8>,
}

/// Which files are looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// All.
    All,
    /// Those that everybody may read, in directories that everybody may enter.
    WorldReadable,
}

/// What was found below a directory, a line each: which secret, in which file.
pub(crate) fn in_files(directory: &Path, which: Files, secrets: &[Secret]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for path in files(directory, which)? {
        // A service may have removed it meanwhile; QEMU's sockets are no files.
        let Ok(content) = fs::read(&path) else { continue };
        found.extend(in_bytes(&content, secrets).map(|name| format!("{name}: {}", path.display())));
    }
    Ok(found)
}

/// What stands on the command line of any process now, a line each.
pub(crate) fn on_command_lines(secrets: &[Secret]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let shown = String::from_utf8_lossy(&words).replace('\0', " ");
        found.extend(in_bytes(&words, secrets).map(|name| format!("{name}: {shown}")));
    }
    Ok(found)
}

/// The boot tokens in these bytes of bootsrv's store: digits whose SHA-256 stands there too.
pub(crate) fn tokens(store: &[u8]) -> BTreeSet<String> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let numbers: BTreeSet<&[u8]> =
        store.split(|byte| !is_digit(byte)).flat_map(|run| run.windows(DIGITS)).collect();
    let hash = |number: &[u8]| -> String {
        Sha256::digest(number).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let tokens = numbers.iter().filter(|number| numbers.contains(hash(number).as_bytes()));
    tokens.map(|token| String::from_utf8_lossy(token).into_owned()).collect()
}

fn in_bytes<'a>(bytes: &[u8], secrets: &'a [Secret]) -> impl Iterator<Item = &'a str> {
    let has = |value: &[u8]| bytes.windows(value.len()).any(|window| window == value);
    let found: Vec<&str> =
        secrets.iter().filter(|secret| has(&secret.value)).map(|secret| secret.name).collect();
    found.into_iter()
}

fn files(directory: &Path, which: Files) -> Result<Vec<PathBuf>> {
    let open = |path: &Path, bits: u32| -> bool {
        let mode = fs::symlink_metadata(path).map_or(0, |data| data.permissions().mode());
        which == Files::All || mode & bits == bits
    };
    let mut files = Vec::new();
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() && open(&path, 0o005) {
            files.extend(self::files(&path, which)?);
        } else if kind.is_file() && open(&path, 0o004) {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn secret(value: &str) -> [Secret; 1] {
        [Secret { name: "token", value: value.into() }]
    }

    #[test]
    fn what_is_planted_is_found_where_others_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        let path = dir.path().join("sub/log");
        fs::write(&path, "GET /boot?token=s3cret HTTP/1.1").unwrap();
        let found = |which, value: &str| in_files(dir.path(), which, &secret(value)).unwrap();
        let expected = [format!("token: {}", path.display())];
        assert_eq!(found(Files::All, "s3cret"), expected);
        assert_eq!(found(Files::WorldReadable, "s3cret"), expected);
        assert!(found(Files::All, "s3cret2").is_empty());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(found(Files::WorldReadable, "s3cret").is_empty());
        assert_eq!(found(Files::All, "s3cret"), expected);
    }

    #[test]
    fn a_command_line_is_seen() {
        let word = format!("planted-{}", std::process::id());
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "echo runs; read line", &word])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Before that the kernel may show no command line yet.
        let mut runs = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut runs).unwrap();
        let found = on_command_lines(&secret(&word)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn a_token_is_told_from_other_digests_by_its_hash() {
        let token = "ab".repeat(32);
        let hash: String =
            Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let store = format!("x{}y{token}{hash}z", "cd".repeat(32));
        assert_eq!(tokens(store.as_bytes()), BTreeSet::from([token.clone()]));
        assert!(tokens(token.as_bytes()).is_empty());
    }
}
