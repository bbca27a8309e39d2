//! The options: help text, what was given, and the plugstack option. Completes paths from the
//! current directory, parses, keeps; decides nothing.

use crate::enter::Entry;
use bootsrv_client::absolute_reference;
use protocol::application::BindMount;
use protocol::job_options::{JobOptions, OptionName};
use std::path::{Component, Path, PathBuf};

/// Before everything this plugin says to a user.
pub(crate) const PREFIX: &str = "[bare-metal container]";

/// What `--help` says of an option.
pub(crate) struct Help {
    /// In place of the value.
    pub(crate) placeholder: &'static std::ffi::CStr,
    /// The value may be left out.
    pub(crate) optional: bool,
    pub(crate) text: &'static str,
}

pub(crate) fn help(name: OptionName) -> Help {
    let help = |placeholder, text| Help { placeholder, optional: false, text };
    match name {
        OptionName::Kernel => help(
            c"NAME",
            "[bare-metal container] boot the job's nodes with this kernel of the site's hub \
             (--bmc-kernel=help lists them)",
        ),
        OptionName::Image => help(
            c"IMAGE",
            "[bare-metal container] run the job's tasks in this container image (docker://, oci:, \
             oci-archive:, docker-archive:, sif:, squashfs:, dir:), or take an image of the site's \
             catalog (--bmc-image=help lists them)",
        ),
        OptionName::NodeImage => help(
            c"NAME",
            "[bare-metal container] boot the nodes below a container image into this image of the \
             site's catalog (--bmc-node-image=help lists them)",
        ),
        OptionName::Root => help(
            c"ram|nfs",
            "[bare-metal container] copy the container image into the nodes' memory, or read it \
             from a server",
        ),
        OptionName::Mounts => help(
            c"SRC:DST[:ro],...",
            "[bare-metal container] directories and files of the nodes inside the container image",
        ),
        OptionName::Entrypoint => Help {
            placeholder: c"yes|no",
            optional: true,
            text: "[bare-metal container] put the container image's entry point before the command",
        },
    }
}

/// What was given so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// `config=` of plugstack.conf.
    pub(crate) config: Option<PathBuf>,
    /// From the command line, a `#SBATCH` line, or on the node from the job.
    pub(crate) options: JobOptions,
    /// On the node: an image that this plugin cannot read, although the one that submitted the job could.
    pub(crate) unreadable_image: Option<String>,
    /// `--bmc-entrypoint=no` was given: the environment form does not count then.
    pub(crate) no_entrypoint: bool,
    /// Whether these are the options of a heterogeneous job's second component or a later one.
    pub(crate) follows_component: bool,
    /// What the job, or its component before, was made to prefer.
    pub(crate) preferred: Option<String>,
    /// In a task's own process on the node: how its way into the image went.
    pub(crate) entry: Entry,
}

impl Given {
    /// Takes an option's value; the sentence says what is wrong with it.
    pub(crate) fn take(
        &mut self,
        name: OptionName,
        text: &str,
        directory: Option<&Path>,
    ) -> Result<(), String> {
        set(&mut self.options, name, text, directory)
            .map_err(|reason| format!("{PREFIX} --{}: {reason}", name.long()))?;
        if name == OptionName::Entrypoint {
            self.no_entrypoint = !self.options.entrypoint;
        }
        Ok(())
    }

    /// The image, readable or not.
    pub(crate) fn image(&self) -> Option<String> {
        self.unreadable_image.clone().or_else(|| self.options.text(OptionName::Image))
    }

    /// Whether the option was given at all.
    pub(crate) fn has(&self, name: OptionName) -> bool {
        self.options.text(name).is_some() || (name == OptionName::Entrypoint && self.no_entrypoint)
    }

    /// What comes from now on belongs to the next component of a heterogeneous job.
    pub(crate) fn next_component(&mut self) {
        self.options = JobOptions::default();
        self.no_entrypoint = false;
        self.follows_component = true;
    }
}

/// Takes one value; `directory`: where relative paths begin, none on the node.
pub(crate) fn set(
    options: &mut JobOptions,
    name: OptionName,
    text: &str,
    directory: Option<&Path>,
) -> Result<(), String> {
    let whole = match (name, directory) {
        (OptionName::Image, Some(directory)) => absolute_reference(text, directory)?,
        (OptionName::Mounts, Some(directory)) => absolute_mounts(text, directory),
        _ => text.to_owned(),
    };
    options.set(name, &whole).map_err(|reason| reason.to_string())
}

/// A mount's source is a path of the node: it need not exist here, and is completed as written.
fn absolute_mounts(text: &str, directory: &Path) -> String {
    let complete = |mount: &str| {
        let (source, rest) = mount.split_once(':').map_or((mount, None), |(a, b)| (a, Some(b)));
        if source.is_empty() || (source.starts_with('/') && mount.parse::<BindMount>().is_ok()) {
            return mount.to_owned();
        }
        let source = without_dots(&directory.join(source));
        rest.map_or_else(|| source.clone(), |rest| format!("{source}:{rest}"))
    };
    text.split(',').map(complete).collect::<Vec<_>>().join(",")
}

fn without_dots(path: &Path) -> String {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(component),
        }
    }
    out.display().to_string()
}

/// The plugin's arguments in plugstack.conf.
pub(crate) fn plugstack(arguments: &[&str]) -> Result<Option<PathBuf>, String> {
    let mut config = None;
    for argument in arguments {
        match argument.split_once('=') {
            Some(("config", path)) if path.starts_with('/') => config = Some(PathBuf::from(path)),
            _ => {
                return Err(format!(
                    "{PREFIX} plugstack.conf: {argument:?} is not an option of spank_bmc.so; it \
                     has config=/absolute/path/client.toml only"
                ));
            }
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_begin_where_the_command_is_typed() {
        let folder = tempfile::tempdir().unwrap();
        let here = std::fs::canonicalize(folder.path()).unwrap();
        std::fs::create_dir(here.join("sub")).unwrap();
        std::fs::write(here.join("x.sif"), "").unwrap();
        let shown = |text: &str, directory: &Path| {
            let mut options = JobOptions::default();
            set(&mut options, OptionName::Image, text, Some(directory)).map(|()| {
                options.text(OptionName::Image).unwrap().replace(here.to_str().unwrap(), "HERE")
            })
        };
        assert_eq!(shown("sif:x.sif", &here).unwrap(), "sif:HERE/x.sif");
        assert_eq!(shown("sif:../x.sif", &here.join("sub")).unwrap(), "sif:HERE/x.sif");
        assert_eq!(shown("oci:sub:v1", &here).unwrap(), "oci:HERE/sub:v1");
        assert_eq!(
            shown("docker://ubuntu", &here).unwrap(),
            "docker://docker.io/library/ubuntu:latest"
        );
        assert!(shown("sif:y.sif", &here).unwrap_err().contains("sif:y.sif cannot be found"));
        assert!(shown("sif:", &here).is_err());
    }

    #[test]
    fn mounts_begin_where_the_command_is_typed() {
        for (typed, whole) in [
            ("data:/data:ro,/a", "/w/x/data:/data:ro,/a:/a"),
            ("../d", "/w/d:/w/d"),
            (".:/here", "/w/x:/here"),
        ] {
            let mut options = JobOptions::default();
            set(&mut options, OptionName::Mounts, typed, Some(Path::new("/w/x"))).unwrap();
            assert_eq!(options.text(OptionName::Mounts).as_deref(), Some(whole));
        }
    }
}
