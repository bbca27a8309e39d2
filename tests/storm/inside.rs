//! The namespaces of a run: a network with loopback only, mounts and processes of its own. The kernel
//! ends everything in them with their first process, which is this program.

use anyhow::{Context as _, Result, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

const INSIDE: &str = "VCLUSTER_STORM_INSIDE";
/// Open files of ten thousand nodes: a controller's socket, a client's two connections, programs.
const FILES: u64 = 100_000;

/// Whether this is the process inside.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some() && std::process::id() == 1
}

/// Becomes `unshare`, which starts this program again inside.
pub(crate) fn enter() -> ExitCode {
    let own = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let error = Command::new("/usr/bin/unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--ipc",
            "--fork",
            "--mount-proc",
            "--kill-child=KILL",
            "--",
        ])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    eprintln!("vcluster-storm: starting /usr/bin/unshare: {error}");
    ExitCode::FAILURE
}

/// Loopback is up, `/run` is our own (so that munged's socket is), and there is room for sockets.
pub(crate) fn settle_in() -> Result<()> {
    let up =
        Command::new("ip").args(["link", "set", "lo", "up"]).status().context("starting ip")?;
    ensure!(up.success(), "ip link set lo up: {up}");
    mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)
        .context("mounting /run")?;
    for directory in ["/run", "/run/munge"] {
        std::fs::create_dir_all(directory)?;
        std::fs::set_permissions(Path::new(directory), PermissionsExt::from_mode(0o755))?;
    }
    let most = getrlimit(Resource::Nofile).maximum;
    let files = most.map_or(FILES, |most| most.max(FILES));
    let wanted = Rlimit { current: Some(files), maximum: Some(files) };
    // Without the right to raise the hard limit, all of it.
    if setrlimit(Resource::Nofile, wanted).is_err() {
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
            .context("open files")?;
    }
    Ok(())
}
