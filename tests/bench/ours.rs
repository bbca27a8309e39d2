//! The product's boots: jobs as users submit them, watched from outside.

use crate::boot::{self, Machine, ProcessorTime, kernel_start, registers, seconds};
use crate::watch::{Followed, until};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::time::Duration;
use tests::cluster::{Cluster, Node};
use tests::product::{bmc, check, wait_until};

const LIMIT: Duration = Duration::from_secs(240);
/// How the node agent's lines begin; the seconds of the kernel's clock follow.
const AGENT_MARK: &str = "node-agent ";
/// What the console shows until the agent speaks, in this order, with what it means.
const LOADER: [(&str, &str); 9] = [
    ("SeaBIOS (version", "QEMU started, firmware prints its name"),
    ("Booting from ROM", "firmware done"),
    ("Press Ctrl-B for the iPXE", "iPXE has found the card"),
    ("Configuring (net0", "iPXE's banner over"),
    ("net0: 10.", "address by DHCP"),
    ("[script]", "boot script fetched"),
    ("... ok", "kernel fetched"),
    ("... ok", "boot token fetched"),
    // Its last letter falls to the kernel's terminal reset.
    ("... o", "initrd fetched"),
];
/// What the agent says, with what it means.
const AGENT: [(&str, &str); 9] = [
    (" started as ", "node-agent runs (kernel unpacked and up)"),
    (" network up", "card configured"),
    (" plan received", "plan received"),
    (" fetched the module tree", "module tree fetched"),
    (" settings applied", "settings applied"),
    (" fetched the node image", "node image fetched"),
    (" root ready", "root, files, secrets, mounts ready"),
    (" starting /", "image's init started"),
    (" slurmd runs", "slurmd seen running"),
];

/// One job's boot, times in nanoseconds since 1970.
#[derive(Debug)]
pub(crate) struct Boot {
    /// The first QEMU's start.
    pub(crate) power_on_unix_ns: Option<i64>,
    /// The job's last node is registered at slurmctld.
    pub(crate) registered_unix_ns: Option<i64>,
    /// slurmctld starts the job.
    pub(crate) job_started_unix_ns: Option<i64>,
    /// slurmctld may give the first node to another job.
    pub(crate) allocatable_unix_ns: Option<i64>,
    /// The first node's kernel starts, and its clock.
    pub(crate) kernel_unix_ns: Option<i64>,
    pub(crate) clock_zero_unix_ns: Option<i64>,
    /// Of the first node's QEMU from the kernel's start until the node is registered.
    pub(crate) cpu: ProcessorTime,
    /// Steps of the first node, in order of time, in seconds since power on.
    pub(crate) steps: Vec<(&'static str, Result<f64, String>)>,
    /// `bmc status JOB --json` and `bmc energy JOB --json` afterwards.
    pub(crate) status: Value,
    pub(crate) energy: Value,
}

impl Boot {
    /// When bootsrv noted something of the first node.
    pub(crate) fn mark(&self, name: &str) -> Option<i64> {
        let marks = self.status.pointer("/nodes/0/timeline")?.as_array()?;
        let of = |mark: &Value| mark.get("mark").and_then(Value::as_str) == Some(name);
        marks.iter().find(|mark| of(mark))?.get("unix_ns")?.as_i64()
    }
}

/// Boots the first `count` nodes for one job and waits until they are off and allocatable. A boot
/// that failed leaves the cluster ready for the next one.
pub(crate) fn measure(cluster: &Cluster, count: u8, kernel: &str) -> Result<Boot> {
    let nodes: Vec<Node> = cluster.nodes().take(count.into()).collect();
    let first = *nodes.first().context("a job has at least one node")?;
    let (mut log, mut console) = (boot::slurmctld_log(cluster)?, boot::console(cluster, first)?);
    let job = submit(cluster, count, kernel)?;
    let begins = format!("Configuration for JobId={job} is complete");
    let requeued = format!("Requeuing JobId={job}");
    let of_log = |files: &[&mut Followed], line: &str| files.first().and_then(|f| f.first(line));
    let mut cpu = ProcessorTime::default();
    until(&mut [&mut log, &mut console], LIMIT, |files| {
        let kernel = files.last().and_then(|console| kernel_start(console));
        let registered = of_log(files, &registers(first)).is_some();
        cpu.look(cluster, first, kernel.is_some(), registered);
        Ok(of_log(files, &begins).is_some() || of_log(files, &requeued).is_some())
    })?;
    let machines: Vec<Option<Machine>> =
        nodes.iter().map(|node| Machine::now(cluster, *node)).collect();
    let Some(started) = log.first(&begins) else {
        let why = failure(cluster, &job)?;
        tidy(cluster)?;
        bail!("job {job} on {count} node(s) did not start: {why}");
    };
    let allocatable = format!("node {first} state set to IDLE");
    until(&mut [&mut log, &mut console], LIMIT, |files| Ok(of_log(files, &allocatable).is_some()))?;
    rest(cluster, &job)?;
    let registered: Option<Vec<i64>> =
        nodes.iter().map(|node| log.first(&registers(*node))).collect();
    let registered_unix_ns = registered.and_then(|times| times.into_iter().max());
    let power_on = machines.iter().flatten().map(|machine| machine.started_unix_ns).min();
    let power_on = power_on.filter(|_| machines.iter().all(Option::is_some));
    Ok(Boot {
        power_on_unix_ns: power_on,
        registered_unix_ns,
        job_started_unix_ns: Some(started),
        allocatable_unix_ns: log.first(&allocatable),
        kernel_unix_ns: kernel_start(&console),
        clock_zero_unix_ns: boot::clock_zero(&console, AGENT_MARK),
        cpu,
        steps: steps(&console, power_on, registered_unix_ns, started),
        status: json(cluster, &["status", &job])?,
        energy: json(cluster, &["energy", &job])?,
    })
}

/// Why a job did not start, as bootsrv tells it.
fn failure(cluster: &Cluster, job: &str) -> Result<String> {
    let status = json(cluster, &["status", job])?;
    let told = status.pointer("/failure/reason").and_then(Value::as_str);
    Ok(told.map_or_else(|| format!("not within {} s", LIMIT.as_secs()), str::to_owned))
}

/// Ends all jobs and drains, so that the next boot finds what the first one found.
fn tidy(cluster: &Cluster) -> Result<()> {
    cluster.check(&["scancel", "--user=alice"])?;
    wait_until(LIMIT, "all nodes are allocatable after a failed boot", || {
        let words = ["sinfo", "--noheader", "--Node", "--format=%N %t"];
        let shown = cluster.check(&words)?;
        let waiting = shown.lines().filter(|line| !line.ends_with(" idle~"));
        for (node, state) in waiting.clone().filter_map(|line| line.split_once(' ')) {
            if state.starts_with("drain") || state.starts_with("down") {
                let name = format!("nodename={node}");
                // Refused while Slurm is between two states: asked again at the next look.
                cluster.run("root", &["scontrol", "update", &name, "state=resume"])?;
            }
        }
        Ok(waiting.count() == 0)
    })
}

fn steps(
    console: &Followed,
    power_on: Option<i64>,
    registered: Option<i64>,
    started: i64,
) -> Vec<(&'static str, Result<f64, String>)> {
    let loader = console.in_order(&LOADER.map(|step| step.0));
    let loader = LOADER.iter().map(|step| step.1).zip(loader);
    let kernel = [("kernel's first instruction", kernel_start(console))];
    let agent = AGENT.iter().map(|(pattern, name)| (*name, console.first(pattern)));
    let ends = [("registered at slurmctld", registered), ("job starts", Some(started))];
    let all = loader.chain(kernel).chain(agent).chain(ends);
    all.map(|(name, at)| (name, seconds(power_on, at, name))).collect()
}

fn submit(cluster: &Cluster, count: u8, kernel: &str) -> Result<String> {
    let (nodes, list) = (format!("--nodes={count}"), format!("--nodelist=n[1-{count}]"));
    let kernel = format!("--bmc-kernel={kernel}");
    let words = ["sbatch", "--parsable", &nodes, &list, &kernel, "--chdir=/", "--output=/dev/null"];
    let words: Vec<&str> = words.into_iter().chain(["--wrap=sleep 1"]).collect();
    Ok(check(cluster.run("alice", &words)?)?.trim().to_owned())
}

/// Until every node may be allocated again and the job's record is complete.
fn rest(cluster: &Cluster, job: &str) -> Result<()> {
    wait_until(LIMIT, &format!("the nodes of job {job} are off and released"), || {
        let shown = cluster.check(&["sinfo", "--noheader", "--Node", "--format=%t"])?;
        let status = json(cluster, &["status", job])?;
        let nodes = status.get("nodes").and_then(Value::as_array).context("no nodes in it")?;
        let released = |node: &Value| node.get("state").and_then(Value::as_str) == Some("released");
        Ok(shown.lines().all(|line| line == "idle~") && nodes.iter().all(released))
    })
}

fn json(cluster: &Cluster, words: &[&str]) -> Result<Value> {
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    Ok(serde_json::from_str(&check(bmc(cluster, &words)?)?)?)
}
