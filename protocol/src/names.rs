//! Names and secrets, parsed once and trusted from then on.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A name or number that was refused, with the rule it broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} is not valid: {rule}")]
pub struct InvalidName {
    /// What was being named, e.g. `kernel`.
    pub what: &'static str,
    /// The value, cut to 64 characters so that an error line stays a line.
    pub value: String,
    /// The rule, as the end of a sentence.
    pub rule: &'static str,
}

impl InvalidName {
    pub(crate) fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self { what, value: value.chars().take(64).collect(), rule }
    }
}

/// A Slurm job id: 1 to 4,294,967,293 (`MAX_JOB_ID` and above have meanings of their own in Slurm).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub u32);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        match text.parse() {
            Ok(id) if id > 0 && id < u32::MAX - 1 => Ok(Self(id)),
            _ => Err(InvalidName::new("job id", text, "it is a number from 1 to 4294967293")),
        }
    }
}

/// A job as Slurm's commands name it: an array's task and a heterogeneous job's component have an
/// id of their own too, but where Slurm takes a plain id it may mean all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum JobReference {
    /// `42`.
    Job(JobId),
    /// `42_7`: a task of array 42.
    ArrayTask(JobId, u32),
    /// `42+1`: a component of the heterogeneous job 42, which is its first component's id too.
    Component(JobId, u32),
}

impl JobReference {
    /// Which task or component it is; 0 for a job without parts.
    #[must_use]
    pub fn part(self) -> u32 {
        match self {
            Self::Job(_) => 0,
            Self::ArrayTask(_, part) | Self::Component(_, part) => part,
        }
    }

    /// What Slurm requeues and holds: a heterogeneous job only as a whole.
    #[must_use]
    pub fn requeued_as(self) -> Self {
        match self {
            Self::Component(first, _) => Self::Job(first),
            Self::Job(_) | Self::ArrayTask(..) => self,
        }
    }
}

impl fmt::Display for JobReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => job.fmt(f),
            Self::ArrayTask(array, task) => write!(f, "{array}_{task}"),
            Self::Component(first, offset) => write!(f, "{first}+{offset}"),
        }
    }
}

impl FromStr for JobReference {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let part = |part: &str| {
            let rule = "after the job id stands nothing, _TASK or +COMPONENT, each a number";
            part.parse().map_err(|_| InvalidName::new("job", text, rule))
        };
        if let Some((array, task)) = text.split_once('_') {
            return Ok(Self::ArrayTask(array.parse()?, part(task)?));
        }
        if let Some((first, offset)) = text.split_once('+') {
            return Ok(Self::Component(first.parse()?, part(offset)?));
        }
        text.parse().map(Self::Job)
    }
}

impl TryFrom<String> for JobReference {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<JobReference> for String {
    fn from(job: JobReference) -> Self {
        job.to_string()
    }
}

/// Longest name of a node, a kernel or an image, in bytes (Slurm and host names allow 63 a label).
pub const NAME_BYTES_MAX: usize = 63;

fn check_name(what: &'static str, text: &str, extra: &str) -> Result<String, InvalidName> {
    let rule = |rule| Err(InvalidName::new(what, text, rule));
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return rule("it has 1 to 63 characters");
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return rule("it starts with a letter or a digit");
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c)) {
        return rule("it has only letters, digits, '.', '_', '+' and '-'");
    }
    Ok(text.to_owned())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                check_name($what, text, $extra).map(Self)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name_type!(
    /// A node as Slurm names it.
    NodeName, "node name", "._-"
);
name_type!(
    /// A name of the kernel hub: an imported kernel, or a profile on top of one.
    KernelName, "kernel name", "._+-"
);
name_type!(
    /// A name of the image catalog.
    ImageName, "image name", "._+-"
);

/// The hardware address of the card a node boots from; shown in lower case with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl FromStr for MacAddress {
    type Err = InvalidName;
    /// Accepts `:` or `-` between the six bytes (iPXE's `hexhyp` writes hyphens).
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fail =
            || InvalidName::new("MAC address", text, "it is six bytes like 52:54:00:12:34:56");
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| is_hex_pair(part)).ok_or_else(fail)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| fail())?;
        }
        if parts.next().is_some() { Err(fail()) } else { Ok(Self(bytes)) }
    }
}

/// `from_str_radix` alone takes `+f` too.
fn is_hex_pair(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl TryFrom<String> for MacAddress {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The content address of an artifact: SHA-256, shown as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl FromStr for Digest {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fail = || InvalidName::new("digest", text, "it is 64 hexadecimal digits (SHA-256)");
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(fail());
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let pair = text.get(index * 2..index * 2 + 2).ok_or_else(fail)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| fail())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A secret text. `Debug` prints dots; it has no `Display`, so that a log line cannot take it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("••••")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_could_leave_their_place() {
        for bad in ["", "-x", ".hidden", "a/b", "a b", "a\nb", "../x", &"x".repeat(64), "ä"] {
            assert!(bad.parse::<KernelName>().is_err(), "{bad:?}");
        }
        for good in ["thp-off", "6.12-rt", "6.1.0-56+deb_1", &"x".repeat(63)] {
            assert!(good.parse::<KernelName>().is_ok(), "{good:?}");
        }
        assert!("n1+".parse::<NodeName>().is_err());
    }

    #[test]
    fn jobs_are_named_as_slurm_names_them() {
        for good in ["42", "42_0", "42+1"] {
            assert_eq!(good.parse::<JobReference>().unwrap().to_string(), good);
        }
        for bad in ["", "0", "42_", "_1", "42+x", "42_1_2", "4 2", "42_4294967296", "42_[0-3]"] {
            assert!(bad.parse::<JobReference>().is_err(), "{bad:?}");
        }
        let component: JobReference = "42+1".parse().unwrap();
        assert_eq!(component.requeued_as().to_string(), "42");
    }

    #[test]
    fn mac_addresses_take_both_separators() {
        let mac: MacAddress = "52-54-00-AB-00-01".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:00:01");
        for bad in
            ["52:54:00:ab:00", "52:54:00:ab:00:01:02", "52:54:00:ab:00:+1", "5:54:00:ab:00:011"]
        {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("munge".into())), "••••");
    }

    #[test]
    fn digests_survive_both_directions() {
        let text = "0123456789abcdef".repeat(4);
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        for bad in ["0".repeat(63), "+f".repeat(32)] {
            assert!(bad.parse::<Digest>().is_err());
        }
    }
}
