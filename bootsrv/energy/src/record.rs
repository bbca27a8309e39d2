//! Figures with their names: the records that bootsrv stores and `bmc energy` prints.

use crate::sureness::whole;
use crate::{Integral, METHOD_VERSION};
use protocol::energy::{JobEnergy, NodeEnergy, Uncertainty};
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
    let accuracy = source.is_some().then_some(integral.accuracy);
    NodeEnergy {
        node,
        source,
        stages: integral.stages,
        total_millijoules: integral.total_millijoules,
        uncertainty: integral.uncertainty,
        accuracy,
        method_version: METHOD_VERSION,
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
    let uncertainty = total.and_then(|_| {
        nodes.iter().map(|node| node.uncertainty).collect::<Option<Vec<_>>>().map(|all| sum(&all))
    });
    JobEnergy {
        job,
        reference,
        restart_count,
        nodes,
        total_millijoules: total,
        uncertainty,
        footprint: None,
        method_version: METHOD_VERSION,
    }
}

/// Random parts are independent; meters of one make are taken to be off in the same direction, so that
/// theirs add up.
fn sum(nodes: &[Uncertainty]) -> Uncertainty {
    let square = |value: i64| (value as f64) * (value as f64);
    let random: f64 = nodes.iter().map(|one| square(one.random_millijoules)).sum();
    let of_meter = |one: &Uncertainty| square(one.millijoules) - square(one.random_millijoules);
    let meters: f64 = nodes.iter().map(|one| of_meter(one).max(0.0).sqrt()).sum();
    Uncertainty {
        millijoules: whole((random + meters * meters).sqrt()),
        random_millijoules: whole(random.sqrt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::energy::Accuracy;

    fn node(name: &str, total: Option<i64>) -> NodeEnergy {
        let integral = Integral {
            stages: vec![],
            total_millijoules: total,
            uncertainty: total.map(|_| Uncertainty { millijoules: 50, random_millijoules: 30 }),
            accuracy: Accuracy::ASSUMED,
            samples: 3,
            gaps: vec![],
        };
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

    #[test]
    fn what_is_random_adds_in_quadrature_and_what_meters_are_off_by_adds_up() {
        let job = |nodes| job_energy(JobId(7), JobReference::Job(JobId(7)), 1, nodes).uncertainty;
        // Each: 30 at random and 40 by its meter, 50 together.
        let four = ["n1", "n2", "n3", "n4"].map(|name| node(name, Some(5))).to_vec();
        // 60² + 160² = 170.9².
        let expected = Uncertainty { millijoules: 171, random_millijoules: 60 };
        assert_eq!(job(four), Some(expected));
        assert_eq!(job(vec![node("n1", Some(5)), node("n2", None)]), None);
    }
}
