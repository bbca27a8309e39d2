//! The line of a node's console log that tells most about a failed boot.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How much of the log's end is looked at, in bytes.
const TAIL_BYTES: u64 = 64 * 1024;

/// The last `lines` bytes of a console log, control characters made harmless.
///
/// # Errors
/// When the file cannot be read.
pub fn tail(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    let keep = |c: &char| matches!(c, '\n' | '\t') || !c.is_control();
    Ok(String::from_utf8_lossy(&bytes).chars().filter(keep).collect())
}

/// The last line that names a panic or an error, else the last line with text.
#[must_use]
pub fn telling_line(path: &Path) -> Option<String> {
    pick(&tail(path, TAIL_BYTES).ok()?)
}

fn pick(text: &str) -> Option<String> {
    const TELLING: [&str; 4] = ["Kernel panic", "boot failed:", "Out of memory", "BUG:"];
    let lines = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let line = lines()
        .find(|line| TELLING.iter().any(|word| line.contains(word)))
        .or_else(|| lines().next())?;
    Some(line.chars().take(160).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_tells_more_than_what_follows_it() {
        let text = "booting\n[ 1.0] Kernel panic - not syncing: System is deadlocked on memory\n[ 1.1] Rebooting in 1 seconds..\n\n";
        assert!(pick(text).unwrap().contains("deadlocked on memory"));
        assert_eq!(pick("a\nb\n\n").as_deref(), Some("b"));
        assert_eq!(pick("\n"), None);
    }
}
