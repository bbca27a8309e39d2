//! A tree of files in memory: names point to inodes, inodes to the entries that made them. Contents
//! stay where they are.

use super::index::{Attribute, Entry, Kind, Metadata};
use std::cell::Cell;
use std::collections::BTreeMap;

/// The entry that made an inode: its layer's number, from 0, and its own.
pub(super) type Said = (usize, usize);
/// An inode's number.
pub(super) type Id = usize;
/// The root directory.
pub(super) const ROOT: Id = 0;

/// What a name in a directory points to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Child {
    pub(super) inode: Id,
    /// The last layer that had an entry of this name or below it; none: 0, the first one: 1.
    pub(super) touched: usize,
}

/// Names in a directory.
pub(super) type Children<'a> = BTreeMap<&'a [u8], Child>;

#[derive(Debug, Default)]
struct Inode<'a> {
    /// None: a directory no entry speaks of.
    said: Option<Said>,
    /// Of a directory.
    children: Option<Children<'a>>,
}

/// The entries of an image's layers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layers<'a>(pub(super) &'a [&'a [Entry]]);

impl<'a> Layers<'a> {
    pub(super) fn entry(self, said: Said) -> Option<&'a Entry> {
        self.0.get(said.0)?.get(said.1)
    }
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    layers: Layers<'a>,
    inodes: Vec<Inode<'a>>,
    /// Names looked at so far.
    steps: Cell<u64>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(layers: Layers<'a>) -> Self {
        let root = Inode { said: None, children: Some(Children::new()) };
        Self { layers, inodes: vec![root], steps: Cell::new(0) }
    }

    /// How many there were so far, removed ones too.
    pub(super) fn inodes(&self) -> u64 {
        u64::try_from(self.inodes.len()).unwrap_or(u64::MAX)
    }

    /// Counts names that were looked at.
    pub(super) fn steps_taken(&self, names: usize) {
        let names = u64::try_from(names).unwrap_or(u64::MAX);
        self.steps.set(self.steps.get().saturating_add(names));
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.get()
    }

    pub(super) fn add_directory(&mut self, said: Option<Said>) -> Id {
        self.inodes.push(Inode { said, children: Some(Children::new()) });
        self.inodes.len() - 1
    }

    pub(super) fn add(&mut self, said: Said) -> Id {
        self.inodes.push(Inode { said: Some(said), children: None });
        self.inodes.len() - 1
    }

    pub(super) fn said(&self, inode: Id) -> Option<Said> {
        self.inodes.get(inode)?.said
    }

    pub(super) fn say(&mut self, inode: Id, said: Option<Said>) {
        if let Some(inode) = self.inodes.get_mut(inode) {
            inode.said = said;
        }
    }

    /// None for a directory no entry speaks of.
    pub(super) fn entry(&self, inode: Id) -> Option<&'a Entry> {
        self.layers.entry(self.said(inode)?)
    }

    pub(super) fn kind(&self, inode: Id) -> Option<&'a Kind> {
        self.entry(inode).map(|entry| &entry.kind)
    }

    pub(super) fn metadata(&self, inode: Id) -> (Metadata, &'a [Attribute]) {
        match self.entry(inode) {
            Some(entry) => (entry.metadata, &entry.attributes),
            None => (Metadata::IMPLIED, &[]),
        }
    }

    pub(super) fn children(&self, inode: Id) -> Option<&Children<'a>> {
        self.inodes.get(inode)?.children.as_ref()
    }

    pub(super) fn is_directory(&self, inode: Id) -> bool {
        self.children(inode).is_some()
    }

    pub(super) fn child(&self, directory: Id, name: &[u8]) -> Option<Child> {
        self.children(directory)?.get(name).copied()
    }

    pub(super) fn put(&mut self, directory: Id, name: &'a [u8], child: Child) {
        if let Some(children) = self.children_mut(directory) {
            children.insert(name, child);
        }
    }

    pub(super) fn remove(&mut self, directory: Id, name: &[u8]) {
        if let Some(children) = self.children_mut(directory) {
            children.remove(name);
        }
    }

    pub(super) fn children_mut(&mut self, directory: Id) -> Option<&mut Children<'a>> {
        self.inodes.get_mut(directory)?.children.as_mut()
    }

    /// By names alone: no link is followed.
    pub(super) fn find(&self, path: &[u8]) -> Option<Id> {
        let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        let mut inode = ROOT;
        for part in parts {
            inode = self.child(inode, part)?.inode;
        }
        Some(inode)
    }

    /// How many names each inode has that is no directory, by its number.
    pub(super) fn links(&self) -> Vec<u32> {
        let mut links = vec![0_u32; self.inodes.len()];
        let mut waiting = vec![ROOT];
        while let Some(directory) = waiting.pop() {
            for child in self.children(directory).into_iter().flat_map(BTreeMap::values) {
                if self.is_directory(child.inode) {
                    waiting.push(child.inode);
                } else if let Some(count) = links.get_mut(child.inode) {
                    *count += 1;
                }
            }
        }
        links
    }
}
