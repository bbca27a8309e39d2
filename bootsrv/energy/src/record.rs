//! Figures with their names: the records that bootsrv stores and `bmc energy` prints.

use crate::{Integral, METHOD_VERSION};
use protocol::energy::{JobEnergy, NodeEnergy};
use protocol::names::{JobId, JobReference, NodeName};

/// The record of one deployment. `source` is `None` where the node has no meter; `complete` is
/// `false` while the node still runs.
#[must_use]
pub fn node_energy(
    node: NodeName,
    source: Option<String>,
    integral: Integral,
    complete: bool,
) -> NodeEnergy {
    NodeEnergy {
        node,
        source,
        stages: integral.stages,
        total_millijoules: integral.total_millijoules,
        samples: integral.samples,
        gaps: integral.gaps,
        complete,
    }
}

/// The record of one try of a job: its nodes, and their sum if all are known.
#[must_use]
pub fn job_energy(
    job: JobId,
    reference: JobReference,
    restart_count: u32,
    nodes: Vec<NodeEnergy>,
) -> JobEnergy {
    let total = nodes
        .iter()
        .try_fold(0_i64, |sum, node| sum.checked_add(node.total_millijoules?))
        .filter(|_| !nodes.is_empty());
    JobEnergy {
        job,
        reference,
        restart_count,
        nodes,
        total_millijoules: total,
        method_version: METHOD_VERSION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, total: Option<i64>) -> NodeEnergy {
        let integral =
            Integral { stages: vec![], total_millijoules: total, samples: 3, gaps: vec![] };
        node_energy(name.parse().unwrap(), Some("dcmi".into()), integral, true)
    }

    #[test]
    fn a_job_is_the_sum_of_its_nodes_and_unknown_if_one_is() {
        let sum =
            |nodes| job_energy(JobId(7), JobReference::Job(JobId(7)), 1, nodes).total_millijoules;
        assert_eq!(sum(vec![node("n1", Some(5)), node("n2", Some(0))]), Some(5));
        assert_eq!(sum(vec![node("n1", Some(5)), node("n2", None)]), None);
        assert_eq!(sum(vec![]), None, "no node measured is unknown, not zero");
        assert_eq!(sum(vec![node("n1", Some(i64::MAX)), node("n2", Some(1))]), None);
    }
}
