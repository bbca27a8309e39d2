//! From marks and readings to the energy record of a deployment.

use crate::clock::now_unix_ns;
use crate::deployment::{Deployment, Mark, State};
use crate::power::IPMI_SENSOR;
use crate::store::{Store, StoreError, Try};
use energy::{Options, Sample};
use protocol::energy::{Accuracy, JobEnergy, NodeEnergy, Stage};
use protocol::energy_settings::EnergySettings;

/// Which mark begins which stage.
const BEGINS: [(Mark, Stage); 10] = [
    (Mark::TakeOver, Stage::TakeOver),
    (Mark::PowerOn, Stage::Firmware),
    (Mark::ScriptServed, Stage::BootLoader),
    (Mark::KernelStarted, Stage::KernelAndInitrd),
    (Mark::InitStarted, Stage::Init),
    (Mark::Registered, Stage::WaitForPeers),
    (Mark::JobStarted, Stage::Job),
    (Mark::JobEnded, Stage::Shutdown),
    (Mark::PowerOffOrdered, Stage::Shutdown),
    (Mark::PowerOff, Stage::Settle),
];

/// Readings this long before the window help at its edge. None after it: when the record is kept, they are
/// not there yet, and the stored readings must give the same figures later.
const EDGE_NS: i64 = 5 * crate::clock::SECOND_NS;
/// Step of a sensor's byte, at the worst, in milliwatts: 256 of them for the whole range of a server.
const SENSOR_QUANTUM_MILLIWATTS: i64 = 8_000;

/// The record of one deployment; computed afresh while it lives, kept once it is released.
///
/// # Errors
/// When the store cannot be read.
pub fn of_deployment(
    store: &Store,
    deployment: &Deployment,
    accuracy: Accuracy,
) -> Result<NodeEnergy, StoreError> {
    if let Some(kept) = store.kept_energy(deployment.id)? {
        return Ok(kept);
    }
    let marks = store.marks(deployment.id)?;
    let complete = deployment.state == State::Released;
    let (stages, end) = stages(&marks, deployment.stays_on, now_unix_ns());
    let (mut samples, mut meters): (Vec<Sample>, Vec<String>) = Default::default();
    if let Some(first) = stages.first() {
        let from = first.from_unix_ns - EDGE_NS;
        samples = store.samples(&deployment.node, from, end)?;
        meters = store.meters(&deployment.node, from, end)?;
    }
    let source = (!meters.is_empty()).then(|| meters.join(", "));
    let options = Options { accuracy, ..meant(&meters) };
    let integral = energy::integrate(&samples, &stages, end, &options);
    Ok(energy::node_energy(deployment.node.clone(), source, integral, complete))
}

/// What is left of the readings that a deployment's record is made of.
#[derive(Debug, Default)]
pub struct Readings {
    /// In the order of time, from the record's begin to its end.
    pub samples: Vec<Sample>,
    /// Those from before then are not kept any more; `None`: they are all there.
    pub gone_until: Option<i64>,
}

/// The readings of one deployment, for who wants to see more than their energy.
///
/// # Errors
/// When the store cannot be read.
pub fn readings(store: &Store, deployment: &Deployment) -> Result<Readings, StoreError> {
    let marks = store.marks(deployment.id)?;
    let (stages, end) = stages(&marks, deployment.stays_on, now_unix_ns());
    let Some(from) = stages.first().map(|first| first.from_unix_ns) else {
        return Ok(Readings::default());
    };
    let mut samples = store.samples(&deployment.node, from - EDGE_NS, end)?;
    // The record counts those that it is made of; while all are there, there are no fewer.
    let there = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let are_gone = store.kept_energy(deployment.id)?.is_some_and(|kept| kept.samples > there);
    let gone_until = are_gone.then(|| samples.first().map_or(end, |first| first.unix_ns));
    samples.retain(|sample| sample.unix_ns >= from);
    Ok(Readings { samples, gone_until })
}

/// How readings of these meters are to be understood; of several, as the coarsest's.
fn meant(meters: &[String]) -> Options {
    let options = Options::default();
    if meters.iter().any(|meter| meter == IPMI_SENSOR) {
        return Options { quantum_milliwatts: SENSOR_QUANTUM_MILLIWATTS, ..options };
    }
    options
}

/// Where the stages begin, and where the last one ends. Only stages that were reached, and only
/// begins that do not lie before an earlier one (a back-dated kernel start may).
fn stages(marks: &[(Mark, i64)], stays_on: bool, now: i64) -> (Vec<energy::Mark>, i64) {
    let at = |mark: Mark| marks.iter().find(|entry| entry.0 == mark).map(|entry| entry.1);
    let mut stages: Vec<energy::Mark> = Vec::new();
    for (mark, stage) in BEGINS {
        let Some(time) = at(mark) else { continue };
        // An energy window starts when the node goes to the deployment: a boot that was never powered
        // on has none.
        if stages.is_empty() && !matches!(mark, Mark::TakeOver | Mark::PowerOn) {
            continue;
        }
        let stage = if stays_on && mark == Mark::JobEnded { Stage::Idle } else { stage };
        // Where the node does not stay on, it shuts down from the job's end on.
        if stages.last().is_some_and(|last| last.stage == stage) {
            continue;
        }
        let from_unix_ns = stages.last().map_or(time, |last| time.max(last.from_unix_ns));
        stages.push(energy::Mark { stage, from_unix_ns });
    }
    let ends = [Mark::Settled, Mark::HandedOver, Mark::PowerOff];
    let end = ends.into_iter().find_map(at).unwrap_or(now);
    let end = stages.last().map_or(end, |last| end.max(last.from_unix_ns));
    (stages, end)
}

/// The record of one try of a job.
///
/// # Errors
/// When the store cannot be read.
pub fn of_try(store: &Store, of: &Try, known: &EnergySettings) -> Result<JobEnergy, StoreError> {
    let deployments = store.deployments_of_try(of.id)?;
    let nodes = deployments
        .iter()
        .map(|one| of_deployment(store, one, known.accuracy))
        .collect::<Result<_, _>>()?;
    let asked = &of.asked;
    let job = energy::job_energy(asked.job, asked.reference, asked.restart_count, nodes);
    let footprint = energy::footprint(job.total_millijoules, job.uncertainty, &known.factors());
    Ok(JobEnergy { footprint, ..job })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pin::Pin;
    use crate::token;

    #[test]
    fn the_source_names_the_meters_that_gave_the_readings() {
        let store = Store::in_memory().unwrap();
        let (node, kernel, image) =
            ("n1".parse().unwrap(), "k".parse().unwrap(), "i".parse().unwrap());
        let new = token::new_deployment(node, kernel, image, Pin::of_nothing());
        let id = store.add_jobless(&new, 1).unwrap();
        let source = || {
            let deployment = store.deployment(id).unwrap().unwrap();
            of_deployment(&store, &deployment, Accuracy::ASSUMED).unwrap().source
        };
        store.change(id, None, None, &[(Mark::PowerOn, 10), (Mark::PowerOff, 30)], 30).unwrap();
        assert_eq!(source(), None);
        let sample = |unix_ns| Sample { unix_ns, milliwatts: 100_000 };
        store.add_sample(&new.node, sample(10), "ipmi-sdr").unwrap();
        assert_eq!(source().unwrap(), "ipmi-sdr");
        store.add_sample(&new.node, sample(20), "ipmi-dcmi").unwrap();
        assert_eq!(source().unwrap(), "ipmi-dcmi, ipmi-sdr");
    }

    #[test]
    fn stages_never_overlap_and_start_with_power_on() {
        let marks = [
            (Mark::Requested, 1),
            (Mark::PowerOn, 10),
            (Mark::ScriptServed, 20),
            (Mark::KernelStarted, 19),
        ];
        let (begins, end) = stages(&marks, false, 50);
        let begins: Vec<_> = begins.iter().map(|b| (b.stage, b.from_unix_ns)).collect();
        assert_eq!(
            begins,
            [(Stage::Firmware, 10), (Stage::BootLoader, 20), (Stage::KernelAndInitrd, 20)]
        );
        assert_eq!(end, 50);
        assert!(stages(&[(Mark::JobEnded, 5)], false, 9).0.is_empty(), "never powered on");
    }
    /// Where one deployment of a node that stays on ends, the next begins.
    #[test]
    fn a_node_that_stays_on_is_idle_between_its_jobs() {
        let stages = |marks: &[(Mark, i64)], stays_on| {
            let (begins, end) = stages(marks, stays_on, 99);
            (begins.iter().map(|b| (b.stage, b.from_unix_ns)).collect::<Vec<_>>(), end)
        };
        let adopted = [
            (Mark::TakeOver, 10),
            (Mark::Registered, 11),
            (Mark::JobStarted, 12),
            (Mark::JobEnded, 20),
        ];
        let job = [(Stage::TakeOver, 10), (Stage::WaitForPeers, 11), (Stage::Job, 12)];
        let idle = [&job[..], &[(Stage::Idle, 20)]].concat();
        let handed = [&adopted[..], &[(Mark::HandedOver, 30)]].concat();
        assert_eq!(stages(&handed, true), (idle.clone(), 30));
        let off = [(Mark::PowerOffOrdered, 40), (Mark::PowerOff, 41), (Mark::Settled, 50)];
        let off = [&adopted[..], &off].concat();
        let shut = [&idle[..], &[(Stage::Shutdown, 40), (Stage::Settle, 41)]].concat();
        assert_eq!(stages(&off, true), (shut, 50));
        let at_once = [&job[..], &[(Stage::Shutdown, 20), (Stage::Settle, 41)]].concat();
        assert_eq!(stages(&off, false), (at_once, 50));
    }
}
