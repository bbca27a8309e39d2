//! The lines of a console that tell most about a failed boot. Pure.

use ipmi::ConsoleLines;
use protocol::api::CONSOLE_LINES_MAX;

/// Most lines of a console that are looked at.
const LINES_MAX: usize = 1_000;
/// Longest line that is quoted in a failure's reason, in characters.
const QUOTED_CHARS_MAX: usize = 160;
/// Longest of the last lines, in characters.
const LINE_CHARS_MAX: usize = 200;
/// Of the last lines, so many are that of a crash and what follows it.
const AFTER_CRASH: usize = 5;
/// What the line of a crash has in it.
const TELLING: [&str; 5] =
    ["Kernel panic", "boot failed:", "Out of memory", "BUG:", "Initramfs unpacking failed"];

/// What a console wrote, as lines without control characters and escape sequences.
pub(super) fn plain(bytes: &[u8]) -> ConsoleLines {
    let mut lines = ConsoleLines::new(LINES_MAX);
    lines.push(bytes);
    lines
}

/// The last line that names a panic or an error, else the last line.
pub(super) fn telling(lines: &[String]) -> Option<String> {
    let line = crash(lines).and_then(|at| lines.get(at)).or_else(|| lines.last())?;
    Some(line.trim_start().chars().take(QUOTED_CHARS_MAX).collect())
}

/// The last lines for people. A machine that crashed starts anew, and its firmware writes more than
/// that: its last lines are those around the crash.
pub(super) fn last(lines: &[String]) -> Vec<String> {
    let end = crash(lines).map_or(lines.len(), |at| lines.len().min(at + AFTER_CRASH));
    let spare = end.saturating_sub(CONSOLE_LINES_MAX);
    let shown = lines.iter().take(end).skip(spare);
    shown.map(|line| line.chars().take(LINE_CHARS_MAX).collect()).collect()
}

fn crash(lines: &[String]) -> Option<usize> {
    lines.iter().rposition(|line| TELLING.iter().any(|word| line.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telling_of(text: &str) -> Option<String> {
        telling(&plain(text.as_bytes()).lines())
    }

    #[test]
    fn a_panic_tells_more_than_what_follows_it() {
        let text = "booting\r\n[ 1.0] Kernel panic - not syncing: System is deadlocked on memory\r\n\
                    [ 1.1] Rebooting in 1 seconds..\r\n\r\n";
        assert!(telling_of(text).unwrap().contains("deadlocked on memory"));
        let damaged = "[ 1.2] Initramfs unpacking failed: corrupt\n[ 1.6] reboot: Power down\n";
        assert!(telling_of(damaged).unwrap().ends_with("corrupt"));
        assert_eq!(telling_of("a\nb\n\n").as_deref(), Some("b"));
        assert_eq!(telling_of("\n"), None);
    }

    #[test]
    fn what_a_terminal_would_obey_is_left_out() {
        let text =
            "\x1b[2J\x1b[01;01H\x1b[0;31m[FAILED]\x1b[0m Kernel panic \x07- x\x1b]0;t\x07\r\n";
        assert_eq!(telling_of(text).as_deref(), Some("[FAILED] Kernel panic - x"));
        let many: String = (0..50).map(|number| format!("\x1b[1mline {number}\x1b[0m\n")).collect();
        let lines = last(&plain(many.as_bytes()).lines());
        assert_eq!(lines.len(), CONSOLE_LINES_MAX);
        assert_eq!(lines.last().map(String::as_str), Some("line 49"));
        let crashed: Vec<String> = (0..50)
            .map(|number| if number == 20 { "BUG: x".into() } else { number.to_string() })
            .collect();
        assert_eq!(
            last(&crashed),
            ["15", "16", "17", "18", "19", "BUG: x", "21", "22", "23", "24"]
        );
        let long = last(&plain(&[b'x'; 400]).lines());
        assert_eq!(long.first().map(String::len), Some(LINE_CHARS_MAX));
    }
}
