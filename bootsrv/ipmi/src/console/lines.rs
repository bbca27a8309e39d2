//! The last lines of a console, as plain text: bounded, without control characters. Consoles draw
//! menus with escape sequences; these are left out, and what they place elsewhere starts a line.

use std::collections::VecDeque;

/// Most lines that are ever kept.
const LINES_MAX: usize = 1000;
/// Longest line, in bytes; more starts a new one.
const LINE_BYTES_MAX: usize = 512;
const ESCAPE: u8 = 0x1B;
const BELL: u8 = 0x07;
const BACKSPACE: u8 = 0x08;

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After a carriage return: the next text writes over the line.
    Return,
    /// After an escape character.
    Escape,
    /// In a control sequence (`ESC [`), which ends with a letter or the like.
    Control,
    /// In a string (`ESC ]` and others), which ends with BEL or the next escape character.
    String,
}

/// The last lines of what was written to a console.
#[derive(Debug, Clone)]
pub struct ConsoleLines {
    lines: VecDeque<String>,
    lines_max: usize,
    /// The line that has not ended yet.
    open: Vec<u8>,
    state: State,
}

impl ConsoleLines {
    /// Keeps the last `lines_max` lines, 1 to 1000.
    #[must_use]
    pub fn new(lines_max: usize) -> Self {
        let lines_max = lines_max.clamp(1, LINES_MAX);
        Self { lines: VecDeque::new(), lines_max, open: Vec::new(), state: State::Text }
    }

    /// Takes in what the console wrote.
    pub fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.take(*byte);
        }
    }

    /// The lines, oldest first, the unfinished one last; without empty ones.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let open = text(&self.open);
        let lines = self.lines.iter().cloned().chain((!open.is_empty()).then_some(open));
        let spare = lines.clone().count().saturating_sub(self.lines_max);
        lines.skip(spare).collect()
    }

    /// The same as one text: each line ends with a line feed but an unfinished one.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text: String = self.lines.iter().flat_map(|line| [line, "\n"]).collect();
        text.push_str(&self::text(&self.open));
        text
    }

    fn take(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (_, ESCAPE) => State::Escape,
            (State::Escape, b'[') => State::Control,
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
            // ESC and one character; before 0x30 one more follows.
            (State::Escape, 0x20..=0x2F) => State::Escape,
            (State::Escape, _) => State::Text,
            (State::Control, 0x40..=0x7E) => {
                // Moving the cursor and clearing the screen: what follows stands elsewhere.
                if matches!(byte, b'A'..=b'H' | b'J' | b'f') {
                    self.end_line();
                }
                State::Text
            }
            (State::Control, 0x20..=0x3F) => State::Control,
            (State::String, BELL) => State::Text,
            (State::String, 0x20..) => State::String,
            // A sequence that was cut off by a line's end or lost bytes ends there.
            (_, b'\n') => {
                self.end_line();
                State::Text
            }
            (_, b'\r') => State::Return,
            (State::Return, 0x20..) => {
                self.open.clear();
                self.put(byte);
                State::Text
            }
            (_, b'\t') => {
                self.put(b' ');
                State::Text
            }
            (_, BACKSPACE) => {
                self.open.pop();
                State::Text
            }
            (_, 0x20..=0x7E | 0x80..) => {
                self.put(byte);
                State::Text
            }
            // Other control characters; also 0x7F.
            (state @ (State::Text | State::Return), _) => state,
            (State::Control | State::String, _) => State::Text,
        };
    }

    fn put(&mut self, byte: u8) {
        if self.open.len() >= LINE_BYTES_MAX {
            self.end_line();
        }
        self.open.push(byte);
    }

    fn end_line(&mut self) {
        let line = text(&self.open);
        self.open.clear();
        if line.is_empty() {
            return;
        }
        if self.lines.len() >= self.lines_max {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// Bytes as text; the standard's second set of control characters is left out here, because in
/// UTF-8 its bytes are parts of other characters.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .filter(|character| !character.is_control() && !is_invisible(*character))
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// What turns the text around it, or hides in it.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = ConsoleLines::new(5);
        lines.push(bytes);
        lines.lines()
    }

    #[test]
    fn a_console_becomes_plain_lines() {
        let check = |bytes: &[u8], wanted: &[&str]| {
            assert_eq!(lines(bytes), wanted, "{:?}", String::from_utf8_lossy(bytes));
        };
        check(b"", &[]);
        check(b"one\r\ntwo\r\n\r\nthree", &["one", "two", "three"]);
        check(b"10 %\r20 %\r100 %\n", &["100 %"]);
        check(b"\x1b[1;31mpanic\x1b[0m: no init\n", &["panic: no init"]);
        check(b"\x1b[2J\x1b[01;01Htop\x1b[05;01Hfifth", &["top", "fifth"]);
        check(b"\x1b]0;title\x07text\x1b(B!\n", &["text!"]);
        check(b"\x1bP+q\x1b\\text", &["text"]);
        check(b"a\tb\x00\x01\x7fc\x08d\n", &["a bd"]);
        check("grün\u{9b}31m\n".as_bytes(), &["grün31m"]);
        check("\u{202e}abc\u{feff}\n".as_bytes(), &["abc"]);
        check(b"\xff\xfe\n", &["\u{fffd}\u{fffd}"]);
        check(b"cut \x1b[12\nnext", &["cut", "next"]);
        check(b"\x1b]never ended\nnext\n", &["next"]);
        check(b"1\n2\n3\n4\n5\n6\n7", &["3", "4", "5", "6", "7"]);
    }

    #[test]
    fn bytes_may_come_one_at_a_time() {
        let text = "\x1b[1mHäh?\x1b[0m\r\nline two\r\n".as_bytes();
        let mut single = ConsoleLines::new(5);
        text.chunks(1).for_each(|byte| single.push(byte));
        assert_eq!(single.lines(), ["Häh?", "line two"]);
        assert_eq!(single.text(), "Häh?\nline two\n");
        single.push(b"login: ");
        assert_eq!(single.text(), "Häh?\nline two\nlogin:");
    }

    #[test]
    fn a_console_without_an_end_stays_bounded() {
        let mut lines = ConsoleLines::new(usize::MAX);
        let mut seed = 0x2545_F491_4F6C_DD1Du64;
        for _ in 0..2_000_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            lines.push(&[seed.to_le_bytes()[3]]);
        }
        lines.push(&[b'x'; 1_000_000]);
        let lines = lines.lines();
        assert_eq!(lines.len(), LINES_MAX);
        for line in &lines {
            // A byte that is no text becomes a character of three bytes.
            assert!(line.len() <= 3 * LINE_BYTES_MAX && !line.chars().any(char::is_control));
        }
    }
}
