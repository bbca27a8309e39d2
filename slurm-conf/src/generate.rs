//! A site becomes the files of a partition. Pure: texts in, texts out; `write` puts them on disk.

mod boot_network;
mod next_steps;
mod nodes;
mod programs;
mod slurm;

pub use next_steps::next_steps;

use crate::site::{Site, Timeouts};

/// The fragment's name. It lies beside slurm.conf: slurmctld hands an included file to configless
/// nodes only where `Include` names it without a directory (seen with 22.05: otherwise slurmd on
/// the node waits for a file that never comes).
pub const FRAGMENT: &str = "bare-metal-container.conf";

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Name in the output directory.
    pub name: &'static str,
    /// The whole content.
    pub content: String,
}

/// All files of a site; with `full` a complete slurm.conf too.
#[must_use]
pub fn generate(site: &Site, full: bool) -> Vec<GeneratedFile> {
    let mut files = vec![
        GeneratedFile { name: FRAGMENT, content: slurm::fragment(site) },
        GeneratedFile { name: "plugstack.conf", content: slurm::plugstack(site) },
        GeneratedFile { name: "cgroup.conf", content: slurm::cgroup(site) },
        GeneratedFile { name: "dnsmasq.conf", content: boot_network::dnsmasq(site) },
        GeneratedFile { name: "bootsrv.toml", content: programs::bootsrv(site) },
        GeneratedFile { name: "client.toml", content: programs::client(site) },
        GeneratedFile { name: "nodes.toml", content: nodes::definitions(site) },
    ];
    if full {
        files.insert(0, GeneratedFile { name: "slurm.conf", content: slurm::full(site) });
    }
    files
}

/// First lines of every file.
fn header(site: &Site, what: &str) -> String {
    format!(
        "# {what}\n# Written by slurm-conf from the site file of cluster {}: change that and run it again.\n",
        site.cluster
    )
}

/// The timeouts that follow from the site's, in seconds. Each is longer than the one before, so
/// that the program that knows the reason is the one that gives up first: bootsrv, then Slurm's
/// power saving, then prolog, then slurmctld with prolog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Derived {
    suspend_timeout: u32,
    resume_timeout: u32,
    slurmd_timeout: u32,
    prolog_timeout: u32,
    prolog_epilog_timeout: u32,
}

/// Between one program giving up and the next: a few of slurmctld's and prolog's rounds.
const MARGIN_SECONDS: u32 = 60;

impl Derived {
    fn of(timeouts: &Timeouts) -> Self {
        let boot = timeouts.firmware_seconds + timeouts.boot_seconds + timeouts.register_seconds;
        let resume_timeout = boot + timeouts.power_seconds + MARGIN_SECONDS;
        // A node that stays on is taken over, or else is powered off and on.
        let slurmd_timeout = timeouts.boot_seconds + timeouts.register_seconds + resume_timeout;
        // Nodes boot while their image is prepared.
        let prolog_timeout =
            resume_timeout.max(timeouts.prepare_seconds) + timeouts.image_seconds + MARGIN_SECONDS;
        Self {
            suspend_timeout: timeouts.power_seconds + 30,
            resume_timeout,
            slurmd_timeout,
            prolog_timeout,
            prolog_epilog_timeout: prolog_timeout + MARGIN_SECONDS,
        }
    }
}
