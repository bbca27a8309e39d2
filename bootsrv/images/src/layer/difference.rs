//! What must lie on top of the layers so that the overlay shows the image's tree.

use super::error::LayerError;
use super::index::Kind;
use super::limits::{ENTRY_BYTES, LayerLimits};
use super::path::join;
use super::stack::too_many_names;
use super::tree::{Child, Id, ROOT, Said, Tree};
use std::collections::{BTreeMap, HashSet};

/// One path of the correction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fix {
    /// A directory of the image; what lies below stays visible.
    Directory(Id),
    /// A file, link or pipe of the image.
    Node(Id),
    /// Another name of an earlier [`Fix::Node`] at this path.
    Link(Vec<u8>),
    /// Hides what the layers have.
    Whiteout,
}

struct Difference<'t, 'a> {
    image: &'t Tree<'a>,
    overlay: &'t Tree<'a>,
    /// Inodes of the image with several names, not all of which are right.
    split: HashSet<Id>,
    links: Vec<u32>,
    written: BTreeMap<Id, Vec<u8>>,
    fixes: Vec<(Vec<u8>, Fix)>,
    /// What they cost, roughly.
    bytes: u64,
    bytes_max: u64,
}

/// The fixes; none: the overlay is right.
///
/// # Errors
/// When they would be too many: links can make short names long.
pub(super) fn difference(
    image: &Tree<'_>,
    overlay: &Tree<'_>,
    limits: &LayerLimits,
) -> Result<Vec<(Vec<u8>, Fix)>, LayerError> {
    let mut difference = Difference {
        image,
        overlay,
        split: HashSet::new(),
        links: image.links(),
        written: BTreeMap::new(),
        fixes: Vec::new(),
        bytes: 0,
        bytes_max: limits.stack_bytes_max(),
    };
    if difference.links.iter().any(|links| *links > 1) {
        difference.find_split(ROOT, Some(ROOT));
    }
    difference.directory(b"", ROOT, Some(ROOT));
    match difference.bytes > difference.bytes_max {
        true => Err(too_many_names(limits)),
        false => Ok(difference.fixes),
    }
}

impl Difference<'_, '_> {
    /// Notes the inodes of which one name is not what it should be.
    fn find_split(&mut self, image: Id, overlay: Option<Id>) {
        for (name, child) in self.image.children(image).into_iter().flatten() {
            let there = overlay.and_then(|overlay| self.overlay.child(overlay, name));
            let there = there.map(|there| there.inode);
            if self.image.is_directory(child.inode) {
                self.find_split(child.inode, there);
            } else if self.links.get(child.inode).is_some_and(|links| *links > 1)
                && !there.is_some_and(|there| self.same(child.inode, there))
            {
                self.split.insert(child.inode);
            }
        }
    }

    /// Adds one; above the limit it only counts.
    fn push(&mut self, path: Vec<u8>, fix: Fix) {
        // The path, and again as what other names link to.
        let bytes = u64::try_from(path.len()).unwrap_or(u64::MAX).saturating_mul(3);
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(ENTRY_BYTES);
        if self.bytes <= self.bytes_max {
            if let Fix::Node(image) = fix {
                self.written.insert(image, path.clone());
            }
            self.fixes.push((path, fix));
        }
    }

    /// Gives whether something had to be written at or below the path.
    fn directory(&mut self, path: &[u8], image: Id, overlay: Option<Id>) -> bool {
        let before = self.fixes.len();
        let merged = overlay.filter(|overlay| self.overlay.is_directory(*overlay));
        for (name, child) in self.image.children(image).into_iter().flatten() {
            if self.is_left_out(child.inode) {
                continue;
            }
            let path = join(path, name);
            let there = merged.and_then(|merged| self.overlay.child(merged, name));
            self.child(path, child.inode, there);
        }
        for (name, _) in
            merged.and_then(|merged| self.overlay.children(merged)).into_iter().flatten()
        {
            let wanted = self.image.child(image, name);
            if wanted.is_none_or(|child| self.is_left_out(child.inode)) {
                self.push(join(path, name), Fix::Whiteout);
            }
        }
        let right = merged.is_some_and(|merged| self.same_directory(path, image, merged));
        if right && self.fixes.len() == before {
            return false;
        }
        self.push(path.to_vec(), Fix::Directory(image));
        true
    }

    fn child(&mut self, path: Vec<u8>, image: Id, there: Option<Child>) {
        let there = there.map(|there| there.inode);
        if self.image.is_directory(image) {
            self.directory(&path, image, there);
            return;
        }
        let right = there.is_some_and(|there| self.same(image, there));
        if right && !self.split.contains(&image) {
            return;
        }
        let fix = match self.written.get(&image) {
            Some(first) => Fix::Link(first.clone()),
            None => Fix::Node(image),
        };
        self.push(path, fix);
    }

    fn is_left_out(&self, image: Id) -> bool {
        self.image.kind(image) == Some(&Kind::Device)
    }

    fn same_directory(&self, path: &[u8], image: Id, overlay: Id) -> bool {
        let (mut wanted, wanted_attributes) = self.image.metadata(image);
        let (shown, attributes) = self.overlay.metadata(overlay);
        if path.is_empty() {
            // Most layers do not mention the root; its time alone is not worth a layer more.
            wanted.mtime = shown.mtime;
        }
        wanted == shown && wanted_attributes == attributes
    }

    /// Whether two inodes that are no directories look the same. Only one entry makes a file, so its
    /// content need not be compared.
    fn same(&self, image: Id, overlay: Id) -> bool {
        if self.overlay.is_directory(overlay) {
            return false;
        }
        let (wanted, shown): (Option<Said>, _) =
            (self.image.said(image), self.overlay.said(overlay));
        let is_file = matches!(self.image.kind(image), Some(Kind::File(_)));
        let many = self.links.get(image).is_some_and(|links| *links > 1);
        wanted == shown
            || !is_file
                && !many
                && self.image.kind(image) == self.overlay.kind(overlay)
                && self.image.metadata(image) == self.overlay.metadata(overlay)
    }
}
