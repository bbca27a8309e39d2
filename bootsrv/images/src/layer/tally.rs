//! What a layer has cost so far, held against its limits.

use super::error::LayerError;
use super::index::Entry;
use super::layout::Layout;
use super::limits::{LayerLimits, OWNERS_MAX};
use std::collections::HashSet;

/// Counts everything that has a limit but needs no look at the entry's own content.
pub(super) struct Tally<'a> {
    limits: &'a LayerLimits,
    entries: u64,
    /// Of files.
    bytes: u64,
    /// Of the index, without the directories that are only implied.
    index_bytes: u64,
    /// That `tar2sqfs` looks at to find where entries belong, at most.
    names: u64,
    owners: HashSet<u32>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(limits: &'a LayerLimits) -> Self {
        // Root's are the directories that no entry speaks of.
        let owners = HashSet::from([0]);
        Self { limits, entries: 0, bytes: 0, index_bytes: 0, names: 0, owners }
    }

    /// The number of the next entry, from 0.
    pub(super) fn next(&mut self) -> Result<u32, LayerError> {
        let (number, max) = (self.entries, self.limits.entries_max);
        if number >= max {
            return Err(LayerError::too_much(format!("more than {max} entries")));
        }
        self.entries += 1;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// A file's bytes; `packed` have arrived.
    pub(super) fn content(&mut self, bytes: u64, packed: u64) -> Result<(), LayerError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let max = self.limits.unpacked_bytes_max;
        if self.bytes > max {
            return Err(LayerError::too_much(format!("more than {max} bytes of files")));
        }
        if self.bytes > self.limits.ratio_bytes_min && self.bytes / packed > self.limits.ratio_max {
            return Err(LayerError::too_dense(self.limits.ratio_max));
        }
        Ok(())
    }

    /// An entry that has its place in the layout.
    pub(super) fn placed(&mut self, entry: &Entry, layout: &Layout) -> Result<(), LayerError> {
        self.index_bytes = self.index_bytes.saturating_add(entry.bytes());
        let bytes = self.index_bytes.saturating_add(layout.implied_bytes());
        if bytes > self.limits.index_bytes_max {
            return Err(self.too_many_bytes());
        }
        self.owners.extend([entry.metadata.uid, entry.metadata.gid]);
        if self.owners.len() > OWNERS_MAX {
            return Err(LayerError::too_much(format!("more than {OWNERS_MAX} owners and groups")));
        }
        Ok(())
    }

    /// For directories that are only implied.
    pub(super) fn index_bytes_left(&self) -> u64 {
        self.limits.index_bytes_max.saturating_sub(self.index_bytes)
    }

    pub(super) fn too_many_bytes(&self) -> LayerError {
        let max = self.limits.index_bytes_max;
        LayerError::too_much(format!("more than {max} bytes of names"))
    }

    /// `tar2sqfs` will look for that path.
    pub(super) fn find(&mut self, layout: &Layout, path: &[u8]) -> Result<(), LayerError> {
        self.names = self.names.saturating_add(layout.names_on_the_way(path));
        let max = self.limits.names_looked_at_max();
        if self.names <= max {
            return Ok(());
        }
        let about = max.saturating_mul(2).isqrt();
        let what = "directories with more names than can be written in time";
        Err(LayerError::too_much(format!("{what}, about {about} in one")))
    }
}
