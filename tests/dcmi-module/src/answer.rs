//! The bytes of DCMI answers (DCMI 1.5 specification, sections 6.1.1 and 6.6.1). No pointers here.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const GROUP: u8 = 0xdc;
const OK: u8 = 0x00;
const INVALID_COMMAND: u8 = 0xc1;
const INVALID_FIELD: u8 = 0xcc;
const UNSPECIFIED: u8 = 0xff;

const GET_CAPABILITIES: u8 = 0x01;
const GET_POWER_READING: u8 = 0x02;
/// "Power measurement active".
const ACTIVE: u8 = 0x40;

/// The answer when there is nothing to read from: completion code "unspecified error".
pub(crate) const NO_ANSWER: [u8; 1] = [UNSPECIFIED];

/// The power meter of one controller, with its statistics since the start or since 49 days ago.
#[derive(Debug)]
pub(crate) struct Meter {
    path: PathBuf,
    since: Instant,
    lowest: u16,
    highest: u16,
    sum: u64,
    count: u64,
}

impl Meter {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, since: Instant::now(), lowest: u16::MAX, highest: 0, sum: 0, count: 0 }
    }

    /// The answer to one request; `request` begins with the group's number.
    pub(crate) fn answer(&mut self, command: u8, request: &[u8]) -> Vec<u8> {
        match (command, request.get(1).copied()) {
            (GET_CAPABILITIES, Some(selector)) => capabilities(selector),
            // Mode 1, "system power statistics"; the enhanced mode 2 was not declared.
            (GET_POWER_READING, Some(1)) => self.power_reading(),
            (GET_CAPABILITIES | GET_POWER_READING, _) => vec![INVALID_FIELD],
            _ => vec![INVALID_COMMAND],
        }
    }

    fn power_reading(&mut self) -> Vec<u8> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let Ok(watts) = text.trim().parse::<u16>() else { return NO_ANSWER.to_vec() };
        let mut period = self.since.elapsed();
        if period > Duration::from_millis(u32::MAX.into()) {
            *self = Self::new(std::mem::take(&mut self.path));
            period = Duration::ZERO;
        }
        self.lowest = self.lowest.min(watts);
        self.highest = self.highest.max(watts);
        self.sum += u64::from(watts);
        self.count += 1;
        let average = u16::try_from(self.sum / self.count).unwrap_or(u16::MAX);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut answer = vec![OK, GROUP];
        for value in [watts, self.lowest, self.highest, average] {
            answer.extend(value.to_le_bytes());
        }
        answer.extend(u32::try_from(now).unwrap_or(u32::MAX).to_le_bytes());
        answer.extend(u32::try_from(period.as_millis()).unwrap_or(u32::MAX).to_le_bytes());
        answer.push(ACTIVE);
        answer
    }
}

/// What this controller says it can do: power management by its own address, nothing else.
fn capabilities(selector: u8) -> Vec<u8> {
    let body: &[u8] = match selector {
        // Supported: power management; in-band, serial and LAN channels.
        1 => &[0x00, 0x01, 0x07],
        // Mandatory platform attributes: an event log of 0 entries, no asset tag, no sampling.
        2 => &[0x00, 0x00, 0x00, 0x00, 0x00],
        // Optional attributes: the power management controller's address and channel.
        3 => &[0x20, 0x00],
        // Manageability access: the LAN channel is 1, no others.
        4 => &[0x01, 0xff, 0xff],
        _ => return vec![INVALID_FIELD],
    };
    // DCMI 1.5, parameter revision 2.
    let mut answer = vec![OK, GROUP, 1, 5, 2];
    answer.extend(body);
    answer
}
