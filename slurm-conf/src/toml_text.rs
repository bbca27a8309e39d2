//! Writing TOML values, and finding the line a key stands in. Only text: no files.

/// A text as a TOML string, quoted and escaped.
#[must_use]
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Texts as a TOML array.
#[must_use]
pub fn array<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<String> = texts.into_iter().map(quoted).collect();
    format!("[{}]", items.join(", "))
}

/// The line, from 1, of `key` in the table that the `index`-th (from 0) line `header` opens; the
/// header's own line if the key is not there. An empty header is the part before the first table.
#[must_use]
pub fn line_of(text: &str, header: &str, index: usize, key: &str) -> Option<usize> {
    let mut headers_seen = 0;
    let mut inside = header.is_empty().then_some(None);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            if let Some(start) = inside {
                return start;
            }
            if line.split('#').next().is_some_and(|line| line.trim() == header) {
                if headers_seen == index {
                    inside = Some(Some(number));
                }
                headers_seen += 1;
            }
        } else if inside.is_some()
            && line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
        {
            return Some(number);
        }
    }
    inside.flatten()
}

/// One line for a refused TOML text: the line's number, from 1, and what is wrong there.
#[must_use]
pub fn error_line(text: &str, error: &toml::de::Error) -> (usize, String) {
    let at = error.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    (line, error.message().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_table_and_key() {
        let text = "a = 1\n[x] # first\nb = 2\n[[n]]\nc = 3\n[[n]]\n# c\nc = 4\n";
        for (header, index, key, expected) in [
            ("", 0, "a", Some(1)),
            ("", 0, "b", None),
            ("[x]", 0, "b", Some(3)),
            ("[x]", 0, "nothing", Some(2)),
            ("[[n]]", 0, "c", Some(5)),
            ("[[n]]", 1, "c", Some(8)),
            ("[[n]]", 2, "c", None),
        ] {
            assert_eq!(line_of(text, header, index, key), expected, "{header} {index} {key}");
        }
    }

    #[test]
    fn texts_are_quoted_so_that_they_come_back() {
        for text in ["plain", "with \"quotes\"", "back\\slash", "tab\t", "'both' \"kinds\""] {
            let back: toml::Table = toml::from_str(&format!("x = {}", quoted(text))).unwrap();
            assert_eq!(back.get("x").and_then(toml::Value::as_str), Some(text));
        }
    }
}
