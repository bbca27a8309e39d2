//! What those get who have no business with a boot: a plain user on the controller host, the same
//! user in a job on another node, and anybody without a credential. The boot is not disturbed.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use crate::web::{HTTP, HTTPS, artifacts_of, ask, boot_url};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::{Duration, Instant};
use tests::product::check;

/// SHA-256 of nothing, for credentials.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What only administrators may: `bmc` ends with 77, and so do the hooks' own programs.
const ADMIN_ONLY: [&[&str]; 13] = [
    &["bmc", "node", "power", "n1", "off", "--yes"],
    &["bmc", "node", "power", "n1", "status"],
    &["bmc", "node", "console", "n1"],
    &["bmc", "node", "maintenance", "n1", "--reason", "mine"],
    &["bmc", "node", "boot", "n3"],
    &["bmc", "kernel", "import", "mine", "/etc/hosts"],
    &["bmc", "kernel", "rm", "6.1-rt"],
    &["bmc", "image", "import", "mine", "/etc/hosts"],
    &["bmc", "image", "rm", "debian12"],
    &["/usr/libexec/bare-metal-container/suspend", "n1"],
    &["/usr/libexec/bare-metal-container/resume", "n3"],
    &["/usr/libexec/bare-metal-container/resume-fail", "n1"],
    &["/usr/libexec/bare-metal-container/reboot", "n1"],
];

/// alice on the head and on n2 asks for everything of n1, from before bob's job boots it until it
/// runs, and gets nothing; bob's job and his node do not notice.
pub(crate) fn strangers_get_nothing(case: &Case<'_>) -> Result<()> {
    let [artifact, _, _] = artifacts_of(case, "6.1-cloud")?;
    let probe = probe_from_node(case, &artifact)?;
    let job = submit_as_bob(case)?;
    fs::write(case.cluster.dir().join("home/alice/job"), format!("{job}\n"))?;
    let (start, mut rounds) = (Instant::now(), 0);
    while case.field(job, "JobState")? != "RUNNING" {
        ask_for_a_boot(case, &artifact)?;
        rounds += 1;
        let seconds = start.elapsed().as_secs();
        ensure!(seconds < BOOT_SECONDS, "n1 was disturbed:\n{}", case.describe(job));
    }
    ensure!(rounds >= 10, "only {rounds} rounds of questions while n1 booted");
    ask_for_a_boot(case, &artifact)?;
    refused_to_alice(case, job)?;
    refused_without_credential(case, job)?;
    credential_is_good_once_and_for_one_request(case)?;
    fs::write(case.cluster.dir().join("home/alice/stop"), "")?;
    case.wait(probe, "COMPLETED", 60)?;
    nothing_came_back(&case.output(probe))?;

    // On the node as bob left it: the kernel that only he may choose, and no second start.
    fs::write(case.cluster.dir().join("home/bob/go"), "")?;
    case.wait(job, "COMPLETED", 60)?;
    let printed = fs::read_to_string(case.cluster.dir().join(format!("home/bob/{job}.out")))?;
    ensure!(printed == "only-for-bob on n1\n", "bob's job printed {printed:?}");
    ensure!(case.field(job, "Restarts")? == "0", "{}", case.describe(job));
    // Slurm's own mark of a node that goes off after its job.
    let reason = case.reason(case.node(1)?)?;
    let usual = reason.is_empty() || reason.starts_with("POWER_DOWN_ASAP ");
    ensure!(usual, "n1 was disturbed: {reason}");
    for verb in ["status", "energy"] {
        check(case.cluster.run("bob", &["bmc", verb, &job.to_string()])?)?;
    }
    Ok(())
}

/// bob's job on n1, which runs until it is told to go.
fn submit_as_bob(case: &Case<'_>) -> Result<u32> {
    let script = "--wrap=echo $BMC_KERNEL on $(hostname); \
                  for i in $(seq 600); do [ -e go ] && break; sleep 0.2; done";
    let sbatch = ["sbatch", "--parsable", "--nodelist=n1", "--bmc-kernel=only-for-bob"];
    let files = ["--chdir=/home/bob", "--output=/home/bob/%j.out", script];
    Ok(check(case.cluster.run("bob", &[&sbatch[..], &files].concat())?)?.trim().parse()?)
}

/// From the head: the hold script, and neither token nor artifact.
fn ask_for_a_boot(case: &Case<'_>, artifact: &str) -> Result<()> {
    let boot = boot_url(case.node(1)?);
    let script = ask(case, "alice", &[&boot])?.text();
    ensure!(script.starts_with("#!ipxe") && !script.contains("/artifacts/"), "{script}");
    for url in [format!("{boot}/token"), format!("{HTTP}/artifacts/{artifact}")] {
        let answer = ask(case, "alice", &[&url])?;
        ensure!(answer.status == 403, "{url}: {} {}", answer.status, answer.text());
    }
    for (method, path) in [("GET", "plan"), ("POST", "secrets"), ("POST", "heartbeat")] {
        let url = format!("{HTTPS}/v1/boot/{path}");
        let token = format!("Boot-Token: {}", "0".repeat(64));
        for header in ["X: none", &token] {
            let answer = ask(case, "alice", &["-X", method, "-H", header, &url])?;
            ensure!(answer.status == 403, "{url}: {} {}", answer.status, answer.text());
        }
    }
    Ok(())
}

fn refused_to_alice(case: &Case<'_>, job: u32) -> Result<()> {
    for words in ADMIN_ONLY {
        let output = case.alice(words)?;
        let code = output.status.code();
        ensure!(code == Some(77), "{words:?} ended with {code:?}: {output:?}");
    }
    let number = job.to_string();
    let variables = [format!("SLURM_JOB_ID={job}"), "SLURM_JOB_PARTITION=bmc".to_owned()];
    let epilog = "/usr/libexec/bare-metal-container/epilog";
    let output = case.alice(&["env", &variables[0], &variables[1], epilog])?;
    ensure!(output.status.code() == Some(77), "epilog: {output:?}");
    for verb in ["status", "energy"] {
        ensure_refused(&case.alice(&["bmc", verb, &number])?, &["or is not yours"])?;
    }
    let listed = check(case.alice(&["bmc", "status", "--all", "--json"])?)?;
    ensure!(listed.contains("\"alice\"") && !listed.contains("\"bob\""), "{listed}");
    Ok(())
}

fn refused_without_credential(case: &Case<'_>, job: u32) -> Result<()> {
    for (method, path) in [
        ("GET", "/v1/jobs".to_owned()),
        ("GET", format!("/v1/jobs/{job}")),
        ("PUT", format!("/v1/jobs/{job}")),
        ("DELETE", format!("/v1/jobs/{job}")),
        ("GET", format!("/v1/energy/{job}")),
        ("POST", "/v1/power/suspend".to_owned()),
        ("GET", "/v1/nodes".to_owned()),
        ("PUT", "/v1/nodes".to_owned()),
        ("PUT", "/v1/nodes/n1/power".to_owned()),
        ("GET", "/v1/catalog".to_owned()),
        ("PUT", "/v1/kernels/mine".to_owned()),
    ] {
        let url = format!("{HTTP}{path}");
        let answer = ask(case, "alice", &["-X", method, &url])?;
        ensure!(answer.status == 403, "{method} {path}: {} {}", answer.status, answer.text());
        ensure_contains(&answer.text(), "no munge credential")?;
    }
    Ok(())
}

/// alice's own credential, taken to another URL and then used twice.
fn credential_is_good_once_and_for_one_request(case: &Case<'_>) -> Result<()> {
    let credential = || -> Result<String> {
        let payload = format!("bare-metal-container 1 GET /v1/nodes {EMPTY}");
        let made = check(case.alice(&["munge", "--string", &payload])?)?;
        Ok(format!("Authorization: MUNGE {}", made.trim()))
    };
    let get = |path: &str, header: &str| {
        Ok::<_, anyhow::Error>(
            ask(case, "alice", &["-H", header, &format!("{HTTP}{path}")])?.status,
        )
    };
    let header = credential()?;
    ensure!(get("/v1/nodes", &header)? == 200, "a good credential is refused");
    ensure!(get("/v1/nodes", &header)? == 403, "a credential was good twice");
    ensure!(get("/v1/jobs", &credential()?)? == 403, "a credential was good for another URL");
    Ok(())
}

/// Bash speaks HTTP well enough; `bmc` is the site's own, with munge's socket of the node.
const PROBE: &str = r#"
ask() {
    exec 3<>/dev/tcp/10.77.0.1/8080
    printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3
    head -c 300 <&3 | tr -d '\0'; echo
    exec 3<&-
}
for i in $(seq 600); do
    [ -e stop ] && break
    ask /boot/MAC; ask /boot/MAC/token; ask /artifacts/SHA
    echo asked
    sleep 0.1
done
export BMC_CLIENT_CONFIG=/home/alice/client.toml
for words in 'node power n1 off --yes' 'node console n1' 'node maintenance n1 --reason mine' \
    "status $(cat job)" "energy $(cat job)"; do
    ./bmc $words; echo "code $? of $words"
done
"#;

/// Submits alice's job on n2 and returns when it asks.
fn probe_from_node(case: &Case<'_>, artifact: &str) -> Result<u32> {
    let home = case.cluster.dir().join("home/alice");
    let script = PROBE.replace("MAC", &case.node(1)?.mac()).replace("SHA", artifact);
    fs::write(home.join("probe.sh"), script)?;
    fs::copy(case.cluster.dir().join("etc/client.toml"), home.join("client.toml"))?;
    fs::copy(case.cluster.dir().join("bin/bmc"), home.join("bmc")).context("copying bmc")?;
    let probe = case.submit(&["-w", "n2"], "bash probe.sh 2>&1")?;
    case.wait(probe, "RUNNING", BOOT_SECONDS)?;
    let asks = || Ok(case.output(probe).contains("asked"));
    tests::product::wait_until(Duration::from_secs(30), "alice's job asks", asks)?;
    Ok(probe)
}

fn nothing_came_back(printed: &str) -> Result<()> {
    let count = |word: &str| printed.matches(word).count();
    let rounds = count("asked");
    ensure!(rounds >= 10, "only {rounds} rounds of questions: {printed}");
    ensure!(count("#!ipxe") == rounds && !printed.contains("kernel --name"), "{printed}");
    ensure!(count("403 Forbidden") == 2 * rounds, "{printed}");
    for (code, verbs) in [(77, "node"), (2, "status"), (2, "energy")] {
        ensure_contains(printed, &format!("code {code} of {verbs} "))?;
    }
    ensure!(count("code 77 of ") == 3 && count("code 2 of ") == 2, "{printed}");
    Ok(())
}
