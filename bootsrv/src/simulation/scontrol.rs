//! scontrol's words to the simulated slurmctld, and what it prints, as Slurm 22.05 does.

use super::slurmctld::{Node, Phase, Power};
use super::world::{Shared, World, with};
use crate::slurm::{Carrier, SlurmError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use protocol::node_list;
use std::fmt::Write;
use std::time::Duration;
use tokio::time::sleep;

#[derive(Debug)]
pub(super) struct Simulated(pub(super) Shared);

impl Carrier for Simulated {
    fn carry<'a>(&'a self, arguments: &'a [&'a str]) -> BoxFuture<'a, Result<String, SlurmError>> {
        async move {
            sleep(Duration::from_millis(20)).await;
            let refused = |message: &str| SlurmError::Refused {
                command: arguments.join(" "),
                message: message.into(),
            };
            if with(&self.0, |world| world.slurm_is_away()) {
                sleep(Duration::from_secs(3)).await;
                return Err(refused("Unable to contact slurm controller"));
            }
            with(&self.0, |world| world.scontrol(arguments)).map_err(|message| refused(&message))
        }
        .boxed()
    }
}

type Printed = Result<String, String>;

impl World {
    fn scontrol(&mut self, arguments: &[&str]) -> Printed {
        match arguments {
            ["show", "node", "-o", list] => {
                let names = node_list::expand(list).unwrap();
                let places: Vec<usize> = names.iter().map(|name| self.index(name)).collect();
                Ok(places.into_iter().map(|index| self.show(index)).collect())
            }
            ["show", "config"] => Ok("PreemptType = preempt/none\n".into()),
            ["show", "job", "-o", job] => self.show_job(job),
            ["update", name, state, rest @ ..] if name.starts_with("nodename=") => {
                let names = node_list::expand(name.trim_start_matches("nodename=")).unwrap();
                let reason = rest.first().map(|text| text.trim_start_matches("reason="));
                self.note(format!("scontrol {}", arguments.join(" ")));
                let told: Vec<Printed> = names
                    .iter()
                    .map(|name| self.update(self.index(name), state, reason.unwrap_or("")))
                    .collect();
                told.into_iter().find(Result::is_err).unwrap_or_else(|| Ok(String::new()))
            }
            ["update", job, "starttime=now"] => self.start_now(job.trim_start_matches("jobid=")),
            ["update", _, _comment] => Ok(String::new()),
            other => panic!("scontrol {other:?} is not simulated"),
        }
    }

    fn show(&self, index: usize) -> String {
        let node = &self.slurm.nodes[index];
        let mut state = match (&node.down, node.holder) {
            (Some(_), _) => "DOWN",
            (None, Some(_)) => "ALLOCATED",
            (None, None) => "IDLE",
        }
        .to_owned();
        let mut flag = |set: bool, name: &str| {
            if set {
                state.push('+');
                state.push_str(name);
            }
        };
        flag(node.completing.is_some(), "COMPLETING");
        flag(node.drain.is_some() || node.asap, "DRAIN");
        flag(node.power == Power::Off, "POWERED_DOWN");
        flag(node.power == Power::PoweringUp, "POWERING_UP");
        flag(node.power == Power::PoweringDown, "POWERING_DOWN");
        flag(node.power == Power::ToGoDown, "POWER_DOWN");
        let silent = node.power == Power::PoweringUp
            || node.power == Power::Up && self.machines[index].slurmd.is_none();
        let mut line = format!("NodeName={} State={state}", node.name);
        if silent {
            line.push('*');
        }
        if let Some(start) = node.slurmd_start {
            write!(line, " SlurmdStartTime={start}").unwrap();
        }
        let marked = node.asap.then_some("POWER_DOWN_ASAP");
        if let Some(reason) = node.down.as_deref().or(node.drain.as_deref()).or(marked) {
            write!(line, " Reason={reason} [slurm@1]").unwrap();
        }
        line + "\n"
    }

    fn show_job(&self, job: &str) -> Printed {
        let id = job.parse::<u32>().unwrap();
        let Some(job) = self.slurm.jobs.iter().find(|one| one.id == id) else {
            return Err("slurm_load_jobs error: Invalid job id specified".into());
        };
        let state = match job.phase {
            Phase::Pending(_) | Phase::Held => "PENDING",
            Phase::Configuring(_) => "CONFIGURING",
            Phase::Running(_) => "RUNNING",
            Phase::Done => "COMPLETED",
            Phase::Cancelled => "CANCELLED",
        };
        Ok(format!("JobId={id} JobName=a JobState={state} Reason=None\n"))
    }

    fn start_now(&mut self, job: &str) -> Printed {
        let place = self.place(job.parse().unwrap());
        let Phase::Pending(begin) = &mut self.slurm.jobs[place].phase else {
            return Err("Job is no longer pending execution".into());
        };
        *begin = tokio::time::Instant::now();
        Ok(String::new())
    }

    fn update(&mut self, index: usize, state: &str, reason: &str) -> Printed {
        match state {
            "state=resume" => return resume(&mut self.slurm.nodes[index]),
            "state=drain" => {
                let node = &mut self.slurm.nodes[index];
                node.drain = Some(reason.into());
                // Seen with 22.05: the job goes back to the queue.
                if node.power == Power::PoweringUp {
                    self.lose_node(index);
                }
            }
            "state=down" => {
                self.slurm.nodes[index].down = Some(reason.into());
                self.lose_node(index);
            }
            "state=power_down_force" => {
                self.lose_node(index);
                let node = &mut self.slurm.nodes[index];
                if node.power != Power::PoweringDown {
                    node.set(Power::ToGoDown);
                }
            }
            "state=power_down" => {
                let node = &mut self.slurm.nodes[index];
                if node.power != Power::PoweringDown {
                    node.set(Power::ToGoDown);
                }
            }
            other => panic!("{other} is not simulated"),
        }
        Ok(String::new())
    }
}

fn resume(node: &mut Node) -> Printed {
    if node.power == Power::PoweringDown {
        node.set(Power::Off);
    } else if node.drain.is_none() && node.down.is_none() {
        return Err("slurm_update error: Invalid node state specified".into());
    }
    (node.drain, node.down) = (None, None);
    Ok(String::new())
}
