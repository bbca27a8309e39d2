//! The words of `bmc kernel` and `bmc image`.

use super::Json;
use clap::{Args, Subcommand};
use protocol::names::{Digest, ImageName, InvalidName, KernelName};
use std::path::PathBuf;
use std::str::FromStr;

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
#[command(after_help = "\
Two kinds: nodes boot a node image (init, slurmd); jobs enter an application image. Names of the
catalog can be of either kind; whatever jobs ask for beside them is prepared once for all nodes.")]
pub(crate) enum ImageVerb {
    /// List the names of the catalog, and the images that are prepared
    List(Json),
    /// Show one with its layers and who uses it
    #[command(after_help = "\
Examples:
  bmc image show debian12
  bmc image show docker://debian:12       as it is prepared now; a digest does too")]
    Show {
        /// Name, reference or digest
        #[arg(value_name = "NAME|REFERENCE|DIGEST")]
        image: ImageArg,
        #[command(flatten)]
        json: Json,
    },
    /// Prepare an application image before a job asks for it
    #[command(after_help = "\
Examples:
  bmc image pull docker://ubuntu:24.04
  bmc image pull sif:tools.sif
  bmc image pull --cancel docker://ubuntu:24.04

A registry is asked with your login in ~/.docker/config.json. Ctrl-C stops the watching, not the
pull; that goes on for a day at most.")]
    Pull {
        /// docker://…, oci:, oci-archive:, docker-archive:, sif:, squashfs: or dir:
        reference: String,
        /// End a pull of yours that is under way; jobs that wait for the image get it all the same
        #[arg(long)]
        cancel: bool,
        #[command(flatten)]
        json: Json,
    },
    /// Build a Debian image with slurmd, munge and the plugin, and import it (administrators)
    Build(ImageBuild),
    /// Give an image a name of the catalog (administrators)
    #[command(after_help = "\
Examples:
  bmc image import debian12 debian12.tar
  bmc image import rocky9 /srv/roots/rocky9     as root: every file must be readable
  bmc image import rocky9 docker://registry.example.org/nodes/rocky:9 --kind node
  bmc image import tools docker://registry.example.org/tools:2.1

An archive is a tar of the root directory with owners and extended attributes; gzip, xz or zstd may
have compressed it. It is a node image and taken as it is: `bmc image build --from` adds the plugin.
A reference is pulled first, and is an application image unless --kind says otherwise; a node image
must have an init and slurmd.")]
    Import(ImageImportArgs),
    /// Remove a name, or a prepared image, that no job uses (administrators)
    #[command(after_help = "\
Examples:
  bmc image rm debian11
  bmc image rm docker://debian:11")]
    Rm {
        /// Name, reference or digest
        #[arg(value_name = "NAME|REFERENCE|DIGEST")]
        image: ImageArg,
    },
    /// Remove prepared images that nobody has used for long (administrators)
    #[command(after_help = "\
Examples:
  bmc image gc --dry-run            what the site's limits would remove now
  bmc image gc --older-than 7       what was not used for a week

The boot server does it by itself once an hour. Images that a job or a name of the catalog uses
stay.")]
    Gc {
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
        /// Not used for so many days; the site's limits if not given
        #[arg(long, value_name = "DAYS")]
        older_than: Option<u32>,
        #[command(flatten)]
        json: Json,
    },
}

/// `bmc image import`.
#[derive(Debug, Args)]
pub(crate) struct ImageImportArgs {
    /// What users will type
    pub(crate) name: ImageName,
    /// The archive, the root directory, or a reference as --bmc-image takes it
    #[arg(value_name = "TAR|DIR|REFERENCE")]
    pub(crate) image: String,
    /// What it is for; an archive or a directory is a node image
    #[arg(long)]
    pub(crate) kind: Option<KindWord>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// The words of `--kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KindWord {
    /// Nodes boot it
    Node,
    /// Jobs enter it
    Application,
}

/// What names an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImageArg {
    /// A name of the catalog.
    Name(ImageName),
    /// What it is kept by.
    Digest(Digest),
    /// A reference, as it was typed.
    Reference(String),
}

impl FromStr for ImageArg {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if let Ok(digest) = text.strip_prefix("sha256:").unwrap_or(text).parse() {
            return Ok(Self::Digest(digest));
        }
        if text.contains([':', '/']) {
            return Ok(Self::Reference(text.to_owned()));
        }
        text.parse().map(Self::Name)
    }
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
