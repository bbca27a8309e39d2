//! The product's hooks, started as slurmctld starts them: no arguments but a node list, an environment
//! of slurmctld's own, no search path.

use crate::simulated::dice::Dice;
use crate::simulated::slurmctld::{Call, Job, Slurmctld};
use crate::simulated::tally::Tally;
use protocol::names::NodeName;
use protocol::node_list::compress;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

/// Most programs at once, each with some megabytes; slurmctld knows no such limit.
const PROGRAMS_MAX: usize = 4000;

/// What happens to the programs other than prolog, each from 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct HookOdds {
    /// It is never started.
    pub lost: f64,
    /// It is started 20 s later.
    pub late: f64,
    /// It is started twice.
    pub twice: f64,
}

/// How programs are started.
#[derive(Debug)]
pub struct Hooks {
    slurmctld: Arc<Slurmctld>,
    tally: Arc<Tally>,
    programs: PathBuf,
    directory: PathBuf,
    odds: HookOdds,
    dice: Dice,
    room: Semaphore,
    files: AtomicU64,
}

impl Hooks {
    /// `directory` holds `client.toml` and `slurm.conf`; `hooks.log` is written there.
    #[must_use]
    pub fn new(
        slurmctld: Arc<Slurmctld>,
        tally: Arc<Tally>,
        programs: PathBuf,
        directory: PathBuf,
        odds: HookOdds,
        dice: Dice,
    ) -> Self {
        let (room, files) = (Semaphore::new(PROGRAMS_MAX), AtomicU64::new(0));
        Self { slurmctld, tally, programs, directory, odds, dice, room, files }
    }

    /// Starts what slurmctld wants started, for ever.
    pub async fn run(self: Arc<Self>, mut calls: UnboundedReceiver<Call>) {
        while let Some(call) = calls.recv().await {
            let hooks = Arc::clone(&self);
            match call {
                Call::Prolog(id, restarts) => {
                    let prolog = tokio::spawn(async move { hooks.prolog(id, restarts).await });
                    self.slurmctld.prolog_started(id, restarts, prolog.abort_handle());
                }
                other @ (Call::Epilog(..)
                | Call::Resume(..)
                | Call::Suspend(_)
                | Call::ResumeFail(_)) => {
                    drop(tokio::spawn(async move { hooks.other(other).await }));
                }
            }
        }
    }

    async fn prolog(&self, id: u32, restarts: u32) {
        let Some(job) = self.slurmctld.job(id) else { return };
        let nodes = self.slurmctld.nodes_of(id);
        let Ok(_room) = self.room.acquire().await else { return };
        let mut command = self.command("prolog");
        job_variables(&mut command, &job, restarts, &nodes);
        let code = self.end_of(command, "prolog").await;
        self.slurmctld.prolog_ended(id, restarts, code);
    }

    async fn other(&self, call: Call) {
        let times = if self.dice.happens(self.odds.twice) { 2 } else { 1 };
        if self.dice.happens(self.odds.lost) {
            return self.tally.count("fault: hook lost");
        }
        if self.dice.happens(self.odds.late) {
            self.tally.count("fault: hook late");
            sleep(Duration::from_secs(20)).await;
        }
        for _ in 0..times {
            let Ok(_room) = self.room.acquire().await else { return };
            self.once(&call).await;
        }
    }

    async fn once(&self, call: &Call) {
        match call {
            Call::Prolog(..) => {}
            Call::Epilog(id, restarts) => {
                let Some(job) = self.slurmctld.job(*id) else { return };
                let mut command = self.command("epilog");
                job_variables(&mut command, &job, *restarts, &[]);
                self.end_of(command, "epilog").await;
            }
            Call::Resume(jobs) => {
                let number = self.files.fetch_add(1, Ordering::Relaxed);
                let file = self.directory.join(format!("resume-{number}.json"));
                let all: Vec<NodeName> = jobs.iter().flat_map(|(_, nodes)| nodes.clone()).collect();
                let list = compress(&all);
                let of_job = |(job, nodes): &(u32, Vec<NodeName>)| json!({ "job_id": job, "nodes": compress(nodes) });
                let text = json!({ "all_nodes": list, "jobs": jobs.iter().map(of_job).collect::<Vec<_>>() });
                if let Err(error) = tokio::fs::write(&file, text.to_string()).await {
                    return self.slurmctld.broken(&format!("{}: {error}", file.display()));
                }
                let mut command = self.command("resume");
                command.arg(list).env("SLURM_RESUME_FILE", &file);
                self.end_of(command, "resume").await;
                // It is found missing by nobody.
                tokio::fs::remove_file(file).await.ok();
            }
            Call::Suspend(nodes) => self.power_program("suspend", nodes).await,
            Call::ResumeFail(nodes) => self.power_program("resume-fail", nodes).await,
        }
    }

    async fn power_program(&self, name: &str, nodes: &[NodeName]) {
        let mut command = self.command(name);
        command.arg(compress(nodes));
        self.end_of(command, name).await;
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .env_clear()
            .env("SLURM_CLUSTER_NAME", "storm")
            .env("SLURM_CONF", self.directory.join("slurm.conf"))
            .env("BMC_CLIENT_CONFIG", self.directory.join("client.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log(&self.directory))
            .kill_on_drop(true);
        command
    }

    async fn end_of(&self, mut command: Command, name: &str) -> i32 {
        self.tally.count(&format!("programs: {name}"));
        match command.status().await {
            Ok(status) => {
                let code = status.code().unwrap_or(-1);
                if code != 0 && name != "prolog" {
                    self.tally.count(&format!("programs: {name} ended with {code}"));
                }
                code
            }
            Err(error) => {
                self.slurmctld.broken(&format!("starting {name}: {error}"));
                -1
            }
        }
    }
}

fn log(directory: &Path) -> Stdio {
    let path = directory.join("hooks.log");
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map_or_else(|_| Stdio::null(), Stdio::from)
}

fn job_variables(command: &mut Command, job: &Job, restarts: u32, nodes: &[NodeName]) {
    command
        .env("SLURM_SCRIPT_CONTEXT", "prolog_slurmctld")
        .env("SLURM_JOB_ID", job.id.to_string())
        .env("SLURM_JOB_UID", "0")
        .env("SLURM_JOB_USER", "root")
        .env("SLURM_JOB_NAME", "storm")
        .env("SLURM_JOB_PARTITION", format!("p{}", job.partition))
        .env("SLURM_JOB_NODELIST", compress(nodes));
    if restarts > 0 {
        command.env("SLURM_JOB_RESTART_COUNT", restarts.to_string());
    }
    if let Some(kernel) = &job.kernel {
        command.env("SPANK_BMC_KERNEL", kernel);
    }
}
