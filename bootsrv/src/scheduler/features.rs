//! The Slurm features that say what a node runs: their names, and what has to be changed to make
//! slurmctld show them. Pure.

use crate::config::ShareWith;
use crate::deployment::take_over::Owner;
use crate::pin::Pin;
use protocol::names::{Digest, NodeName};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// How a feature of ours begins; hexadecimal digits follow.
const PREFIX: &str = "bmc_";
/// Digits of a feature's name: 48 bits, so that two of some thousand are never the same.
const DIGITS: usize = 12;

/// Who finds on a node what they may have as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain<'a> {
    /// Everybody: nobody has used it, or the partition trusts all.
    Anybody,
    /// This user.
    User(u32),
    /// Users of this account.
    Account(&'a str),
}

impl<'a> Domain<'a> {
    /// Of a node with that owner; `None`: nobody, as there is no account that could be theirs.
    #[must_use]
    pub fn of(owner: Option<Owner<'a>>, share_with: ShareWith) -> Option<Self> {
        match (owner, share_with) {
            (None, _) | (_, ShareWith::Anybody) => Some(Self::Anybody),
            (Some(owner), ShareWith::User) => Some(Self::User(owner.uid)),
            (Some(owner), ShareWith::Account) => owner.account.map(Self::Account),
        }
    }
}

/// What a boot consists of, apart from what the site adds for its node: equal for nodes that a job may
/// take for each other.
#[must_use]
pub fn boot(pin: &Pin) -> Digest {
    let pin = Pin { site: None, ..pin.clone() };
    // A pin always can be written: it has no map with keys that are not text.
    let text = serde_json::to_vec(&pin).unwrap_or_default();
    Digest(Sha256::digest(text).into())
}

/// The feature of a node that runs this and is for those.
#[must_use]
pub fn name(boot: &Digest, domain: Domain<'_>) -> String {
    let text = format!("{boot} {domain:?}");
    let mut digits = Digest(Sha256::digest(text).into()).to_string();
    digits.truncate(DIGITS);
    format!("{PREFIX}{digits}")
}

/// Whether a feature is one of ours: all others are an admin's.
#[must_use]
pub fn is_ours(feature: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let digits = feature.strip_prefix(PREFIX);
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(is_digit))
}

/// A node's features as slurmctld shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Features {
    /// Those it can have.
    pub available: Vec<String>,
    /// Those it has.
    pub active: Vec<String>,
}

impl Features {
    fn with(&self, ours: &BTreeSet<String>) -> Self {
        let mix = |shown: &[String]| {
            let others = shown.iter().filter(|feature| !is_ours(feature));
            others.chain(ours).cloned().collect()
        };
        Self { available: mix(&self.available), active: mix(&self.active) }
    }

    fn has_exactly(&self, ours: &BTreeSet<String>) -> bool {
        let are = |shown: &[String]| {
            let own = shown.iter().filter(|feature| is_ours(feature));
            own.collect::<BTreeSet<_>>() == ours.iter().collect()
        };
        are(&self.available) && are(&self.active)
    }
}

/// What slurmctld is to be told, equal features together; nodes that it does not show are left out.
#[must_use]
pub fn changes(
    shown: &BTreeMap<NodeName, Features>,
    wanted: &BTreeMap<NodeName, BTreeSet<String>>,
) -> BTreeMap<Features, Vec<NodeName>> {
    let none = BTreeSet::new();
    let mut changes: BTreeMap<Features, Vec<NodeName>> = BTreeMap::new();
    for (node, features) in shown {
        let ours = wanted.get(node).unwrap_or(&none);
        if !features.has_exactly(ours) {
            changes.entry(features.with(ours)).or_default().push(node.clone());
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "bmc_0123456789ab";

    fn features(available: &[&str], active: &[&str]) -> Features {
        let owned = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        Features { available: owned(available), active: owned(active) }
    }

    fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    #[test]
    fn an_admins_features_are_not_ours() {
        assert!(is_ours(OURS));
        for other in ["bmc_rack7", "bmc_0123456789AB", "bmc_0123456789abc", "skylake", ""] {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn a_feature_stands_for_what_runs_and_for_whom() {
        let pin = Pin::of_nothing();
        let site = Some(Digest([9; 32]));
        let (same, other) =
            (Pin { site, ..pin.clone() }, Pin { release: "6.12.0".into(), ..pin.clone() });
        let alice = Owner { uid: 1, account: Some("physics") };
        let of = |pin: &Pin, owner, share_with| {
            Domain::of(owner, share_with).map(|domain| name(&boot(pin), domain))
        };
        let hers = of(&pin, Some(alice), ShareWith::User).unwrap();
        assert!(is_ours(&hers));
        assert_eq!(of(&same, Some(alice), ShareWith::User).as_ref(), Some(&hers));
        assert_ne!(of(&other, Some(alice), ShareWith::User).as_ref(), Some(&hers));
        let bob = Owner { uid: 2, ..alice };
        assert_ne!(of(&pin, Some(bob), ShareWith::User).as_ref(), Some(&hers));
        let accounts = [alice, bob].map(|owner| of(&pin, Some(owner), ShareWith::Account));
        assert_eq!(accounts[0], accounts[1]);
        let nobodys = of(&pin, None, ShareWith::User);
        assert_eq!(nobodys, of(&pin, Some(bob), ShareWith::Anybody));
        assert_eq!(of(&pin, Some(Owner { account: None, ..bob }), ShareWith::Account), None);
    }

    #[test]
    fn only_ours_change_and_equal_nodes_are_told_of_together() {
        let ours = || BTreeSet::from([OURS.to_owned()]);
        let old = "bmc_ffffffffffff";
        let shown = BTreeMap::from([
            (node("n1"), features(&["skylake"], &["skylake"])),
            (node("n2"), features(&["skylake", old], &["skylake", old])),
            (node("n3"), features(&["skylake", OURS], &["skylake", OURS])),
            (node("n4"), features(&["a", "b", old], &["a"])),
            (node("n5"), features(&["a", "b"], &["a"])),
        ]);
        let wanted = ["n1", "n2", "n3", "gone"].map(|name| (node(name), ours()));
        let changes = changes(&shown, &BTreeMap::from(wanted));
        let expected = BTreeMap::from([
            (features(&["skylake", OURS], &["skylake", OURS]), vec![node("n1"), node("n2")]),
            (features(&["a", "b"], &["a"]), vec![node("n4")]),
        ]);
        assert_eq!(changes, expected);
    }
}
