//! The real programs against a small bootsrv with a munged of its own, and a scontrol that writes
//! down what it is told.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use bootsrv_client::test_server::{Answer, Seen, TestServer};
use protocol::error::{ApiError, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const PROLOG: &str = env!("CARGO_BIN_EXE_prolog");
const RESUME: &str = env!("CARGO_BIN_EXE_resume");

struct Site {
    folder: tempfile::TempDir,
    server: TestServer,
}

impl Site {
    /// `None`: munged is not installed. The fake scontrol fails for `refused`.
    fn new(
        extra: &str,
        refused: &str,
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Option<Self> {
        let server = TestServer::start(answer).unwrap()?;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> {}\ncase \" {refused} \" in *\" $1 \"*) echo refused >&2; exit 1;; esac\n",
            path("told")
        );
        executable(&folder.path().join("scontrol"), &script);
        let toml = format!(
            "{}scontrol = \"{}\"\npartitions = [\"bmc\"]\n{}",
            server.client_toml(),
            path("scontrol"),
            extra.replace("FOLDER", &folder.path().display().to_string())
        );
        std::fs::write(path("client.toml"), toml).unwrap();
        Some(Self { folder, server })
    }

    fn run(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(program)
            .args(arguments)
            .env_clear()
            .env("BMC_CLIENT_CONFIG", self.folder.path().join("client.toml"))
            .envs([("SLURM_JOB_ID", "7"), ("SLURM_JOB_NODELIST", "n[1-2]")])
            .envs([("SLURM_JOB_UID", "2001"), ("SLURM_JOB_USER", "alice")])
            .env("SLURM_JOB_PARTITION", "bmc")
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }

    fn told(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("told")).unwrap_or_default()
    }

    fn asked(&self) -> Vec<String> {
        self.server.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect()
    }
}

fn executable(path: &Path, script: &str) {
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn view(state: &str) -> Answer {
    let view = serde_json::json!({
        "job": 7, "reference": "7", "restart_count": 0, "user": "alice", "partition": "bmc", "kernel": "thp-off",
        "image": "debian12", "state": state, "nodes": [], "failure": null,
        "failed_tries": 0, "power_off_after": true
    });
    (200, view.to_string())
}

fn refuse(status: u16, kind: ErrorKind, message: &str) -> Answer {
    (status, serde_json::to_string(&ApiError::new(kind, message)).unwrap())
}

#[test]
fn a_job_is_asked_for_waited_for_and_its_nodes_marked() {
    let calls = AtomicUsize::new(0);
    let Some(site) = Site::new("", "", move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => refuse(503, ErrorKind::Busy, "starting"),
        1 | 2 => view("booting"),
        _ => view("ready"),
    }) else {
        return;
    };
    let output = site.run(PROLOG, &[], &[("SPANK_BMC_KERNEL", "thp-off")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (put, get) = ("PUT /v1/jobs/7", "GET /v1/jobs/7?wait_seconds=20");
    let expected = [put, put, get, get];
    assert_eq!(site.asked(), expected);
    assert_eq!(site.told(), "update nodename=n[1-2] state=power_down_asap\n");
    let seen = site.server.seen();
    assert!(seen.iter().all(|one| one.from_port == seen[0].from_port), "one connection");
    let body = String::from_utf8(seen[0].body.clone()).unwrap();
    assert_eq!(
        body,
        r#"{"reference":"7","nodes":["n1","n2"],"restart_count":0,"user":"alice","uid":2001,"account":null,"partition":"bmc","options":{"kernel":"thp-off"}}"#
    );
}

#[test]
fn an_unknown_kernel_holds_the_job_with_the_servers_sentence() {
    let answer = |_: &Seen| refuse(404, ErrorKind::User, "no kernel \"thp-of\"; near: thp-off");
    let Some(site) = Site::new("", "", answer) else { return };
    let output = site.run(PROLOG, &[], &[("SPANK_BMC_KERNEL", "thp-of")]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        site.told(),
        "update jobid=7 comment=[bare-metal container] no kernel \"thp-of\"; near: thp-off\n\
         requeuehold 7\n"
    );
}

#[test]
fn an_interactive_command_is_told_instead() {
    let answer = |_: &Seen| refuse(403, ErrorKind::Forbidden, "kernel rt is not for alice");
    let Some(site) = Site::new("", "requeuehold hold", answer) else { return };
    assert_eq!(site.run(PROLOG, &[], &[]).status.code(), Some(77));
    assert!(site.told().ends_with("notify 7 [bare-metal container] kernel rt is not for alice\n"));
}

#[test]
fn a_forged_value_reaches_nobody_but_the_user() {
    let Some(site) = Site::new("", "", |_| view("ready")) else { return };
    let output = site.run(PROLOG, &[], &[("SPANK_BMC_KERNEL", "x\ny; rm -rf /")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(site.asked().is_empty());
    assert!(site.told().contains("comment=[bare-metal container] --bmc-kernel: kernel name"));
    assert!(site.told().ends_with("\nrequeuehold 7\n"), "{}", site.told());
}

#[test]
fn the_last_try_of_a_faulty_node_holds() {
    let answer = |_: &Seen| refuse(503, ErrorKind::Site, "n1 has no power controller");
    let Some(site) = Site::new("tries_max = 2\n", "", answer) else { return };
    assert_eq!(site.run(PROLOG, &[], &[]).status.code(), Some(4));
    assert!(!site.told().contains("requeuehold"), "{}", site.told());
    let output = site.run(PROLOG, &[], &[("SLURM_JOB_RESTART_COUNT", "1")]);
    assert_eq!(output.status.code(), Some(4));
    assert!(site.told().ends_with("requeuehold 7\n"), "{}", site.told());
}

#[test]
fn silence_ends_at_the_deadline() {
    let Some(site) = Site::new("prolog_timeout_seconds = 1\n", "", |_| (502, String::new())) else {
        return;
    };
    let started = Instant::now();
    assert_eq!(site.run(PROLOG, &[], &[]).status.code(), Some(3));
    assert!(started.elapsed().as_millis() < 1500, "{:?}", started.elapsed());
}

#[test]
fn the_time_of_the_sites_script_counts() {
    let extra = "site_prolog = \"FOLDER/site\"\nprolog_timeout_seconds = 2\ntries_max = 1\n";
    let Some(site) = Site::new(extra, "", |_| view("booting")) else { return };
    let script = site.folder.path().join("site");
    executable(&script, "#!/bin/sh\nexec sleep ${SITE_SLEEPS:-60}\n");
    // The first is left a second for the boot, the second none.
    for (sleeps, sentence) in [("1", "not up after 2 s"), ("60", "took too long and was ended")] {
        let started = Instant::now();
        assert_eq!(site.run(PROLOG, &[], &[("SITE_SLEEPS", sleeps)]).status.code(), Some(4));
        let took = started.elapsed().as_secs_f32();
        assert!((1.8..3.0).contains(&took), "{took}");
        assert!(site.told().contains(sentence), "{}", site.told());
        assert!(site.told().ends_with("requeuehold 7\n"), "{}", site.told());
    }
}

#[test]
fn a_site_script_that_cannot_be_run_holds_at_last() {
    let extra = "site_prolog = \"FOLDER/missing\"\n";
    let Some(site) = Site::new(extra, "", |_| view("ready")) else { return };
    assert_eq!(site.run(PROLOG, &[], &[]).status.code(), Some(4));
    assert!(!site.told().contains("requeuehold"), "{}", site.told());
    let third = [("SLURM_JOB_RESTART_COUNT", "2")];
    assert_eq!(site.run(PROLOG, &[], &third).status.code(), Some(4));
    assert!(site.told().contains("held after 3 tries: cannot run "), "{}", site.told());
    assert!(site.told().ends_with("requeuehold 7\n"), "{}", site.told());
}

#[test]
fn a_broken_configuration_stops_only_who_asks_for_us() {
    let Some(site) = Site::new("typo = 1\n", "", |_| view("ready")) else { return };
    assert_eq!(site.run(PROLOG, &[], &[]).status.code(), Some(0));
    let output = site.run(PROLOG, &[], &[("SPANK_BMC_KERNEL", "thp-off")]);
    assert_eq!(output.status.code(), Some(4));
    assert!(site.asked().is_empty());
}

#[test]
fn a_typo_does_not_skip_the_sites_script() {
    for (extra, code) in [
        ("typo = 1\nsite_prolog = \"FOLDER/site\"\n", 9),
        ("typo = 1\nsite_prolog = \"FOLDER/missing\"\n", 4),
        ("site_prolog = \"FOLDER/site\"\nno toml\n", 0),
    ] {
        let Some(site) = Site::new(extra, "", |_| view("ready")) else { return };
        executable(&site.folder.path().join("site"), "#!/bin/sh\nexit 9\n");
        let foreign = [("SLURM_JOB_PARTITION", "cpu")];
        assert_eq!(site.run(PROLOG, &[], &foreign).status.code(), Some(code), "{extra}");
    }
}

#[test]
fn a_job_whose_variables_cannot_be_used_is_held_at_last() {
    let Some(site) = Site::new("tries_max = 1\n", "", |_| view("ready")) else { return };
    let output = site.run(PROLOG, &[], &[("SLURM_JOB_NODELIST", "n[")]);
    assert_eq!(output.status.code(), Some(4));
    assert!(site.told().ends_with("requeuehold 7\n"), "{}", site.told());
}

#[test]
fn only_tries_that_a_node_failed_count() {
    let failed = |failed_tries: u32| {
        let mut view: serde_json::Value = serde_json::from_str(&view("failed").1).unwrap();
        view["failure"] = serde_json::json!({"hold": false, "node": "n1", "reason": "no power"});
        view["failed_tries"] = failed_tries.into();
        view["restart_count"] = 5.into();
        (200, view.to_string())
    };
    for (failed_tries, held) in [(2, false), (3, true)] {
        let Some(site) = Site::new("", "", move |_| failed(failed_tries)) else { return };
        let output = site.run(PROLOG, &[], &[("SLURM_JOB_RESTART_COUNT", "5")]);
        assert_eq!(output.status.code(), Some(4));
        assert_eq!(site.told().contains("requeuehold 7"), held, "{}", site.told());
    }
}

#[test]
fn a_foreign_partition_costs_no_request_and_keeps_its_site_prolog() {
    let extra = "site_prolog = \"FOLDER/site\"\n";
    let Some(site) = Site::new(extra, "", |_| view("ready")) else { return };
    executable(&site.folder.path().join("site"), "#!/bin/sh\nexit ${SITE_SAYS:-0}\n");
    let foreign = ("SLURM_JOB_PARTITION", "cpu");
    assert_eq!(site.run(PROLOG, &[], &[foreign]).status.code(), Some(0));
    assert_eq!(site.run(PROLOG, &[], &[foreign, ("SITE_SAYS", "9")]).status.code(), Some(9));
    let output = site.run(PROLOG, &[], &[foreign, ("SPANK_BMC_IMAGE", "debian12")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        site.told().contains("partition cpu does not boot nodes for a job: partition bmc does")
    );
    assert!(site.asked().is_empty());
}

#[test]
fn resume_passes_the_nodes_on_and_says_which_a_job_waits_for() {
    let Some(site) = Site::new("", "", |_| (200, "{}".into())) else { return };
    let file = site.folder.path().join("resume.json");
    std::fs::write(&file, r#"{"all_nodes":"n[1-2]","jobs":[{"job_id":7,"nodes":"n2"}]}"#).unwrap();
    let variable = [("SLURM_RESUME_FILE", file.to_str().unwrap())];
    assert_eq!(site.run(RESUME, &["n[1-2]"], &variable).status.code(), Some(0));
    assert_eq!(site.run(RESUME, &["n["], &[]).status.code(), Some(4));
    let seen = site.server.seen();
    assert_eq!(site.asked(), ["POST /v1/power/resume"]);
    assert_eq!(seen[0].body, br#"{"nodes":["n1","n2"],"for_jobs":["n2"]}"#);
}
