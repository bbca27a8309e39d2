//! A good site gives no finding; the same site with one thing changed gives exactly the finding that
//! belongs to it.
#![expect(
    clippy::unwrap_used,
    reason = "clippy sees only #[test] functions as tests, not their helpers"
)]

use slurm_conf::check::{Finding, Severity, as_text, check};
use slurm_conf::generate::generate;
use slurm_conf::live::{LiveSite, Paths, ProgramState, ProgramView};
use slurm_conf::site::{Site, SlurmVersion};
use std::fs;
use std::path::Path;

/// The programs that a made-up machine has.
const PROGRAMS: ProgramView = ProgramView {
    state: |path| match path.to_str().unwrap() {
        "/site/data" => ProgramState::NotExecutable,
        "/site/wrapper" | "/site/stranger" => ProgramState::Executable,
        path if path.starts_with("/usr/libexec/bare-metal-container/")
            && ["prolog", "epilog", "resume", "suspend", "resume-fail", "reboot"]
                .contains(&path.rsplit('/').next().unwrap()) =>
        {
            ProgramState::Executable
        }
        _ => ProgramState::Missing,
    },
    script: |path| match path.to_str().unwrap() {
        "/site/wrapper" => {
            Some("#!/bin/sh\nexec /usr/libexec/bare-metal-container/prolog\n".to_owned())
        }
        "/site/stranger" => Some("#!/bin/sh\nexit 0\n".to_owned()),
        _ => None,
    },
};

fn findings(directory: &Path, version: &str) -> Vec<Finding> {
    let paths = Paths {
        slurm_conf: directory.join("slurm.conf"),
        bootsrv: directory.join("bootsrv.toml"),
        client: directory.join("client.toml"),
    };
    let mut site = LiveSite::read(&paths, PROGRAMS).unwrap();
    site.version = Some(version.parse::<SlurmVersion>().unwrap());
    check(&site)
}

/// Writes the example site for a version of Slurm.
fn write_site(directory: &Path, version: &str) {
    let text = include_str!("../../examples/site.toml")
        .replace("version = \"22.05\"", &format!("version = {version:?}"));
    let site = Site::parse(&text, Path::new("site.toml")).unwrap();
    for file in generate(&site, true) {
        fs::write(directory.join(file.name), file.content).unwrap();
    }
}

#[test]
fn a_generated_site_gives_no_finding() {
    for version in ["22.05", "23.02", "24.11", "25.05", "26.05"] {
        let directory = tempfile::tempdir().unwrap();
        write_site(directory.path(), version);
        let found = findings(directory.path(), version);
        assert!(found.is_empty(), "{version}:\n{}", as_text(&found));
    }
}

/// File, text there, what stands there instead, the rule that must find it, and how bad it is.
type Mutation = (&'static str, &'static str, &'static str, &'static str, Severity);

const FRAGMENT: &str = "bare-metal-container.conf";
const OURS: &str = "/usr/libexec/bare-metal-container";
use Severity::{Error, Warning};

const MUTATIONS: &[Mutation] = &[
    ("slurm.conf", "MpiDefault=none", "MpiDefault none", "readable", Error),
    ("slurm.conf", "MpiDefault=none", "Include gone.conf", "readable", Error),
    ("bootsrv.toml", "[url]", "[ur", "readable", Error),
    ("client.toml", "partitions = [", "partitions = 3 # [", "readable", Error),
    ("slurm.conf", "MpiDefault=none", "JobRequeue=0", "set-once", Warning),
    (
        "slurm.conf",
        "MpiDefault=none",
        "PrologSlurmctld=/usr/libexec/bare-metal-container/prolog",
        "set-once",
        Warning,
    ),
    ("slurm.conf", "MpiDefault=none", "Prolog=/etc/slurm/prolog", "node-programs", Warning),
    (FRAGMENT, "ResumeProgram=", "#ResumeProgram=", "resume-program", Error),
    (FRAGMENT, "/resume\n", "/gone\n", "resume-program", Error),
    (FRAGMENT, "SuspendProgram=", "#SuspendProgram=", "suspend-program", Error),
    (FRAGMENT, "/usr/libexec/bare-metal-container/suspend", "/site/data", "suspend-program", Error),
    (FRAGMENT, "ResumeFailProgram=", "#ResumeFailProgram=", "resume-fail-program", Error),
    (FRAGMENT, "RebootProgram=", "#RebootProgram=", "reboot-program", Warning),
    (FRAGMENT, ",reboot_from_controller", "", "reboot-program", Warning),
    (FRAGMENT, "SuspendTime=31536000", "SuspendTime=INFINITE", "suspend-time", Error),
    (FRAGMENT, "SuspendTime=31536000", "SuspendTime=600", "suspend-time", Warning),
    (FRAGMENT, "SuspendRate=0", "SuspendRate=60", "power-rates", Warning),
    (FRAGMENT, "ResumeRate=0", "", "power-rates", Warning),
    ("slurm.conf", "MpiDefault=none", "SuspendExcParts=bmc", "suspend-exclusions", Error),
    ("slurm.conf", "MpiDefault=none", "SuspendExcNodes=x,n2:1", "suspend-exclusions", Error),
    (FRAGMENT, "State=UP", "State=UP PowerDownOnIdle=YES", "power-down-on-idle", Error),
    (FRAGMENT, "power_save_interval=1", "idle_on_node_suspend", "idle-on-node-suspend", Warning),
    (FRAGMENT, "PrologSlurmctld=", "#PrologSlurmctld=", "prolog-slurmctld", Error),
    (
        FRAGMENT,
        "=/usr/libexec/bare-metal-container/prolog",
        "=/site/stranger",
        "prolog-slurmctld",
        Error,
    ),
    (FRAGMENT, "=/usr/libexec/bare-metal-container/prolog", "=prolog", "prolog-slurmctld", Error),
    (FRAGMENT, "EpilogSlurmctld=", "#EpilogSlurmctld=", "epilog-slurmctld", Error),
    ("client.toml", "tries_max = 3", "site_prolog = \"/site/data\"", "site-hooks", Error),
    (FRAGMENT, "PrologEpilogTimeout=", "#PrologEpilogTimeout=", "prolog-epilog-timeout", Error),
    (
        FRAGMENT,
        "PrologEpilogTimeout=1020",
        "PrologEpilogTimeout=960",
        "prolog-epilog-timeout",
        Error,
    ),
    (
        "client.toml",
        "prolog_timeout_seconds = 960",
        "prolog_timeout_seconds = 900",
        "prolog-timeout",
        Error,
    ),
    (FRAGMENT, "ResumeTimeout=", "#ResumeTimeout=", "resume-timeout", Error),
    (FRAGMENT, "State=UP", "State=UP ResumeTimeout=300", "resume-timeout", Error),
    (FRAGMENT, "SuspendTimeout=", "#SuspendTimeout=", "suspend-timeout", Error),
    (FRAGMENT, "BatchStartTimeout=60", "", "batch-start-timeout", Warning),
    ("slurm.conf", "MpiDefault=none", "MessageTimeout=5", "message-timeout", Warning),
    ("slurm.conf", "MpiDefault=none", "MessageTimeout=30", "unkillable-step-timeout", Warning),
    (FRAGMENT, "ReturnToService=2", "ReturnToService=1", "return-to-service", Error),
    (FRAGMENT, "JobRequeue=1", "jobrequeue=0", "job-requeue", Error),
    (FRAGMENT, "enable_configless,", "", "configless", Error),
    ("slurm.conf", "Include bare", "Include ./bare", "include-is-handed-on", Error),
    (FRAGMENT, "SlurmdParameters=config_overrides", "", "config-overrides", Error),
    ("slurm.conf", "AuthType=auth/munge", "AuthType=auth/none", "auth-type", Error),
    ("slurm.conf", "MpiDefault=none", "AuthInfo=socket=/run/x", "auth-info", Error),
    ("slurm.conf", "SlurmUser=slurm", "", "slurm-user", Error),
    ("bootsrv.toml", "user = \"slurm\"", "user = \"bootsrv\"", "slurm-user", Error),
    ("slurm.conf", "SlurmctldPort=6817", "SlurmctldPort=7000-7003", "conf-server", Error),
    ("client.toml", ":8080", ":8081", "server-url", Error),
    ("slurm.conf", "MpiDefault=none", "DebugFlags=Power", "debug-flags", Warning),
    (
        FRAGMENT,
        "State=UP",
        "State=UP TRESBillingWeights=\"CPU=1,Energy=0.1\"",
        "energy-billing",
        Warning,
    ),
    ("client.toml", "[\"bmc\"]", "[\"bmc\", \"bmx\"]", "partitions-exist", Error),
    ("client.toml", "[\"bmc\"]", "[]", "partitions-agree", Error),
    (
        "bootsrv.toml",
        "[[partition]]",
        "[[mount]]\nsource=\"\"\ntarget=\"\"\nfstype=\"\"\n[[part]]",
        "partitions-agree",
        Error,
    ),
    (FRAGMENT, "OverSubscribe=EXCLUSIVE", "OverSubscribe=NO", "exclusive", Error),
    (
        "slurm.conf",
        "MpiDefault=none",
        "PreemptType=preempt/qos\nPreemptMode=SUSPEND,GANG",
        "preempt-mode",
        Error,
    ),
    (
        FRAGMENT,
        "State=UP",
        "State=UP PreemptMode=suspend\nPreemptType=preempt/partition_prio",
        "preempt-mode",
        Error,
    ),
    (FRAGMENT, "State=UNKNOWN", "State=CLOUD", "node-state", Error),
    ("slurm.conf", "MpiDefault=none", "PartitionName=all Nodes=ALL", "nodes-not-shared", Warning),
    ("plugstack.conf", "optional spank_bmc.so", "", "plugin", Error),
    ("plugstack.conf", "optional spank", "required spank", "plugin", Error),
    ("plugstack.conf", "optional spank_bmc.so", "include plug*.d", "plugin", Error),
    ("plugstack.conf", "optional spank_bmc.so", "optional /gone/spank_bmc.so", "plugin", Error),
    ("slurm.conf", "MpiDefault=none", "PluginDir=/gone:/away", "plugin", Error),
    ("slurm.conf", "PlugStackConfig=plugstack.conf", "PlugStackConfig=/gone", "plugin", Error),
    ("cgroup.conf", "IgnoreSystemd=yes", "IgnoreSystemd=no", "cgroup", Warning),
    ("bootsrv.toml", "prepare_seconds = 600", "root = \"nfs\"", "application-images", Error),
    ("bootsrv.toml", "prepare_seconds = 600", "trys = 3", "application-images", Error),
    (
        "bootsrv.toml",
        "after_job = \"off\"",
        "after_job = \"off\"\nroot = \"nfs\"",
        "partition-root",
        Error,
    ),
    ("client.toml", "slurm_user = \"slurm\"", "slurm_user = \"bmc\"", "registry-logins", Error),
];

/// Of a site whose nodes stay on.
const STAY_ON_MUTATIONS: &[Mutation] = &[
    (FRAGMENT, "SlurmdTimeout=", "#SlurmdTimeout=", "slurmd-timeout", Error),
    (FRAGMENT, "SuspendTime=900", "SuspendTime=31536000", "idle-time", Warning),
    (FRAGMENT, "State=UP", "State=UP PowerDownOnIdle=YES", "keeps-nodes-on", Error),
    (FRAGMENT, "SuspendTime=900", "SuspendTime=299", "preboot-time", Warning),
    ("slurm.conf", ",ignore_prefer_validation", "", "preference", Warning),
];

#[test]
fn a_site_whose_nodes_stay_on_gives_no_finding_unless_it_is_changed() {
    let write = |directory: &Path, version: &str| {
        let text = include_str!("../../examples/site.toml")
            .replace("version = \"22.05\"", &format!("version = {version:?}"))
            .replace(
                "default = true",
                "default = true\nafter_job = \"stay_on\"\nidle_seconds = 900\npreboot = true",
            );
        let site = Site::parse(&text, Path::new("site.toml")).unwrap();
        for file in generate(&site, true) {
            fs::write(directory.join(file.name), file.content).unwrap();
        }
    };
    for version in ["22.05", "24.11"] {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), version);
        let found = findings(directory.path(), version);
        assert!(found.is_empty(), "{version}:\n{}", as_text(&found));
    }
    each(STAY_ON_MUTATIONS, &|directory| write(directory, "24.11"), "24.11");
}

#[test]
fn each_change_gives_exactly_its_finding() {
    each(MUTATIONS, &|directory| write_site(directory, "22.05"), "22.05");
}

fn each(mutations: &[Mutation], write: &dyn Fn(&Path), version: &str) {
    for (file, from, to, rule, severity) in mutations {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path());
        let path = directory.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from:?} is not in {file}:\n{text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let found = findings(directory.path(), version);
        let rules: Vec<_> = found.iter().map(|finding| (finding.rule, finding.severity)).collect();
        assert_eq!(rules, [(*rule, *severity)], "{file}: {from:?} -> {to:?}\n{}", as_text(&found));
        let Some(one) = found.first() else { continue };
        assert!(!one.instead.is_empty() && !one.wrong.is_empty() && !one.setting.is_empty());
        if let Some(line) = one.line {
            let text = fs::read_to_string(&one.file).unwrap();
            assert!(line <= text.lines().count(), "{rule}: line {line}");
        }
    }
}

#[test]
fn lines_are_those_of_the_file_the_setting_stands_in() {
    let directory = tempfile::tempdir().unwrap();
    write_site(directory.path(), "22.05");
    let path = directory.path().join(FRAGMENT);
    let text = fs::read_to_string(&path).unwrap().replace("ReturnToService=2", "ReturnToService=0");
    fs::write(&path, &text).unwrap();
    let found = findings(directory.path(), "22.05");
    let line = 1 + text.lines().position(|line| line == "ReturnToService=0").unwrap();
    assert_eq!((found[0].file.as_path(), found[0].line), (path.as_path(), Some(line)));
}

#[test]
fn a_newer_slurm_should_mark_nodes_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    write_site(directory.path(), "22.05");
    let found = findings(directory.path(), "24.11");
    assert_eq!(found.len(), 1, "{}", as_text(&found));
    assert_eq!((found[0].rule, found[0].severity), ("power-down-on-idle", Warning));
}

#[test]
fn a_script_that_calls_ours_is_as_good() {
    let directory = tempfile::tempdir().unwrap();
    write_site(directory.path(), "22.05");
    let path = directory.path().join(FRAGMENT);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen(&format!("={OURS}/prolog"), "=/site/wrapper", 1)).unwrap();
    assert!(findings(directory.path(), "22.05").is_empty());
}

#[test]
fn what_is_harmless_gives_no_finding() {
    for (file, from, to) in [
        ("slurm.conf", "MpiDefault=none", "PreemptMode=SUSPEND,GANG"),
        // The partition's own mode counts.
        (
            "slurm.conf",
            "Include",
            "PreemptType=preempt/qos\nPreemptMode=SUSPEND,GANG\nPartitionName=DEFAULT PreemptMode=OFF\nInclude",
        ),
        // It comes to the nodes as a site file.
        ("slurm.conf", "MpiDefault=none", "Epilog=/etc/hosts"),
        ("slurm.conf", "MpiDefault=none", "PartitionName=other_1 Nodes=c1\nNodeName=c1"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        write_site(directory.path(), "22.05");
        let path = directory.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from:?}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let found = findings(directory.path(), "22.05");
        assert!(found.is_empty(), "{to}:\n{}", as_text(&found));
    }
}

#[test]
fn a_plugin_line_in_an_include_does_not_reach_the_nodes() {
    let directory = tempfile::tempdir().unwrap();
    write_site(directory.path(), "22.05");
    fs::create_dir(directory.path().join("plugstack.conf.d")).unwrap();
    let plugstack = directory.path().join("plugstack.conf");
    fs::rename(&plugstack, directory.path().join("plugstack.conf.d/bmc.conf")).unwrap();
    fs::write(&plugstack, "include plugstack.conf.d/*\n").unwrap();
    let found = findings(directory.path(), "22.05");
    assert_eq!(found.len(), 1, "{}", as_text(&found));
    assert_eq!((found[0].rule, found[0].severity, found[0].line), ("plugin", Warning, Some(4)));
}
