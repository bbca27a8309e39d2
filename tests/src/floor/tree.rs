//! The files of the floor's initrd besides programs and libraries, and the archive they become.

use super::init;
use crate::cluster::accounts::MUNGE_ID;
use crate::cluster::layout::RunDir;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The modules that the network card needs, out of those the product's initrd loads.
const MODULES: [&str; 2] = ["virtio", "failover"];
/// Directories the programs want, by owner.
const DIRECTORIES: [(&str, &str); 10] = [
    ("dev", "root"),
    ("proc", "root"),
    ("sys", "root"),
    ("run", "root"),
    ("tmp", "root"),
    ("run/munge", "munge"),
    ("etc/munge", "munge"),
    ("var/lib/munge", "munge"),
    ("var/log/munge", "munge"),
    ("var/spool/slurmd", "root"),
];

/// Takes the modules of the network card out of the product's initrd, in load order.
pub(super) fn modules(initrd: &Path, scratch: &Path, tree: &Path) -> Result<()> {
    fs::create_dir_all(scratch)?;
    let packed = fs::File::open(initrd).with_context(|| format!("reading {}", initrd.display()))?;
    let mut unpack = Command::new("/usr/bin/zstd")
        .arg("-dc")
        .stdin(packed)
        .stdout(Stdio::piped())
        .spawn()
        .context("starting zstd")?;
    let cpio = unpack.stdout.take().context("zstd has no output")?;
    let words = ["--extract", "--make-directories", "--quiet", "modules*"];
    quiet(Command::new("/usr/bin/cpio").args(words).stdin(cpio).current_dir(scratch))?;
    unpack.wait()?;
    let order = fs::read_to_string(scratch.join("modules.order"))?;
    fs::create_dir_all(tree.join("modules"))?;
    let mut kept = String::new();
    for line in order.lines() {
        let name = line.rsplit('/').next().unwrap_or(line);
        let is_wanted = MODULES.iter().any(|wanted| name.contains(wanted));
        if is_wanted && !name.contains("rng") {
            fs::copy(scratch.join("modules").join(name), tree.join("modules").join(name))?;
            kept.push_str(&format!("/modules/{name}\n"));
        }
    }
    fs::write(tree.join(init::MODULES_FILE.trim_start_matches('/')), kept)?;
    Ok(())
}

/// The cluster's own configuration and accounts, so that slurmd need not ask for them.
pub(super) fn configuration(run: &RunDir, tree: &Path) -> Result<()> {
    for (name, _) in DIRECTORIES {
        fs::create_dir_all(tree.join(name))?;
    }
    fs::create_dir_all(tree.join("etc/slurm"))?;
    for entry in fs::read_dir(run.join("etc-slurm"))?.flatten() {
        // The plugin is the product's, not slurmd's.
        if entry.file_name() != "plugstack.conf" {
            fs::copy(entry.path(), tree.join("etc/slurm").join(entry.file_name()))?;
        }
    }
    for name in ["hosts", "passwd", "group"] {
        fs::copy(run.join("etc/site").join(name), tree.join("etc").join(name))?;
    }
    let key = tree.join("etc/munge/munge.key");
    fs::copy(run.join("munge/munge.key"), &key)?;
    let id = Some(MUNGE_ID);
    std::os::unix::fs::chown(&key, id, id)?;
    for (name, _) in DIRECTORIES.iter().filter(|entry| entry.1 == "munge") {
        std::os::unix::fs::chown(tree.join(name), id, id)?;
    }
    let console = tree.join("dev/console");
    if !console.exists() {
        quiet(Command::new("/usr/bin/mknod").arg(&console).args(["-m", "600", "c", "5", "1"]))?;
    }
    Ok(())
}

pub(super) fn pack(tree: &Path, file: &Path) -> Result<()> {
    let mut list = Command::new("/usr/bin/find")
        .args([".", "-print0"])
        .current_dir(tree)
        .stdout(Stdio::piped())
        .spawn()
        .context("starting find")?;
    let names = list.stdout.take().context("find has no output")?;
    let output = fs::File::create(file).with_context(|| format!("writing {}", file.display()))?;
    let words = ["--create", "--null", "--format=newc", "--quiet"];
    let status = Command::new("/usr/bin/cpio")
        .args(words)
        .current_dir(tree)
        .stdin(names)
        .stdout(output)
        .status()
        .context("starting cpio")?;
    list.wait()?;
    if status.success() { Ok(()) } else { bail!("cpio failed: {status}") }
}

pub(super) fn quiet(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim())
}
