//! From a try's energy records to one run: the job's part, and what its kernel cost besides.

use protocol::energy::{NodeEnergy, Stage, StageEnergy};

/// Times and energies of one run; what was not measured whole is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The stage [`Stage::Job`], of the node where it took longest.
    pub job_ns: i64,
    /// Its energy, of all nodes.
    pub job_millijoules: Option<i64>,
    /// All other stages of the job's own, of the node where they took longest.
    pub overhead_ns: i64,
    /// Their energy, of all nodes.
    pub overhead_millijoules: Option<i64>,
}

/// The run that these records are of, one a node; `None`: a node is still in use, or never saw the
/// job start and end.
#[must_use]
pub fn parts(nodes: &[NodeEnergy]) -> Option<Parts> {
    let nodes: Vec<Parts> = nodes.iter().map(of_node).collect::<Option<_>>()?;
    let longest = |time: fn(&Parts) -> i64| nodes.iter().map(time).max();
    let sum = |energy: fn(&Parts) -> Option<i64>| {
        nodes.iter().try_fold(0_i64, |sum, node| sum.checked_add(energy(node)?))
    };
    Some(Parts {
        job_ns: longest(|node| node.job_ns)?,
        job_millijoules: sum(|node| node.job_millijoules),
        overhead_ns: longest(|node| node.overhead_ns)?,
        overhead_millijoules: sum(|node| node.overhead_millijoules),
    })
}

fn of_node(node: &NodeEnergy) -> Option<Parts> {
    let after_job = node.stages.iter().skip_while(|stage| stage.stage != Stage::Job).nth(1);
    // A job whose end was not seen has nothing behind it.
    if !node.complete || after_job.is_none() {
        return None;
    }
    let own = || node.stages.iter().take_while(|stage| stage.stage != Stage::Idle);
    let (mut parts, zero) = ([(0_i64, Some(0_i64)); 2], Some(0_i64));
    for stage in own() {
        let [job, overhead] = &mut parts;
        let part = if stage.stage == Stage::Job { job } else { overhead };
        let energy = if stage.duration_ns == 0 { zero } else { measured(node, stage) };
        part.0 = part.0.saturating_add(stage.duration_ns);
        part.1 = part.1.zip(energy).and_then(|(sum, energy)| sum.checked_add(energy));
    }
    let [(job_ns, job_millijoules), (overhead_ns, overhead_millijoules)] = parts;
    Some(Parts { job_ns, job_millijoules, overhead_ns, overhead_millijoules })
}

/// A stage's energy if readings speak for all of it: a lower bound is not to be compared. Nor is a job's
/// share of readings that cannot tell it from its neighbours; within the overhead, what one stage lacks
/// its neighbour has.
fn measured(node: &NodeEnergy, stage: &StageEnergy) -> Option<i64> {
    let end = |from: i64, length: i64| from.saturating_add(length);
    let is_missing = node.gaps.iter().filter(|gap| !gap.bridged).any(|gap| {
        gap.from_unix_ns < end(stage.from_unix_ns, stage.duration_ns)
            && end(gap.from_unix_ns, gap.duration_ns) > stage.from_unix_ns
    });
    let is_share = stage.stage == Stage::Job && stage.bounds.is_some();
    stage.energy_millijoules.filter(|_| !is_missing && !is_share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mark, Options, Sample, integrate, node_energy};

    const SECOND: i64 = 1_000_000_000;

    /// 100 W, read each second from the first to the last of these, over stages that begin at these.
    fn node(read: [i64; 2], marks: &[(Stage, i64)], end: i64) -> NodeEnergy {
        let samples: Vec<Sample> = (read[0]..=read[1])
            .map(|second| Sample { unix_ns: second * SECOND, milliwatts: 100_000 })
            .collect();
        let mark = |(stage, at): &(Stage, i64)| Mark { stage: *stage, from_unix_ns: at * SECOND };
        let marks: Vec<Mark> = marks.iter().map(mark).collect();
        let integral = integrate(&samples, &marks, end * SECOND, &Options::default());
        node_energy("n1".parse().unwrap(), Some("dcmi".into()), integral, true)
    }

    const STAGES: [(Stage, i64); 5] = [
        (Stage::Firmware, 100),
        (Stage::WaitForPeers, 120),
        (Stage::Job, 130),
        (Stage::Shutdown, 190),
        (Stage::Settle, 200),
    ];

    #[test]
    fn the_job_is_told_from_the_rest_and_nodes_add_up() {
        let one = node([90, 220], &STAGES, 210);
        let energies = |job, overhead| (Some(job), Some(overhead));
        let of = |nodes: &[NodeEnergy]| {
            let parts = parts(nodes).unwrap();
            let times = (parts.job_ns / SECOND, parts.overhead_ns / SECOND);
            (times, (parts.job_millijoules, parts.overhead_millijoules))
        };
        assert_eq!(of(std::slice::from_ref(&one)), ((60, 50), energies(6_000_000, 5_000_000)));
        let longer = node([90, 230], &STAGES, 220);
        assert_eq!(of(&[one, longer]), ((60, 60), energies(12_000_000, 11_000_000)));
    }

    /// From the job's end on the node waits for the next job: that is nobody's.
    #[test]
    fn what_a_node_that_stays_on_idles_is_no_overhead() {
        let marks = [(Stage::TakeOver, 100), (Stage::Job, 101), (Stage::Idle, 150)];
        let parts = parts(&[node([90, 400], &marks, 300)]).unwrap();
        assert_eq!((parts.job_ns, parts.overhead_ns), (49 * SECOND, SECOND));
        assert_eq!(
            (parts.job_millijoules, parts.overhead_millijoules.unwrap()),
            (Some(4_900_000), 100_000)
        );
    }

    #[test]
    fn a_part_that_was_not_read_whole_is_unknown_and_the_other_is_not() {
        let known = |read| {
            let parts = parts(&[node(read, &STAGES, 210)]).unwrap();
            (parts.job_millijoules.is_some(), parts.overhead_millijoules.is_some())
        };
        assert_eq!(known([90, 220]), (true, true));
        assert_eq!(known([115, 220]), (true, false), "the firmware's begin is missing");
        assert_eq!(known([90, 170]), (false, false), "the job's last seconds are missing too");
        assert_eq!(known([0, 0]), (false, false));
        let read = [node([90, 220], &STAGES, 210), node([0, 0], &STAGES, 210)];
        assert_eq!(parts(&read).unwrap().job_millijoules, None, "one node is unknown");
    }

    #[test]
    fn a_job_too_short_for_its_meter_is_unknown_and_a_short_stage_beside_it_is_not() {
        let known = |job_ends| {
            let marks = [
                (Stage::Firmware, 100),
                (Stage::BootLoader, 120),
                (Stage::KernelAndInitrd, 121),
                (Stage::Job, 130),
                (Stage::Shutdown, job_ends),
            ];
            let node = node([90, 220], &marks, 200);
            let of = |stage| node.stages.iter().find(|one| one.stage == stage).unwrap();
            assert!(of(Stage::BootLoader).bounds.is_some());
            let parts = parts(std::slice::from_ref(&node)).unwrap();
            (parts.job_millijoules.is_some(), parts.overhead_millijoules.is_some())
        };
        assert_eq!(known(131), (false, true));
        assert_eq!(known(150), (true, true));
    }

    #[test]
    fn only_a_job_that_was_seen_to_start_and_end_is_a_run() {
        let whole = node([90, 220], &STAGES, 210);
        assert!(parts(&[]).is_none());
        assert!(parts(&[node([90, 220], &STAGES[..2], 210)]).is_none(), "it never started");
        assert!(parts(&[node([90, 220], &STAGES[..3], 210)]).is_none(), "it never ended");
        let in_use = NodeEnergy { complete: false, ..whole.clone() };
        assert!(parts(&[whole, in_use]).is_none());
    }
}
