//! The tree an image means: its layers' entries applied one after the other, as umoci's unpack
//! does it. Links in the path of an entry are followed inside the root; whiteouts remove what the
//! layers below have, wherever they stand in the archive.

use super::error::LayerError;
use super::index::{Entry, Kind};
use super::limits::LayerLimits;
use super::path::split;
use super::tree::{Child, Id, Layers, ROOT, Tree};

/// Most symbolic links in one path; Linux allows 40.
const LINKS_MAX: u32 = 255;
/// Names on the ways to all entries, for each entry that a layer may have: about a minute in all.
const STEPS_MAX: u64 = 1000;
/// Deepest directory that links may lead to.
const DEPTH_MAX: usize = 1024;

/// Where a path leads.
struct Walked<'a> {
    /// The directories on the way with the names they have, the root first.
    chain: Vec<(Id, &'a [u8])>,
    /// The names that do not exist.
    missing: Vec<&'a [u8]>,
}

impl Walked<'_> {
    fn last(&self) -> Id {
        self.chain.last().map_or(ROOT, |(inode, _)| *inode)
    }
}

/// Applies all layers, the lowest first.
pub(super) fn replay<'a>(layers: Layers<'a>, limits: &LayerLimits) -> Result<Tree<'a>, LayerError> {
    // By links a few entries can imply many directories, and take long ways.
    let inodes_max = limits.stack_entries_max().saturating_add(limits.entries_max);
    let steps_max = limits.entries_max.saturating_mul(STEPS_MAX);
    let mut tree = Tree::new(layers);
    for (layer, entries) in layers.0.iter().enumerate() {
        for (number, entry) in entries.iter().enumerate() {
            apply(&mut tree, layer, number, entry)?;
            if tree.inodes() > inodes_max {
                return Err(LayerError::too_much(format!("more than {inodes_max} files in all")));
            }
            if tree.steps() > steps_max {
                return Err(LayerError::too_much(format!(
                    "paths through links of more than {steps_max} steps in all"
                )));
            }
        }
    }
    Ok(tree)
}

fn apply<'a>(
    tree: &mut Tree<'a>,
    layer: usize,
    number: usize,
    entry: &'a Entry,
) -> Result<(), LayerError> {
    let touched = layer + 1;
    if entry.kind == Kind::Opaque {
        let walked = walk(tree, &entry.path)?;
        if walked.missing.is_empty() {
            hide_children(tree, walked.last(), touched);
        }
        return Ok(());
    }
    if entry.path.is_empty() {
        tree.say(ROOT, Some((layer, number)));
        return Ok(());
    }
    let (parent, name) = split(&entry.path);
    let mut walked = walk(tree, parent)?;
    if entry.kind == Kind::Whiteout {
        if walked.missing.is_empty() {
            hide(tree, walked.last(), name, touched);
        }
        return Ok(());
    }
    make(tree, &mut walked, entry)?;
    let directory = walked.last();
    let there = tree.child(directory, name);
    let inode = match there {
        Some(child) if entry.kind == Kind::Directory && tree.is_directory(child.inode) => {
            tree.say(child.inode, Some((layer, number)));
            child.inode
        }
        _ => {
            tree.remove(directory, name);
            match &entry.kind {
                Kind::Directory => tree.add_directory(Some((layer, number))),
                Kind::HardLink(target) => linked(tree, entry, target)?,
                Kind::File(_) | Kind::Symlink(_) | Kind::Fifo | Kind::Device => {
                    tree.add((layer, number))
                }
                Kind::Whiteout | Kind::Opaque => return Ok(()),
            }
        }
    };
    tree.put(directory, name, Child { inode, touched });
    touch(tree, &walked, touched);
    Ok(())
}

/// Follows a path, and the links in it.
fn walk<'a>(tree: &Tree<'a>, path: &'a [u8]) -> Result<Walked<'a>, LayerError> {
    let parts = |path: &'a [u8]| path.rsplit(|byte| *byte == b'/');
    let mut walked = Walked { chain: vec![(ROOT, &[])], missing: Vec::new() };
    let mut waiting: Vec<&'a [u8]> = parts(path).collect();
    let mut links = 0;
    while let Some(part) = waiting.pop() {
        tree.steps_taken(1);
        match part {
            b"" | b"." => continue,
            b".." => {
                if walked.missing.pop().is_none() && walked.chain.len() > 1 {
                    walked.chain.pop();
                }
                continue;
            }
            _ => {}
        }
        if walked.chain.len() + walked.missing.len() > DEPTH_MAX {
            return Err(LayerError::entry(path, "leads too deep"));
        }
        let child = if walked.missing.is_empty() { tree.child(walked.last(), part) } else { None };
        let Some(child) = child else {
            walked.missing.push(part);
            continue;
        };
        let Some(Kind::Symlink(target)) = tree.kind(child.inode) else {
            walked.chain.push((child.inode, part));
            continue;
        };
        links += 1;
        if links > LINKS_MAX {
            return Err(LayerError::entry(path, "leads through symbolic links without end"));
        }
        if target.starts_with(b"/") {
            walked.chain.truncate(1);
        }
        waiting.extend(parts(target));
    }
    Ok(walked)
}

/// Makes the missing directories.
fn make<'a>(tree: &mut Tree<'a>, walked: &mut Walked<'a>, entry: &Entry) -> Result<(), LayerError> {
    if !tree.is_directory(walked.last()) {
        return Err(LayerError::entry(&entry.path, "stands below something that is no directory"));
    }
    for name in std::mem::take(&mut walked.missing) {
        let inode = tree.add_directory(None);
        tree.put(walked.last(), name, Child { inode, touched: 0 });
        walked.chain.push((inode, name));
    }
    Ok(())
}

fn linked<'a>(tree: &Tree<'a>, entry: &Entry, target: &'a [u8]) -> Result<Id, LayerError> {
    let refuse = |why: &str| {
        let target = String::from_utf8_lossy(target);
        Err(LayerError::entry(&entry.path, format!("is a hard link to '{target}', which {why}")))
    };
    let (parent, name) = split(target);
    let walked = walk(tree, parent)?;
    let found = match walked.missing.is_empty() {
        true => tree.child(walked.last(), name),
        false => None,
    };
    match found {
        None => refuse("does not exist"),
        Some(child) if tree.is_directory(child.inode) => refuse("is a directory"),
        Some(child) => Ok(child.inode),
    }
}

fn touch<'a>(tree: &mut Tree<'a>, walked: &Walked<'a>, touched: usize) {
    for pair in walked.chain.windows(2) {
        if let [(parent, _), (_, name)] = pair
            && let Some(child) = tree.children_mut(*parent).and_then(|list| list.get_mut(name))
        {
            child.touched = touched;
        }
    }
}

/// Removes what the layers below have under a name.
fn hide(tree: &mut Tree<'_>, directory: Id, name: &[u8], touched: usize) {
    match tree.child(directory, name) {
        Some(child) if child.touched == touched => hide_children(tree, child.inode, touched),
        Some(_) => tree.remove(directory, name),
        None => {}
    }
}

/// Each name counts as a step: a directory may be hidden again and again.
fn hide_children(tree: &mut Tree<'_>, directory: Id, touched: usize) {
    let Some(children) = tree.children_mut(directory) else { return };
    let names = children.len();
    children.retain(|_, child| child.touched == touched);
    let kept: Vec<Id> = children.values().map(|child| child.inode).collect();
    tree.steps_taken(names);
    for inode in kept {
        hide_children(tree, inode, touched);
    }
}
