//! Which units and outlets feed a node, and how patient we are with them.

use crate::credentials::{Credentials, PASSWORD_BYTES_MIN, SECRET_BYTES_MAX};
use crate::model::Model;
use std::time::Duration;

/// Most units that feed one node.
const UNITS_MAX: usize = 4;
/// Most outlets of one unit that feed one node.
const OUTLETS_MAX: usize = 16;
/// Longest host name with its port, in bytes.
const ADDRESS_BYTES_MAX: usize = 255 + 6;

/// Outlets of one power distribution unit.
#[derive(Debug, Clone)]
pub struct Unit {
    /// `address` or `address:port`; port 161 if absent.
    pub address: String,
    /// Who we are to it.
    pub credentials: Credentials,
    /// What it calls its outlets.
    pub model: Model,
    /// The outlets' numbers, as they stand on the unit.
    pub outlets: Vec<u32>,
}

/// How long and how often to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long one try waits for its answer.
    pub reply_timeout: Duration,
    /// How often a question is sent in all, 1 to 10.
    pub tries: u32,
    /// How often a busy unit is asked again, at most 10 times.
    pub busy_tries: u32,
    /// The pause before asking a busy unit again; by chance between half and one and a half of it.
    pub busy_pause: Duration,
    /// How long outlets are waited for to be off while the power is cycled.
    pub settle: Duration,
}

impl Patience {
    /// Most questions for one answer, and most repetitions to a busy unit.
    pub const TRIES_MAX: u32 = 10;
    /// Longest of each of the times.
    pub const SECONDS_MAX: u64 = 60;
}

impl Default for Patience {
    /// About six seconds until a silent unit is given up: their processors are slow, and many serve
    /// one question at a time. Relays switch within a second; some units stagger them.
    fn default() -> Self {
        Self {
            reply_timeout: Duration::from_millis(1000),
            tries: 4,
            busy_tries: 3,
            busy_pause: Duration::from_millis(500),
            settle: Duration::from_secs(10),
        }
    }
}

/// Why outlets cannot be used as they are described. No secret is in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUnits {
    /// Too few or too many.
    #[error("a node is fed by 1 to {UNITS_MAX} PDUs and 1 to {OUTLETS_MAX} outlets of each")]
    Count,
    /// An outlet twice, or 0.
    #[error(
        "outlet {outlet} of PDU {address}: outlets are numbered from 1, and each stands here once"
    )]
    Outlet {
        /// The unit.
        address: String,
        /// The outlet.
        outlet: u32,
    },
    /// No address.
    #[error(
        "{0:?} is no address of a PDU: write a host name or an address, and :port if it is not 161"
    )]
    Address(String),
    /// The community or the v3 user cannot be used.
    #[error(
        "SNMP credentials: a community has 1 to {SECRET_BYTES_MAX} bytes; a v3 user 1 to 32 and both \
         passwords {PASSWORD_BYTES_MIN} to {SECRET_BYTES_MAX}, and its privacy is AES"
    )]
    Credentials,
    /// A time or a number is out of range.
    #[error("patience: tries 1 to 10, busy tries 0 to 10, each time at most 60 s")]
    Patience,
}

pub(crate) fn check(units: &[Unit], patience: Patience) -> Result<(), InvalidUnits> {
    let longest = Duration::from_secs(Patience::SECONDS_MAX);
    let patient = (1..=Patience::TRIES_MAX).contains(&patience.tries)
        && patience.busy_tries <= Patience::TRIES_MAX
        && patience.reply_timeout.max(patience.busy_pause).max(patience.settle) <= longest
        && !patience.reply_timeout.is_zero();
    if !patient {
        return Err(InvalidUnits::Patience);
    }
    if !(1..=UNITS_MAX).contains(&units.len()) {
        return Err(InvalidUnits::Count);
    }
    for (at, unit) in units.iter().enumerate() {
        check_unit(unit)?;
        let same = |other: &Unit, outlet: &u32| {
            other.address == unit.address && other.outlets.contains(outlet)
        };
        let before = units.get(..at).unwrap_or_default();
        let twice = |outlet: &&u32| before.iter().any(|other| same(other, outlet));
        if let Some(outlet) = unit.outlets.iter().find(twice) {
            return Err(InvalidUnits::Outlet { address: unit.address.clone(), outlet: *outlet });
        }
    }
    Ok(())
}

fn check_unit(unit: &Unit) -> Result<(), InvalidUnits> {
    let address = &unit.address;
    let taken = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]%".contains(&byte);
    if address.is_empty() || address.len() > ADDRESS_BYTES_MAX || !address.bytes().all(taken) {
        return Err(InvalidUnits::Address(address.clone()));
    }
    if !(1..=OUTLETS_MAX).contains(&unit.outlets.len()) {
        return Err(InvalidUnits::Count);
    }
    for (at, outlet) in unit.outlets.iter().enumerate() {
        if *outlet == 0 || unit.outlets.iter().skip(at + 1).any(|other| other == outlet) {
            return Err(InvalidUnits::Outlet { address: address.clone(), outlet: *outlet });
        }
    }
    unit.credentials.auth().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(outlets: &[u32]) -> Unit {
        Unit {
            address: "10.0.0.9".into(),
            credentials: Credentials::Community("hush".into()),
            model: Model::named("apc-rpdu").unwrap(),
            outlets: outlets.to_vec(),
        }
    }

    #[test]
    fn outlets_are_checked() {
        let checked = |units: &[Unit]| check(units, Patience::default());
        assert_eq!(checked(&[unit(&[1, 2])]), Ok(()));
        assert_eq!(checked(&[unit(&[1]), unit(&[2])]), Ok(()));
        assert_eq!(checked(&[]), Err(InvalidUnits::Count));
        assert_eq!(checked(&[unit(&[])]), Err(InvalidUnits::Count));
        assert_eq!(checked(&vec![unit(&[1]); 5]), Err(InvalidUnits::Count));
        for bad in [vec![unit(&[0])], vec![unit(&[3, 3])], vec![unit(&[3]), unit(&[4, 3])]] {
            assert!(matches!(checked(&bad), Err(InvalidUnits::Outlet { .. })), "{bad:?}");
        }
        for address in ["", "a b", "http://a", &"a".repeat(300)] {
            let odd = Unit { address: address.to_owned(), ..unit(&[1]) };
            assert_eq!(checked(&[odd]), Err(InvalidUnits::Address(address.to_owned())));
        }
    }

    #[test]
    fn patience_has_limits() {
        let good = Patience::default();
        for bad in [
            Patience { tries: 0, ..good },
            Patience { tries: 11, ..good },
            Patience { busy_tries: 11, ..good },
            Patience { settle: Duration::from_secs(61), ..good },
            Patience { reply_timeout: Duration::ZERO, ..good },
        ] {
            assert_eq!(check(&[unit(&[1])], bad), Err(InvalidUnits::Patience), "{bad:?}");
        }
    }
}
