//! Owners and groups by name, from the image's own passwd(5) and group(5).
//!
//! Pure: the agent must not use its own name service, because it has none.

/// The number of an account: `name` itself if it is a number, else the third field of its line.
pub(crate) fn number(table: &str, name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn finds_names_and_numbers() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nmunge:x:110:118::/:/bin/false\nbad:x\n";
        assert_eq!(number(passwd, "root"), Some(0));
        assert_eq!(number(passwd, "munge"), Some(110));
        assert_eq!(number(passwd, "2001"), Some(2001));
        for missing in ["", "bad", "mung", "-1", "4294967296", "x"] {
            assert_eq!(number(passwd, missing), None, "{missing}");
        }
    }
}
