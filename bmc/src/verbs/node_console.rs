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
        output::print(&news(&known, &newest))?;
        known = newest;
    }
}

/// A console's text; on a terminal without what the terminal would obey. bootsrv sends none of that.
fn shown(text: &str, on_terminal: bool) -> String {
    let harmless = |c: &char| matches!(c, '\n' | '\t') || !c.is_control();
    if on_terminal { text.chars().filter(harmless).collect() } else { text.to_owned() }
}

/// What `newest` has beyond `known`: both are windows on the end of one growing text. If they have
/// nothing in common, all of it is news (another boot, or more than a window was added).
fn news(known: &str, newest: &str) -> String {
    if let Some(added) = newest.strip_prefix(known) {
        return added.to_owned();
    }
    // The line that had no end may have been written over.
    let (done, open) = known.rfind('\n').map_or(("", known), |at| known.split_at(at + 1));
    let mut from = done.len().saturating_sub(ANCHOR_BYTES);
    while !done.is_char_boundary(from) {
        from = from.saturating_add(1);
    }
    let anchor = done.get(from..).unwrap_or_default();
    let added = match newest.rfind(anchor) {
        Some(at) if !anchor.is_empty() => newest.get(at + anchor.len()..).unwrap_or_default(),
        Some(_) | None => newest,
    };
    match added.strip_prefix(open) {
        Some(added) => added.to_owned(),
        None => format!("\n{added}"),
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
        assert_eq!(news("a\n10 %", "a\n100 %\nb"), "\n100 %\nb", "written over");
        assert_eq!(news("a\nlog", "b\n"), "\nb\n", "another boot");
        let lines = |range: std::ops::Range<u32>| -> String {
            range.map(|line| format!("line {line} größer\n")).collect()
        };
        assert_eq!(news(&lines(0..500), &lines(100..502)), lines(500..502));
        assert_eq!(news(&lines(0..500), &lines(600..900)), lines(600..900));
        let open = |range| format!("{}login", lines(range));
        assert_eq!(news(&open(0..500), &format!("{}: x", open(100..500))), ": x");
    }

    #[test]
    fn a_terminal_gets_nothing_to_obey() {
        assert_eq!(shown("a\u{1b}[2J\r\n\tb", true), "a[2J\n\tb");
        assert_eq!(shown("a\u{1b}[2J\r\n", false), "a\u{1b}[2J\r\n");
    }
}
