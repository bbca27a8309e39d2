//! Follows files that others write to, and notes when each byte was seen: one clock, the host's,
//! for the consoles of all nodes and for slurmctld's log, whatever times they print themselves.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two looks: every time noted here is late by at most this and a scheduling delay.
pub(crate) const LOOK: Duration = Duration::from_millis(2);
/// Most that is kept of one file, in bytes; a boot writes about 4,000.
const BYTES_MAX: usize = 1 << 20;

/// Nanoseconds since 1970 now.
pub(crate) fn now_unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// One file from its present end on.
#[derive(Debug)]
pub(crate) struct Followed {
    path: PathBuf,
    file: File,
    text: Vec<u8>,
    /// Length of the text and when it had it.
    seen: Vec<(usize, i64)>,
}

impl Followed {
    /// Follows a file that exists; what it holds already is passed over.
    pub(crate) fn from_now(path: &Path) -> Result<Self> {
        let mut file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { path: path.to_owned(), file, text: Vec::new(), seen: Vec::new() })
    }

    /// Takes up what is new.
    pub(crate) fn look(&mut self) -> Result<()> {
        let before = self.text.len();
        let room = u64::try_from(BYTES_MAX.saturating_sub(before)).unwrap_or(0);
        (&mut self.file)
            .take(room)
            .read_to_end(&mut self.text)
            .with_context(|| format!("reading {}", self.path.display()))?;
        if self.text.len() > before {
            self.seen.push((self.text.len(), now_unix_ns()));
        }
        Ok(())
    }

    /// When the first such text had been written, in nanoseconds since 1970.
    pub(crate) fn first(&self, pattern: &str) -> Option<i64> {
        let begin = position(&self.text, pattern.as_bytes())?;
        self.seen_at(begin + pattern.len())
    }

    /// When each of these texts had been written, each looked for behind the one found before it.
    pub(crate) fn in_order(&self, patterns: &[&str]) -> Vec<Option<i64>> {
        let mut from = 0;
        patterns
            .iter()
            .map(|pattern| {
                let rest = self.text.get(from..)?;
                from += position(rest, pattern.as_bytes())? + pattern.len();
                self.seen_at(from)
            })
            .collect()
    }

    /// The rest of the first line with such a text, and when its beginning was seen.
    pub(crate) fn after(&self, pattern: &str) -> Option<(String, i64)> {
        let end = position(&self.text, pattern.as_bytes())? + pattern.len();
        let rest = self.text.get(end..)?;
        let line = rest.split(|byte| *byte == b'\n').next()?;
        Some((String::from_utf8_lossy(line).trim().to_owned(), self.seen_at(end)?))
    }

    /// The lines that begin so, as one.
    pub(crate) fn lines_with(&self, begin: &str) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let lines = text.lines().filter_map(|line| Some(line.split_once(begin)?.1.trim()));
        lines.collect::<Vec<_>>().join(", ")
    }

    /// The last lines, for an error.
    pub(crate) fn tail(&self) -> String {
        let text = String::from_utf8_lossy(&self.text);
        let lines: Vec<&str> = text.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    fn seen_at(&self, length: usize) -> Option<i64> {
        let index = self.seen.partition_point(|seen| seen.0 < length);
        self.seen.get(index).map(|seen| seen.1)
    }
}

fn position(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

/// Looks at all files until it is so.
pub(crate) fn until(
    files: &mut [&mut Followed],
    limit: Duration,
    mut is_so: impl FnMut(&[&mut Followed]) -> Result<bool>,
) -> Result<bool> {
    let begin = Instant::now();
    loop {
        for file in files.iter_mut() {
            file.look()?;
        }
        if is_so(files)? {
            return Ok(true);
        }
        if begin.elapsed() > limit {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_text_has_the_time_at_which_it_was_whole() {
        let mut log = tempfile::NamedTempFile::new().unwrap();
        writeln!(log, "old ok").unwrap();
        let mut followed = Followed::from_now(log.path()).unwrap();
        let mut times = Vec::new();
        for part in ["reset ", "reset agent 1.5", " up\nlater"] {
            write!(log, "{part}").unwrap();
            let before = now_unix_ns();
            followed.look().unwrap();
            times.push(before..=now_unix_ns());
        }
        assert_eq!(followed.first("old"), None);
        assert!(times[0].contains(&followed.first("reset").unwrap()));
        let found = followed.in_order(&["reset", "reset", "never", "later"]);
        assert!(times[1].contains(&found[1].unwrap()) && times[2].contains(&found[3].unwrap()));
        assert_eq!(found[2], None);
        assert!(times[2].contains(&followed.first("5 up").unwrap()));
        assert_eq!(followed.after("agent ").unwrap().0, "1.5 up");
    }
}
