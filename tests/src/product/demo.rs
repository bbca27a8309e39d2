//! The demo: jobs with several kernels, one product. It is a test too: it fails if a job saw the
//! wrong kernel, a refused one booted something, or an energy record is not whole.

use super::{Assets, bmc, check, record, up, wait_until};
use crate::cluster::{Cluster, Options};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Output;
use std::time::{Duration, Instant};

/// What each job runs, on each of its nodes.
const SCRIPT: &str = "srun sh -c 'echo \"$(hostname): kernel $(uname -r), huge pages \
    $(cat /sys/kernel/mm/transparent_hugepage/enabled)\"'; sleep 4";

/// Options, what the job must see on each node, and how many nodes it has.
const JOBS: [(&[&str], &str, usize); 4] = [
    (&["-N2", "--bmc-kernel=thp-off"], "[never]", 2),
    (&["--bmc-kernel=thp-always"], "[always]", 1),
    (&["--bmc-kernel=6.12-cloud"], "kernel 6.12.", 1),
    (&[], "[madvise]", 1),
];

/// Longest a job may take from submission to its end.
const JOB_SECONDS: u64 = 240;

/// Brings a cluster up, runs the jobs, prints what there is to see, and removes everything.
///
/// # Errors
/// When a part does not come up, or something is not as it must be.
pub fn run(options: Options) -> Result<()> {
    let start = Instant::now();
    let say = |text: &str| println!("\n== {:6.1} s  {text}", start.elapsed().as_secs_f64());
    let dir = options.dir.clone();
    let assets = Assets::beside(&options.program_dir);
    say("starting the virtual cluster: slurmctld, munge, bootsrv, nodes that are off");
    let cluster = up(options, &assets)?;
    println!("{}", cluster.check(&["sinfo", "--Node", "--long"])?);
    println!("{}", check(bmc(&cluster, &["kernel", "list"])?)?);

    say("alice$ sbatch --bmc-kernel=thp-of job.sh");
    println!("{}", refused(&cluster)?);
    let mut jobs = Vec::new();
    for (options, expected, nodes) in JOBS {
        let job = check(submit(&cluster, options)?)?.trim().to_owned();
        let shown: String = options.iter().map(|option| format!("{option} ")).collect();
        say(&format!("alice$ sbatch {shown}job.sh   → job {job}"));
        jobs.push((job, expected, nodes));
    }
    for (job, expected, nodes) in &jobs {
        wait_until(Duration::from_secs(JOB_SECONDS), &format!("job {job} has ended"), || {
            let shown = cluster.check(&["scontrol", "show", "job", "-o", job])?;
            Ok(shown.contains("JobState=COMPLETED"))
        })
        .with_context(|| explain(&cluster, job))?;
        let printed = std::fs::read_to_string(dir.join(format!("home/alice/{job}.out")))?;
        say(&format!("job {job} printed:"));
        println!("{printed}");
        let seen = printed.lines().filter(|line| line.contains(expected)).count();
        ensure!(seen == *nodes, "job {job} did not see {expected} on {nodes} node(s)");
    }
    say("waiting for the nodes to be off");
    wait_until(Duration::from_secs(90), "all nodes are off", || all_off(&cluster))?;
    wait_until(Duration::from_secs(60), "the records are complete", || {
        Ok(check(bmc(&cluster, &["status"])?)?.lines().count() <= 1)
    })?;
    for (job, _, nodes) in &jobs {
        say(&format!(
            "bmc status {job}; bmc energy {job}   (watts are simulated: tests/POWER_MODEL.md)"
        ));
        println!("{}", check(bmc(&cluster, &["status", job])?)?);
        println!("{}", check(bmc(&cluster, &["energy", job])?)?);
        energy_is_whole(&cluster, job, *nodes).with_context(|| format!("energy of job {job}"))?;
    }
    cluster.down()?;
    std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    say("everything is stopped and removed");
    Ok(())
}

/// What the user reads who mistypes a kernel; no job comes of it, and no node is touched.
fn refused(cluster: &Cluster) -> Result<String> {
    let output = submit(cluster, &["--bmc-kernel=thp-of"])?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let sentence = "there is no kernel thp-of. Did you mean thp-off";
    ensure!(!output.status.success() && text.contains(sentence), "not refused: {text}");
    let queue = cluster.check(&["squeue", "--noheader"])?;
    ensure!(queue.is_empty() && all_off(cluster)?, "a refused job was queued: {queue}");
    Ok(text)
}

fn submit(cluster: &Cluster, options: &[&str]) -> Result<Output> {
    let wrap = format!("--wrap={SCRIPT}");
    let words = ["sbatch", "--parsable", "--chdir=/home/alice", "--output=/home/alice/%j.out"];
    Ok(cluster.run("alice", &[&words, options, &[&wrap]].concat())?)
}

fn all_off(cluster: &Cluster) -> Result<bool> {
    for node in cluster.nodes() {
        if !cluster.ipmitool(node, &["chassis", "power", "status"])?.contains("is off") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn energy_is_whole(cluster: &Cluster, job: &str, nodes: usize) -> Result<()> {
    let shown = check(bmc(cluster, &["energy", job, "--json"])?)?;
    let tries: Value = serde_json::from_str(&shown)?;
    let of_nodes = tries.pointer("/0/nodes").and_then(Value::as_array).context("no nodes")?;
    ensure!(of_nodes.len() == nodes, "{} nodes instead of {nodes}", of_nodes.len());
    let sum = of_nodes.iter().map(record::whole).sum::<Result<i64>>()?;
    let total = record::number(tries.get(0).context("no try")?, "total_millijoules")?;
    ensure!(sum == total, "the nodes add up to {sum} mJ, the job's total is {total} mJ");
    Ok(())
}

fn explain(cluster: &Cluster, job: &str) -> String {
    let shown = cluster.check(&["scontrol", "show", "job", job]).unwrap_or_default();
    let status =
        bmc(cluster, &["status", job]).and_then(check).unwrap_or_else(|error| format!("{error:#}"));
    let nodes = cluster.check(&["sinfo", "-N", "-l"]).unwrap_or_default();
    format!("{shown}\n{status}\n{nodes}")
}
