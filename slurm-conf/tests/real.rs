//! The generated files meet the programs that read them. No daemon is started: Slurm's commands read
//! the whole slurm.conf before they do anything, and refuse what slurmctld would refuse.
//! Where a program is not installed its test says so and passes, but fails where `CI` is set.
#![expect(
    clippy::unwrap_used,
    reason = "clippy sees only #[test] functions as tests, not their helpers"
)]

use slurm_conf::generate::generate;
use slurm_conf::site::Site;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sites() -> [PathBuf; 2] {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    [directory.join("../examples/site.toml"), directory.join("testdata/newer-slurm/site.toml")]
}

fn write_site(directory: &Path, site: &Path, version: &str) {
    let text = fs::read_to_string(site)
        .unwrap()
        .replace("version = \"24.11\"", &format!("version = {version:?}"));
    for file in generate(&Site::parse(&text, site).unwrap(), true) {
        fs::write(directory.join(file.name), file.content).unwrap();
    }
}

/// Runs a program; `None` where it is not installed.
fn run(program: &str, arguments: &[&str], slurm_conf: &Path) -> Option<Output> {
    if !Path::new(program).exists() {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
        println!("skipped: {program} is not installed");
        return None;
    }
    Some(Command::new(program).args(arguments).env("SLURM_CONF", slurm_conf).output().unwrap())
}

#[test]
fn slurm_reads_what_is_generated_and_refuses_what_is_not_right() {
    for site in sites() {
        let directory = tempfile::tempdir().unwrap();
        write_site(directory.path(), &site, "22.05");
        let conf = directory.path().join("slurm.conf");
        let Some(output) = run("/usr/bin/srun", &["--help"], &conf) else { return };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{}: {said}", site.display());

        // The proof that this test sees anything: one wrong word, in the included file.
        let fragment = directory.path().join("bare-metal-container.conf");
        let text = fs::read_to_string(&fragment).unwrap().replace("OverSubscribe", "OverSubscrib");
        fs::write(&fragment, text).unwrap();
        let output = run("/usr/bin/srun", &["--help"], &conf).unwrap();
        assert!(!output.status.success());
    }
}

#[test]
fn dnsmasq_reads_what_is_generated() {
    for site in sites() {
        let directory = tempfile::tempdir().unwrap();
        write_site(directory.path(), &site, "22.05");
        let conf = format!("--conf-file={}", directory.path().join("dnsmasq.conf").display());
        let Some(output) = run("/usr/sbin/dnsmasq", &["--test", &conf], directory.path()) else {
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
