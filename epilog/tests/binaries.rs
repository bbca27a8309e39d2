//! The real programs against a small bootsrv with a munged of its own.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use bootsrv_client::test_server::{Answer, Seen, TestServer};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const EPILOG: &str = env!("CARGO_BIN_EXE_epilog");

fn site(
    answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
) -> Option<(TestServer, tempfile::TempDir)> {
    let server = TestServer::start(answer).unwrap()?;
    let folder = tempfile::tempdir().unwrap();
    let toml = server.client_toml() + "partitions = [\"bmc\"]\nsite_epilog = \"/bin/false\"\n";
    std::fs::write(folder.path().join("client.toml"), toml).unwrap();
    Some((server, folder))
}

fn run(program: &str, argument: &str, partition: &str, folder: &Path) -> Option<i32> {
    Command::new(program)
        .arg(argument)
        .env_clear()
        .env("BMC_CLIENT_CONFIG", folder.join("client.toml"))
        .env("SLURM_JOB_ID", "7")
        .env("SLURM_JOB_PARTITION", partition)
        .status()
        .unwrap()
        .code()
}

#[test]
fn the_energy_window_is_closed_and_the_sites_script_runs_last() {
    // What bootsrv answers for a job it never heard of.
    let Some((server, folder)) = site(|_| (200, "null".into())) else { return };
    // 1 is /bin/false: an unknown job is no failure of ours.
    assert_eq!(run(EPILOG, "", "bmc", folder.path()), Some(1));
    assert_eq!(run(EPILOG, "", "cpu", folder.path()), Some(1));
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("DELETE", "/v1/jobs/7"));
}

#[test]
fn a_broken_configuration_is_a_failure_that_slurm_only_logs() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("client.toml"), "no toml").unwrap();
    assert_eq!(run(EPILOG, "", "bmc", folder.path()), Some(4));
    assert_eq!(run(env!("CARGO_BIN_EXE_suspend"), "n1", "", folder.path()), Some(4));
    let text = "typo = 1\nsite_epilog = \"FOLDER/site\"\n"
        .replace("FOLDER", &folder.path().display().to_string());
    std::fs::write(folder.path().join("client.toml"), text).unwrap();
    let script = folder.path().join("site");
    std::fs::write(&script, "#!/bin/sh\n: > \"${0}_ran\"\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(EPILOG, "", "cpu", folder.path()), Some(4));
    assert!(folder.path().join("site_ran").exists(), "the site's own script is not skipped");
}

#[test]
fn a_silent_bootsrv_costs_at_most_ten_seconds() {
    let Some((_server, folder)) = site(|_| (503, String::new())) else { return };
    let started = Instant::now();
    assert_eq!(run(EPILOG, "", "bmc", folder.path()), Some(3));
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn the_power_programs_pass_their_nodes_on() {
    let Some((server, folder)) = site(|_| (200, String::new())) else { return };
    for (program, path) in [
        (env!("CARGO_BIN_EXE_suspend"), "/v1/power/suspend"),
        (env!("CARGO_BIN_EXE_resume-fail"), "/v1/power/resume-fail"),
    ] {
        assert_eq!(run(program, "n[1-2],x", "", folder.path()), Some(0));
        let seen = server.seen();
        let last = seen.last().unwrap();
        assert_eq!((last.method.as_str(), last.path.as_str()), ("POST", path));
        assert_eq!(last.body, br#"{"nodes":["n1","n2","x"],"for_jobs":[]}"#);
    }
}
