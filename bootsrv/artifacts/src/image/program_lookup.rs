//! Is there a program at this path of a root file system? Links are followed inside of the root.

use std::collections::HashMap;
use std::path::{Component, Path};

/// As many links as Linux follows (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// What stands at a path; directories and other files are not needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A symbolic link and its target.
    Link(String),
    /// A file that may be executed by someone.
    Program,
}

/// A root file system as an archive told it: links and programs only, by paths that are normalised
/// and have no leading slash.
pub type Entries = HashMap<String, Node>;

/// Whether `path` leads to a program.
#[must_use]
pub fn is_program(root: &Entries, path: &str) -> bool {
    // The parts still to walk, the next one last.
    let mut waiting: Vec<String> = reversed_parts(path);
    let mut walked: Vec<String> = Vec::new();
    let mut links = 0;
    let mut node = None;
    while let Some(part) = waiting.pop() {
        if part == ".." {
            walked.pop();
            continue;
        }
        walked.push(part);
        node = root.get(&walked.join("/"));
        if let Some(Node::Link(target)) = node {
            links += 1;
            if links > LINKS_MAX {
                return false;
            }
            walked.pop();
            if target.starts_with('/') {
                walked.clear();
            }
            waiting.extend(reversed_parts(target));
        }
    }
    node == Some(&Node::Program)
}

fn reversed_parts(path: &str) -> Vec<String> {
    let part = |component| match component {
        Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
        Component::ParentDir => Some("..".to_owned()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    Path::new(path).components().rev().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_inside_of_the_root() {
        let link = |target: &str| Node::Link(target.to_owned());
        let root = HashMap::from([
            ("sbin".to_owned(), link("usr/sbin")),
            ("usr/sbin/init".to_owned(), link("/lib/systemd/systemd")),
            ("lib".to_owned(), link("usr/lib")),
            ("usr/lib/systemd/systemd".to_owned(), Node::Program),
            ("up".to_owned(), link("../../../../sbin/init")),
            ("loop".to_owned(), link("loop")),
        ]);
        assert!(is_program(&root, "/sbin/init"));
        assert!(is_program(&root, "/up"));
        for bad in ["/loop", "/sbin", "/nothing", "/", ""] {
            assert!(!is_program(&root, bad), "{bad}");
        }
    }
}
