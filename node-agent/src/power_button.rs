//! Notices the ACPI power button: the way in which a baseboard controller's soft power-off, or a
//! finger, asks a running node to end.
//!
//! Reads input events; what follows from them is the caller's.

use crate::console::say;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;

/// `KEY_POWER` of linux/input-event-codes.h.
const KEY_POWER: u16 = 116;
/// `EV_KEY` of the same file.
const EV_KEY: u16 = 1;
/// `struct input_event` of linux/input.h: two 8-byte times, type, code, value.
const EVENT_BYTES: usize = 24;

/// Calls `pressed` when a device with a power button reports that it was pressed.
pub(crate) fn watch(pressed: impl Fn() + Send + Sync + 'static) {
    let pressed = Arc::new(pressed);
    let Ok(entries) = Path::new("/sys/class/input").read_dir() else { return };
    for entry in entries.flatten() {
        let keys = fs::read_to_string(entry.path().join("device/capabilities/key"));
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with("event")
            || !keys.is_ok_and(|k| has_key(&k, KEY_POWER))
        {
            continue;
        }
        let device = Path::new("/dev/input").join(name);
        match File::open(&device) {
            Ok(file) => {
                let pressed = pressed.clone();
                thread::spawn(move || listen(file, &*pressed));
            }
            Err(error) => say(format_args!("power button {}: {error}", device.display())),
        }
    }
}

fn listen(mut device: File, pressed: &(impl Fn() + ?Sized)) {
    let mut event = [0; EVENT_BYTES];
    // An error means that the device is gone.
    while device.read_exact(&mut event).is_ok() {
        if is_power_press(&event) {
            pressed();
        }
    }
}

fn is_power_press(event: &[u8; EVENT_BYTES]) -> bool {
    let number = |at: usize| {
        let bytes = event.get(at..at + 2).and_then(|b| b.try_into().ok());
        bytes.map(u16::from_ne_bytes)
    };
    number(16) == Some(EV_KEY) && number(18) == Some(KEY_POWER) && event.get(20) == Some(&1)
}

/// Whether a key is in the bit map of `capabilities/key`: hexadecimal words of 64 bits, the
/// highest first.
fn has_key(map: &str, key: u16) -> bool {
    let word = map.split_ascii_whitespace().rev().nth(usize::from(key / 64));
    word.and_then(|w| u64::from_str_radix(w, 16).ok()).is_some_and(|w| w >> (key % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_maps_are_read_from_the_right() {
        assert!(has_key("10000000000000 0\n", KEY_POWER));
        assert!(!has_key("10000000000000\n", KEY_POWER));
        assert!(!has_key("", KEY_POWER));
        assert!(has_key("ffffffffffffffff fffffffffffffffe", KEY_POWER));
    }

    #[test]
    fn only_the_press_counts() {
        let mut event = [0; EVENT_BYTES];
        event[16] = 1;
        event[18] = 116;
        event[20] = 1;
        assert!(is_power_press(&event));
        event[20] = 0;
        assert!(!is_power_press(&event), "release");
        event[20] = 1;
        event[18] = 30;
        assert!(!is_power_press(&event), "another key");
    }
}
