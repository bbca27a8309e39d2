//! What cases share: submitting as the job's user, waiting, looking.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fmt::Display;
use std::fs;
use std::process::Output;
use std::time::Duration;
use tests::cluster::site::PARTITION;
use tests::cluster::{Cluster, Fault, Node};
use tests::product::{bmc, check, wait_until};

/// Longest a boot may take on a loaded machine of two cores, in seconds.
pub(crate) const BOOT_SECONDS: u64 = 150;

/// The cluster, from the seat of one case.
pub(crate) struct Case<'a> {
    pub(crate) cluster: &'a Cluster,
}

impl<'a> Case<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        Self { cluster }
    }

    /// Runs a command as the job's user.
    pub(crate) fn alice(&self, words: &[&str]) -> Result<Output> {
        Ok(self.cluster.run("alice", words)?)
    }

    /// Submits a script as the job's user, with `sbatch`; gives the job's number.
    pub(crate) fn submit(&self, options: &[&str], script: &str) -> Result<u32> {
        let wrap = format!("--wrap={script}");
        let words: Vec<&str> =
            ["sbatch", "--parsable", "--chdir=/home/alice", "--output=/home/alice/%j.out"]
                .into_iter()
                .chain(options.iter().copied())
                .chain([wrap.as_str()])
                .collect();
        let printed = check(self.alice(&words)?)?;
        printed.trim().parse().with_context(|| format!("sbatch printed {printed:?}"))
    }

    /// What a job has written; `job` is a number, or `42_7` or `42+1` as for all that follow.
    pub(crate) fn output(&self, job: impl Display) -> String {
        let path = self.cluster.dir().join(format!("home/alice/{job}.out"));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// A field of `scontrol show job`.
    pub(crate) fn field(&self, job: impl Display, name: &str) -> Result<String> {
        let shown = self.cluster.check(&["scontrol", "show", "job", "-o", &job.to_string()])?;
        let prefix = format!("{name}=");
        let found = shown.split_whitespace().find_map(|word| word.strip_prefix(&prefix));
        Ok(found.unwrap_or_default().to_owned())
    }

    /// A job's comment, whole: where a user reads why it does not start.
    pub(crate) fn comment(&self, job: impl Display) -> Result<String> {
        self.line(&["job", &job.to_string()], "Comment=")
    }

    /// Why slurmctld keeps a node out of use; empty: it does not.
    pub(crate) fn reason(&self, node: Node) -> Result<String> {
        self.line(&["node", &node.to_string()], "Reason=")
    }

    /// A text of `scontrol show`, which has a line of its own; empty where there is none.
    fn line(&self, what: &[&str], prefix: &str) -> Result<String> {
        let shown = self.cluster.check(&[&["scontrol", "show"], what].concat())?;
        let found = shown.lines().find_map(|line| line.trim_start().strip_prefix(prefix));
        Ok(found.unwrap_or_default().to_owned())
    }

    /// Waits until a job is held; gives its comment.
    pub(crate) fn wait_held(&self, job: impl Display, seconds: u64) -> Result<String> {
        wait_until(Duration::from_secs(seconds), &format!("job {job} is held"), || {
            Ok(self.field(&job, "Priority")? == "0")
        })
        .with_context(|| self.describe(&job))?;
        self.comment(job)
    }

    /// Waits for a job's state.
    pub(crate) fn wait(&self, job: impl Display, state: &str, seconds: u64) -> Result<()> {
        const ENDS: [&str; 6] =
            ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL"];
        let limit = Duration::from_secs(seconds);
        wait_until(limit, &format!("job {job} is {state}"), || {
            let now = self.field(&job, "JobState")?;
            let over = ENDS.contains(&now.as_str());
            ensure!(now == state || !over, "job {job} is {now}, not {state}");
            Ok(now == state)
        })
        .with_context(|| format!("{}\n{}", self.describe(&job), self.output(&job)))
    }

    /// Runs a job to its end; gives what it wrote.
    pub(crate) fn run(&self, options: &[&str], script: &str) -> Result<String> {
        let job = self.submit(options, script)?;
        self.wait(job, "COMPLETED", BOOT_SECONDS)?;
        Ok(self.output(job))
    }

    /// Everything known about a job, for a failed case.
    pub(crate) fn describe(&self, job: impl Display) -> String {
        let shown =
            self.cluster.check(&["scontrol", "show", "job", &job.to_string()]).unwrap_or_default();
        let nodes = self.cluster.check(&["sinfo", "-N", "-l"]).unwrap_or_default();
        let status = bmc(self.cluster, &["status", &job.to_string()]);
        let status = status
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        format!("{shown}\n{nodes}\n{status}\n")
    }

    /// A node's flags and reason as slurmctld shows them.
    pub(crate) fn slurm_node(&self, node: Node) -> Result<String> {
        Ok(self.cluster.check(&["scontrol", "show", "node", "-o", &node.to_string()])?)
    }

    /// Whether the node's controller says that it is off, by ipmitool: a second opinion.
    pub(crate) fn is_off(&self, node: Node) -> Result<bool> {
        Ok(self.cluster.ipmitool(node, &["chassis", "power", "status"])?.contains("is off"))
    }

    /// Waits until every node is off, and allocatable unless it is drained.
    pub(crate) fn wait_all_off(&self) -> Result<()> {
        wait_until(Duration::from_secs(90), "all nodes are off and powered down for Slurm", || {
            for node in self.cluster.nodes() {
                let shown = self.slurm_node(node)?;
                let state =
                    shown.split_whitespace().find(|word| word.starts_with("State=")).unwrap_or("");
                let at_rest = state.contains("POWERED_DOWN") || state.contains("DRAIN");
                if !at_rest || !self.is_off(node)? {
                    return Ok(false);
                }
            }
            // A node that has gone off a moment ago may not have been seen off yet.
            let Ok(shown) = self.json(&["node", "list"]) else { return Ok(false) };
            let states =
                shown.as_array().into_iter().flatten().filter_map(|node| node.get("state"));
            Ok(states.into_iter().all(|state| state == "idle" || state == "settling"))
        })
        .with_context(|| self.cluster.check(&["sinfo", "-N", "-l"]).unwrap_or_default())
    }

    /// `bmc … --json` as root.
    pub(crate) fn json(&self, words: &[&str]) -> Result<Value> {
        let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        Ok(serde_json::from_str(&check(bmc(self.cluster, &words)?)?)?)
    }

    /// Runs `body` with a file of the site changed, seen from the run directory, as an admin would.
    pub(crate) fn with_changed<T>(
        &self,
        file: &str,
        change: impl FnOnce(&str) -> String,
        body: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let path = self.cluster.dir().join(file);
        let before = fs::read_to_string(&path).with_context(|| file.to_owned())?;
        let after = change(&before);
        ensure!(after != before, "nothing was changed in {file}: {before}");
        fs::write(&path, after)?;
        let result = body();
        fs::write(&path, before)?;
        result
    }

    /// Restarts bootsrv, for its configuration, and waits until it answers.
    pub(crate) fn restart_bootsrv(&self) -> Result<()> {
        self.cluster.stop_service("bootsrv", "TERM")?;
        self.cluster.start_service("bootsrv")?;
        wait_until(Duration::from_secs(20), "bootsrv answers", || {
            Ok(bmc(self.cluster, &["node", "list"])?.status.success())
        })
    }

    /// The first nodes of the cluster.
    pub(crate) fn node(&self, number: usize) -> Result<Node> {
        self.cluster.nodes().nth(number - 1).context("the cluster has fewer nodes")
    }

    /// Ends what a case left: its jobs, its faults, its drains; then every node must be off, and
    /// nothing may be left over.
    pub(crate) fn tidy(&self) -> Result<()> {
        self.cluster.check(&["scancel", &format!("--partition={PARTITION}")])?;
        for node in self.cluster.nodes() {
            self.cluster.fault(node, Fault::None)?;
            self.cluster.check(&["ip", "link", "set", &node.tap(), "up"])?;
        }
        self.wait_all_off()?;
        // Before the drains are ended: those that bootsrv knows as its own are forgotten.
        let all = format!("n[1-{}]", self.cluster.nodes().count());
        check(bmc(self.cluster, &["node", "clear", &all])?)?;
        self.wait_allocatable()?;
        self.wait_silence_forgotten()?;
        self.wait_allocatable()?;
        self.nothing_is_left()
    }

    /// Waits until Slurm does not hold against any free node that it was silent while it booted: 22.05
    /// gives such a node to no job any more once it is reconfigured. bootsrv sees to it.
    pub(crate) fn wait_silence_forgotten(&self) -> Result<()> {
        let shown = || self.cluster.check(&["scontrol", "show", "node", "-o"]);
        let is_silent = |line: &&str| line.contains("State=IDLE+POWERED_DOWN+NOT_RESPONDING ");
        wait_until(Duration::from_secs(120), "no node that is free is not responding", || {
            Ok(!shown()?.lines().any(|line| is_silent(&line)))
        })
        .with_context(|| {
            let of = shown().unwrap_or_default();
            format!("{:?}", of.lines().filter(is_silent).collect::<Vec<_>>())
        })
    }

    pub(crate) fn wait_allocatable(&self) -> Result<()> {
        // A drain of ours is made again after Slurm's power-down: end it whenever it shows.
        let limit = Duration::from_secs(90);
        wait_until(limit, "all nodes are allocatable", || {
            let shown = self.cluster.check(&["sinfo", "--noheader", "-N", "--format=%N %t"])?;
            let mut all = true;
            for line in shown.lines().filter(|line| !line.ends_with(" idle~")) {
                all = false;
                let (name, state) = line.split_once(' ').unwrap_or((line, ""));
                if state.starts_with("dr") || state.starts_with("down") {
                    let name = format!("nodename={name}");
                    // Refused while Slurm is between two states: asked again at the next look.
                    self.cluster.run("root", &["scontrol", "update", &name, "state=resume"])?;
                }
            }
            Ok(all)
        })
        .with_context(|| self.cluster.check(&["sinfo", "-N", "-l"]).unwrap_or_default())
    }

    /// No job waits or runs, no deployment has a node, and no node needs an admin. The comparison that
    /// `bmc doctor` shows is made each 15 s.
    fn nothing_is_left(&self) -> Result<()> {
        let queue = || self.cluster.check(&["squeue", "--noheader", "--all"]);
        let limit = Duration::from_secs(45);
        wait_until(limit, "no job is left", || Ok(queue()?.is_empty()))
            .with_context(|| queue().unwrap_or_default())?;
        let holding = || -> Result<Vec<Value>> {
            let jobs = self.json(&["status", "--all"])?;
            let nodes = jobs.as_array().into_iter().flatten().filter_map(|job| job.get("nodes"));
            let has_node = |one: &&Value| {
                let state = one.get("state").and_then(Value::as_str);
                !matches!(state, Some("settling" | "released"))
            };
            let nodes = nodes.filter_map(Value::as_array).flatten();
            Ok(nodes.filter(has_node).cloned().collect())
        };
        wait_until(limit, "no deployment of a job has a node", || Ok(holding()?.is_empty()))
            .with_context(|| format!("{:?}", holding()))?;
        wait_until(limit, "no node needs an admin", || Ok(self.needs_admin()?.is_empty()))
            .with_context(|| format!("{:?}", self.needs_admin()))
    }

    /// What `bmc doctor` has about nodes that an admin has to mend.
    fn needs_admin(&self) -> Result<Vec<Value>> {
        let output = bmc(self.cluster, &["doctor", "--json"])?;
        // 1: something needs an admin, a node or anything else.
        ensure!(matches!(output.status.code(), Some(0 | 1)), "bmc doctor: {}", output.status);
        let doctor: Value = serde_json::from_slice(&output.stdout)?;
        let is_admins = |one: &&Value| {
            one.get("mended_by").is_some_and(|by| by == "admin")
                && one.get("node").is_some_and(Value::is_string)
        };
        let findings = doctor.get("findings").and_then(Value::as_array);
        Ok(findings.into_iter().flatten().filter(is_admins).cloned().collect())
    }
}

/// Fails unless the text has it.
pub(crate) fn ensure_contains(text: &str, expected: &str) -> Result<()> {
    ensure!(text.contains(expected), "{text:?} does not contain {expected:?}");
    Ok(())
}

/// Fails if a command that must be refused was not, or was refused without saying why.
pub(crate) fn ensure_refused(output: &Output, expected: &[&str]) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        bail!("it was accepted: {}", String::from_utf8_lossy(&output.stdout));
    }
    expected.iter().try_for_each(|expected| ensure_contains(&text, expected))
}
