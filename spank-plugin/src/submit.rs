//! sbatch, salloc and srun outside a job: check the choice and hand it on. The user's process.

use crate::bootsrv;
use crate::context::{After, Command, Job, Process};
use crate::options::{Given, OptionName, PREFIX, parse_into, value};
use protocol::job_options::{JobOptions, asks_for_list};
use std::path::Path;

/// No option and no environment form: returns at once, without a look at any file.
pub(crate) fn submit(
    command: Command,
    process: &dyn Process,
    job: &dyn Job,
    given: &Given,
) -> After {
    let choice = match choose(command, process, given) {
        Ok(choice) => choice,
        Err(sentence) => return After::Refuse(sentence),
    };
    if choice != JobOptions::default()
        && let Err(sentence) = bootsrv::check(&choice, process, given)
    {
        return After::Refuse(sentence);
    }
    for name in OptionName::ALL {
        let chosen = value(&choice, name);
        // The job inherits this process's environment. A value that this process has itself
        // inherited from a job around it would be a lie there.
        if chosen.is_some() || process.variable(name.job_variable()).is_some() {
            process.set_variable(name.job_variable(), chosen);
        }
        // Slurm would give a component what the one before it has chosen.
        if (chosen.is_some() || given.follows_component)
            && let Err(reason) = job.set_for_hooks(name.hook_variable(), chosen)
        {
            return After::Refuse(format!("{PREFIX} --{}: {reason}", name.long()));
        }
    }
    After::Continue
}

/// The command line and `#SBATCH` lines (in the order Slurm gives them) over the environment.
fn choose(command: Command, process: &dyn Process, given: &Given) -> Result<JobOptions, String> {
    let mut choice = given.options.clone();
    for name in OptionName::ALL {
        let variable = match command {
            Command::Srun => name.input().srun,
            Command::Sbatch => name.input().sbatch,
            Command::Salloc => name.input().salloc,
        };
        if value(&choice, name).is_none()
            && let Some(text) = process.variable(variable).filter(|text| !text.is_empty())
        {
            parse_into(&mut choice, name, &text)
                .map_err(|reason| format!("{PREFIX} {variable}: {reason}"))?;
        }
    }
    Ok(choice)
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
        let name = OptionName::ALL.into_iter().find(|name| name.long().get(4..) == Some(long));
        if name.is_some() && value.is_some_and(asks_for_list) {
            return name;
        }
    }
    None
}
