//! The tree that overlayfs shows when the layers' own squashfs files are laid over each other.

use super::index::{Bytes, Entry, Kind};
use super::layout::{Layout, Place, Standing};
use super::path::split;
use super::tree::{Child, Id, Layers, ROOT, Tree};
use std::collections::HashMap;

/// A layer's squashfs file, as its index tells it.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) layout: Layout,
    pub(super) places: Vec<Place>,
    directories: Vec<(Bytes, Option<u32>)>,
}

impl Laid {
    /// None: its directories would cost more than so many bytes.
    pub(super) fn of(entries: &[Entry], bytes_max: u64) -> Option<Self> {
        let (mut layout, places) = Layout::of(entries);
        let directories = layout.close(bytes_max)?;
        Some(Self { layout, places, directories })
    }
}

/// Lays all layers over each other, the lowest first.
pub(super) fn overlay<'a>(layers: Layers<'a>, laid: &'a [Laid]) -> Tree<'a> {
    let mut tree = Tree::new(layers);
    for (number, (entries, laid)) in layers.0.iter().zip(laid).enumerate() {
        lay(&mut tree, number, entries, laid);
    }
    tree
}

fn lay<'a>(tree: &mut Tree<'a>, layer: usize, entries: &'a [Entry], laid: &'a Laid) {
    for (path, number) in &laid.directories {
        let said = number.and_then(|number| Some((layer, usize::try_from(number).ok()?)));
        // Overlayfs merges the roots of all layers, even an opaque one.
        if path.is_empty() {
            tree.say(ROOT, said);
            continue;
        }
        let (parent, name) = split(path);
        let Some(parent) = tree.find(parent) else { continue };
        match tree.child(parent, name) {
            Some(child) if tree.is_directory(child.inode) && !laid.layout.is_opaque(path) => {
                tree.say(child.inode, said);
            }
            _ => {
                let inode = tree.add_directory(said);
                tree.put(parent, name, Child { inode, touched: 0 });
            }
        }
    }
    for path in laid.layout.whiteouts() {
        let (parent, name) = split(path);
        if let Some(parent) = tree.find(parent) {
            tree.remove(parent, name);
        }
    }
    let mut inodes: HashMap<u32, Id> = HashMap::new();
    for (number, (entry, place)) in entries.iter().zip(&laid.places).enumerate() {
        let Some(Standing::Other(file)) = laid.layout.at(&entry.path) else { continue };
        if *place != Place::There || entry.kind == Kind::Directory {
            continue;
        }
        let inode = *inodes.entry(file).or_insert_with(|| tree.add((layer, number)));
        let (parent, name) = split(&entry.path);
        if let Some(parent) = tree.find(parent) {
            tree.put(parent, name, Child { inode, touched: 0 });
        }
    }
    if let Some(aside) = laid.layout.aside() {
        let inode = tree.add_directory(None);
        tree.put(ROOT, aside, Child { inode, touched: 0 });
    }
}
