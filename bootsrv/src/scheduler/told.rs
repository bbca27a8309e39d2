//! What is asked of slurmctld and told it for the scheduler's sake.

use super::features::Features;
use crate::slurm::{Scontrol, SlurmError};
use protocol::names::NodeName;
use protocol::node_list::compress;
use std::collections::BTreeMap;

impl Scontrol {
    /// The features of these nodes; those slurmctld does not know are left out.
    pub(super) async fn features(
        &self,
        nodes: &[NodeName],
    ) -> Result<BTreeMap<NodeName, Features>, SlurmError> {
        if nodes.is_empty() {
            return Ok(BTreeMap::new());
        }
        Ok(parse_features(&self.run(&["show", "node", "-o", &compress(nodes)]).await?))
    }

    /// Sets all features of nodes, an admin's too. Both in one call: the active ones must be among
    /// the available ones at any time.
    pub(super) async fn set_features(
        &self,
        nodes: &[NodeName],
        features: &Features,
    ) -> Result<(), SlurmError> {
        let available = format!("availablefeatures={}", features.available.join(","));
        let active = format!("activefeatures={}", features.active.join(","));
        let name = format!("nodename={}", compress(nodes));
        self.run(&["update", &name, &available, &active]).await?;
        Ok(())
    }

    /// Whether a job may prefer features that too few nodes have: without this, slurmctld refuses it.
    pub(super) async fn forgives_preferences(&self) -> Result<bool, SlurmError> {
        Ok(parse_forgives(&self.run(&["show", "config"]).await?))
    }
}

/// Of `scontrol show node -o`.
fn parse_features(text: &str) -> BTreeMap<NodeName, Features> {
    let of_line = |line: &str| {
        let value = |key: &str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let list = |key: &str| {
            let words = value(key).unwrap_or_default().split(',');
            words.filter(|word| !word.is_empty() && *word != "(null)").map(String::from).collect()
        };
        let name = value("NodeName")?.parse().ok()?;
        let (available, active) = (list("AvailableFeatures"), list("ActiveFeatures"));
        Some((name, Features { available, active }))
    };
    text.lines().filter_map(of_line).collect()
}

/// Looks for the word in `SchedulerParameters` of `scontrol show config`.
fn parse_forgives(text: &str) -> bool {
    let values = text.lines().filter_map(|line| line.split_once('='));
    let mut parameters = values.filter(|(key, _)| key.trim() == "SchedulerParameters");
    parameters.any(|(_, value)| {
        value.split(',').any(|word| word.trim().eq_ignore_ascii_case("ignore_prefer_validation"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 22.05 prints it.
    const SHOWN: &str = "\
NodeName=n1 Arch=x86_64 CoresPerSocket=1 AvailableFeatures=skylake,bmc_0123456789ab ActiveFeatures=skylake Gres=(null)
NodeName=n2 Arch=x86_64 CoresPerSocket=1 AvailableFeatures=(null) ActiveFeatures=(null) Gres=(null)
NodeName=n3 AvailableFeatures= ActiveFeatures= State=IDLE
";

    #[test]
    fn features_are_read_as_slurmctld_shows_them() {
        let shown = parse_features(SHOWN);
        let of = |name: &str| shown.get(&name.parse::<NodeName>().unwrap()).unwrap();
        assert_eq!(of("n1").available, ["skylake", "bmc_0123456789ab"]);
        assert_eq!(of("n1").active, ["skylake"]);
        assert_eq!((of("n2"), of("n3")), (&Features::default(), &Features::default()));
    }

    #[test]
    fn the_one_parameter_is_found_among_others() {
        let config = |value: &str| format!("SchedulerParameters     = {value}\nX = y\n");
        assert!(parse_forgives(&config("bf_interval=2,ignore_prefer_validation")));
        assert!(!parse_forgives(&config("ignore_constraint_validation")));
        assert!(!parse_forgives(&config("(null)")) && !parse_forgives(""));
    }
}
