//! Every rule a site file must keep beyond its form. Returns all that is broken, never the first
//! only, so that one run shows an admin all there is to mend.

mod nodes;
mod partitions;
mod power;

use super::{Problem, Server, Site, SlurmVersion};
use crate::application_images as images;
use crate::toml_text::line_of;
use protocol::application::RootMode;
use std::path::Path;

/// Longest host or partition name, bytes.
const NAME_BYTES_MAX: usize = 63;
/// Slurm's longest ResumeTimeout, which all boot limits together must stay below.
const TIMEOUT_SECONDS_MAX: u32 = 65_533;

struct Problems<'a> {
    text: &'a str,
    found: Vec<Problem>,
}

impl Problems<'_> {
    fn add(&mut self, header: &str, index: usize, key: &str, what: impl std::fmt::Display) {
        let line = line_of(self.text, header, index, key);
        self.found.push(Problem { line, text: format!("{key} {what}") });
    }
}

/// All that is wrong with the values of a site; `text` is its file, for line numbers.
pub(super) fn problems(site: &Site, text: &str) -> Vec<Problem> {
    let mut problems = Problems { text, found: Vec::new() };
    slurm(site, &mut problems);
    server(site, &mut problems);
    timeouts(site, &mut problems);
    let names = nodes::ranges(site, &mut problems);
    nodes::duplicates(site, &mut problems);
    partitions::rules(site, &names, &mut problems);
    files(site, &mut problems);
    application_images(site, &mut problems);
    problems.found
}

/// A word that can stand in slurm.conf and in dnsmasq.conf without changing a line's meaning.
fn is_word(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// An absolute path without characters that slurm.conf would take for something else.
fn is_plain_path(path: &Path) -> bool {
    path.is_absolute()
        && path.to_str().is_some_and(|text| {
            !text.split('/').any(|part| part == "..")
                && text
                    .chars()
                    .all(|c| !c.is_whitespace() && !c.is_control() && !"#\"\\=,".contains(c))
        })
}

const WORD: &str = "is not a name of letters, digits, '.', '_' and '-'";
const PATH: &str = "is not an absolute path without spaces, '..' or any of # \" \\ = ,";

fn slurm(site: &Site, problems: &mut Problems<'_>) {
    if !is_word(&site.cluster) {
        problems.add("", 0, "cluster", format_args!("{:?} {WORD}", site.cluster));
    }
    for (key, word) in [("host", &site.slurm.host), ("user", &site.slurm.user)] {
        if !is_word(word) {
            problems.add("[slurm]", 0, key, format_args!("{word:?} {WORD}"));
        }
    }
    if site.slurm.version < SlurmVersion::OLDEST {
        let oldest = SlurmVersion::OLDEST;
        problems.add(
            "[slurm]",
            0,
            "version",
            format_args!("is older than {oldest}, the oldest supported"),
        );
    }
    let paths = [
        ("[slurm]", "conf", Some(&site.slurm.conf)),
        ("[slurm]", "state_dir", Some(&site.slurm.state_dir)),
        ("[slurm]", "log_dir", Some(&site.slurm.log_dir)),
        ("[server]", "state_dir", Some(&site.server.state_dir)),
        ("[server]", "profiles_dir", Some(&site.server.profiles_dir)),
        ("[network]", "tftp_root", site.network.tftp_root.as_ref()),
        ("[programs]", "libexec", Some(&site.programs.libexec)),
        ("[programs]", "scontrol", Some(&site.programs.scontrol)),
        ("[programs]", "site_prolog", site.programs.site_prolog.as_ref()),
        ("[programs]", "site_epilog", site.programs.site_epilog.as_ref()),
    ];
    for (header, key, path) in paths {
        if let Some(path) = path.filter(|path| !is_plain_path(path)) {
            problems.add(header, 0, key, format_args!("{path:?} {PATH}"));
        }
    }
    let plugin = Path::new(&site.programs.plugin);
    if !is_word(&site.programs.plugin) && !is_plain_path(plugin) {
        problems.add("[programs]", 0, "plugin", "is neither a file name nor an absolute path");
    }
}

fn server(site: &Site, problems: &mut Problems<'_>) {
    let provisioning = site.network.provisioning;
    if !provisioning.has_host(site.server.address) {
        let address = site.server.address;
        problems.add(
            "[server]",
            0,
            "address",
            format_args!("{address} is not a host of {provisioning}"),
        );
    }
    if let Some(gateway) = site.network.gateway.filter(|gateway| !provisioning.has_host(*gateway)) {
        problems.add(
            "[network]",
            0,
            "gateway",
            format_args!("{gateway} is not a host of {provisioning}"),
        );
    }
    if !is_word(&site.network.interface) {
        problems.add(
            "[network]",
            0,
            "interface",
            format_args!("{:?} {WORD}", site.network.interface),
        );
    }
    let Server { http_port, https_port, .. } = site.server;
    if http_port == 0 || https_port == 0 || http_port == https_port {
        problems.add("[server]", 0, "https_port", "and http_port are not two different ports");
    }
    if site.server.power_on_per_second == 0 {
        problems.add("[server]", 0, "power_on_per_second", "0 would never power a node on");
    }
    if !site.energy.is_whole() {
        problems.add("[energy]", 0, "price_per_kwh", "and currency go together");
    }
    let bad = |word: &&String| {
        word.is_empty() || word.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    if let Some(word) = site.server.kernel_arguments.iter().find(bad) {
        problems.add("[server]", 0, "kernel_arguments", format_args!("{word:?} is not one word"));
    }
}

fn timeouts(site: &Site, problems: &mut Problems<'_>) {
    let limits = site.timeouts;
    let values = [
        ("firmware_seconds", limits.firmware_seconds),
        ("boot_seconds", limits.boot_seconds),
        ("register_seconds", limits.register_seconds),
        ("power_seconds", limits.power_seconds),
        ("prepare_seconds", limits.prepare_seconds),
        ("image_seconds", limits.image_seconds),
        ("tries_max", limits.tries_max),
    ];
    for (key, _) in values.into_iter().filter(|(_, value)| *value == 0) {
        problems.add("[timeouts]", 0, key, "0 leaves no time at all");
    }
    let sum = values.iter().fold(0_u32, |sum, (_, value)| sum.saturating_add(*value));
    if sum > TIMEOUT_SECONDS_MAX / 2 {
        let half = TIMEOUT_SECONDS_MAX / 2;
        problems.add(
            "[timeouts]",
            0,
            "boot_seconds",
            format_args!(
                "and the others together are over {half} s, too much for Slurm's timeouts"
            ),
        );
    }
}

fn files(site: &Site, problems: &mut Problems<'_>) {
    for (index, file) in site.site_files.iter().enumerate() {
        let mut add = |key: &str, what: &str| problems.add("[[site_file]]", index, key, what);
        if !is_plain_path(Path::new(&file.path)) {
            add("path", PATH);
        }
        if !is_plain_path(&file.source) {
            add("source", PATH);
        }
        let mode = u32::from_str_radix(&file.mode, 8).ok().filter(|mode| *mode <= 0o7777);
        match mode {
            None => add("mode", "is not an octal number like \"0644\""),
            Some(mode) if file.secret && mode & 0o077 != 0 => {
                add("mode", "lets others read a secret: \"0400\" does not");
            }
            Some(_) => {}
        }
    }
    for (index, mount) in site.mounts.iter().enumerate() {
        if !is_plain_path(Path::new(&mount.target)) {
            problems.add("[[mount]]", index, "target", PATH);
        }
    }
}

fn application_images(site: &Site, problems: &mut Problems<'_>) {
    let section = &site.application_images;
    let partitions: Vec<&str> = site.partitions.iter().map(|one| one.name.as_str()).collect();
    if section.contains_key("prepare_seconds") {
        let instead = "stands in [timeouts]: prolog's and Slurm's limits follow from it";
        problems.add("[application_images]", 0, "prepare_seconds", instead);
    }
    for wrong in images::wrong(section, &partitions) {
        let what = format_args!("{}; write {}", wrong.what, wrong.instead);
        problems.add("[application_images]", 0, &wrong.key, what);
    }
    for (index, partition) in site.partitions.iter().enumerate() {
        if partition.root == Some(RootMode::Nfs) && !images::has_export(section) {
            let what = "is \"nfs\", and no application_images.nfs names the export";
            problems.add("[[partition]]", index, "root", what);
        }
    }
}
