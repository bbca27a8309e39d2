//! scontrol's words to the stand-in, and what it prints, as Slurm 22.05 does. A word that is not known
//! here breaks a promise: the stand-in must not silently fall behind bootsrv.

use super::state::{Node, Phase, Power, State};
use protocol::node_list;
use std::fmt::Write as _;
use tokio::time::Instant;

type Printed = Result<String, String>;

const NO_JOB: &str = "slurm_load_jobs error: Invalid job id specified";
const NO_STATE: &str = "slurm_update error: Invalid node state specified";

impl State {
    pub(super) fn scontrol(&mut self, arguments: &[&str]) -> Printed {
        self.tally.count(&verb(arguments));
        if self.is_away() {
            return Err("Unable to contact slurm controller (connect failure)".into());
        }
        match arguments {
            ["show", "node", "-o"] => Ok(self.show_nodes(0..self.nodes.len())),
            ["show", "node", "-o", list] => {
                let places = self.places_of(list)?;
                Ok(self.show_nodes(places))
            }
            ["show", "config"] => Ok(CONFIG.into()),
            ["show", "job", "-o"] => {
                Ok(self.live.iter().filter_map(|id| self.show_job(*id)).collect())
            }
            ["show", "job", "-o", job] => {
                let shown = job.parse().ok().and_then(|id| self.show_job(id));
                shown.ok_or_else(|| NO_JOB.to_owned())
            }
            ["update", name, available, active]
                if available.starts_with("availablefeatures=")
                    && active.starts_with("activefeatures=") =>
            {
                let value =
                    |text: &str| text.split_once('=').map_or("", |(_, value)| value).to_owned();
                for place in self.places_of(name.trim_start_matches("nodename="))? {
                    if let Some(node) = self.nodes.get_mut(place) {
                        node.features = (value(available), value(active));
                    }
                }
                Ok(String::new())
            }
            ["update", name, state, rest @ ..] if name.starts_with("nodename=") => {
                let reason = rest.first().map_or("", |text| text.trim_start_matches("reason="));
                let places = self.places_of(name.trim_start_matches("nodename="))?;
                let told: Vec<Printed> =
                    places.into_iter().map(|place| self.update(place, state, reason)).collect();
                told.into_iter().find(Result::is_err).unwrap_or_else(|| Ok(String::new()))
            }
            ["update", job, what] if job.starts_with("jobid=") => {
                self.update_job(job.trim_start_matches("jobid="), what)
            }
            ["requeuehold", job] => self.hold(job, true),
            ["hold", job] => self.hold(job, false),
            ["notify", ..] => Ok(String::new()),
            other => {
                let line = other.join(" ");
                self.broken(format!("the stand-in does not know `scontrol {line}`"));
                Err(format!("invalid keyword: {line}"))
            }
        }
    }

    fn places_of(&self, list: &str) -> Result<Vec<usize>, String> {
        let names = node_list::expand(list).map_err(|error| error.to_string())?;
        let places = names.iter().map(|name| self.places.get(name).copied());
        places
            .collect::<Option<Vec<usize>>>()
            .ok_or_else(|| "slurm_update error: Invalid node name specified".to_owned())
    }

    fn show_nodes(&self, places: impl IntoIterator<Item = usize>) -> String {
        let mut text = String::new();
        for node in places.into_iter().filter_map(|place| self.nodes.get(place)) {
            let partition = self.partitions.get(node.partition).map_or("", |one| one.name.as_str());
            // Writing to a String cannot fail.
            writeln!(text, "{}", show(node, partition)).ok();
        }
        text
    }

    fn show_job(&self, id: u32) -> Option<String> {
        let job = self.jobs.get(&id)?;
        let state = match job.phase {
            Phase::Pending(_) | Phase::Held => "PENDING",
            Phase::Configuring(_) => "CONFIGURING",
            Phase::Running(_) => "RUNNING",
            Phase::Done => "COMPLETED",
            Phase::Cancelled => "CANCELLED",
        };
        let comment = match job.comment.as_str() {
            "" => String::new(),
            comment => format!(" Comment={comment}"),
        };
        let nodes = node_list::compress(&self.nodes_of(id));
        let partition = self.partitions.get(job.partition).map_or("", |one| one.name.as_str());
        let priority = u32::from(job.phase != Phase::Held);
        Some(format!(
            "JobId={id} JobName=storm UserId=root(0) GroupId=root(0) MCS_label=N/A Priority={priority} \
             Nice=0 Account=(null) QOS=(null) JobState={state} Reason=None Dependency=(null) Requeue=1 \
             Restarts={} BatchFlag=1 StartTime=Unknown Partition={partition} NodeList={nodes} \
             SchedNodeList=(null) NumNodes={}{comment} Power=\n",
            job.restarts, job.size,
        ))
    }

    fn update_job(&mut self, job: &str, what: &str) -> Printed {
        let job = job.parse().ok().and_then(|id: u32| self.jobs.get_mut(&id));
        let job = job.ok_or_else(|| NO_JOB.to_owned())?;
        match (what.split_once('='), &mut job.phase) {
            (Some(("comment", text)), _) => text.clone_into(&mut job.comment),
            (Some(("starttime", "now")), Phase::Pending(begin)) => *begin = Instant::now(),
            (Some(("starttime", "now")), _) => {
                return Err("Job is no longer pending execution".into());
            }
            _ => {
                let what = format!("the stand-in does not know `update jobid {what}`");
                self.broken(what);
                return Err("Update of this parameter is not supported".into());
            }
        }
        Ok(String::new())
    }

    fn hold(&mut self, job: &str, requeue: bool) -> Printed {
        let id = job.parse::<u32>().ok().filter(|id| self.jobs.contains_key(id));
        let id = id.ok_or_else(|| NO_JOB.to_owned())?;
        match self.jobs.get(&id).map(|job| job.phase) {
            Some(Phase::Configuring(_) | Phase::Running(_)) if requeue => {
                self.leave(id, Phase::Held);
            }
            Some(Phase::Pending(_)) if !requeue => {
                if let Some(job) = self.jobs.get_mut(&id) {
                    job.phase = Phase::Held;
                }
                self.live.remove(&id);
            }
            _ if requeue => return Err("Job is pending execution".into()),
            _ => return Err("Job is no longer pending execution".into()),
        }
        self.tally.count("jobs held by prolog");
        Ok(String::new())
    }

    fn update(&mut self, index: usize, state: &str, reason: &str) -> Printed {
        self.note(index, &format!("scontrol: {state} {reason}"));
        let Some(node) = self.nodes.get_mut(index) else { return Err(NO_STATE.into()) };
        match state {
            "state=resume" => return resume(node),
            "state=drain" => {
                node.drain = Some(reason.into());
                // Seen with 22.05: the job goes back to the queue.
                if node.power == Power::PoweringUp {
                    self.lose_node(index, reason);
                }
            }
            "state=down" => {
                node.down = Some(reason.into());
                self.lose_node(index, reason);
            }
            "state=power_down_asap" if node.power == Power::Up => {
                if node.holder.is_some() {
                    node.asap = true;
                } else {
                    node.set(Power::PowerDownAsked);
                }
            }
            "state=power_down_asap" => return Err(NO_STATE.into()),
            "state=power_down" | "state=power_down_force" => {
                if node.power != Power::PoweringDown {
                    node.set(Power::PowerDownAsked);
                }
                if state == "state=power_down_force" {
                    self.lose_node(index, "power_down_force");
                }
            }
            "state=power_up" => {
                if node.power == Power::Off {
                    node.set(Power::PoweringUp);
                }
            }
            other => {
                let what = format!("the stand-in does not know `{other}` for nodes");
                self.broken(what);
                return Err(NO_STATE.into());
            }
        }
        Ok(String::new())
    }
}

/// What is asked, for the counters: without names of nodes and jobs.
fn verb(arguments: &[&str]) -> String {
    let words: &[&str] = match arguments {
        ["show" | "update", ..] => arguments.get(..2).unwrap_or_default(),
        _ => arguments.get(..1).unwrap_or_default(),
    };
    let words: Vec<&str> = words.iter().filter_map(|word| word.split('=').next()).collect();
    format!("scontrol {}", words.join(" "))
}

fn resume(node: &mut Node) -> Printed {
    if node.power == Power::PoweringDown {
        node.set(Power::Off);
    } else if !node.is_out() {
        return Err(NO_STATE.into());
    }
    (node.drain, node.down) = (None, None);
    Ok(String::new())
}

/// A node's line of `scontrol show node -o` (22.05), as far as anybody reads it.
fn show(node: &Node, partition: &str) -> String {
    let base = match (&node.down, node.holder) {
        (Some(_), _) => "DOWN",
        (None, Some(_)) => "ALLOCATED",
        (None, None) => "IDLE",
    };
    let silent =
        node.power == Power::PoweringUp || node.power == Power::Up && node.slurmd.is_none();
    let flags = [
        (true, "CLOUD"),
        (node.completing.is_some(), "COMPLETING"),
        (node.drain.is_some() || node.asap, "DRAIN"),
        (silent, "NOT_RESPONDING"),
        (node.power == Power::Off, "POWERED_DOWN"),
        (node.power == Power::PoweringUp, "POWERING_UP"),
        (node.power == Power::PoweringDown, "POWERING_DOWN"),
        (node.power == Power::PowerDownAsked, "POWER_DOWN"),
    ];
    let flags: Vec<&str> =
        flags.into_iter().filter_map(|(is_set, name)| is_set.then_some(name)).collect();
    let start = node.slurmd_start.map_or_else(|| "None".to_owned(), |start| start.to_string());
    let marked = node.asap.then_some("POWER_DOWN_ASAP");
    let reason = node.down.as_deref().or(node.drain.as_deref()).or(marked);
    let reason = reason.map_or_else(String::new, |reason| format!(" Reason={reason} [slurm@1]"));
    format!(
        "NodeName={name} Arch=x86_64 CoresPerSocket=1 CPUAlloc=0 CPUEfctv=4 CPUTot=4 \
         AvailableFeatures={available} ActiveFeatures={active} Gres=(null) NodeAddr={name} \
         NodeHostName={name} Version=22.05.8 RealMemory=1000 Sockets=4 Boards=1 State={base}+{flags} \
         ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions={partition}  \
         BootTime={start} SlurmdStartTime={start} LastBusyTime=1{reason}",
        name = node.name,
        flags = flags.join("+"),
        available = or_null(&node.features.0),
        active = or_null(&node.features.1),
    )
}

/// As Slurm prints a list.
fn or_null(list: &str) -> &str {
    if list.is_empty() { "(null)" } else { list }
}

/// Of `scontrol show config`, what is read of it.
const CONFIG: &str = "PreemptMode             = OFF\nPreemptType             = preempt/none\n\
    SchedulerParameters     = ignore_prefer_validation\n";
