//! `bmc node console`: the newest part of a console, and what is added to it.

use crate::output;
use crate::server::Server;
use protocol::names::NodeName;
use std::time::Duration;

/// Time between two looks of `--follow`.
const FOLLOW_PERIOD: Duration = Duration::from_secs(1);
/// How much of the end of what was printed is looked for in the next answer, in bytes.
const ANCHOR_BYTES: usize = 256;

/// Returns the console, or prints it on and on.
pub(crate) fn run(name: &NodeName, follow: bool, server: &dyn Server) -> anyhow::Result<String> {
    let mut known = shown(&server.console(name)?, output::is_terminal());
    if !follow {
        return Ok(known);
    }
    output::print(&known)?;
    loop {
        std::thread::sleep(FOLLOW_PERIOD);
        let newest = shown(&server.console(name)?, output::is_terminal());
        output::print(news(&known, &newest))?;
        known = newest;
    }
}

/// A console's text; on a terminal without what the terminal would obey.
fn shown(text: &str, on_terminal: bool) -> String {
    let harmless = |c: &char| matches!(c, '\n' | '\t') || !c.is_control();
    if on_terminal { text.chars().filter(harmless).collect() } else { text.to_owned() }
}

/// What `newest` has beyond `known`: both are windows on the end of one growing text. If they have
/// nothing in common, all of it is news (the log was cut, or more than a window was added).
fn news<'a>(known: &str, newest: &'a str) -> &'a str {
    if let Some(added) = newest.strip_prefix(known) {
        return added;
    }
    let mut from = known.len().saturating_sub(ANCHOR_BYTES);
    while !known.is_char_boundary(from) {
        from = from.saturating_add(1);
    }
    let anchor = known.get(from..).unwrap_or_default();
    match newest.rfind(anchor) {
        Some(at) if !anchor.is_empty() => newest.get(at + anchor.len()..).unwrap_or_default(),
        Some(_) | None => newest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_is_news() {
        assert_eq!(news("", "a\n"), "a\n");
        assert_eq!(news("a\n", "a\nb\n"), "b\n");
        assert_eq!(news("a\n", "a\n"), "");
        let lines = |range: std::ops::Range<u32>| -> String {
            range.map(|line| format!("line {line} größer\n")).collect()
        };
        assert_eq!(news(&lines(0..500), &lines(100..502)), lines(500..502));
        assert_eq!(news(&lines(0..500), &lines(600..900)), lines(600..900));
    }

    #[test]
    fn a_terminal_gets_nothing_to_obey() {
        assert_eq!(shown("a\u{1b}[2J\r\n\tb", true), "a[2J\n\tb");
        assert_eq!(shown("a\u{1b}[2J\r\n", false), "a\u{1b}[2J\r\n");
    }
}
