//! slurmstepd on the node, in the process of one task, as root: enters the job's application image.
//! The last thing done with privileges before slurmstepd drops them (22.05:
//! `container_g_join`, this, `setresuid`, standard streams, `slurm_spank_task_init`, TaskProlog, exec).
//!
//! After `setns` nothing here looks up a name, loads a library or opens a file: the image's files are
//! the user's, and must not be read into a process of root.
//! Cannot fail here: the task is not known to slurmstepd yet, and its end now would end the step and
//! drain the node. So a failure is kept, and `slurm_spank_task_init` ends the task with it.

use crate::options::{Given, PREFIX};
use protocol::application::{NODE_FILE, NODE_NAMESPACE, NodeApplication};
use protocol::image_reference::ImageChoice;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_no_new_privs};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Longest `application.json`, in bytes: an image configuration with all of its variables fits.
const NODE_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What became of a task's way in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The job has no application image.
    #[default]
    None,
    /// The task is inside.
    Inside {
        application: NodeApplication,
        /// Where it was before; none if that was gone.
        directory: Option<PathBuf>,
    },
    /// It must not run.
    Failed(String),
}

/// The task's job, as slurmstepd has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskOf {
    /// A task of an array and a component of a heterogeneous job have an id of their own.
    pub(crate) job: u32,
    pub(crate) uid: u32,
}

/// Enters, if there is something to enter. `task` is asked only then.
pub(crate) fn enter(
    node_directory: &Path,
    given: &Given,
    task: impl FnOnce() -> Result<TaskOf, String>,
) -> Entry {
    match read(node_directory) {
        Ok(None) if matches!(given.options.image, Some(ImageChoice::Reference(_))) => {
            Entry::Failed(format!(
                "{PREFIX} the job has a container image, and this node was not given it"
            ))
        }
        Ok(None) => Entry::None,
        Ok(Some((application, namespace))) => {
            let directory = std::env::current_dir().ok();
            let entered = task()
                .and_then(|task| is_for(&application, task))
                .and_then(|()| set_name_space(&namespace));
            match entered {
                Ok(()) => Entry::Inside { application, directory },
                Err(reason) => {
                    let reference = application.reference;
                    Entry::Failed(format!("{PREFIX} cannot enter {reference}: {reason}"))
                }
            }
        }
        Err(reason) => {
            Entry::Failed(format!("{PREFIX} cannot enter the job's container image: {reason}"))
        }
    }
}

/// What the agent has left, if it has. One failing `open` where it has not.
fn read(node_directory: &Path) -> Result<Option<(NodeApplication, OwnedFd)>, String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let failed =
        |name: &str, error: Errno| format!("{}: {error}", node_directory.join(name).display());
    let directory = match open(node_directory, flags | OFlags::DIRECTORY, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed("", error)),
    };
    let file = match openat(&directory, NODE_FILE, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(failed(NODE_FILE, error)),
    };
    check_owner(&directory, FileType::Directory)?;
    check_owner(&file, FileType::RegularFile)?;
    let mut bytes = Vec::new();
    File::from(file)
        .take(NODE_FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("{NODE_FILE}: {error}"))?;
    let application =
        serde_json::from_slice(&bytes).map_err(|error| format!("{NODE_FILE}: {error}"))?;
    let namespace = openat(&directory, NODE_NAMESPACE, flags, Mode::empty())
        .map_err(|error| failed(NODE_NAMESPACE, error))?;
    Ok(Some((application, namespace)))
}

/// What root is to believe, only root may have written.
fn check_owner(file: &OwnedFd, wanted: FileType) -> Result<(), String> {
    let stat = fstat(file).map_err(|error| error.to_string())?;
    let writable_by_others = stat.st_mode & 0o022 != 0;
    if stat.st_uid != 0 || writable_by_others || FileType::from_raw_mode(stat.st_mode) != wanted {
        return Err("what the node agent left for it is not root's alone".to_owned());
    }
    Ok(())
}

fn is_for(application: &NodeApplication, task: TaskOf) -> Result<(), String> {
    if application.job.0 != task.job {
        return Err(format!("it is job {}'s, and this is job {}", application.job, task.job));
    }
    if application.uid != task.uid {
        return Err(format!("it is user {}'s, and this is user {}", application.uid, task.uid));
    }
    Ok(())
}

fn set_name_space(namespace: &OwnedFd) -> Result<(), String> {
    let failed = |what: &str, error: Errno| format!("{what}: {error}");
    // First: a task that is inside has it, whatever happens in between.
    set_no_new_privs(true).map_err(|error| failed("no_new_privs", error))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
        .map_err(|error| failed("setns", error))
}

#[cfg(test)]
#[path = "enter_tests.rs"]
mod tests;
