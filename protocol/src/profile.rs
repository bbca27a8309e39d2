//! A kernel profile: a kernel of the hub with arguments and settings, under the name users type.

use crate::names::KernelName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One profile file, `profiles/NAME.toml` beside `bootsrv.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The imported kernel it boots.
    pub kernel: KernelName,
    /// One line for `--bmc-kernel=help`.
    #[serde(default)]
    pub description: String,
    /// Words added to the kernel arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Modules loaded before the job, with their dependencies, in this order.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Written below `/sys`, e.g. `"kernel/mm/transparent_hugepage/enabled" = "never"`. `*` stands
    /// for every entry of a directory (`"class/net/*/queues/*/rps_flow_cnt"`); one must match.
    #[serde(default)]
    pub sysfs: BTreeMap<String, String>,
    /// Kernel parameters as sysctl(8) names them, e.g. `"net.core.rps_sock_flow_entries" = "32768"`.
    #[serde(default)]
    pub sysctl: BTreeMap<String, String>,
    /// CPUs taken off-line.
    #[serde(default)]
    pub cpus_offline: Vec<u32>,
    /// The CPUs a node has left under this profile; fewer is a fault of the node, more is one of the
    /// profile where it says anything but all.
    #[serde(default)]
    pub cpus: CpusLeft,
    /// Who may choose it; nobody named: everybody.
    #[serde(default)]
    pub allow: Allow,
}

/// How many of a node's CPUs (as slurm.conf counts them) a profile leaves on-line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpusLeft {
    /// All of them.
    #[default]
    All,
    /// One hardware thread of every core (`nosmt`).
    OnePerCore,
    /// All but the `cpus_offline` ones.
    AllButOffline,
}

/// Who may use a kernel or an image. Empty lists: everybody. Otherwise one match is enough.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// User names.
    #[serde(default)]
    pub users: Vec<String>,
    /// Slurm accounts.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Partitions.
    #[serde(default)]
    pub partitions: Vec<String>,
}

/// The one who asks, for [`Allow::permits`]. `None`: not known at this point, and then not matched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asker<'a> {
    /// User name.
    pub user: Option<&'a str>,
    /// Slurm account.
    pub account: Option<&'a str>,
    /// Partition.
    pub partition: Option<&'a str>,
}

impl Allow {
    /// Whether the one who asks may use it.
    #[must_use]
    pub fn permits(&self, asker: Asker<'_>) -> bool {
        let everybody =
            self.users.is_empty() && self.accounts.is_empty() && self.partitions.is_empty();
        let named = |list: &[String], value: Option<&str>| {
            value.is_some_and(|value| list.iter().any(|entry| entry == value))
        };
        everybody
            || named(&self.users, asker.user)
            || named(&self.accounts, asker.account)
            || named(&self.partitions, asker.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_match_is_enough_and_nobody_named_is_everybody() {
        let alice = Asker { user: Some("alice"), account: None, partition: Some("bmc") };
        assert!(Allow::default().permits(alice));
        let only = |users: &[&str]| Allow {
            users: users.iter().map(ToString::to_string).collect(),
            accounts: vec!["physics".into()],
            partitions: vec![],
        };
        assert!(only(&["alice"]).permits(alice));
        assert!(!only(&["bob"]).permits(alice));
        assert!(only(&["bob"]).permits(Asker { account: Some("physics"), ..alice }));
    }
}
