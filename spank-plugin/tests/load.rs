//! The built plugin in the installed srun, sbatch and salloc, with a slurm.conf of its own and no
//! daemon: they load it, list its options and refuse what it refuses.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use bootsrv_client::test_server::{Seen, TestServer};
use protocol::error::{ApiError, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const COMMANDS: [&str; 3] = ["srun", "sbatch", "salloc"];

struct Site(tempfile::TempDir);

impl Site {
    /// `None`: no Slurm here, which is a failure under CI.
    fn new(plugin_argument: &str) -> Option<Self> {
        if !Path::new("/usr/bin/srun").exists() {
            assert!(std::env::var_os("CI").is_none(), "srun is not installed (slurm-client)");
            eprintln!("skipped: srun is not installed (package slurm-client)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let argument = plugin_argument.replace("FOLDER", folder.path().to_str().unwrap());
        // `optional` on purpose: a refusal must not hang on `required`.
        write(&folder, "plugstack.conf", &format!("optional {} {argument}\n", plugin().display()));
        let plugstack = folder.path().join("plugstack.conf");
        write(
            &folder,
            "slurm.conf",
            &format!(
                "ClusterName=load\nSlurmctldHost=localhost\nAuthType=auth/none\nPlugStackConfig={}\n\
                 NodeName=n1 NodeAddr=127.0.0.1\nPartitionName=bmc Nodes=n1 Default=YES\n",
                plugstack.display()
            ),
        );
        write(&folder, "job.sh", "#!/bin/sh\n");
        Some(Self(folder))
    }

    fn run(&self, command: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(Path::new("/usr/bin").join(command))
            .args(arguments)
            .env_clear()
            .env("SLURM_CONF", self.0.path().join("slurm.conf"))
            .envs(variables.iter().copied())
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn refused(&self, command: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let output = self.run(command, arguments, variables);
        assert!(!output.status.success(), "{command} {arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn write(folder: &tempfile::TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join(name), text).unwrap();
}

/// cargo puts the shared library beside the test binaries.
fn plugin() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("libspank_bmc.so")
}

#[test]
fn the_three_commands_list_the_options_and_read_no_configuration() {
    let Some(site) = Site::new("config=/nonexistent/client.toml") else { return };
    for command in COMMANDS {
        let output = site.run(command, &["--help"], &[]);
        let help = String::from_utf8_lossy(&output.stdout);
        for option in [
            "--bmc-kernel=NAME",
            "--bmc-image=IMAGE",
            "--bmc-node-image=NAME",
            "--bmc-root=ram|nfs",
            "--bmc-mounts=SRC:DST[:ro],...",
            "--bmc-entrypoint",
            "[bare-metal container]",
        ] {
            assert!(help.contains(option), "{command}: {help}");
        }
        assert!(output.stderr.is_empty(), "{command}: {output:?}");
    }
}

#[test]
fn wrong_values_are_refused_with_a_sentence() {
    let Some(site) = Site::new("") else { return };
    for command in COMMANDS {
        let text = site.refused(command, &["--bmc-image=docker://X", "job.sh"], &[]);
        assert!(text.contains("--bmc-image: image reference \"X\" is not valid"), "{text}");
        assert!(text.contains("Invalid --bmc-image argument"), "{text}");
        let text = site.refused(command, &["--bmc-kernel=../x", "job.sh"], &[]);
        assert!(text.contains("--bmc-kernel: kernel name \"../x\" is not valid"), "{text}");
    }
    for (command, variable) in
        [("sbatch", "SBATCH_BMC_IMAGE"), ("srun", "SRUN_BMC_IMAGE"), ("salloc", "SALLOC_BMC_IMAGE")]
    {
        let text = site.refused(command, &["job.sh"], &[(variable, "a b")]);
        assert!(text.contains(&format!("{variable}: image name \"a b\"")), "{text}");
    }
}

#[test]
fn a_step_cannot_choose_another_kernel() {
    let Some(site) = Site::new("") else { return };
    let inside = [("SLURM_JOB_ID", "7"), ("BMC_KERNEL", "a")];
    let text = site.refused("srun", &["--bmc-kernel=b", "true"], &inside);
    assert!(text.contains("a step runs on what its job has booted"), "{text}");
}

#[test]
fn an_unknown_plugstack_option_is_an_error() {
    let Some(site) = Site::new("confg=/x") else { return };
    let text = site.refused("sbatch", &["job.sh"], &[]);
    assert!(text.contains("\"confg=/x\" is not an option of spank_bmc.so"), "{text}");
}

#[test]
fn bootsrv_is_asked_for_its_list_and_its_opinion() {
    let answer = |seen: &Seen| match seen.path.as_str() {
        "/v1/catalog" => {
            let kernel =
                serde_json::json!({"name": "6.1", "description": "plain", "default": true});
            (200, serde_json::json!({"kernels": [kernel], "images": []}).to_string())
        }
        _ => {
            let refused = ApiError::new(ErrorKind::User, "no kernel \"6.2\"").hint("Try 6.1.");
            (404, serde_json::to_string(&refused).unwrap())
        }
    };
    let Some(server) = TestServer::start(answer).unwrap() else { return };
    let Some(site) = Site::new("config=FOLDER/client.toml") else { return };
    write(&site.0, "client.toml", &server.client_toml());
    for (command, arguments) in [
        ("srun", ["-n", "1", "--bmc-kernel=help"]),
        ("sbatch", ["-p", "bmc", "--bmc-kernel=list"]),
        ("salloc", ["-Q", "--bmc-kernel", "help"]),
    ] {
        let output = site.run(command, &arguments, &[]);
        assert!(output.status.success(), "{command} {output:?}");
        let table = String::from_utf8_lossy(&output.stdout);
        assert!(table.ends_with("\n* 6.1     plain\n"), "{command} {table}");
    }
    let text = site.refused("sbatch", &["--bmc-kernel=6.2", "job.sh"], &[]);
    assert!(text.contains("[bare-metal container] no kernel \"6.2\". Try 6.1."), "{text}");
}

#[test]
fn a_file_is_sent_before_the_choice_is_checked() {
    let answer = |seen: &Seen| match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", _) => (200, "null".to_owned()),
        ("PUT", path) => {
            let digest = path.rsplit('/').next().unwrap();
            (200, serde_json::json!({"sha256": digest, "bytes": 3}).to_string())
        }
        _ => {
            let refused = ApiError::new(ErrorKind::User, "not that one");
            (404, serde_json::to_string(&refused).unwrap())
        }
    };
    let Some(server) = TestServer::start(answer).unwrap() else { return };
    let Some(site) = Site::new("config=FOLDER/client.toml") else { return };
    let own = std::os::unix::fs::MetadataExt::uid(&site.0.path().metadata().unwrap());
    let config = format!("{}slurm_user = \"{own}\"\n", server.client_toml());
    write(&site.0, "client.toml", &config);
    write(&site.0, "x.sif", "abc");
    let text = site.refused("sbatch", &["--bmc-image=sif:x.sif", "job.sh"], &[]);
    assert!(text.contains("not that one"), "{text}");
    let seen = server.seen();
    let asked: Vec<&str> = seen.iter().map(|seen| seen.method.as_str()).collect();
    assert_eq!(asked, ["GET", "PUT", "POST"]);
    assert_eq!(seen[1].body, b"abc");
    // SHA-256 of "abc" (FIPS 180-4).
    let pin = "@sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let check = String::from_utf8_lossy(&seen[2].body).into_owned();
    let whole = format!("sif:{}/x.sif{pin}", site.0.path().canonicalize().unwrap().display());
    assert!(check.contains(&whole), "{check}");

    // The registry's password goes along, and only sealed.
    std::fs::create_dir(site.0.path().join(".docker")).unwrap();
    write(&site.0, ".docker/config.json", r#"{"auths":{"r.io":{"auth":"YTpi"}}}"#);
    let home = [("HOME", site.0.path().to_str().unwrap())];
    site.refused("sbatch", &["--bmc-image=docker://r.io/x", "job.sh"], &home);
    let check = String::from_utf8_lossy(&server.seen()[3].body).into_owned();
    assert!(check.contains("\"credential\":\"MUNGE:") && !check.contains("YTpi"), "{check}");

    let text = site.refused("sbatch", &["--bmc-image=sif:y.sif", "job.sh"], &[]);
    assert!(text.contains("sif:y.sif cannot be found"), "{text}");
    let text = site.refused("sbatch", &["--bmc-mounts=/a:/b", "job.sh"], &[]);
    assert!(text.contains("--bmc-mounts is about a container image, and none was"), "{text}");
}

#[test]
fn a_file_that_cannot_be_sent_ends_the_submission() {
    let Some(site) = Site::new("config=/nonexistent/client.toml") else { return };
    write(&site.0, "x.sif", "abc");
    let text = site.refused("srun", &["--bmc-image=sif:x.sif", "true"], &[]);
    assert!(text.contains("the image cannot be sent: cannot read /nonexistent"), "{text}");
}
