//! slurmstepd on the node: tells the tasks what they run on. Never fails: an error in this context
//! would drain the node.

use crate::context::{Job, Process};
use crate::options::{Given, OptionName, value};

/// Sets `BMC_KERNEL` and `BMC_IMAGE` in the tasks' environment, also under `srun --export=NONE`.
/// To a batch script under `--export=NONE` Slurm hands no plugin options (22.05).
pub(crate) fn tell_tasks(process: &dyn Process, job: &dyn Job, given: &Given) {
    for name in OptionName::ALL {
        if let Some(chosen) = value(&given.options, name)
            && let Err(reason) = job.set_for_tasks(name.job_variable(), chosen)
        {
            process.note(&format!("{} is not set for the tasks: {reason}", name.job_variable()));
        }
    }
}
