//! Refuses packets that were seen before: the sliding window of IPMI 2.0, section 6.12.13.

/// How far behind the newest packet a late one may be: the bits of the mask.
const WIDTH: u32 = 32;

/// Which session sequence numbers of a session have been seen.
#[derive(Debug, Default)]
pub(crate) struct Window {
    newest: u32,
    /// Bit n: the number `newest - n` has been seen.
    seen: u32,
}

impl Window {
    /// Takes note of a packet's number; `false`: the number was seen before or is too old.
    pub(crate) fn admit(&mut self, number: u32) -> bool {
        // 0 is for packets outside of sessions, so it is never valid in one.
        if number == 0 {
            return false;
        }
        let ahead = number.wrapping_sub(self.newest);
        if self.seen == 0 || (ahead != 0 && ahead <= u32::MAX / 2) {
            self.seen = if ahead < WIDTH { self.seen << ahead | 1 } else { 1 };
            self.newest = number;
            return true;
        }
        let behind = self.newest.wrapping_sub(number);
        let bit = 1u32.checked_shl(behind).unwrap_or(0);
        if bit == 0 || self.seen & bit != 0 {
            return false;
        }
        self.seen |= bit;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_admitted_once() {
        let mut window = Window::default();
        for number in [1, 2, 5, 4, 40, 39, 9, 0xFFFF, 0xFFF0] {
            assert!(window.admit(number), "{number}");
        }
        for number in [0, 1, 5, 0xFFFF, 0xFFF0, 0xFFFF - 32] {
            assert!(!window.admit(number), "{number}");
        }
        assert!(window.admit(0xFFFF - 31));
    }

    #[test]
    fn numbers_may_wrap_around() {
        let mut window = Window::default();
        assert!(window.admit(u32::MAX));
        assert!(window.admit(2));
        assert!(!window.admit(u32::MAX));
        assert!(window.admit(u32::MAX - 1));
    }
}
