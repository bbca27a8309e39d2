//! Page tables in which the first 4 GiB are what they are. Pure.
//!
//! The jump is made with tables of the running kernel's, which lie anywhere outside of what is moved: also where
//! the next kernel unpacks itself. The 64-bit boot protocol asks for an identity map of all that the kernel uses
//! before it has tables of its own.

use super::place::PAGE;

/// Five levels, four, the table of 1 GiB each, and four tables of 2 MiB each.
pub(super) const BYTES: usize = 7 * 4096;
/// Where the root for five levels is.
pub(super) const FIVE_LEVELS: u64 = 0;
/// Where the root for four levels is.
pub(super) const FOUR_LEVELS: u64 = PAGE;
/// Present and writable.
const TABLE: u64 = 0x3;
/// And a page of its own size: 2 MiB.
const LARGE: u64 = 0x83;
const LARGE_BYTES: u64 = 2 << 20;
const GIBIBYTES: u64 = 4;
const ENTRIES: u64 = 512;

/// The tables, to lie at that address, a multiple of [`PAGE`].
pub(super) fn tables(address: u64) -> Vec<u8> {
    let mut tables = Vec::with_capacity(BYTES);
    let mut table = |entries: &mut dyn Iterator<Item = u64>| {
        let end = tables.len() + 4096;
        entries.for_each(|entry| tables.extend_from_slice(&entry.to_le_bytes()));
        tables.resize(end, 0);
    };
    table(&mut std::iter::once((address + FOUR_LEVELS) | TABLE));
    table(&mut std::iter::once((address + 2 * PAGE) | TABLE));
    table(&mut (0..GIBIBYTES).map(|number| (address + (3 + number) * PAGE) | TABLE));
    for gibibyte in 0..GIBIBYTES {
        let first = gibibyte * ENTRIES;
        table(&mut (first..first + ENTRIES).map(|number| (number * LARGE_BYTES) | LARGE));
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks the tables as a processor does.
    fn walk(tables: &[u8], own: u64, root: u64, levels: u32, address: u64) -> Option<u64> {
        let mut table = root;
        for level in (1..levels).rev() {
            let index = (address >> (12 + 9 * level)) & 511;
            let at = usize::try_from(table - own + index * 8).unwrap();
            let entry = u64::from_le_bytes(tables[at..at + 8].try_into().unwrap());
            if entry & 1 == 0 {
                return None;
            }
            if entry & 0x80 != 0 {
                assert_eq!(level, 1);
                return Some((entry & !0x1f_ffff) | (address & 0x1f_ffff));
            }
            table = entry & !0xfff;
        }
        None
    }

    #[test]
    fn each_address_below_four_gibibytes_is_its_own() {
        let own = 0x1ffd_5000;
        let tables = tables(own);
        assert_eq!(tables.len(), BYTES);
        for (root, levels) in [(FOUR_LEVELS, 4), (FIVE_LEVELS, 5)] {
            let at = |address| walk(&tables, own, own + root, levels, address);
            for address in [0, 0x1000, 0x1f_ffff, 0x20_0000, 0x1ffd_5008, 0x4000_0000, 0xffff_fff8]
            {
                assert_eq!(at(address), Some(address), "{address:#x}");
            }
            assert_eq!(at(1 << 32), None);
        }
    }
}
