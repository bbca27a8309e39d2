//! The product's files for the virtual cluster: what `slurm-conf generate` wrote, and profiles.

use crate::cluster::accounts::SLURM_ID;
use crate::cluster::configure::install;
use crate::cluster::layout::RunDir;
use anyhow::{Context, Result};
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

/// Installs the product's generated configuration, the profiles, and the agent beside the programs.
///
/// # Errors
/// When a file cannot be written.
pub fn write(run: &RunDir, agent: &Path) -> Result<()> {
    let etc = run.join("etc");
    for name in ["bootsrv.toml", "client.toml"] {
        install(run, name, &etc.join(name))?;
    }
    fs::create_dir_all(etc.join("profiles"))?;
    for (name, profile) in PROFILES.into_iter().chain([("refused-setting", REFUSED)]) {
        let path = etc.join("profiles").join(format!("{name}.toml"));
        fs::write(&path, profile).with_context(|| format!("writing {}", path.display()))?;
    }
    let to = run.programs().join("node-agent");
    fs::copy(agent, &to).with_context(|| format!("copying {}", agent.display()))?;
    fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
    // Deployments of an earlier life are over; kernels and images stay.
    let state = run.join("state");
    for name in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
        match fs::remove_file(state.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(chown(state, Some(SLURM_ID), Some(SLURM_ID))?)
}
