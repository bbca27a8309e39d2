//! What the virtual cluster's admin says about it, once: `site.toml`, a pure text. Slurm's, dnsmasq's
//! and our own configuration are made of it by `slurm-conf generate`, as at any site.

use crate::cluster::layout::RunDir;
use crate::cluster::network::{BRIDGE, MANAGEMENT_BRIDGE};
use crate::cluster::node::{HEAD_ADDRESS, Hardware, Node};
use crate::cluster::on_demand::{
    CERTIFICATE, LOGIN_REGISTRY, NFS_PATH, REGISTRY, REGISTRY_HOST, SCRIPTED_REGISTRY,
    SLOW_REGISTRY, port,
};
use crate::cluster::options::Options;
use crate::cluster::serial;
use crate::cluster::slurm::{CLUSTER_NAME, GENERATED, slurm_memory_mib};
use std::fmt::Write as _;

/// More nodes than that at once make their kernels count the processor's cycles wrong: their uptime
/// runs ahead, and slurmctld takes a registration for one from before the power-on. Another clock is
/// right, and costs each boot half a second.
const NODES_IN_TIME: usize = 4;
/// The partition whose nodes are booted for each job.
pub const PARTITION: &str = "bmc";
/// The kernel of jobs that name none.
pub const DEFAULT_KERNEL: &str = "6.1-cloud";
/// The node image of all jobs.
pub const IMAGE: &str = "debian12";

/// The site lets no job of [`PARTITION`] have an image below a directory of this name.
pub const FORBIDDEN: &str = "forbidden";

/// What every node gets: path on the node, and its source below the site directory.
const SITE_FILES: [(&str, &str); 3] =
    [("/etc/hosts", "hosts"), ("/etc/passwd", "passwd"), ("/etc/group", "group")];

/// The site file of these nodes for a version of Slurm, as `slurmctld -V` prints it.
#[must_use]
pub fn site_toml(
    run: &RunDir,
    nodes: &[(Node, Hardware)],
    version: &str,
    options: &Options,
) -> String {
    let mut text = general(version, nodes.len(), options.firmware_seconds);
    for range in nodes.chunk_by(|(_, one), (_, other)| one == other) {
        node_range(run, range, nodes.len(), &mut text);
    }
    let all: Vec<Node> = nodes.iter().map(|(node, _)| *node).collect();
    // Writing to a String cannot fail.
    write!(
        text,
        "\n[[partition]]\nname = \"{PARTITION}\"\nnodes = \"{}\"\ndefault = true\n\
         default_kernel = \"{DEFAULT_KERNEL}\"\ndefault_image = \"{IMAGE}\"\n",
        node_list(&all)
    )
    .ok();
    if let Some(seconds) = options.idle_seconds {
        write!(text, "after_job = \"stay_on\"\nidle_seconds = {seconds}\n").ok();
    }
    for (path, name) in SITE_FILES {
        let source = format!("/etc/bare-metal-container/site/{name}");
        write!(text, "\n[[site_file]]\npath = \"{path}\"\nsource = \"{source}\"\n").ok();
    }
    text.push_str(
        r#"
[[site_file]]
path = "/etc/munge/munge.key"
source = "/etc/bare-metal-container/site/munge.key"
mode = "0400"
owner = "munge"
group = "munge"
secret = true

[[mount]]
source = "home"
target = "/home"
fstype = "virtiofs"
"#,
    );
    text.push_str(&application_images());
    text
}

/// Application images: the cluster's own registries, and the export that its NFS server has when it is
/// started.
fn application_images() -> String {
    let registry =
        |name| format!("[application_images.registry.\"{REGISTRY_HOST}:{}\"]", port(name));
    format!(
        r#"
[application_images]
mounts = ["/home"]
mounts_allowed = ["/home", "/usr/share"]
patience_seconds = 10
tries = 2
nfs = {{ source = "{HEAD_ADDRESS}:{NFS_PATH}", options = "ro,vers=4.2,proto=tcp,addr={HEAD_ADDRESS}" }}

{}
insecure = true

{}
insecure = true

{}
insecure = true

{}
ca_file = "{CERTIFICATE}"

[[application_images.rule]]
partitions = ["{PARTITION}"]
deny = ["*/{FORBIDDEN}/*"]
"#,
        registry(REGISTRY),
        registry(SLOW_REGISTRY),
        registry(SCRIPTED_REGISTRY),
        registry(LOGIN_REGISTRY),
    )
}

/// Everything but nodes, partitions and files. The limits are an emulated machine's: its firmware
/// and its power are quick, its processor is not. The self-tests of its ciphers would cost an emulated boot a third of a second.
fn general(version: &str, nodes: usize, firmware_seconds: u32) -> String {
    let clock = if nodes > NODES_IN_TIME { ", \"clocksource=acpi_pm\"" } else { "" };
    format!(
        r#"{GENERATED}
cluster = "{CLUSTER_NAME}"

[slurm]
host = "head"
address = "{HEAD_ADDRESS}"
user = "slurm"
version = {version:?}

[server]
address = "{HEAD_ADDRESS}"
kernel_arguments = ["console=ttyS0", "quiet", "transparent_hugepage=madvise", "cryptomgr.notests"{clock}]
initrd_modules = ["virtio_pci", "virtio_net", "virtio_rng", "squashfs", "overlay", "loop", "evdev", "button"]

[network]
interface = "{BRIDGE}"            # the controllers are behind {MANAGEMENT_BRIDGE}
provisioning = "10.77.0.0/24"
management = "10.77.1.0/24"

[timeouts]
firmware_seconds = {firmware_seconds}
boot_seconds = 60
register_seconds = 60
power_seconds = 12
prepare_seconds = 120
image_seconds = 60
"#
    )
}

/// Equal nodes that follow each other.
fn node_range(run: &RunDir, range: &[(Node, Hardware)], count: usize, text: &mut String) {
    let Some((first, Hardware { memory_mib, threads, .. })) = range.first() else { return };
    let names: Vec<Node> = range.iter().map(|(node, _)| *node).collect();
    let files = run.join("nodes").display().to_string();
    let over_lan = u8::try_from(count).is_ok_and(|count| serial::is_over_lan(*first, count));
    let console = match over_lan {
        true => "console = \"sol\"".to_owned(),
        false => format!("console_log = \"{files}/{{node}}/console.log\""),
    };
    let macs: Vec<String> = names.iter().map(|node| format!("\"{}\"", node.mac())).collect();
    write!(
        text,
        r#"
[[nodes]]
names = "{}"
first_address = "{}"
macs = [{}]
cpus = {threads}
threads_per_core = {threads}
memory_mib = {}
controller = "{}"
controller_user = "admin"
password_file = "{files}/{{node}}/password"
cipher_suite = 3
{console}
"#,
        node_list(&names),
        first.address(),
        macs.join(", "),
        slurm_memory_mib(*memory_mib),
        first.controller_address(),
    )
    .ok();
}

/// Nodes that follow each other, as Slurm writes them.
fn node_list(nodes: &[Node]) -> String {
    match nodes {
        [first, .., last] => format!("n[{}-{}]", first.number(), last.number()),
        _ => nodes.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn site(count: u8) -> toml::Table {
        let run = RunDir::new(Path::new("/var/tmp/x")).unwrap();
        let nodes: Vec<_> = Node::first(count).map(|n| (n, Hardware::of(n, count, 512))).collect();
        toml::from_str(&site_toml(&run, &nodes, "slurm-wlm 22.05.8", &Options::default())).unwrap()
    }

    #[test]
    fn equal_nodes_are_one_range() {
        let site = site(4);
        let ranges = site["nodes"].as_array().unwrap();
        let seen: Vec<_> = ranges
            .iter()
            .map(|range| {
                let text = |key: &str| range[key].as_str().unwrap();
                (text("names"), text("first_address"), text("controller"), &range["cpus"])
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("n[1-3]", "10.77.0.11", "10.77.1.11", &toml::Value::Integer(1)),
                ("n4", "10.77.0.14", "10.77.1.14", &toml::Value::Integer(2)),
            ]
        );
        assert_eq!(ranges[0]["macs"].as_array().unwrap().len(), 3);
        assert_eq!(ranges[0]["memory_mib"].as_integer(), Some(384));
        let log = ranges[0]["console_log"].as_str().unwrap();
        assert_eq!(
            (log, ranges[1]["console"].as_str().unwrap()),
            ("/var/tmp/x/nodes/{node}/console.log", "sol")
        );
        let password = ranges[1]["password_file"].as_str().unwrap();
        assert_eq!(password, "/var/tmp/x/nodes/{node}/password");
        assert_eq!(site["partition"][0]["nodes"].as_str(), Some("n[1-4]"));
    }

    #[test]
    fn one_node_is_no_list() {
        let site = site(1);
        assert_eq!(site["nodes"][0]["names"].as_str(), Some("n1"));
        assert_eq!(site["partition"][0]["nodes"].as_str(), Some("n1"));
    }
}
