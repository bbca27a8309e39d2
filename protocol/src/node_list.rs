//! Slurm node-list expressions: `n[01-04,7],gpu-a` and back.
//!
//! Written here because the crates for it expand without an upper limit, and none writes the short
//! form again (docs/adr/0003). Proven against `scontrol show hostnames`.

use crate::names::{InvalidName, NodeName};

/// Most nodes one expression may name.
pub const NODES_MAX: usize = 10_000;

/// Why an expression was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNodeList {
    /// Brackets, ranges or commas are not where Slurm puts them.
    #[error("node list {0:?} is not a Slurm node-list expression")]
    Syntax(String),
    /// Too many nodes.
    #[error("node list names more than {NODES_MAX} nodes")]
    TooMany,
    /// One of the names is not a node name.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

/// Expands an expression into its nodes, in the order written.
///
/// # Errors
/// When it is not a node list, or names more than [`NODES_MAX`] nodes.
pub fn expand(text: &str) -> Result<Vec<NodeName>, InvalidNodeList> {
    let syntax = || InvalidNodeList::Syntax(text.chars().take(200).collect());
    let mut nodes = Vec::new();
    for item in split_outside_brackets(text).ok_or_else(syntax)? {
        for name in expand_item(item).ok_or_else(syntax)?.ok_or(InvalidNodeList::TooMany)? {
            nodes.push(name.parse()?);
            if nodes.len() > NODES_MAX {
                return Err(InvalidNodeList::TooMany);
            }
        }
    }
    if nodes.is_empty() { Err(syntax()) } else { Ok(nodes) }
}

fn split_outside_brackets(text: &str) -> Option<Vec<&str>> {
    let (mut items, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '[' if inside => return None,
            '[' => inside = true,
            ']' if !inside => return None,
            ']' => inside = false,
            ',' if !inside => {
                items.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(text.get(start..)?);
    (!inside && items.iter().all(|item| !item.is_empty())).then_some(items)
}

/// `None`: not an expression. `Some(None)`: too many names.
fn expand_item(item: &str) -> Option<Option<Vec<String>>> {
    let mut names = vec![String::new()];
    let mut rest = item;
    while let Some((prefix, after)) = rest.split_once('[') {
        let (ranges, tail) = after.split_once(']')?;
        let Some(numbers) = expand_ranges(ranges)? else { return Some(None) };
        if names.len().saturating_mul(numbers.len()) > NODES_MAX {
            return Some(None);
        }
        names = names
            .iter()
            .flat_map(|name| numbers.iter().map(move |number| format!("{name}{prefix}{number}")))
            .collect();
        rest = tail;
    }
    Some(Some(names.into_iter().map(|name| name + rest).collect()))
}

fn expand_ranges(ranges: &str) -> Option<Option<Vec<String>>> {
    let mut numbers = Vec::new();
    for range in ranges.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let digits = |text: &str| {
            (!text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse::<usize>().ok())?
        };
        let (low, high) = (digits(first)?, digits(last)?);
        if low > high {
            return None;
        }
        if high - low >= NODES_MAX || numbers.len() > NODES_MAX {
            return Some(None);
        }
        let width = first.len();
        numbers.extend((low..=high).map(|number| format!("{number:0width$}")));
    }
    Some(Some(numbers))
}

/// Writes nodes as one expression, names that differ only in their last number drawn together.
#[must_use]
pub fn compress(nodes: &[NodeName]) -> String {
    let mut groups: Vec<(&str, usize, Vec<usize>)> = Vec::new();
    let mut items: Vec<String> = Vec::new();
    for node in nodes {
        let name = node.as_str();
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = name.get(prefix.len()..).unwrap_or("");
        let Some(number) = digits.parse().ok().filter(|_| digits.len() <= 9) else {
            items.push(name.to_owned());
            continue;
        };
        // Numbers without leading zeros share a group whatever their length: n9, n10.
        let width = if digits.starts_with('0') { digits.len() } else { 1 };
        match groups.iter_mut().find(|group| group.0 == prefix && group.1 == width) {
            Some(group) => group.2.push(number),
            None => groups.push((prefix, width, vec![number])),
        }
    }
    items.extend(groups.into_iter().map(|(prefix, width, numbers)| group(prefix, width, numbers)));
    items.join(",")
}

fn group(prefix: &str, width: usize, mut numbers: Vec<usize>) -> String {
    numbers.sort_unstable();
    numbers.dedup();
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == number => run.1 = number,
            _ => runs.push((number, number)),
        }
    }
    let text = |(low, high): &(usize, usize)| match low == high {
        true => format!("{low:0width$}"),
        false => format!("{low:0width$}-{high:0width$}"),
    };
    match runs.as_slice() {
        [run] if run.0 == run.1 => format!("{prefix}{}", text(run)),
        _ => format!("{prefix}[{}]", runs.iter().map(text).collect::<Vec<_>>().join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let nodes = expand(text).unwrap();
        assert_eq!(nodes.iter().map(NodeName::as_str).collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn expressions_expand_as_slurm_does() {
        check("n1", &["n1"]);
        check("n[01-03,7]", &["n01", "n02", "n03", "n7"]);
        check("a,b[2-3]", &["a", "b2", "b3"]);
        check("r[1-2]n[1-2]", &["r1n1", "r1n2", "r2n1", "r2n2"]);
        check("gpu-[9-11]x", &["gpu-9x", "gpu-10x", "gpu-11x"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for bad in ["", ",", "n[", "n]", "n[]", "n[2-1]", "n[a]", "n[1-", "n[[1]]", "n 1", "n[1],"]
        {
            assert!(expand(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_expanded() {
        for bomb in ["n[0-999999999]", "n[1-9999]x[1-9999]", "n[1-10001]"] {
            assert_eq!(expand(bomb), Err(InvalidNodeList::TooMany), "{bomb}");
        }
    }

    #[test]
    fn compressing_is_the_way_back() {
        for text in ["n1", "n[1-3]", "n[01-03,07]", "login,n[9-11]", "a1,b2"] {
            assert_eq!(compress(&expand(text).unwrap()), text);
        }
    }
}
