//! srun inside a job: a step runs on what its job has booted and can choose nothing else.

use crate::context::{After, Process};
use crate::options::{Given, PREFIX};
use protocol::image_reference::{ImageChoice, ImageReference};
use protocol::job_env::SLURM_JOB_ID;
use protocol::job_options::OptionName;

/// The name this plugin has in Slurm (`plugin_name`), part of the variables below.
pub(crate) const PLUGIN_NAME: &str = "bmc";

/// Whether this process runs inside a job.
pub(crate) fn inside_job(process: &dyn Process) -> bool {
    process.variable(SLURM_JOB_ID).is_some_and(|value| !value.is_empty())
}

/// Where Slurm itself keeps what was typed.
fn slurms_variable(name: OptionName) -> String {
    format!("_SLURM_SPANK_OPTION_{PLUGIN_NAME}_{}", name.long().replace('-', "_"))
}

/// Where Slurm hands it to the job, and out of which it takes it for a heterogeneous job's next
/// component, after that component's `#SBATCH` lines and before its command line (observed with
/// 22.05).
pub(crate) fn handed_down(name: OptionName) -> String {
    format!("SLURM_SPANK_{}", slurms_variable(name))
}

/// Slurm hands a job's options to every command typed inside the job through variables of its own
/// (`SLURM_SPANK_` before what prolog sees), and would give them to a nested `sbatch` as if they had
/// been typed. An `sbatch` inside a job is a new job and chooses anew.
pub(crate) fn forget_inherited(process: &dyn Process) {
    if !inside_job(process) {
        return;
    }
    for name in OptionName::ALL {
        let variables =
            [slurms_variable(name), handed_down(name), crate::launch::job_copy(name.variables())];
        for variable in &variables {
            if process.variable(variable).is_some() {
                process.set_variable(variable, None);
            }
        }
    }
}

/// The job's own choice may be named again; another is refused. `SRUN_BMC_KERNEL` and the others are
/// not looked at: they may have been set for the job's submission and been inherited.
pub(crate) fn check(process: &dyn Process, given: &Given) -> After {
    for name in OptionName::ALL.into_iter().filter(|name| given.has(*name)) {
        let wanted = given.options.text(name);
        let has = process.variable(name.variables().job);
        if has == wanted
            || (name == OptionName::Image && is_pin_of(wanted.as_deref(), has.as_deref()))
        {
            continue;
        }
        let has = has.map_or_else(|| "named none".into(), |has| format!("was started with {has}"));
        return After::Refuse(format!(
            "{PREFIX} --{}={}: a step runs on what its job has booted, and this job {has}; give the \
             option to sbatch, salloc or an srun outside a job",
            name.long(),
            wanted.as_deref().unwrap_or("no"),
        ));
    }
    After::Continue
}

/// What the job has is what was typed, pinned to its content.
fn is_pin_of(typed: Option<&str>, has: Option<&str>) -> bool {
    let parse = |text: Option<&str>| match text?.parse() {
        Ok(ImageChoice::Reference(reference)) => Some(reference),
        _ => None,
    };
    let (Some(typed), Some(mut has)) = (parse(typed), parse(has)) else { return false };
    match &mut has {
        ImageReference::Docker(docker) => docker.digest = None,
        ImageReference::File(file) => file.digest = None,
    }
    typed == has
}
