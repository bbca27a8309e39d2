//! slurmstepd on the node: tells the tasks what they run on. Never fails: an error in this context
//! would drain the node.

use crate::context::{Job, Process};
use crate::enter::{Task, TaskOf};
use crate::options::Given;
use protocol::job_env::{JOB_INSIDE, OptionVariables, SLURM_HET_SIZE};
use protocol::job_options::OptionName;

/// Sets `BMC_KERNEL` and the others in the tasks' environment, also under `--export=NONE`: Slurm gives
/// the job a copy of what the hooks were given, which is completed and pinned. A step has no such
/// copy; what it was typed with is left out where its environment has the job's.
pub(crate) fn tell_tasks(process: &dyn Process, job: &dyn Job, given: &Given) {
    for name in OptionName::ALL {
        let variables = name.variables();
        let typed = || given.options.text(name).filter(|_| !is_set(job, variables.job));
        let chosen = job.task_variable(&job_copy(variables)).or_else(typed);
        if let Some(chosen) = chosen
            && let Err(reason) = job.set_for_tasks(variables.job, &chosen)
        {
            process.note(&format!("{} is not set for the tasks: {reason}", variables.job));
        }
    }
}

/// A task, seen through Slurm's handle.
pub(crate) struct TaskOfJob<'a>(pub(crate) &'a dyn Job);

impl Task for TaskOfJob<'_> {
    fn of(&self) -> Result<TaskOf, String> {
        self.0.task_of()
    }

    fn is_component(&self) -> bool {
        is_set(self.0, SLURM_HET_SIZE)
    }

    /// Slurm's copy of what the hooks were given, or, all that a step has, what the job's tasks were told.
    /// What a job around this one has left counts for nothing, nor does any of it in a heterogeneous
    /// job, whose components share one environment.
    fn image_of_variables(&self) -> Option<String> {
        let own = || self.of().ok().map(|task| task.job.to_string());
        let inside = self.0.task_variable(JOB_INSIDE);
        if self.is_component() || (inside.is_some() && inside != own()) {
            return None;
        }
        let variables = OptionName::Image.variables();
        let has = |name: &str| self.0.task_variable(name).filter(|image| !image.is_empty());
        has(&job_copy(variables)).or_else(|| has(variables.job))
    }
}

fn is_set(job: &dyn Job, variable: &str) -> bool {
    job.task_variable(variable).is_some()
}

/// Where Slurm puts what `spank_job_control_setenv` was given, in the job's environment.
pub(crate) fn job_copy(variables: OptionVariables) -> String {
    format!("SLURM_{}", variables.prolog)
}
