//! Standard output: texts, JSON, and a picture that is drawn again and again.
//!
//! A reader that went away (`bmc status | head -1`) is no error: it shows as [`ReaderGone`], which
//! `main` ends on quietly. Nothing here changes a terminal's mode, so that Ctrl-C leaves it as it was.

use anyhow::Context;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The reader of standard output closed it.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl std::fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader of standard output is gone")
    }
}

impl std::error::Error for ReaderGone {}

/// Writes a text and flushes it.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// A value as JSON with its line end.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value).context("cannot write the answer as JSON")?;
    Ok(text + "\n")
}

/// What a verb found out: as JSON if asked, otherwise as `render` puts it.
pub(crate) fn show<T: Serialize>(
    as_json: bool,
    value: &T,
    render: impl FnOnce(&T) -> String,
) -> anyhow::Result<String> {
    if as_json { json(value) } else { Ok(render(value)) }
}

/// Whether a person looks at standard output.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// A line on standard error that the next one replaces; `None`: it goes. Nothing where nobody looks,
/// and not more often than twice a second.
pub(crate) fn passing(text: Option<&str>) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    const PAUSE: Duration = Duration::from_millis(500);
    let mut errors = std::io::stderr().lock();
    if !errors.is_terminal() {
        return;
    }
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let too_soon = last.is_some_and(|last| last.elapsed() < PAUSE);
    let line = match text {
        Some(_) if too_soon => return,
        Some(text) => format!("\r\x1b[K{}", fit(text, 2, 79).trim_end()),
        None => "\r\x1b[K".to_owned(),
    };
    *last = text.map(|_| Instant::now());
    // Whoever has closed standard error does not want to know.
    drop(errors.write_all(line.as_bytes()).and_then(|()| errors.flush()));
}

/// Where a changing text is shown: over its last version on a terminal, below it elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    lines_above: usize,
    last: String,
}

impl Picture {
    /// Shows the next version; nothing happens if it is the same as the last.
    pub(crate) fn show(&mut self, text: &str) -> anyhow::Result<()> {
        if text == self.last {
            return Ok(());
        }
        text.clone_into(&mut self.last);
        let Some((rows, columns)) = terminal_size() else { return print(text) };
        let fitted = fit(text, rows, columns);
        let over = redraw(self.lines_above);
        self.lines_above = fitted.lines().count();
        print(&(over + &fitted))
    }
}

/// The control sequence that goes up over the last picture and clears from there.
fn redraw(lines_above: usize) -> String {
    if lines_above == 0 { String::new() } else { format!("\x1b[{lines_above}A\x1b[J") }
}

/// Rows and columns, if a person looks at it.
fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok();
    let size = size.filter(|size| is_terminal() && size.ws_row > 0 && size.ws_col > 0);
    // A terminal that does not tell its size is taken for the classic one.
    let size = size.map(|size| (usize::from(size.ws_row), usize::from(size.ws_col)));
    size.or_else(|| is_terminal().then_some((24, 80)))
}

/// Cuts a text to what a terminal shows at once: going up over more would miss lines.
fn fit(text: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = rows.saturating_sub(1).max(1);
    let (shown, hidden) = if lines.len() > room {
        let shown = room.saturating_sub(1);
        (shown, lines.len().saturating_sub(shown))
    } else {
        (lines.len(), 0)
    };
    let cut = |line: &str| line.chars().take(columns).collect::<String>() + "\n";
    let mut fitted: String = lines.iter().take(shown).map(|line| cut(line)).collect();
    if hidden > 0 {
        fitted += &cut(&format!("… {hidden} more lines"));
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_never_fills_more_than_the_terminal() {
        assert_eq!(fit("one\ntwo\n", 24, 80), "one\ntwo\n");
        assert_eq!(fit("1234567\n2\n", 24, 5), "12345\n2\n");
        assert_eq!(fit("1\n2\n3\n4\n", 4, 80), "1\n2\n… 2 more lines\n");
        assert_eq!(fit("1\n2\n3\n", 4, 80), "1\n2\n3\n");
        assert_eq!(fit("1\n2\n", 1, 80), "… 2 more lines\n");
    }

    #[test]
    fn the_first_picture_moves_nothing() {
        assert_eq!(redraw(0), "");
        assert_eq!(redraw(3), "\x1b[3A\x1b[J");
    }
}
