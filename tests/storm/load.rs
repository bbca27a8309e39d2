//! The nodes, and the jobs that want them.

use crate::options::Options;
use crate::site::{self, KERNELS, PASSWORD, Site};
use anyhow::{Context as _, Result};
use ipmi::fake::{Counters, Fake, Settings};
use protocol::api::NodeDefinition;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tests::simulated::dice::Dice;
use tests::simulated::node::{Node, Odds, Surroundings};
use tests::simulated::slurmctld::{Job, Slurmctld};
use tests::simulated::wire::Wire;

/// Streams of the seed, apart from those of the nodes.
pub(crate) const STREAM_JOBS: u64 = 1 << 32;
pub(crate) const STREAM_SLURMCTLD: u64 = STREAM_JOBS + 1;
pub(crate) const STREAM_HOOKS: u64 = STREAM_JOBS + 2;
pub(crate) const STREAM_FAULTS: u64 = STREAM_JOBS + 3;

/// Of a job, in seconds.
const LASTS: (f64, f64) = (1.0, 6.0);

/// What goes wrong at a boot, beside cut downloads; each a part of all boots at `--faults 1`.
pub(crate) fn odds(options: &Options) -> Odds {
    let faults = options.faults.clamp(0.0, 20.0);
    Odds {
        cut: options.cut,
        token_cut: 0.001 * faults,
        firmware_hangs: 0.004 * faults,
        slow: 0.02 * faults,
        asks_twice: 0.01 * faults,
        panics: 0.004 * faults,
        agent_hangs: 0.002 * faults,
        gives_up: 0.002 * faults,
        refuses_setting: 0.001 * faults,
        wrong_boot: 0.001 * faults,
        fewer_cpus: 0.001 * faults,
        unregistered: 0.002 * faults,
        crashes: 0.004 * faults,
        take_over_fails: 0.01 * faults,
    }
}

/// A controller and its definition for each node.
pub(crate) async fn controllers(
    options: &Options,
    seed: u64,
) -> Result<Vec<(Fake, NodeDefinition)>> {
    let mut all = Vec::new();
    for place in 0..u16::try_from(options.nodes)? {
        let settings = Settings {
            listen: (site::controller(place), 623).into(),
            password: PASSWORD.into(),
            seed: seed ^ u64::from(place) << 20,
            ..Settings::default()
        };
        let fake = Fake::start(settings).await.context("starting a controller")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        let percent = (options.ignore.clamp(0.0, 1.0) * 100.0).round() as u8;
        fake.turn(|knobs| {
            knobs.ignored_percent = percent;
            knobs.switch_time = Duration::from_millis(150);
            knobs.cycle_time = Duration::from_millis(500);
            knobs.obeys_soft_off = false;
        });
        all.push((fake, site::definition(place)?));
    }
    Ok(all)
}

/// The nodes begin to live; they are off.
pub(crate) fn start_nodes(
    controllers: Vec<(Fake, NodeDefinition)>,
    around: &Arc<Surroundings>,
    tls: &Arc<ClientConfig>,
    seed: u64,
) -> Result<Vec<Arc<Node>>> {
    let mut nodes = Vec::new();
    for (index, (controller, definition)) in controllers.into_iter().enumerate() {
        let address = definition.ip().context("an address that is none")?;
        let node = Arc::new(Node {
            index,
            wire: Wire::new(address, Arc::clone(tls)),
            dice: Dice::new(seed, index as u64),
            around: Arc::clone(around),
            controller,
            definition,
        });
        tokio::spawn(Arc::clone(&node).run());
        nodes.push(node);
    }
    Ok(nodes)
}

/// Submits all jobs: most small, some large, with either kernel.
pub(crate) fn submit(options: &Options, site: &Site, slurmctld: &Slurmctld, seed: u64) {
    let dice = Dice::new(seed, STREAM_JOBS);
    for id in 1..=options.jobs {
        let all: usize = site.partitions.iter().map(|partition| partition.nodes).sum();
        let first = site.partitions.first().map_or(0, |partition| partition.nodes);
        let place = usize::from(dice.below(all) >= first);
        let of = site.partitions.get(place).map_or(1, |partition| partition.nodes);
        let most = (options.job_nodes as usize).clamp(1, (of / 4).max(1));
        let few = if dice.happens(0.7) { most.min(4) } else { most };
        let size = 1 + dice.below(few);
        let size = if options.equal { most } else { size };
        let lasts = dice.seconds(LASTS.0, LASTS.1);
        let mut job = Job::new(id, place, size, lasts);
        let wants = dice.happens(0.5);
        let [default, other] = KERNELS;
        let (kernel, release) = if wants { other } else { default };
        job.kernel = wants.then(|| kernel.to_owned());
        release.clone_into(&mut job.release);
        slurmctld.submit(job);
    }
}

/// What all controllers counted.
pub(crate) fn counters(nodes: &[Arc<Node>]) -> Counters {
    let mut sum = Counters::default();
    for one in nodes.iter().map(|node| node.controller.counters()) {
        sum.packets += one.packets;
        sum.strays += one.strays;
        sum.sessions += one.sessions;
        sum.full += one.full;
        sum.commands += one.commands;
        sum.statuses += one.statuses;
        sum.on += one.on;
        sum.off += one.off;
        sum.cycle += one.cycle;
        sum.soft += one.soft;
        sum.ignored += one.ignored;
        sum.refused += one.refused;
        sum.readings += one.readings;
    }
    sum
}
