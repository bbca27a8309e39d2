//! Patterns with `*` (any run of characters) and `?` (any one).
//!
//! Pure; a pattern is matched against one name, so `*` does not know about slashes.

/// Whether the pattern describes the whole of `text`.
pub(crate) fn is_match(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // After the last `*`: the pattern behind it, and the text from where it was tried last.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                retry = Some((rest, text));
                pattern = rest;
            }
            (Some((p, p_rest)), Some((t, t_rest))) if p == t || *p == b'?' => {
                (pattern, text) = (p_rest, t_rest);
            }
            (None, None) => return true,
            _ => {
                let Some((after_star, tried)) = retry else { return false };
                let Some((_, tried)) = tried.split_first() else { return false };
                retry = Some((after_star, tried));
                (pattern, text) = (after_star, tried);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn matches_whole_names() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "eth0"),
            ("cpu*", "cpu12"),
            ("c*u*2", "cpu12"),
            ("a*ab", "aaab"),
            ("cpu?", "cpu1"),
            ("**x", "x"),
        ] {
            assert!(is_match(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("cpu", "cpu1"), ("cpu*x", "cpu1"), ("?", ""), ("*a", "ab"), ("b*", "ab")]
        {
            assert!(!is_match(pattern, text), "{pattern} {text}");
        }
    }
}
