//! sbatch, salloc and srun outside a job: check the choice and hand it on. The user's process.

use crate::bootsrv;
use crate::context::{After, Command, Job, Process};
use crate::options::{Given, PREFIX, set};
use crate::prefer;
use protocol::job_env::JOB_INSIDE;
use protocol::job_options::{JobOptions, OptionName, asks_for_list};
use std::path::Path;

/// No option and no environment form: returns at once, without a look at any file.
pub(crate) fn submit(
    command: Command,
    process: &dyn Process,
    job: &dyn Job,
    given: &mut Given,
) -> After {
    let settled = choose(command, process, given).and_then(|one| settle(one, process, given));
    let (choice, features) = match settled {
        Ok(settled) => settled,
        Err(sentence) => return After::Refuse(sentence),
    };
    given.preferred = prefer::prefer(process, &features, given.preferred.as_deref());
    // A new job is inside of nothing.
    if process.variable(JOB_INSIDE).is_some() {
        process.set_variable(JOB_INSIDE, None);
    }
    for name in OptionName::ALL {
        let variables = name.variables();
        let chosen = choice.text(name);
        // The job inherits this process's environment. A value that this process has itself
        // inherited from a job around it would be a lie there.
        if chosen.is_some() || process.variable(variables.job).is_some() {
            process.set_variable(variables.job, chosen.as_deref());
        }
        // Slurm would give a component what the one before it has chosen.
        if (chosen.is_some() || given.follows_component)
            && let Err(reason) = job.set_for_hooks(variables.hook, chosen.as_deref())
        {
            return After::Refuse(format!("{PREFIX} --{}: {reason}", name.long()));
        }
    }
    After::Continue
}

/// The command line and `#SBATCH` lines (in the order Slurm gives them) over the environment.
fn choose(command: Command, process: &dyn Process, given: &Given) -> Result<JobOptions, String> {
    let mut choice = given.options.clone();
    for name in OptionName::ALL.into_iter().filter(|name| !given.has(*name)) {
        let variables = name.variables();
        let variable = match command {
            Command::Srun => variables.srun,
            Command::Sbatch => variables.sbatch,
            Command::Salloc => variables.salloc,
        };
        if let Some(text) = process.variable(variable).filter(|text| !text.is_empty()) {
            set(&mut choice, name, &text, process.directory().as_deref())
                .map_err(|reason| format!("{PREFIX} {variable}: {reason}"))?;
        }
    }
    match choice.without_image() {
        Some(name) => Err(format!(
            "{PREFIX} --{} is about a container image, and none was chosen: add --{}",
            name.long(),
            OptionName::Image.long()
        )),
        None => Ok(choice),
    }
}

/// Sends what bootsrv needs of the user's files, and asks its opinion; also the features to prefer.
fn settle(
    choice: JobOptions,
    process: &dyn Process,
    given: &Given,
) -> Result<(JobOptions, Vec<String>), String> {
    if choice == JobOptions::default() {
        return Ok((choice, Vec::new()));
    }
    bootsrv::check(choice, process, given)
}

/// sbatch reads its script, from the terminal if need be, before it reads plugin options. So its
/// command line is looked at first, up to the script: what stands behind it is the script's.
pub(crate) fn list_asked_for(command: Command, arguments: &[String]) -> Option<OptionName> {
    if command != Command::Sbatch {
        return None;
    }
    let is_script = |argument: &str| !argument.starts_with('-') && Path::new(argument).is_file();
    let mut options = arguments
        .iter()
        .skip(1)
        .map(String::as_str)
        .take_while(|argument| *argument != "--" && !is_script(argument))
        .peekable();
    while let Some(argument) = options.next() {
        let Some(long) = argument.strip_prefix("--bmc-") else { continue };
        let (long, value) = match long.split_once('=') {
            Some((long, value)) => (long, Some(value)),
            None => (long, options.peek().copied()),
        };
        let name = OptionName::ALL
            .into_iter()
            .find(|name| name.long().get(4..) == Some(long) && bootsrv::has_list(*name));
        if name.is_some() && value.is_some_and(asks_for_list) {
            return name;
        }
    }
    None
}
