//! Random numbers that are the same in every run with the same seed (xorshift64).

/// A sequence of numbers.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring numbers, and 0 would give zeros for ever.
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// `true` in `percent` of 100 cases.
    pub(super) fn happens(&mut self, percent: u8) -> bool {
        (self.next() >> 20) % 100 < u64::from(percent)
    }

    pub(super) fn bytes(&mut self) -> [u8; 16] {
        let [a, b] = [self.next(), self.next()].map(u64::to_le_bytes);
        let mut both = [0; 16];
        for (to, from) in both.iter_mut().zip(a.into_iter().chain(b)) {
            *to = from;
        }
        both
    }
}
