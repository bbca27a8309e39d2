//! plugstack.conf as spank(8) describes it, with its includes. Knows no plugin's meaning.

use crate::slurm_file::FILE_BYTES_MAX;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Most files read; real sites have a handful.
const FILES_MAX: usize = 256;

/// A plugin's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlugstackLine {
    /// A failure of the plugin fails the job.
    pub required: bool,
    /// File name or path of the plugin.
    pub plugin: String,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// It stands in an included file.
    pub is_included: bool,
}

/// Reads plugstack.conf and what it includes.
///
/// # Errors
/// When the file itself cannot be read; an include that names nothing is no error to Slurm either.
pub fn read(path: &Path) -> io::Result<Vec<PlugstackLine>> {
    let text = crate::limited::read_limited(path, FILE_BYTES_MAX)?;
    let mut lines = Vec::new();
    let mut seen = BTreeSet::from([path.to_owned()]);
    let mut waiting = add(path, &text, false, &mut lines);
    while let Some(path) = waiting.pop().filter(|_| seen.len() < FILES_MAX) {
        if seen.insert(path.clone())
            && let Ok(text) = crate::limited::read_limited(&path, FILE_BYTES_MAX)
        {
            waiting.extend(add(&path, &text, true, &mut lines));
        }
    }
    Ok(lines)
}

/// Takes a file's plugin lines; returns the files it includes.
fn add(path: &Path, text: &str, is_included: bool, lines: &mut Vec<PlugstackLine>) -> Vec<PathBuf> {
    let mut includes = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let mut words = text.split('#').next().unwrap_or_default().split_whitespace();
        let (Some(kind), Some(name)) = (words.next(), words.next()) else { continue };
        match kind.to_ascii_lowercase().as_str() {
            "include" => {
                let directory = path.parent().unwrap_or_else(|| Path::new("/"));
                includes.extend(matching(&directory.join(name)));
            }
            kind @ ("required" | "optional") => lines.push(PlugstackLine {
                required: kind == "required",
                plugin: name.to_owned(),
                file: path.to_owned(),
                line,
                is_included,
            }),
            _ => {}
        }
    }
    includes
}

/// The files a pattern names; `*` and `?` in its last part only.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) =
        (pattern.parent(), pattern.file_name().and_then(|n| n.to_str()))
    else {
        return Vec::new();
    };
    if !name.contains(['*', '?']) {
        return vec![pattern.to_owned()];
    }
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let fits = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        !file.starts_with('.') && matches(name.as_bytes(), file.as_bytes())
    };
    let mut found: Vec<PathBuf> =
        entries.take(FILES_MAX).flatten().map(|entry| entry.path()).filter(fits).collect();
    found.sort();
    found
}

/// Whether a name fits a pattern of `*` and `?`.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut star) = (0, None);
    let mut position = 0;
    while position < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(b'?') => (at, position) = (at + 1, position + 1),
            Some(byte) if name.get(position) == Some(byte) => {
                (at, position) = (at + 1, position + 1);
            }
            _ => {
                // The last star takes one character more.
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, position) = (star_at + 1, taken + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c*", "abcdef", true),
            ("*a*b", "xaxxab", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn includes_with_patterns_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plugstack.conf");
        std::fs::create_dir(directory.path().join("d")).unwrap();
        std::fs::write(&path, "required a.so x=1\n# c\nInclude d/*.conf\ninclude plugstack.conf\n")
            .unwrap();
        std::fs::write(directory.path().join("d/b.conf"), "\noptional /lib/b.so\n").unwrap();
        std::fs::write(directory.path().join("d/c.bak"), "optional c.so\n").unwrap();
        let lines = read(&path).unwrap();
        let b = lines.iter().find(|line| line.plugin == "/lib/b.so").unwrap();
        assert!(b.is_included && !b.required && b.line == 2);
        assert!(lines[0].required && !lines[0].is_included);
        assert!(lines.iter().all(|line| line.plugin != "c.so"));
    }
}
