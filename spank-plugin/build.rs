//! Says what to install where the plugin cannot be built. The bindings themselves are made by the
//! slurm-spank crate, whose own message names no package.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=compat/slurm/spank.h");
    for name in ["CPATH", "BINDGEN_EXTRA_CLANG_ARGS", "LIBCLANG_PATH", "SKIP_SLURM_BINDINGS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if !variable("SKIP_SLURM_BINDINGS").is_empty() {
        println!(
            "cargo::warning=SKIP_SLURM_BINDINGS is set: this plugin carries the version number of \
             another Slurm and is refused by yours. Good for lint and unit tests only."
        );
        return;
    }
    // slurm_errno.h lies beside the real spank.h, and not beside our compatibility header.
    let mut folders: Vec<PathBuf> = variable("CPATH").split(':').map(PathBuf::from).collect();
    folders.extend(["/usr/include", "/usr/local/include"].map(PathBuf::from));
    let found = folders.iter().any(|folder| folder.join("slurm/slurm_errno.h").is_file());
    if !found && variable("BINDGEN_EXTRA_CLANG_ARGS").is_empty() {
        println!(
            "cargo::error=Slurm's headers (slurm/spank.h) are missing. The plugin must be built \
             against the Slurm release it is loaded into. Install libslurm-dev (Debian, Ubuntu: \
             apt install libslurm-dev) or slurm-devel (RHEL family: dnf install slurm-devel), or \
             name their folder in CPATH."
        );
    }
    if variable("LIBCLANG_PATH").is_empty() && !has_libclang() {
        println!(
            "cargo::warning=no libclang was found in the usual places. If making the bindings \
             fails: apt install libclang-dev (Debian, Ubuntu) or dnf install clang-devel (RHEL \
             family), or name its folder in LIBCLANG_PATH."
        );
    }
}

fn has_libclang() -> bool {
    let inside = |folder: &Path, prefix: &str| {
        std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(prefix) && name.contains(".so")
        })
    };
    let llvm_folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm-"));
    let plain =
        ["/usr/lib64", "/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    llvm_folders
        .map(|entry| entry.path().join("lib"))
        .chain(plain.map(PathBuf::from))
        .any(|folder| inside(&folder, "libclang"))
}
