//! slurmstepd on the node, in the process of one task, as root: enters the job's application image.
//! The last thing done with privileges before slurmstepd drops them (22.05:
//! `container_g_join`, this, `setresuid`, standard streams, `slurm_spank_task_init`, TaskProlog, exec).
//!
//! After `setns` nothing here looks up a name, loads a library or opens a file: the image's files are
//! the user's, and must not be read into a process of root.
//! Cannot fail here: the task is not known to slurmstepd yet, and its end now would end the step and
//! drain the node. So a failure is kept, and `slurm_spank_task_init` ends the task with it.

use crate::options::{Given, PREFIX};
use protocol::application::{
    NODE_DIRECTORY, NODE_FILE, NODE_FILE_BYTES_MAX, NODE_NAMESPACE, NODE_NO_IMAGE_FILE,
    NodeApplication,
};
use protocol::image_reference::ImageChoice;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, open, openat, statat};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_no_new_privs};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What became of a task's way in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nobody has looked.
    #[default]
    Unknown,
    /// The job has no application image.
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

/// What the node agent has left.
enum Left {
    /// Nothing: the node is not one that bootsrv has booted.
    Nothing,
    /// bootsrv says that there is nothing to enter.
    NoImage,
    Image(NodeApplication, OwnedFd),
}

/// What enters, as slurmstepd knows it.
pub(crate) trait Task {
    /// Only asked if there is something to enter.
    fn of(&self) -> Result<TaskOf, String>;
    /// Whether the job is heterogeneous: srun hands what was typed for one component to all.
    fn is_component(&self) -> bool;
    /// The image that the task's environment names. It can be left over, or another component's.
    fn image_of_variables(&self) -> Option<String>;
}

/// Enters, if there is something to enter. What bootsrv says, on the node, comes first: a step need not
/// know what its job has chosen. Then what was typed; where bootsrv says nothing also the environment.
/// `node_root`: the node's root as its first process has it.
pub(crate) fn enter(node_root: &Path, given: &Given, task: &dyn Task) -> Entry {
    match read(&node_root.join(NODE_DIRECTORY.trim_start_matches('/'))) {
        // A name of the catalog is a node image's then: bootsrv tells the node of all others.
        Ok(Left::NoImage) => {
            let typed = given.image().filter(|image| !is_name(image) && !task.is_component());
            outside(typed, "was booted without it")
        }
        Ok(Left::Nothing) => {
            let image = given.image().or_else(|| task.image_of_variables());
            outside(image, "was not given it")
        }
        Ok(Left::Image(application, namespace)) => {
            let directory = std::env::current_dir().ok();
            let entered = task
                .of()
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

fn outside(image: Option<String>, why: &str) -> Entry {
    image.map_or(Entry::None, |image| {
        Entry::Failed(format!("{PREFIX} the job has the image {image}, and this node {why}"))
    })
}

fn is_name(image: &str) -> bool {
    matches!(image.parse(), Ok(ImageChoice::Catalog(_)))
}

/// One failing `open` where the agent has left nothing.
fn read(node_directory: &Path) -> Result<Left, String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let failed =
        |name: &str, error: Errno| format!("{}: {error}", node_directory.join(name).display());
    let directory = match open(node_directory, flags | OFlags::DIRECTORY, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(Left::Nothing),
        Err(error) => return Err(failed("", error)),
    };
    check_owner(&directory, FileType::Directory)?;
    let file = match openat(&directory, NODE_FILE, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => {
            return match statat(&directory, NODE_NO_IMAGE_FILE, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Ok(Left::NoImage),
                Err(Errno::NOENT) => Ok(Left::Nothing),
                Err(error) => Err(failed(NODE_NO_IMAGE_FILE, error)),
            };
        }
        Err(error) => return Err(failed(NODE_FILE, error)),
    };
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
    Ok(Left::Image(application, namespace))
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
pub(crate) mod tests;
