//! Room for the parts of the next kernel in the machine's memory. Pure.

use std::ops::Range;

/// What memory is given out in, in bytes.
pub(crate) const PAGE: u64 = 4096;
/// The first mebibyte is the firmware's and the kernel's own.
const LOWEST: u64 = 1 << 20;

/// Memory, and what of it is taken.
#[derive(Debug)]
pub(crate) struct Space {
    memory: Vec<Range<u64>>,
    taken: Vec<Range<u64>>,
}

impl Space {
    pub(crate) fn new(memory: Vec<Range<u64>>) -> Self {
        Self { memory, taken: Vec::new() }
    }

    /// Takes exactly this range, if all of it is free.
    pub(crate) fn take_at(&mut self, address: u64, bytes: u64) -> Option<u64> {
        let wanted = address..address.checked_add(bytes)?;
        let inside =
            self.memory.iter().any(|range| range.start <= wanted.start && wanted.end <= range.end);
        if !inside || wanted.start < LOWEST || self.overlapped(&wanted).is_some() {
            return None;
        }
        self.taken.push(wanted);
        Some(address)
    }

    /// Takes the highest free range that ends at or below `end`.
    pub(crate) fn take(&mut self, bytes: u64, alignment: u64, end: u64) -> Option<u64> {
        let highest = |range: &Range<u64>| {
            let mut end = range.end.min(end);
            // Ends: each turn goes below something that is taken.
            loop {
                let start = end.checked_sub(bytes)?;
                let start = start - start % alignment.max(1);
                if start < range.start.max(LOWEST) {
                    return None;
                }
                match self.overlapped(&(start..start + bytes)) {
                    None => return Some(start),
                    Some(taken) => end = taken.start,
                }
            }
        };
        let address = self.memory.iter().filter_map(highest).max()?;
        self.taken.push(address..address + bytes);
        Some(address)
    }

    fn overlapped(&self, wanted: &Range<u64>) -> Option<&Range<u64>> {
        self.taken.iter().find(|taken| taken.start < wanted.end && wanted.start < taken.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn space() -> Space {
        Space::new(vec![0..640 << 10, MIB..64 * MIB, 128 * MIB..256 * MIB, 4096 * MIB..8192 * MIB])
    }

    #[test]
    fn what_is_taken_is_not_given_again() {
        let mut space = space();
        assert_eq!(space.take_at(16 * MIB, 48 * MIB), Some(16 * MIB));
        assert_eq!(space.take_at(60 * MIB, MIB), None);
        assert_eq!(space.take(100 * MIB, PAGE, 4096 * MIB), Some(156 * MIB));
        assert_eq!(space.take(20 * MIB, 16 * MIB, 4096 * MIB), Some(128 * MIB));
        assert_eq!(space.take(10 * MIB, PAGE, 4096 * MIB), Some(6 * MIB));
        assert_eq!(space.take(10 * MIB, PAGE, 4096 * MIB), None);
        assert_eq!(space.take(PAGE, PAGE, u64::MAX), Some(8192 * MIB - PAGE));
    }

    #[test]
    fn only_memory_above_the_first_mebibyte_is_given() {
        let mut space = space();
        for (address, bytes) in [(0x8000, PAGE), (63 * MIB, 2 * MIB), (u64::MAX - 1, 8)] {
            assert_eq!(space.take_at(address, bytes), None);
        }
        assert_eq!(space.take(PAGE, PAGE, MIB), None);
        assert_eq!(space.take(u64::MAX, PAGE, u64::MAX), None);
        assert_eq!(Space::new(Vec::new()).take(PAGE, PAGE, u64::MAX), None);
    }
}
