//! The words of `bmc kernel` and `bmc image`.

use super::Json;
use clap::{Args, Subcommand};
use protocol::names::{ImageName, KernelName};
use std::path::PathBuf;

/// `bmc kernel`.
#[derive(Debug, Subcommand)]
pub(crate) enum KernelVerb {
    /// List kernels and profiles
    List(Json),
    /// Show one with its arguments and settings
    #[command(after_help = "Example:\n  bmc kernel show thp-off")]
    Show {
        /// Kernel or profile
        name: KernelName,
        #[command(flatten)]
        json: Json,
    },
    /// Import a kernel, from a Debian package or from its parts (administrators)
    #[command(after_help = "\
Examples:
  bmc kernel import 6.1-cloud linux-image-6.1.0-38-cloud-amd64_6.1.147-1_amd64.deb
  bmc kernel import 6.12-rt --vmlinuz arch/x86/boot/bzImage --modules /tmp/out/lib/modules/6.12.5-rt3

The directory of --modules is named as `uname -r` will print it, as `make modules_install` names it.")]
    Import(KernelImport),
    /// Remove a kernel that no job uses (administrators)
    #[command(after_help = "Example:\n  bmc kernel rm 6.1-old")]
    Rm {
        /// Kernel
        name: KernelName,
    },
}

/// `bmc kernel import`.
#[derive(Debug, Args)]
pub(crate) struct KernelImport {
    /// What users will type
    pub(crate) name: KernelName,
    /// A linux-image package
    #[arg(value_name = "FILE.deb", required_unless_present = "vmlinuz", conflicts_with_all = ["vmlinuz", "modules"])]
    pub(crate) package: Option<PathBuf>,
    /// A kernel that does not come as a package
    #[arg(long, value_name = "FILE", requires = "modules")]
    pub(crate) vmlinuz: Option<PathBuf>,
    /// The tree of its modules
    #[arg(long, value_name = "DIR", requires = "vmlinuz")]
    pub(crate) modules: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// `bmc image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// List the images
    List(Json),
    /// Show one
    #[command(after_help = "Example:\n  bmc image show debian12")]
    Show {
        /// Image
        name: ImageName,
        #[command(flatten)]
        json: Json,
    },
    /// Build a Debian image with slurmd, munge and the plugin, and import it (administrators)
    Build(ImageBuild),
    /// Import a root file system with slurmd in it (administrators)
    #[command(after_help = "\
Examples:
  bmc image import debian12 debian12.tar
  bmc image import rocky9 /srv/roots/rocky9     as root: every file must be readable

An archive is a tar of the root directory with owners and extended attributes; gzip, xz or zstd may
have compressed it. It is taken as it is: `bmc image build --from` adds the plugin.")]
    Import {
        /// What users will type
        name: ImageName,
        /// The archive, or the root directory itself
        #[arg(value_name = "TAR|DIR")]
        root: PathBuf,
        #[command(flatten)]
        json: Json,
    },
    /// Remove an image that no job uses (administrators)
    #[command(after_help = "Example:\n  bmc image rm debian11")]
    Rm {
        /// Image
        name: ImageName,
    },
}

/// `bmc image build`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bmc image build debian12                         packages, plugin, import: about a minute
  bmc image build debian12 --package openmpi-bin --output debian12.tar
  bmc image build debian12 --from debian12.tar     after an update of the plugin: some seconds
  bmc image build --suite trixie --plugin ./spank_bmc.so --output debian13.tar

With NAME the image is imported, with --output it is kept as a tar; both may be given. Keep the tar:
with --from it gets the plugin as it is now, without its packages being fetched again.

The plugin must be built for the image's Slurm: Debian's bookworm has 22.05, trixie has 24.11. Without
--plugin it is the spank_bmc.so where this machine's Slurm looks for plugins.
It needs mmdebstrap, and root or user namespaces; --from needs neither.")]
pub(crate) struct ImageBuild {
    /// Import it under this name
    #[arg(required_unless_present = "output")]
    pub(crate) name: Option<ImageName>,
    /// Debian's suite; its slurmd must not be newer than slurmctld
    #[arg(long, default_value = "bookworm")]
    pub(crate) suite: String,
    /// Where the packages come from
    #[arg(long, value_name = "URL", default_value = "http://deb.debian.org/debian")]
    pub(crate) mirror: String,
    /// A package to add; may be given more than once
    #[arg(long = "package", value_name = "PACKAGE")]
    pub(crate) packages: Vec<String>,
    /// Begin with this archive instead of packages
    #[arg(long, value_name = "TAR", conflicts_with_all = ["suite", "mirror", "packages"])]
    pub(crate) from: Option<PathBuf>,
    /// The plugin for jobs' steps
    #[arg(long, value_name = "FILE", conflicts_with = "no_plugin")]
    pub(crate) plugin: Option<PathBuf>,
    /// Leave the plugin out: steps with --export=NONE then lack BMC_KERNEL
    #[arg(long, conflicts_with = "from")]
    pub(crate) no_plugin: bool,
    /// Keep the image as a tar
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}
