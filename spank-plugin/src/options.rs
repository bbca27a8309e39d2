//! The two options: name, placeholder, help text, environment forms; and the plugstack option.
//! Parses what was given and keeps it; decides nothing about it.

use protocol::job_env::{
    HOOK_IMAGE, HOOK_KERNEL, INPUT_IMAGE, INPUT_KERNEL, InputNames, JOB_IMAGE, JOB_KERNEL,
};
use protocol::job_options::{JobOptions, parse_image, parse_kernel};
use std::path::PathBuf;

/// Before everything this plugin says to a user.
pub(crate) const PREFIX: &str = "[bare-metal container]";

/// One of the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionName {
    Kernel,
    Image,
}

impl OptionName {
    pub(crate) const ALL: [Self; 2] = [Self::Kernel, Self::Image];

    /// Without the two hyphens.
    pub(crate) fn long(self) -> &'static str {
        match self {
            Self::Kernel => "bmc-kernel",
            Self::Image => "bmc-image",
        }
    }

    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::Kernel => {
                "[bare-metal container] boot the job's nodes with this kernel of the site's hub \
                 (--bmc-kernel=help lists them)"
            }
            Self::Image => {
                "[bare-metal container] boot the job's nodes into this image of the site's \
                 catalog (--bmc-image=help lists them)"
            }
        }
    }

    pub(crate) fn input(self) -> InputNames {
        match self {
            Self::Kernel => INPUT_KERNEL,
            Self::Image => INPUT_IMAGE,
        }
    }

    /// What the job sees.
    pub(crate) fn job_variable(self) -> &'static str {
        match self {
            Self::Kernel => JOB_KERNEL,
            Self::Image => JOB_IMAGE,
        }
    }

    /// What `spank_job_control_setenv` is given: Slurm puts `SPANK_` before it.
    pub(crate) fn hook_variable(self) -> &'static str {
        let name = match self {
            Self::Kernel => HOOK_KERNEL,
            Self::Image => HOOK_IMAGE,
        };
        name.strip_prefix("SPANK_").unwrap_or(name)
    }
}

/// What was given so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// `config=` of plugstack.conf.
    pub(crate) config: Option<PathBuf>,
    /// From the command line, a `#SBATCH` line, or on the node from the job.
    pub(crate) options: JobOptions,
    /// Whether these are the options of a heterogeneous job's second component or a later one.
    pub(crate) follows_component: bool,
}

impl Given {
    /// Takes an option's value; the sentence says what is wrong with it.
    pub(crate) fn take(&mut self, name: OptionName, text: &str) -> Result<(), String> {
        parse_into(&mut self.options, name, text)
            .map_err(|reason| format!("{PREFIX} --{}: {reason}", name.long()))
    }

    /// What comes from now on belongs to the next component of a heterogeneous job.
    pub(crate) fn next_component(&mut self) {
        self.options = JobOptions::default();
        self.follows_component = true;
    }
}

/// Parses one value into its place.
pub(crate) fn parse_into(
    options: &mut JobOptions,
    name: OptionName,
    text: &str,
) -> Result<(), String> {
    match name {
        OptionName::Kernel => parse_kernel(text).map(|kernel| options.kernel = Some(kernel)),
        OptionName::Image => parse_image(text).map(|image| options.image = Some(image)),
    }
    .map_err(|reason| reason.to_string())
}

/// The value an option has, as text.
pub(crate) fn value(options: &JobOptions, name: OptionName) -> Option<&str> {
    match name {
        OptionName::Kernel => options.kernel.as_ref().map(|kernel| kernel.as_str()),
        OptionName::Image => options.image.as_ref().map(|image| image.as_str()),
    }
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
