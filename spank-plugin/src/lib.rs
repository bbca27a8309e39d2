//! The SPANK plugin: `--bmc-kernel`, `--bmc-image` and their kin in srun, sbatch and salloc, and on
//! the node the way of each task into its application image.
//!
//! Only sends each of Slurm's moments to the file of its context, because each context is another
//! process with other rights: a call that is right in one drains a node in another. Everything
//! decided here is decided again by prolog and bootsrv: what a user's process says is untrusted.

mod bootsrv;
mod context;
mod enter;
#[cfg(not(test))]
mod ffi;
mod launch;
mod launcher;
mod options;
#[cfg(test)]
mod outside_tests;
mod prefer;
#[cfg(not(test))]
mod slurm_options;
mod step;
mod submit;
mod task;
#[cfg(test)]
mod tests;

use context::{After, Command, Context, Job, Process, Source};
use enter::Entry;
use options::Given;
use protocol::job_options::{OptionName, asks_for_list};
use std::path::Path;

/// `slurm_spank_init`: before any option is read. Says whether the options are to be registered.
fn init(
    context: Context,
    arguments: &[&str],
    process: &dyn Process,
    given: &mut Given,
) -> (bool, After) {
    *given = Given::default();
    let arguments = options::plugstack(arguments).map(|path| given.config = path);
    match (context, arguments) {
        (Context::Client(_), Err(text)) => (false, After::Refuse(text)),
        (Context::Client(command), Ok(())) => {
            step::forget_inherited(process);
            let list = submit::list_asked_for(command, &process.arguments());
            list.map_or((true, After::Continue), |name| {
                (false, bootsrv::print_choices(name, process, given))
            })
        }
        // An error here would drain the node.
        (Context::Remote, _) => (true, After::Continue),
        (Context::Other, _) => (false, After::Continue),
    }
}

/// The option callback; may come several times for one option, the last one counts.
fn option(
    name: OptionName,
    text: &str,
    source: Source,
    process: &dyn Process,
    given: &mut Given,
) -> After {
    if source == Source::ComponentBefore {
        return After::Continue;
    }
    if source == Source::Typed && bootsrv::has_list(name) && asks_for_list(text) {
        return bootsrv::print_choices(name, process, given);
    }
    let directory = if source == Source::Typed { process.directory() } else { None };
    let taken = given.take(name, text, directory.as_deref());
    if name == OptionName::Image {
        given.unreadable_image = taken.is_err().then(|| text.to_owned());
    }
    match taken {
        Err(sentence) if source == Source::Typed => After::Refuse(sentence),
        _ => After::Continue,
    }
}

/// `slurm_spank_init_post_opt`: all options are read, nothing is submitted yet. It comes once for
/// each component of a heterogeneous job, and each component chooses for itself.
fn post_option(context: Context, process: &dyn Process, job: &dyn Job, given: &mut Given) -> After {
    let Context::Client(command) = context else { return After::Continue };
    let after = match command {
        Command::Srun if step::inside_job(process) => step::check(process, given),
        Command::Srun | Command::Sbatch | Command::Salloc => {
            submit::submit(command, process, job, given)
        }
    };
    given.next_component();
    after
}

/// `slurm_spank_user_init`: on the node, before the tasks start.
fn user_init(context: Context, process: &dyn Process, job: &dyn Job, given: &Given) -> After {
    if context == Context::Remote {
        launch::tell_tasks(process, job, given);
    }
    After::Continue
}

/// `slurm_spank_task_init_privileged`: on the node, in the task's own process, as root.
fn task_init_privileged(context: Context, job: &dyn Job, node_root: &Path, given: &mut Given) {
    if context == Context::Remote {
        // What stands if the rest does not come to its end.
        given.entry = Entry::Failed(format!("{} the task's start was cut off", options::PREFIX));
        given.entry = enter::enter(node_root, given, &launch::TaskOfJob(job));
    }
}

/// `slurm_spank_task_init`: in the same process, as the user, its standard streams in place.
fn task_init(context: Context, process: &dyn Process, job: &dyn Job, given: &Given) -> After {
    match &given.entry {
        Entry::Inside { application, directory } if context == Context::Remote => {
            match task::arrive(application, directory.as_deref(), process, job) {
                Ok(()) => After::Continue,
                Err(sentence) => After::EndTask(sentence),
            }
        }
        Entry::Failed(sentence) if context == Context::Remote => After::EndTask(sentence.clone()),
        Entry::Unknown if context == Context::Remote => After::EndTask(format!(
            "{} Slurm did not let spank_bmc.so look for the job's image",
            options::PREFIX
        )),
        Entry::Unknown | Entry::None | Entry::Inside { .. } | Entry::Failed(_) => After::Continue,
    }
}
