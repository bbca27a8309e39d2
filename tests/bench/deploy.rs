//! The ways in which a node comes to a job, in one run: from off, by kexec, as it is; with this
//! machine's firmware and with a server's; and many nodes at once whose controllers do not listen.

use crate::boot::{self, Machine, kernel_start};
use crate::figure::Figure;
use crate::watch::{Followed, now_unix_ns, until};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::thread::sleep;
use std::time::Duration;
use tests::chassis::fault::FIRMWARE_SECONDS;
use tests::cluster::{Cluster, Fault, Node};
use tests::product::{bmc, check, wait_until};

/// Longest that one job may need until it starts, and then until its nodes are at rest.
const LIMIT: Duration = Duration::from_secs(400);
/// How long the cluster's nodes stay on without a job: longer than any pause of a measurement.
pub(crate) const IDLE_SECONDS: u32 = 600;
/// How long a simulated server's firmware is waited for, in seconds.
pub(crate) const FIRMWARE_SECONDS_MAX: u32 = 150;
/// Two profiles of one kernel, which differ in an argument.
const KERNELS: [&str; 2] = ["thp-off", "thp-always"];
/// Longest reuse, in seconds.
const REUSE_GOAL: f64 = 2.0;
/// Most of the firmware's and boot loader's time that a kexec may take.
const LOADER_GOAL: f64 = 0.1;
/// Most of a boot with a server's firmware that a kexec may take.
const SERVER_GOAL: f64 = 0.2;

/// How long a node idles before its kexec: it has fetched the next kernel by then.
const IDLE_BEFORE: Duration = Duration::from_secs(8);

/// How a node comes to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    FromOff,
    Kexec,
    AsItIs,
}

impl Way {
    const ALL: [Self; 3] = [Self::FromOff, Self::Kexec, Self::AsItIs];

    fn title(self) -> &'static str {
        match self {
            Self::FromOff => "from off",
            Self::Kexec => "by kexec",
            Self::AsItIs => "as it is",
        }
    }

    /// A mark of its time line that a node which came in another way has not.
    fn mark(self) -> &'static str {
        match self {
            Self::FromOff => "power_on",
            Self::Kexec => "jumped",
            Self::AsItIs => "take_over",
        }
    }
}

/// One repeat.
#[derive(Debug)]
struct Ways {
    from_off: Start,
    kexec: Start,
    as_it_is: Start,
}

impl Ways {
    fn of(&self, way: Way) -> &Start {
        match way {
            Way::FromOff => &self.from_off,
            Way::Kexec => &self.kexec,
            Way::AsItIs => &self.as_it_is,
        }
    }
}

/// One job's start.
#[derive(Debug, Clone)]
struct Start {
    submitted_unix_ns: i64,
    started_unix_ns: i64,
    /// From QEMU's start to the kernel's first instruction, or from the order to the jump.
    loader: Result<f64, String>,
    /// When the kernel that ran before was about to start the next one, by its console.
    jump_unix_ns: Option<i64>,
    status: Value,
    energy: Value,
}

impl Start {
    fn seconds(&self) -> f64 {
        seconds(self.submitted_unix_ns, self.started_unix_ns)
    }

    fn mark(&self, name: &str) -> Option<i64> {
        let marks = self.status.pointer("/nodes/0/timeline")?.as_array()?;
        let of = |mark: &&Value| mark.get("mark").and_then(Value::as_str) == Some(name);
        marks.iter().find(of)?.get("unix_ns")?.as_i64()
    }
}

fn seconds(from: i64, to: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds of one job, for people")]
    let seconds = (to - from) as f64 / 1e9;
    seconds
}

/// The figures of one node, each way measured in each repeat.
pub(crate) fn one_node(cluster: &Cluster, repeats: u32, say: &dyn Fn(&str)) -> Result<Vec<Figure>> {
    let mut repeat = Vec::new();
    for number in 1..=repeats {
        say(&format!("repeat {number}: one node from off, by kexec, as it is"));
        repeat.push(ways(cluster)?);
    }
    let mut figures = Vec::new();
    for way in Way::ALL {
        let goal = (way == Way::AsItIs).then_some(REUSE_GOAL);
        let values = repeat.iter().map(|ways: &Ways| Ok(ways.of(way).seconds()));
        let title = format!("sbatch → job started, {}", way.title());
        figures.push(Figure::new(title, "s", goal, values));
    }
    let loader = |way| repeat.iter().map(move |ways: &Ways| ways.of(way).loader.clone());
    let ratio = loader(Way::Kexec).zip(loader(Way::FromOff));
    let ratio = ratio.map(|(kexec, cold)| Ok(kexec? / cold?));
    let title = "kexec's order → jump, against firmware and boot loader";
    figures.push(Figure::new(title, "", Some(LOADER_GOAL), ratio));
    figures.push(Figure::new("  kexec's order → jump", "s", None, loader(Way::Kexec)));
    figures.push(Figure::new(
        "  power on → kernel's first instruction",
        "s",
        None,
        loader(Way::FromOff),
    ));
    for way in Way::ALL {
        figures.extend(stages(way.title(), repeat.iter().map(|ways| ways.of(way))));
    }
    Ok(figures)
}

/// The same kexec against a boot whose firmware takes as long as a server's.
pub(crate) fn server_firmware(
    cluster: &Cluster,
    repeats: u32,
    say: &dyn Fn(&str),
) -> Result<Vec<Figure>> {
    let node = first(cluster)?;
    let mut both = Vec::new();
    cluster.fault(node, Fault::SlowFirmware)?;
    for number in 1..=repeats {
        say(&format!("repeat {number}: with {FIRMWARE_SECONDS} s of firmware"));
        let cold = start(cluster, node, KERNELS[0], Way::FromOff)?;
        sleep(IDLE_BEFORE);
        both.push((cold, start(cluster, node, KERNELS[1], Way::Kexec)?));
        switch_off(cluster)?;
    }
    cluster.fault(node, Fault::None)?;
    let of = |from_off: bool| {
        both.iter().map(move |(cold, kexec)| Ok(if from_off { cold } else { kexec }.seconds()))
    };
    let ratio = both.iter().map(|(cold, kexec)| Ok(kexec.seconds() / cold.seconds()));
    let firmware = format!("with {FIRMWARE_SECONDS} s of simulated firmware");
    Ok(vec![
        Figure::new(format!("kexec against a boot {firmware}"), "", Some(SERVER_GOAL), ratio),
        Figure::new(format!("  from off {firmware}"), "s", None, of(true)),
        Figure::new("  by kexec", "s", None, of(false)),
    ])
}

/// All nodes for one job, one power command in ten ignored: how long it takes, and how many do not
/// come.
pub(crate) fn many_nodes(
    cluster: &Cluster,
    repeats: u32,
    say: &dyn Fn(&str),
) -> Result<Vec<Figure>> {
    let nodes: Vec<Node> = cluster.nodes().collect();
    let (mut taken, mut lost) = (Vec::new(), Vec::new());
    for number in 1..=repeats {
        say(&format!("repeat {number}: {} nodes, 10 % of power commands ignored", nodes.len()));
        for node in &nodes {
            cluster.fault(*node, Fault::FlakyPower)?;
        }
        let count = nodes.len();
        let started = submit_and_wait(cluster, &format!("n[1-{count}]"), count, KERNELS[0], None);
        lost.push(Ok(if started.is_ok() { 0.0 } else { 1.0 }));
        taken.push(started.map(|one| one.seconds()).map_err(|error| format!("{error:#}")));
        for node in &nodes {
            cluster.fault(*node, Fault::None)?;
        }
        switch_off(cluster)?;
    }
    let title = format!("{} nodes at once, 10 % of power commands ignored", nodes.len());
    Ok(vec![
        Figure::new(format!("{title}: jobs lost"), "", Some(0.0), lost),
        Figure::new("  sbatch → job started", "s", None, taken),
    ])
}

fn ways(cluster: &Cluster) -> Result<Ways> {
    let node = first(cluster)?;
    let [one, other] = KERNELS;
    let from_off = start(cluster, node, one, Way::FromOff)?;
    sleep(IDLE_BEFORE);
    let kexec = start(cluster, node, other, Way::Kexec)?;
    let as_it_is = start(cluster, node, other, Way::AsItIs)?;
    let booted = as_it_is.mark("kernel_started").is_some();
    ensure!(!booted, "the node was not reused: {}", as_it_is.status);
    switch_off(cluster)?;
    Ok(Ways { from_off, kexec, as_it_is })
}

fn first(cluster: &Cluster) -> Result<Node> {
    cluster.nodes().next().context("a cluster has nodes")
}

/// A job on one node; fails when the node did not come in that way.
fn start(cluster: &Cluster, node: Node, kernel: &str, way: Way) -> Result<Start> {
    let started = submit_and_wait(cluster, &node.to_string(), 1, kernel, Some(node))?;
    let boots = started.mark(Way::FromOff.mark()).is_some();
    let came_so = started.mark(way.mark()).is_some() && boots == (way == Way::FromOff);
    ensure!(came_so, "not {}: {}", way.title(), started.status);
    let jump = started.mark("take_over").zip(started.jump_unix_ns);
    let jump = jump.map(|(from, to)| seconds(from, to));
    let loader =
        if boots { started.loader.clone() } else { jump.ok_or_else(|| "no jump".to_owned()) };
    Ok(Start { loader, ..started })
}

fn submit_and_wait(
    cluster: &Cluster,
    list: &str,
    count: usize,
    kernel: &str,
    watched: Option<Node>,
) -> Result<Start> {
    let mut log = boot::slurmctld_log(cluster)?;
    let mut console = watched.map(|node| boot::console(cluster, node)).transpose()?;
    let submitted_unix_ns = now_unix_ns();
    let (nodes, list) = (format!("--nodes={count}"), format!("--nodelist={list}"));
    let kernel = format!("--bmc-kernel={kernel}");
    let words = ["sbatch", "--parsable", &nodes, &list, &kernel, "--chdir=/", "--output=/dev/null"];
    let words: Vec<&str> = words.into_iter().chain(["--wrap=sleep 1"]).collect();
    let job = check(cluster.run("alice", &words)?)?.trim().to_owned();
    let begins = format!("Configuration for JobId={job} is complete");
    let requeued = format!("Requeuing JobId={job}");
    let mut files: Vec<&mut Followed> = [&mut log].into_iter().chain(console.as_mut()).collect();
    let seen = |files: &[&mut Followed], line: &str| files.first().and_then(|log| log.first(line));
    until(&mut files, LIMIT, |files| {
        Ok(seen(files, &begins).is_some() || seen(files, &requeued).is_some())
    })?;
    let Some(started_unix_ns) = seen(&files, &begins) else {
        let status = json(cluster, &["status", &job])?;
        cluster.check(&["scancel", &job])?;
        bail!("job {job} did not start: {status}");
    };
    let machine = watched.and_then(|node| Machine::now(cluster, node));
    let power_on = machine.map(|machine| machine.started_unix_ns);
    let kernel = console.as_ref().and_then(kernel_start);
    // The last word of the kernel that ends: everything has been let go of.
    let jump_unix_ns =
        console.as_ref().and_then(|console| console.first("starting the next kernel"));
    let loader = boot::seconds(power_on, kernel, "QEMU's start or the kernel's first instruction");
    wait_until(LIMIT, &format!("job {job} is over"), || {
        let shown = check(cluster.run("root", &["squeue", "--noheader", "--jobs", &job])?);
        Ok(shown.is_err() || shown.is_ok_and(|shown| shown.trim().is_empty()))
    })?;
    let (status, energy) = (json(cluster, &["status", &job])?, json(cluster, &["energy", &job])?);
    Ok(Start { submitted_unix_ns, started_unix_ns, loader, jump_unix_ns, status, energy })
}

/// Everything off, for the next repeat.
fn switch_off(cluster: &Cluster) -> Result<()> {
    wait_until(LIMIT, "all nodes are off", || {
        let shown = cluster.check(&["sinfo", "--noheader", "--Node", "--format=%N %t"])?;
        for (node, state) in shown.lines().filter_map(|line| line.split_once(' ')) {
            let node = format!("nodename={node}");
            let command = match state {
                "idle" => "state=power_down",
                "drain" | "drng" | "down" | "drain~" | "down~" => "state=resume",
                _ => continue,
            };
            // Refused while Slurm is between two states: asked again at the next look.
            cluster.run("root", &["scontrol", "update", &node, command])?;
        }
        Ok(shown.lines().all(|line| line.ends_with(" idle~")))
    })
}

/// How long each stage took, from the energy records of one way.
fn stages<'a>(name: &str, starts: impl Iterator<Item = &'a Start> + Clone) -> Vec<Figure> {
    let of = |start: &Start| -> Vec<(String, i64)> {
        let stages = start.energy.pointer("/0/nodes/0/stages").and_then(Value::as_array);
        let stage = |stage: &Value| {
            let name = stage.get("stage")?.as_str()?.to_owned();
            Some((name, stage.get("duration_ns")?.as_i64()?))
        };
        stages.into_iter().flatten().filter_map(stage).collect()
    };
    let after = ["job", "idle", "shutdown", "settle"];
    let names = starts.clone().next().map(of).unwrap_or_default();
    let names = names.into_iter().map(|stage| stage.0).filter(|one| !after.contains(&&**one));
    let figure = |stage: String| {
        let values = starts.clone().map(|start| {
            let found = of(start).into_iter().find(|one| one.0 == stage);
            found.map(|one| seconds(0, one.1)).ok_or_else(|| "the stage was not seen".to_owned())
        });
        Figure::new(format!("  {name}: stage {}", stage.replace('_', " ")), "s", None, values)
    };
    names.map(figure).collect()
}

fn json(cluster: &Cluster, words: &[&str]) -> Result<Value> {
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    Ok(serde_json::from_str(&check(bmc(cluster, &words)?)?)?)
}
