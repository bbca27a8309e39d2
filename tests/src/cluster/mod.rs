//! One virtual cluster: a controller host with real Slurm, and nodes that are QEMU machines with
//! their own baseboard controllers, all inside namespaces that end together.
//!
//! Nothing outside the run directory is changed, and whoever is killed, nothing is left behind.

pub mod accounts;
pub mod configure;
pub mod controller;
pub mod error;
pub mod holder;
pub mod inside;
pub mod layout;
pub mod network;
pub mod node;
pub mod on_demand;
pub mod options;
pub mod power_methods;
mod prepare;
mod programs;
pub mod serial;
mod services;
pub mod site;
pub mod slurm;

pub use crate::chassis::fault::Fault;
pub use error::ClusterError;
pub use node::Node;
pub use options::Options;

use crate::power::log::{EnergyReading, PowerLog};
use error::{Result, file};
use holder::{Holder, Lifeline};
use inside::Inside;
use layout::{PUBLIC, RunDir, write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A cluster that is up. One that this process brought up ends with this value, also when the
/// process is killed; one that it only attached to stays.
#[derive(Debug)]
pub struct Cluster {
    run: RunDir,
    inside: Inside,
    options: Options,
    lifeline: Option<Lifeline>,
    notes: Vec<String>,
}

/// A run directory that is ready: the caller may still put files into it before the start.
#[derive(Debug)]
pub struct Prepared {
    run: RunDir,
    options: Options,
    notes: Vec<String>,
}

impl Prepared {
    /// The run directory. Worth changing here: `etc` (seen inside as /etc/bare-metal-container),
    /// `etc-slurm` (/etc/slurm), `state` (/var/lib/bare-metal-container), `home`, `bin`.
    #[must_use]
    pub fn run(&self) -> &RunDir {
        &self.run
    }

    /// Starts the cluster and returns when every service answers. All nodes are off.
    ///
    /// # Errors
    /// When a service does not come up; then nothing is left running.
    pub fn start(mut self) -> Result<Cluster> {
        let (holder, lifeline) = holder::start(&self.run)?;
        let inside = Inside::new(self.run.clone(), holder.init_pid());
        if !services::bootsrv_is_here(&self.run) {
            self.notes.push("bootsrv or its configuration is missing: not started".to_owned());
        }
        let Self { run, options, notes } = self;
        let cluster = Cluster { run, inside, options, lifeline: Some(lifeline), notes };
        // From here on an error drops the cluster, which ends it.
        let batch = cluster.run.join("network/ip.batch").display().to_string();
        cluster.inside.check(&["ip", "-batch", &batch])?;
        for service in services::services(&cluster.run, &cluster.options) {
            services::start(&cluster.run, &cluster.inside, &service)?;
        }
        Ok(cluster)
    }
}

impl Cluster {
    /// Brings a cluster up; all its nodes are off.
    ///
    /// # Errors
    /// When one is up in that directory, an option cannot be used, or a part does not come up.
    pub fn up(options: Options) -> Result<Self> {
        Self::prepare(options)?.start()
    }

    /// The first half of [`up`](Self::up): ends what a crashed cluster left, makes the directories
    /// and files, starts nothing.
    ///
    /// # Errors
    /// As [`up`](Self::up).
    pub fn prepare(options: Options) -> Result<Prepared> {
        let run = options.check()?;
        if let Some(holder) = Holder::find(&run) {
            let dir = run.path().to_owned();
            return Err(ClusterError::AlreadyUp { dir, pid: holder.init_pid() });
        }
        Holder::end(&run)?;
        prepare::prepare(&run, &options)?;
        let notes = programs::copy(&options.program_dir, &run)?;
        configure::configure(&run, &options)?;
        Ok(Prepared { run, options, notes })
    }

    /// The cluster that is up in this directory.
    ///
    /// # Errors
    /// When none is.
    pub fn attach(dir: &Path) -> Result<Self> {
        let run = RunDir::new(dir)?;
        let Some(holder) = Holder::find(&run) else {
            return Err(ClusterError::NotUp { dir: dir.to_owned() });
        };
        let nodes = u8::try_from(std::fs::read_dir(run.join("nodes")).map_or(0, Iterator::count));
        let options =
            Options { dir: dir.to_owned(), nodes: nodes.unwrap_or(u8::MAX), ..Options::default() };
        let inside = Inside::new(run.clone(), holder.init_pid());
        Ok(Self { run, inside, options, lifeline: None, notes: Vec::new() })
    }

    /// Lets the cluster outlive this process.
    ///
    /// # Errors
    /// When its process 1 does not listen; then it ends.
    pub fn detach(mut self) -> Result<()> {
        self.lifeline.take().map_or(Ok(()), Lifeline::cut_loose)
    }

    /// Ends the cluster; returns when no process, mount or namespace of it is left.
    ///
    /// # Errors
    /// When something is left after 20 s.
    pub fn down(mut self) -> Result<()> {
        self.end()
    }

    /// Ends the cluster in this directory, if there is one, also a crashed one. Gives whether
    /// there was one.
    ///
    /// # Errors
    /// As [`down`](Self::down).
    pub fn end_in(dir: &Path) -> Result<bool> {
        Holder::end(&RunDir::new(dir)?)
    }

    fn end(&mut self) -> Result<()> {
        Holder::end(&self.run)?;
        if let Some(mut lifeline) = self.lifeline.take() {
            lifeline.collect();
        }
        Ok(())
    }

    /// What was left out at the start, one line each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The run directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.run.path()
    }

    /// The nodes.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = Node> {
        Node::first(self.options.nodes)
    }

    /// Runs a command on the controller host as one of its users (`root`, `slurm`, `alice`, `bob`).
    ///
    /// # Errors
    /// When it cannot be started; its own failure is in the output.
    pub fn run(&self, as_user: &str, words: &[&str]) -> Result<Output> {
        self.inside.output(as_user, words)
    }

    /// The same command, not yet started.
    #[must_use]
    pub fn command(&self, as_user: &str, words: &[&str]) -> Command {
        self.inside.command(as_user, words)
    }

    /// Runs a command as root and gives its standard output.
    ///
    /// # Errors
    /// When it cannot be started or fails.
    pub fn check(&self, words: &[&str]) -> Result<String> {
        self.inside.check(words)
    }

    /// Runs `ipmitool` as the administrator of the node's controller; gives what it prints.
    ///
    /// # Errors
    /// When it fails.
    pub fn ipmitool(&self, node: Node, words: &[&str]) -> Result<String> {
        let words = services::ipmitool(&self.run, node, words);
        self.inside.check(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// `ipmitool` for the node's controller as a command that is not yet started.
    #[must_use]
    pub fn ipmitool_command(&self, node: Node, words: &[&str]) -> Command {
        let words = services::ipmitool(&self.run, node, words);
        self.inside.command("root", &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Whether the node's machine runs: the truth that its controller reports.
    #[must_use]
    pub fn is_on(&self, node: Node) -> bool {
        let pid = crate::process::read_pid_file(&self.run.node(node).join("qemu.pid"));
        // QEMU's id is one of the cluster's own; process 1's root directory shows its /proc.
        pid.is_some_and(|pid| {
            let path = format!("/proc/{}/root/proc/{pid}/cmdline", self.inside_pid());
            let arguments = std::fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&arguments).contains(&format!("-name\0{node}\0"))
        })
    }

    fn inside_pid(&self) -> u32 {
        self.inside.init_pid()
    }

    /// The node's exact energy so far, at most 0.3 s old.
    ///
    /// # Errors
    /// When the counter cannot be read.
    pub fn energy_mj(&self, node: Node) -> Result<EnergyReading> {
        let path = self.run.node(node).join(crate::power::log::ENERGY_FILE);
        let text = std::fs::read_to_string(&path).map_err(file("read", &path))?;
        text.parse().map_err(|error: crate::power::log::BadLine| ClusterError::Damaged {
            path,
            rule: error.to_string(),
        })
    }

    /// The node's power over time, for the energy between any two moments.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn power_log(&self, node: Node) -> Result<PowerLog> {
        let dir = self.run.node(node);
        PowerLog::read(&dir).map_err(file("read", dir.join(crate::power::log::LOG_FILE)))
    }

    /// Gives the node a fault, or takes it away; it takes effect when the node is powered on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn fault(&self, node: Node, fault: Fault) -> Result<()> {
        write(&self.run.node(node).join("fault"), format!("{fault}\n"), PUBLIC)
    }

    /// What the node has printed on its console since the cluster came up.
    ///
    /// # Errors
    /// When it cannot be read; a node that was never on has printed nothing.
    pub fn console(&self, node: Node) -> Result<String> {
        let path = self.console_path(node);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(file("read", path)(error)),
        }
    }

    /// The file with the node's console.
    #[must_use]
    pub fn console_path(&self, node: Node) -> PathBuf {
        self.run.node(node).join("console.log")
    }

    /// Whether each service runs, by name; those on demand only if they do.
    #[must_use]
    pub fn services(&self) -> Vec<(String, bool)> {
        let wanted = services::on_demand(&self.run).into_iter();
        let wanted = wanted.filter(|service| self.inside.is_running(&service.name));
        let all = services::services(&self.run, &self.options).into_iter().chain(wanted);
        all.map(|service| (service.name.clone(), self.inside.is_running(&service.name))).collect()
    }

    /// Stops a service (`bootsrv`, `slurmctld`, `controller-n1` …) with a signal (`TERM`, `KILL`)
    /// and returns when it is gone.
    ///
    /// # Errors
    /// When it is still there after 20 s.
    pub fn stop_service(&self, name: &str, signal: &str) -> Result<()> {
        self.inside.stop_service(name, signal)
    }

    /// Starts a service again, or one of [`on_demand`], and returns when it answers.
    ///
    /// # Errors
    /// When there is no such service or it does not come up.
    pub fn start_service(&self, name: &str) -> Result<()> {
        let all = services::services(&self.run, &self.options).into_iter();
        let mut all = all.chain(services::on_demand(&self.run));
        let Some(service) = all.find(|service| service.name == name) else {
            let what = format!("service {name:?}");
            return Err(ClusterError::BadOption { what, rule: "there is none".to_owned() });
        };
        services::start(&self.run, &self.inside, &service)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.lifeline.is_some() {
            // Nothing can be reported from here; the closing lifeline ends the cluster anyway.
            self.end().ok();
        }
    }
}
