//! Where each entry of a layer stands in the layer's own squashfs file, decided entry by entry. It
//! knows nothing of other layers, and follows no link: what cannot stand at its path is put aside,
//! and the layers' correction ([`super::stack`]) puts it right.

use super::index::{Bytes, Entry, Kind};
use super::limits::DIRECTORY_BYTES;
use super::path::{join, split};
use std::collections::{BTreeSet, HashMap};

/// Directory for files that are put aside; an image cannot have that name.
const ASIDE: &[u8] = b".wh.aside";

/// Where an entry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At its path.
    There,
    /// A file whose path is taken: under [`aside`].
    Aside,
    /// Not as it comes: directories and whiteouts follow at the end, devices not at all.
    Nowhere,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// A directory, with the number of the entry that said so last.
    Directory(Option<u32>),
    /// Anything else, with its entry's number.
    Other(u32),
}

/// A layer's own tree, as its squashfs file has it.
#[derive(Debug, Default)]
pub(super) struct Layout {
    standing: HashMap<Bytes, Standing>,
    whiteouts: BTreeSet<Bytes>,
    opaque: BTreeSet<Bytes>,
    /// What the directories cost that no entry speaks of.
    implied_bytes: u64,
    /// How many names each directory has.
    names: HashMap<Bytes, u64>,
}

/// The path of a file that is put aside.
pub(super) fn aside(number: u32) -> Vec<u8> {
    join(ASIDE, number.to_string().as_bytes())
}

impl Layout {
    pub(super) fn new() -> Self {
        let standing = HashMap::from([(Bytes::default(), Standing::Directory(None))]);
        Self { standing, ..Self::default() }
    }

    /// The layout of a whole layer, and each entry's place.
    pub(super) fn of(entries: &[Entry]) -> (Self, Vec<Place>) {
        let mut layout = Self::new();
        let places = (0..).zip(entries).map(|(number, entry)| layout.place(number, entry));
        let places = places.collect();
        (layout, places)
    }

    pub(super) fn place(&mut self, number: u32, entry: &Entry) -> Place {
        match &entry.kind {
            Kind::Whiteout => {
                self.whiteouts.insert(entry.path.clone());
                Place::Nowhere
            }
            Kind::Opaque => {
                self.opaque.insert(entry.path.clone());
                Place::Nowhere
            }
            Kind::Device => Place::Nowhere,
            Kind::Directory => {
                if !matches!(self.at(&entry.path), Some(Standing::Other(_)))
                    && self.open(&entry.path)
                {
                    self.set(&entry.path, Standing::Directory(Some(number)));
                }
                Place::Nowhere
            }
            Kind::HardLink(target) => {
                let Some(Standing::Other(file)) = self.at(target) else { return Place::Nowhere };
                self.stand(entry, file, Place::Nowhere)
            }
            Kind::File(_) => {
                let place = self.stand(entry, number, Place::Aside);
                if place == Place::Aside {
                    self.count(&aside(number));
                }
                place
            }
            Kind::Symlink(_) | Kind::Fifo => self.stand(entry, number, Place::Nowhere),
        }
    }

    fn stand(&mut self, entry: &Entry, number: u32, otherwise: Place) -> Place {
        if self.at(&entry.path).is_some() || !self.open(&entry.path) {
            return otherwise;
        }
        self.set(&entry.path, Standing::Other(number));
        Place::There
    }

    fn set(&mut self, path: &Bytes, standing: Standing) {
        if self.standing.insert(path.clone(), standing).is_none() {
            self.count(path);
        }
    }

    /// Notes a name in the directory above it.
    fn count(&mut self, path: &[u8]) {
        *self.names.entry(split(path).0.into()).or_default() += 1;
    }

    /// Names that are looked at to find a path, at most: all of each directory on the way.
    pub(super) fn names_on_the_way(&self, path: &[u8]) -> u64 {
        let (mut names, mut at) = (0, path);
        while !at.is_empty() {
            at = split(at).0;
            names += self.names.get(at).copied().unwrap_or(0);
        }
        names
    }

    /// What the directories cost in memory that are only implied, in bytes, roughly.
    pub(super) fn implied_bytes(&self) -> u64 {
        self.implied_bytes
    }

    /// What stands at a path.
    pub(super) fn at(&self, path: &[u8]) -> Option<Standing> {
        self.standing.get(path).copied()
    }

    /// Makes the directories above a path; `false`: something else stands there.
    fn open(&mut self, path: &[u8]) -> bool {
        let mut missing = Vec::new();
        let mut parent = path;
        while !parent.is_empty() {
            parent = split(parent).0;
            match self.at(parent) {
                Some(Standing::Directory(_)) => break,
                Some(Standing::Other(_)) => return false,
                None => missing.push(Bytes::from(parent)),
            }
        }
        for directory in missing {
            let bytes = u64::try_from(directory.len()).unwrap_or(u64::MAX);
            self.implied_bytes += DIRECTORY_BYTES + bytes;
            self.set(&directory, Standing::Directory(None));
        }
        true
    }

    /// All directories, parents first, after every entry was placed: those above whiteouts are made
    /// now. None: [`Self::implied_bytes`] would be more than so many.
    pub(super) fn close(&mut self, bytes_max: u64) -> Option<Vec<(Bytes, Option<u32>)>> {
        for opaque in self.opaque.clone() {
            let stands = match self.at(&opaque) {
                Some(Standing::Directory(_)) => true,
                Some(Standing::Other(_)) => false,
                None => {
                    let open = self.open(&opaque);
                    if open {
                        self.set(&opaque, Standing::Directory(None));
                    }
                    open
                }
            };
            if !stands {
                self.opaque.remove(&opaque);
            }
            if self.implied_bytes > bytes_max {
                return None;
            }
        }
        for whiteout in std::mem::take(&mut self.whiteouts) {
            match self.at(&whiteout) {
                // Removed below and made anew in the same layer.
                Some(Standing::Directory(_)) => drop(self.opaque.insert(whiteout)),
                Some(Standing::Other(_)) => {}
                None if self.open(&whiteout) => {
                    self.count(&whiteout);
                    self.whiteouts.insert(whiteout);
                }
                None => {}
            }
            if self.implied_bytes > bytes_max {
                return None;
            }
        }
        let mut directories: Vec<(Bytes, Option<u32>)> = Vec::new();
        for (path, standing) in &self.standing {
            if let Standing::Directory(number) = standing {
                directories.push((path.clone(), *number));
            }
        }
        directories.sort();
        Some(directories)
    }

    /// After [`Self::close`]: the paths that hide what is below them.
    pub(super) fn whiteouts(&self) -> &BTreeSet<Bytes> {
        &self.whiteouts
    }

    /// After [`Self::close`]: whether a directory hides what the layers below have in it.
    pub(super) fn is_opaque(&self, directory: &[u8]) -> bool {
        self.opaque.contains(directory)
    }

    /// Whether files were put aside, and where.
    pub(super) fn aside(&self) -> Option<&'static [u8]> {
        self.names.contains_key(ASIDE).then_some(ASIDE)
    }
}
