//! The product's configuration for the virtual cluster, as an admin would write it.

use crate::cluster::Node;
use crate::cluster::accounts::SLURM_ID;
use crate::cluster::layout::PROGRAM_DIR;
use crate::cluster::node::{HEAD_ADDRESS, Hardware};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

/// Profiles of the shipped examples, and one that only its test uses.
const PROFILES: [(&str, &str); 6] = [
    ("thp-off", include_str!("../../../examples/profiles/thp-off.toml")),
    ("thp-always", include_str!("../../../examples/profiles/thp-always.toml")),
    ("smt-off", include_str!("../../../examples/profiles/smt-off.toml")),
    ("rfs-on", include_str!("../../../examples/profiles/rfs-on.toml")),
    ("rfs-off", include_str!("../../../examples/profiles/rfs-off.toml")),
    (
        "only-for-bob",
        "kernel = \"6.1-cloud\"\ndescription = \"open to one user\"\n[allow]\nusers = [\"bob\"]\n",
    ),
];

/// A profile with a line that every kernel refuses.
const REFUSED: &str = "kernel = \"6.1-cloud\"\n[sysctl]\n\"kernel.no_such_parameter\" = \"1\"\n";

/// Writes everything below `dir/etc`, which is /etc/bare-metal-container inside, and copies the
/// agent beside the programs.
///
/// # Errors
/// When a file cannot be written.
pub fn write(dir: &Path, nodes: u8, agent: &Path) -> Result<()> {
    let etc = dir.join("etc");
    let text = |name: &str, text: &str| {
        let path = etc.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    fs::create_dir_all(etc.join("profiles"))?;
    for (name, profile) in PROFILES.into_iter().chain([("refused-setting", REFUSED)]) {
        text(&format!("profiles/{name}.toml"), profile)?;
    }
    text("bootsrv.toml", &bootsrv())?;
    text("client.toml", &client())?;
    // It names files with passwords, which only root and SlurmUser can read.
    text("nodes.toml", &definitions(dir, nodes))?;
    let to = dir.join("bin/node-agent");
    fs::copy(agent, &to).with_context(|| format!("copying {}", agent.display()))?;
    fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
    // Deployments of an earlier life are over; kernels and images stay.
    for name in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
        match fs::remove_file(dir.join("state").join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(chown(dir.join("state"), Some(SLURM_ID), Some(SLURM_ID))?)
}

fn bootsrv() -> String {
    let site_file = |path: &str, source: &str, rest: &str| {
        format!(
            "[[site_file]]\npath = \"{path}\"\nsource = \"/etc/bare-metal-container/site/{source}\"\n{rest}\n"
        )
    };
    format!(
        r#"state_dir = "/var/lib/bare-metal-container"
profiles_dir = "/etc/bare-metal-container/profiles"
kernel_arguments = ["console=ttyS0", "quiet", "transparent_hugepage=madvise"]

[listen]
http = "{HEAD_ADDRESS}:8080"
https = "{HEAD_ADDRESS}:8443"

[url]
http = "http://{HEAD_ADDRESS}:8080"
https = "https://{HEAD_ADDRESS}:8443"

[slurm]
user = "slurm"
conf_server = "{HEAD_ADDRESS}:6817"

[limits]
power_on_per_second = 4
firmware_seconds = 30
boot_seconds = 60
register_seconds = 60
power_seconds = 12

[initrd]
agent = "{PROGRAM_DIR}/node-agent"
modules = ["virtio_pci", "virtio_net", "virtio_rng", "squashfs", "overlay", "loop", "evdev", "button"]

[[partition]]
name = "bmc"
default_kernel = "6.1-cloud"
default_image = "debian12"
after_job = "off"

{}{}{}{}
[[mount]]
source = "home"
target = "/home"
fstype = "virtiofs"
"#,
        site_file("/etc/hosts", "hosts", ""),
        site_file("/etc/passwd", "passwd", ""),
        site_file("/etc/group", "group", ""),
        site_file(
            "/etc/munge/munge.key",
            "munge.key",
            "mode = \"0400\"\nowner = \"munge\"\ngroup = \"munge\"\nsecret = true"
        ),
    )
}

fn client() -> String {
    format!(
        "server = \"http://{HEAD_ADDRESS}:8080\"\npartitions = [\"bmc\"]\n\
         scontrol = \"/usr/bin/scontrol\"\nprolog_timeout_seconds = 900\ntries_max = 3\n"
    )
}

fn definitions(dir: &Path, nodes: u8) -> String {
    let mut text = String::new();
    for node in Node::first(nodes) {
        let Hardware { threads, .. } = Hardware::of(node, nodes, 512);
        let files = dir.join("nodes").join(node.to_string());
        let (password, console) = (files.join("password"), files.join("console.log"));
        // Writing to a String cannot fail.
        write!(
            text,
            r#"[[node]]
name = "{node}"
mac = "{}"
address = "{}/24"
cpus = {threads}
threads_per_core = {threads}
console_log = "{}"
power = {{ method = "ipmi", address = "{}", user = "admin", password_file = "{}", cipher_suite = 3 }}

"#,
            node.mac(),
            node.address(),
            console.display(),
            node.controller_address(),
            password.display(),
        )
        .ok();
    }
    text
}
