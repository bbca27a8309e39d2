//! Makes the run directory ready for a start: cleans what an earlier cluster left, makes the
//! directories, writes the files that no admin writes. It starts nothing.

use crate::cluster::accounts::{self, ALICE_ID, BOB_ID, MUNGE_ID, SLURM_ID};
use crate::cluster::controller::{self, Passwords};
use crate::cluster::error::{ClusterError, Result, file};
use crate::cluster::layout::{
    Access, PUBLIC, PUBLIC_DIR, RunDir, make_dir, random, remove, set_access, write,
};
use crate::cluster::network;
use crate::cluster::node::{Hardware, Node};
use crate::cluster::on_demand;
use crate::cluster::options::Options;
use crate::cluster::serial;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What belongs to one life of the cluster. `etc`, `etc-slurm`, `state` and `home` belong to the
/// caller and stay, as do the munge key and the passwords.
const RESET: [&str; 11] = [
    "bin",
    "lib",
    "log",
    "spool",
    "pids",
    "overlay",
    "network",
    "registry",
    "nfs",
    "controllers",
    "init.ready",
];
/// Readable by its owner only.
const SECRET: u32 = 0o400;
/// A munge key's length in bytes (munge's own default; its maximum is 1024).
const MUNGE_KEY_BYTES: usize = 128;

/// Cleans the run directory and makes it ready.
pub(crate) fn prepare(run: &RunDir, options: &Options) -> Result<()> {
    if options.fresh {
        remove(run.path())?;
    }
    for name in RESET {
        remove(&run.join(name))?;
    }
    directories(run)?;
    copy_texts(run, options.nodes)?;
    munge_key(run)?;
    on_demand::prepare(run)?;
    for (node, hardware) in options.hardware() {
        node_files(run, node, &hardware, options.nodes)?;
    }
    forget_other_nodes(run, options.nodes)
}

fn directories(run: &RunDir) -> Result<()> {
    let owned = |owner, mode| Access { owner, mode };
    for (name, access) in [
        ("", PUBLIC_DIR),
        ("etc", PUBLIC_DIR),
        ("etc/site", PUBLIC_DIR),
        ("etc-slurm", PUBLIC_DIR),
        ("state", owned(SLURM_ID, 0o700)),
        ("home", PUBLIC_DIR),
        ("home/alice", owned(ALICE_ID, 0o755)),
        ("home/bob", owned(BOB_ID, 0o755)),
        ("munge", owned(MUNGE_ID, 0o700)),
        ("log", PUBLIC_DIR),
        ("log/services", PUBLIC_DIR),
        ("log/slurm", owned(SLURM_ID, 0o755)),
        ("log/munge", owned(MUNGE_ID, 0o700)),
        ("spool", PUBLIC_DIR),
        ("spool/slurmctld", owned(SLURM_ID, 0o700)),
        ("pids", PUBLIC_DIR),
        ("network/dnsmasq.d", PUBLIC_DIR),
        ("nodes", PUBLIC_DIR),
        // Lower layers that add mount points to the host's directories without touching them.
        ("overlay/etc/slurm", PUBLIC_DIR),
        ("overlay/etc/munge", PUBLIC_DIR),
        ("overlay/etc/bare-metal-container", PUBLIC_DIR),
        ("overlay/libexec/bare-metal-container", PUBLIC_DIR),
        ("overlay/var-lib/bare-metal-container", PUBLIC_DIR),
        ("overlay/pmix", PUBLIC_DIR),
    ] {
        make_dir(&run.join(name), access)?;
    }
    Ok(())
}

fn copy_texts(run: &RunDir, count: u8) -> Result<()> {
    let hosts = accounts::hosts(count);
    write(&run.join("overlay/etc/passwd"), accounts::passwd(), PUBLIC)?;
    write(&run.join("overlay/etc/group"), accounts::group(), PUBLIC)?;
    write(&run.join("overlay/etc/hosts"), &hosts, PUBLIC)?;
    write(&run.join("overlay/etc/hostname"), "head\n", PUBLIC)?;
    // Slurm's mpi/pmix asks for a name that Debian has in libpmix-dev only.
    let link = run.join("overlay/pmix/libpmix.so");
    std::os::unix::fs::symlink("libpmix.so.2", &link).map_err(file("make", &link))?;
    // The same files for the nodes, where the boot server can read them.
    write(&run.join("etc/site/hosts"), &hosts, PUBLIC)?;
    write(&run.join("etc/site/passwd"), accounts::passwd(), PUBLIC)?;
    write(&run.join("etc/site/group"), accounts::group(), PUBLIC)?;
    write(&run.join("network/ip.batch"), network::ip_batch(count), PUBLIC)
}

/// A random key of the cluster's own, kept from life to life; a copy for bootsrv to hand to nodes.
fn munge_key(run: &RunDir) -> Result<()> {
    let path = run.join("munge/munge.key");
    if !path.exists() {
        let key = random::<MUNGE_KEY_BYTES>()?;
        write(&path, key, Access { owner: MUNGE_ID, mode: SECRET })?;
    }
    let key = fs::read(&path).map_err(file("read", &path))?;
    write(&run.join("etc/site/munge.key"), key, Access { owner: SLURM_ID, mode: SECRET })
}

/// A node's files: only its passwords outlive the cluster, so that a kept `state` stays right.
fn node_files(run: &RunDir, node: Node, hardware: &Hardware, count: u8) -> Result<()> {
    let dir = run.node(node);
    let passwords = Passwords {
        admin: password(&dir.join("password"))?,
        operator: password(&dir.join("operator-password"))?,
    };
    remove(&dir)?;
    make_dir(&dir, PUBLIC_DIR)?;
    let text = serde_json::to_string(hardware).map_err(|error| ClusterError::Damaged {
        path: dir.join("hardware.json"),
        rule: error.to_string(),
    })?;
    write(&dir.join("hardware.json"), text, PUBLIC)?;
    write(&dir.join("fault"), "none\n", PUBLIC)?;
    // Readable for bootsrv, which quotes it when a node fails; QEMU appends to it.
    write(&dir.join("console.log"), "", PUBLIC)?;
    let by_slurm = Access { owner: SLURM_ID, mode: 0o600 };
    write(&dir.join("password"), &passwords.admin, by_slurm)?;
    write(&dir.join("operator-password"), &passwords.operator, by_slurm)?;
    let by_root = Access { owner: 0, mode: 0o600 };
    let lan = controller::lan_conf(run, node, &passwords, serial::is_over_lan(node, count));
    write(&dir.join("lan.conf"), lan, by_root)?;
    write(&dir.join("emulator"), controller::emulator(run, node), PUBLIC)?;
    let records = dir.join("sensors");
    write(&records, controller::sensor_records(node), PUBLIC)?;
    // The simulator reads the records from exactly this place below its state directory.
    let state = dir.join("simulator/ipmi_sim").join(node.to_string());
    make_dir(&state, PUBLIC_DIR)?;
    compile_records(&records, &state.join("sdr.20.main"))?;
    set_access(&dir, PUBLIC_DIR)
}

fn compile_records(from: &Path, to: &Path) -> Result<()> {
    let program = "/usr/bin/sdrcomp";
    let output = Command::new(program)
        .arg("-o")
        .args([to, from])
        .output()
        .map_err(|source| ClusterError::Start { program: program.to_owned(), source })?;
    crate::cluster::inside::check_output(program, &output).map(drop)
}

/// The password in this file, or a new one of 64 random bits in 16 digits.
fn password(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if text.len() == 16 => Ok(text),
        _ => Ok(format!("{:016x}", u64::from_ne_bytes(random()?))),
    }
}

/// Directories of nodes that an earlier, larger cluster had.
fn forget_other_nodes(run: &RunDir, count: u8) -> Result<()> {
    let nodes = run.join("nodes");
    let entries = fs::read_dir(&nodes).map_err(file("read", &nodes))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !Node::first(count).any(|node| name == node.to_string().as_str()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}
