//! Where the plugin runs, what it may ask of that place, and what happens after a moment. Slurm's own
//! words stay in `ffi`; these are what the decisions are made with, and what tests stand in for.

use crate::enter::TaskOf;
use std::ffi::{CStr, CString};
use std::path::PathBuf;

/// Where Slurm has loaded the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// srun, sbatch or salloc: the user's process.
    Client(Command),
    /// slurmstepd on the node, as root.
    Remote,
    /// slurmd and its prolog and epilog: nothing of ours to do there.
    Other,
}

/// The command a user typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Srun,
    Sbatch,
    Salloc,
}

/// Where the value of an option comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The command line or a `#SBATCH` line.
    Typed,
    /// Slurm's own copy of what the component before it was given (heterogeneous jobs only).
    ComponentBefore,
    /// The job, on the node.
    Job,
}

/// What the C side does after a moment was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing: Slurm goes on.
    Continue,
    /// The user reads this as an error and the command ends without having submitted anything.
    Refuse(String),
    /// The user asked for this text; the command ends with success.
    Print(String),
    /// This task ends with the sentence; only from `slurm_spank_task_init`.
    EndTask(String),
}

/// The process the plugin is loaded into.
pub(crate) trait Process {
    fn variable(&self, name: &str) -> Option<String>;
    /// `None` removes it.
    fn set_variable(&self, name: &str, value: Option<&str>);
    /// Where relative paths begin; none if it is gone.
    fn directory(&self) -> Option<PathBuf>;
    /// The command line, program first.
    fn arguments(&self) -> Vec<String>;
    /// An option of srun, sbatch or salloc itself, by its long name; client contexts only.
    fn slurm_option(&self, name: &CStr) -> Option<String>;
    /// Sets it, as if it had been typed; `None`: as if it had not. Whether that could be done.
    fn set_slurm_option(&self, name: &CStr, value: Option<&str>) -> bool;
    /// A line for those who typed `-v`.
    fn note(&self, text: &str);
    /// A line for all.
    fn warn(&self, text: &str);
    /// On a terminal only, in place of the last one; `None`: it goes away.
    fn progress(&self, text: Option<&str>);
}

/// What Slurm's handle can do for the job, in the contexts where it can.
pub(crate) trait Job {
    /// For PrologSlurmctld and EpilogSlurmctld; client contexts only. `None` removes it.
    fn set_for_hooks(&self, name: &str, value: Option<&str>) -> Result<(), String>;
    /// A variable of the tasks' environment; remote context only.
    fn task_variable(&self, name: &str) -> Option<String>;
    /// For the tasks; remote context only.
    fn set_for_tasks(&self, name: &str, value: &str) -> Result<(), String>;
    /// Puts words before the task's command; only in `slurm_spank_task_init`.
    fn prepend_command(&self, words: Vec<CString>) -> Result<(), String>;
    /// A line on the task's standard error; remote context only.
    fn tell(&self, text: &str);
    /// Whose task this is; remote context only.
    fn task_of(&self) -> Result<TaskOf, String>;
}
