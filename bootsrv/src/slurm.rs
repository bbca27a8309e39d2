//! What bootsrv asks and tells slurmctld, through scontrol: one program, absolute path, cleared
//! environment, a time limit.

use crate::deployment::quarantine;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::names::{JobId, JobReference, NodeName};
use protocol::node_list::compress;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

/// Longest a single scontrol may take.
const SCONTROL_SECONDS_MAX: u64 = 15;

/// How every comment of ours begins.
pub const OUR_COMMENT: &str = "[bare-metal container]";

/// Why slurmctld was not told or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// scontrol could not be started.
    #[error("starting {path}")]
    Start {
        /// The program.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("scontrol {command} did not end within {SCONTROL_SECONDS_MAX} s")]
    Slow {
        /// Its arguments.
        command: String,
    },
    /// slurmctld refused.
    #[error("scontrol {command} failed: {message}")]
    Refused {
        /// Its arguments.
        command: String,
        /// What it printed.
        message: String,
    },
}

/// Why a node that slurmctld has never seen is set down for a moment.
const NEVER_BOOTED: &str = "bare-metal container: never booted";

/// A node as slurmctld shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlurmNode {
    /// The base state and its flags, e.g. `["IDLE", "POWERED_DOWN"]`; `*` counts as NOT_RESPONDING.
    pub flags: Vec<String>,
    /// Why it is down or drained.
    pub reason: Option<String>,
    /// When its slurmd started, by the node's clock, seconds since 1970; `None` before its first
    /// registration.
    pub slurmd_start_unix_seconds: Option<i64>,
}

/// How far a node's clock may be behind ours, in seconds. Its slurmd of the boot before is older by
/// a whole power-off and power-on.
const CLOCK_SKEW_SECONDS: i64 = 2;

impl SlurmNode {
    /// Whether a flag is set.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|entry| entry == flag)
    }

    /// slurmd has registered since the node was powered on, at this second. The flags alone do not
    /// tell: a node that was up before it got its job keeps them from then.
    #[must_use]
    pub fn is_registered_since(&self, power_on_unix_seconds: i64) -> bool {
        let starts = self.slurmd_start_unix_seconds;
        self.is_registered()
            && starts.is_some_and(|start| start + CLOCK_SKEW_SECONDS >= power_on_unix_seconds)
    }

    fn is_registered(&self) -> bool {
        const NOT_YET: [&str; 7] = [
            "POWERING_UP",
            "POWERED_DOWN",
            "POWERING_DOWN",
            "NOT_RESPONDING",
            "DOWN",
            "UNKNOWN",
            "REBOOT_ISSUED",
        ];
        !self.flags.is_empty() && !NOT_YET.iter().any(|flag| self.has(flag))
    }

    /// The reason an admin drained it for, without Slurm's note of who and when. The drain that
    /// `power_down_asap` makes at a job's start is not an admin's.
    #[must_use]
    pub fn admin_drain(&self) -> Option<&str> {
        let reason = self.reason.as_deref().filter(|_| self.has("DRAIN"))?;
        let reason = reason.rsplit_once(" [").map_or(reason, |(reason, _)| reason);
        (!reason.starts_with("POWER_DOWN")).then_some(reason)
    }

    /// We have set it down on its way to being powered down.
    fn was_never_booted(&self) -> bool {
        let reason = self.reason.as_deref().unwrap_or_default();
        self.has("DOWN") && reason.starts_with(NEVER_BOOTED)
    }

    /// A job runs or completes on it.
    #[must_use]
    pub fn has_job(&self) -> bool {
        ["ALLOCATED", "MIXED", "COMPLETING"].iter().any(|flag| self.has(flag))
    }
}

/// Whatever carries scontrol's arguments to slurmctld, and brings back what scontrol prints.
pub trait Carrier: std::fmt::Debug + Send + Sync {
    /// Runs scontrol with these arguments.
    fn carry<'a>(&'a self, arguments: &'a [&'a str]) -> BoxFuture<'a, Result<String, SlurmError>>;
}

/// The way to slurmctld.
#[derive(Debug, Clone)]
pub struct Scontrol {
    carrier: Arc<dyn Carrier>,
}

impl Scontrol {
    /// Absolute paths of scontrol and slurm.conf.
    #[must_use]
    pub fn new(path: PathBuf, conf: PathBuf) -> Self {
        Self::over(Arc::new(Program { path, conf }))
    }

    /// Over any carrier.
    #[must_use]
    pub fn over(carrier: Arc<dyn Carrier>) -> Self {
        Self { carrier }
    }

    /// The state of these nodes; those slurmctld does not know are left out.
    ///
    /// # Errors
    /// When slurmctld does not answer.
    pub async fn nodes(
        &self,
        nodes: &[NodeName],
    ) -> Result<HashMap<NodeName, SlurmNode>, SlurmError> {
        if nodes.is_empty() {
            return Ok(HashMap::new());
        }
        Ok(parse_nodes(&self.run(&["show", "node", "-o", &compress(nodes)]).await?))
    }

    /// Makes powered-off nodes allocatable at once, instead of after SuspendTimeout.
    ///
    /// # Errors
    /// When slurmctld refuses.
    pub async fn resume(&self, nodes: &[NodeName]) -> Result<(), SlurmError> {
        self.update_nodes(nodes, &["state=resume"]).await
    }

    /// Takes a node out of service; a job on it goes on.
    ///
    /// # Errors
    /// When slurmctld refuses.
    pub async fn drain(&self, node: &NodeName, reason: &str) -> Result<(), SlurmError> {
        self.update_nodes(std::slice::from_ref(node), &["state=drain", &reason_argument(reason)])
            .await
    }

    /// Takes a node out of service and ends the job on it.
    ///
    /// # Errors
    /// When slurmctld refuses.
    pub async fn down(&self, node: &NodeName, reason: &str) -> Result<(), SlurmError> {
        self.update_nodes(std::slice::from_ref(node), &["state=down", &reason_argument(reason)])
            .await
    }

    /// Ends a drain, or DOWN, with this reason, as [`quarantine::line`] has it; any other stays.
    ///
    /// # Errors
    /// When slurmctld refuses.
    pub async fn undrain(&self, node: &NodeName, reason: &str) -> Result<(), SlurmError> {
        let nodes = std::slice::from_ref(node);
        let shown = self.nodes(nodes).await?;
        if shown.get(node).and_then(quarantine::out_of_use) == Some(reason) {
            self.update_nodes(nodes, &["state=resume"]).await?;
        }
        Ok(())
    }

    /// Tells slurmctld to expect a node that boots for no job.
    ///
    /// # Errors
    /// When slurmctld refuses.
    pub async fn power_up(&self, node: &NodeName) -> Result<(), SlurmError> {
        self.update_nodes(std::slice::from_ref(node), &["state=power_up"]).await
    }

    /// Makes slurmctld power nodes down, also out of POWERING_UP.
    ///
    /// A node that slurmctld has never seen (UNKNOWN, a new site) would stay marked for ever: only
    /// an IDLE node is given to SuspendProgram, and DOWN followed by RESUME makes it one (observed
    /// with 22.05).
    ///
    /// # Errors
    /// When slurmctld refuses.
    pub async fn power_down(&self, nodes: &[NodeName]) -> Result<(), SlurmError> {
        let shown = self.nodes(nodes).await?;
        let those = |wanted: fn(&SlurmNode) -> bool| -> Vec<NodeName> {
            let found = shown.iter().filter(|(_, node)| wanted(node));
            found.map(|(name, _)| name.clone()).collect()
        };
        let unknown = those(|node| node.has("UNKNOWN"));
        if !unknown.is_empty() {
            let reason = reason_argument(NEVER_BOOTED);
            self.update_nodes(&unknown, &["state=down", &reason]).await?;
        }
        // Also those that slurmctld forgot to resume, because it was killed in between.
        let new = those(|node| node.has("UNKNOWN") || node.was_never_booted());
        if !new.is_empty() {
            self.update_nodes(&new, &["state=resume"]).await?;
        }
        self.update_nodes(nodes, &["state=power_down_force"]).await
    }

    /// Makes slurmctld power nodes down as soon as no job is on them.
    ///
    /// # Errors
    /// When slurmctld refuses.
    pub async fn power_down_when_idle(&self, nodes: &[NodeName]) -> Result<(), SlurmError> {
        self.update_nodes(nodes, &["state=power_down"]).await
    }

    /// Whether slurmctld may take a job off its nodes for another one.
    ///
    /// # Errors
    /// When slurmctld does not answer.
    pub async fn preempts(&self) -> Result<bool, SlurmError> {
        Ok(parse_preempts(&self.run(&["show", "config"]).await?))
    }

    /// Lets a requeued job start at once. Slurm puts it off by two minutes, until credentials of
    /// the try before have expired; that try never started anything.
    ///
    /// # Errors
    /// When slurmctld refuses.
    pub async fn start_now(&self, job: JobReference) -> Result<(), SlurmError> {
        let job = job.requeued_as();
        self.run(&["update", &format!("jobid={job}"), "starttime=now"]).await?;
        Ok(())
    }

    /// Shows how far a job is, in its comment; a comment of the user's own stays.
    ///
    /// # Errors
    /// When slurmctld refuses.
    pub async fn comment(&self, job: JobReference, text: &str) -> Result<(), SlurmError> {
        let shown = self.run(&["show", "job", "-o", &job.to_string()]).await?;
        if shown
            .split_once(" Comment=")
            .is_some_and(|(_, comment)| !comment.starts_with(OUR_COMMENT))
        {
            return Ok(());
        }
        self.run(&["update", &format!("jobid={job}"), &format!("comment={}", one_line(text))])
            .await?;
        Ok(())
    }

    /// Whether a job has nodes, or had them and is not over: running, suspended, starting or ending.
    ///
    /// # Errors
    /// When slurmctld does not answer.
    pub async fn job_is_active(&self, job: JobId) -> Result<bool, SlurmError> {
        match self.run(&["show", "job", "-o", &job.to_string()]).await {
            Ok(shown) => Ok(is_active(&shown, job)),
            // It is so long over that slurmctld has forgotten it.
            Err(SlurmError::Refused { message, .. }) if message.contains("Invalid job id") => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn update_nodes(&self, nodes: &[NodeName], what: &[&str]) -> Result<(), SlurmError> {
        let name = format!("nodename={}", compress(nodes));
        let arguments: Vec<&str> =
            ["update", &name].into_iter().chain(what.iter().copied()).collect();
        self.run(&arguments).await?;
        Ok(())
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String, SlurmError> {
        self.carrier.carry(arguments).await
    }
}

/// The real scontrol.
#[derive(Debug)]
struct Program {
    path: PathBuf,
    conf: PathBuf,
}

impl Carrier for Program {
    fn carry<'a>(&'a self, arguments: &'a [&'a str]) -> BoxFuture<'a, Result<String, SlurmError>> {
        self.run(arguments).boxed()
    }
}

impl Program {
    async fn run(&self, arguments: &[&str]) -> Result<String, SlurmError> {
        let command = || arguments.join(" ");
        let running = Command::new(&self.path)
            .args(arguments)
            .env_clear()
            .env("SLURM_CONF", &self.conf)
            // Times as seconds since 1970, whatever the time zone.
            .env("SLURM_TIME_FORMAT", "%s")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(SCONTROL_SECONDS_MAX), running)
            .await
            .map_err(|_| SlurmError::Slow { command: command() })?
            .map_err(|source| SlurmError::Start { path: self.path.clone(), source })?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() || tells_of_nodes(&printed) {
            return Ok(printed);
        }
        let message = one_line(&String::from_utf8_lossy(&output.stderr));
        Err(SlurmError::Refused { command: command(), message })
    }
}

fn reason_argument(reason: &str) -> String {
    format!("reason={}", one_line(reason))
}

/// Slurm keeps reasons and comments as one line; quotes would end its own quoting.
fn one_line(text: &str) -> String {
    let clean = |c: char| if c.is_control() || matches!(c, '"' | '\'') { ' ' } else { c };
    text.trim().chars().map(clean).take(300).collect()
}

/// A node that slurmctld does not know is an error of `scontrol show node`, beside those that it knows;
/// it says so where it shows the others.
fn tells_of_nodes(printed: &str) -> bool {
    printed.lines().any(|line| {
        line.starts_with("NodeName=") || line.starts_with("Node ") && line.ends_with(" not found")
    })
}

/// Looks for `PreemptType = preempt/…` in `scontrol show config`.
fn parse_preempts(text: &str) -> bool {
    let values = text.lines().filter_map(|line| line.split_once('='));
    let mut types = values.filter(|(key, _)| key.trim() == "PreemptType");
    types.any(|(_, value)| !matches!(value.trim(), "preempt/none" | "(null)" | ""))
}

/// Of `scontrol show job -o`, which shows all tasks where the number is that of their array.
fn is_active(shown: &str, job: JobId) -> bool {
    const ACTIVE: [&str; 6] =
        ["RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "STOPPED", "RESIZING"];
    let own = format!("JobId={job}");
    let line = shown.lines().find(|line| line.split_whitespace().next() == Some(own.as_str()));
    let state = line
        .and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix("JobState=")));
    state.is_some_and(|state| ACTIVE.contains(&state))
}

/// Parses `scontrol show node -o`: a line a node, `Key=Value` words, Reason last on its line part.
fn parse_nodes(text: &str) -> HashMap<NodeName, SlurmNode> {
    let mut nodes = HashMap::new();
    for line in text.lines() {
        let value = |key: &str| {
            line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let Some(name) = value("NodeName").and_then(|name| name.parse().ok()) else { continue };
        let state = value("State").unwrap_or("");
        let mut flags: Vec<String> =
            state.split('+').map(|f| f.trim_end_matches('*').into()).collect();
        if state.contains('*') {
            flags.push("NOT_RESPONDING".into());
        }
        let reason = line.split_once(" Reason=").map(|(_, reason)| reason.trim().to_owned());
        let slurmd_start_unix_seconds = value("SlurmdStartTime").and_then(|at| at.parse().ok());
        nodes.insert(name, SlurmNode { flags, reason, slurmd_start_unix_seconds });
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "\
NodeName=n1 Arch=x86_64 CPUAlloc=1 State=ALLOCATED+CLOUD Partitions=bmc SlurmdStartTime=1795246000
NodeName=n2 State=MIXED+POWERING_UP* Partitions=bmc
NodeName=n3 State=IDLE+DRAIN+POWERED_DOWN Partitions=bmc Reason=fan broken [root@2026-11-21T04:00:00]
";

    #[test]
    fn states_are_read_with_their_flags() {
        let nodes = parse_nodes(SHOWN);
        let node = |name: &str| nodes.get(&name.parse::<NodeName>().unwrap()).unwrap();
        assert!(node("n1").is_registered_since(1_795_246_001));
        assert!(!node("n1").is_registered_since(1_795_246_010), "that was the boot before");
        assert!(!node("n2").is_registered() && node("n2").has("NOT_RESPONDING"));
        assert!(node("n3").has("DRAIN") && !node("n3").is_registered());
        assert_eq!(node("n3").admin_drain(), Some("fan broken"));
        assert_eq!(node("n2").admin_drain(), None);
        assert!(node("n3").reason.as_deref().unwrap().starts_with("fan broken"));
    }

    #[test]
    fn an_unknown_node_is_an_answer_about_the_others() {
        let both = format!("Node a1 not found\n{SHOWN}");
        assert!(tells_of_nodes(&both) && tells_of_nodes("Node a1 not found\n"));
        assert_eq!(parse_nodes(&both).len(), 3);
        assert!(!tells_of_nodes("") && !tells_of_nodes("slurm_load_node error: down\n"));
    }

    #[test]
    fn preemption_is_read_from_the_configuration() {
        let config =
            |value: &str| format!("PreemptMode  = REQUEUE\nPreemptType   = {value}\nX = y\n");
        assert!(parse_preempts(&config("preempt/partition_prio")));
        assert!(!parse_preempts(&config("preempt/none")) && !parse_preempts(&config("(null)")));
        assert!(!parse_preempts("slurmctld is down"));
    }

    #[test]
    fn a_suspended_job_still_has_its_nodes() {
        let shown = "JobId=7 ArrayJobId=5 ArrayTaskId=1 JobName=a JobState=SUSPENDED Reason=None\n\
                     JobId=5 ArrayJobId=5 ArrayTaskId=2 JobName=a JobState=COMPLETED Reason=None\n";
        assert!(is_active(shown, JobId(7)) && !is_active(shown, JobId(5)));
        assert!(!is_active("", JobId(7)));
    }

    /// Shows one state, and notes what it is told.
    #[derive(Debug)]
    struct Told {
        shows: &'static str,
        words: std::sync::Mutex<Vec<String>>,
    }

    impl Carrier for Told {
        fn carry<'a>(&'a self, words: &'a [&'a str]) -> BoxFuture<'a, Result<String, SlurmError>> {
            if words.first() == Some(&"update") {
                self.words.lock().unwrap().push(words.last().unwrap().to_string());
            }
            std::future::ready(Ok(format!("NodeName=n1 {}\n", self.shows))).boxed()
        }
    }

    #[tokio::test]
    async fn a_node_that_was_set_down_half_way_is_powered_down() {
        let never = format!("reason={NEVER_BOOTED}");
        for (shows, expected) in [
            ("State=IDLE", vec!["state=power_down_force"]),
            ("State=UNKNOWN*", vec![never.as_str(), "state=resume", "state=power_down_force"]),
            (
                "State=DOWN* Reason=bare-metal container: never booted [root@1]",
                vec!["state=resume", "state=power_down_force"],
            ),
            ("State=DOWN* Reason=fan broken [root@1]", vec!["state=power_down_force"]),
        ] {
            let told = Arc::new(Told { shows, words: std::sync::Mutex::default() });
            let scontrol = Scontrol::over(told.clone());
            scontrol.power_down(&["n1".parse().unwrap()]).await.unwrap();
            assert_eq!(*told.words.lock().unwrap(), expected, "{shows}");
        }
    }

    #[test]
    fn reasons_stay_one_line_and_lose_their_quotes() {
        assert_eq!(reason_argument("a\n\"b\" c"), "reason=a  b  c");
    }
}
