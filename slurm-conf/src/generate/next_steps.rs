//! What an admin does with the files, in order.

use super::FRAGMENT;
use super::slurm::prefers;
use crate::site::Site;
use std::path::Path;

/// Whole sentences and commands, numbered, to be printed after the files were written to `output`.
#[must_use]
pub fn next_steps(site: &Site, output: &Path, full: bool) -> String {
    let conf = site.slurm.conf.display();
    let directory = site.slurm.conf.parent().unwrap_or_else(|| Path::new("/etc/slurm")).display();
    let output = output.display();
    let slurm = if full {
        format!("Copy slurm.conf, {FRAGMENT}, plugstack.conf and cgroup.conf to {directory}.")
    } else {
        format!(
            "Copy {FRAGMENT} to {directory} and add the line `Include {FRAGMENT}` to {conf},\n   \
             without a directory in it. Remove from {conf} what the fragment sets too, or merge it.\n   \
             Add the line of plugstack.conf and those of cgroup.conf to the site's files there.{}",
            if prefers(site) {
                "\n   Add ignore_prefer_validation to SchedulerParameters, so that jobs may prefer nodes that\n   \
                 run what they ask for."
            } else {
                ""
            }
        )
    };
    let steps = [
        slurm,
        "Copy bootsrv.toml and client.toml to /etc/bare-metal-container; bootsrv.toml is for the\n   \
         controller host, client.toml for every host where jobs are submitted too."
            .to_owned(),
        format!(
            "Give dnsmasq dnsmasq.conf (for example in /etc/dnsmasq.d) and the interface {} an\n   \
             address in fd77::/64, then restart dnsmasq.",
            site.network.interface
        ),
        format!("Restart slurmctld (power saving is not switched on by a reconfigure), start bootsrv as {}.", site.slurm.user),
        "Import a kernel and a node image: see `bmc kernel import --help`, `bmc image import --help`."
            .to_owned(),
        format!("bmc node import {output}/nodes.toml"),
        "slurm-conf check.".to_owned(),
    ];
    let numbered = (1..).zip(steps).map(|(number, step)| format!("{number}. {step}\n"));
    format!("What is left to do:\n{}", numbered.collect::<String>())
}
