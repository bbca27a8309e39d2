//! Registries that are away, slow or closed, and images that several want at once.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use crate::images::{layout, pushed};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::{Duration, Instant};
use tests::cluster::on_demand::{
    LOGIN, LOGIN_REGISTRY, REGISTRY, REGISTRY_HOST, SLOW_REGISTRY, port,
};
use tests::product::{bmc, check, registry, wait_until};

fn sbatch<'a>(image: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["sbatch", "--parsable", "--chdir=/", "--output=/dev/null", image], more].concat()
}

/// What the registry does not have, or not for this user, is refused when it is typed, in the
/// registry's own words; with the login of `~/.docker/config.json` it runs. The password is in no log.
pub(crate) fn a_closed_registry_wants_a_login(case: &Case<'_>) -> Result<()> {
    pushed(case, "musl")?;
    let missing = format!("--bmc-image={}", registry::reference(REGISTRY, "musl", "none"));
    let refused = case.alice(&sbatch(&missing, &["--wrap=true"]))?;
    ensure_refused(&refused, &["test/musl:none", "unknown"])?;

    let closed = registry::push_with_login(case.cluster, &layout(), "musl", registry::TAG)?;
    let closed = format!("--bmc-image={closed}");
    let refused = case.alice(&sbatch(&closed, &["--wrap=true"]))?;
    ensure_refused(&refused, &["registry:5443 wants a login"])?;

    let host = format!("--registry={REGISTRY_HOST}:{}", port(LOGIN_REGISTRY));
    let docker = case.cluster.dir().join("home/alice/.docker");
    fs::create_dir_all(&docker)?;
    let config = docker.join("config.json");
    let auth = base64(&format!("{}:{}", LOGIN.0, LOGIN.1));
    let host = host.trim_start_matches("--registry=");
    fs::write(&config, format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"{auth}\"}}}}}}"))?;
    for path in [&docker, &config] {
        std::os::unix::fs::chown(path, Some(2001), Some(2001))?;
    }
    let result =
        case.run(&[&closed], "cat /etc/os-release; env; ls -a ~/.docker").and_then(|printed| {
            ensure_contains(&printed, "ID=musl")?;
            nobody_else_has_it(case, &printed)?;
            ensure!(!printed.contains(&auth) && !printed.contains(LOGIN.1), "{printed}");
            let log = fs::read_to_string(case.cluster.dir().join("log/services/bootsrv.log"))?;
            ensure!(
                !log.contains(&auth) && !log.contains(LOGIN.1),
                "the login is in bootsrv's log"
            );
            Ok(())
        });
    fs::remove_dir_all(docker)?;
    case.cluster.stop_service(LOGIN_REGISTRY, "TERM")?;
    result
}

/// bob, who can read what alice's job printed, has neither her image nor her word for it.
fn nobody_else_has_it(case: &Case<'_>, printed: &str) -> Result<()> {
    let pinned = printed.lines().find_map(|line| line.strip_prefix("BMC_IMAGE="));
    let pinned = pinned.context("the job has no BMC_IMAGE")?;
    let bob = |words: &[&str]| case.cluster.run("bob", words);
    let option = format!("--bmc-image={pinned}");
    ensure_refused(&bob(&sbatch(&option, &["--wrap=true"]))?, &["registry:5443 wants a login"])?;
    ensure_refused(&bob(&["bmc", "image", "pull", pinned])?, &["registry:5443 wants a login"])?;
    ensure_refused(&bob(&["bmc", "image", "show", pinned])?, &["is not prepared"])?;
    let list = ["bmc", "image", "list"];
    ensure_contains(&check(case.alice(&list)?)?, "registry:5443/")?;
    let listed = check(bob(&list)?)?;
    ensure!(!listed.contains("registry:5443/"), "{listed}");
    Ok(())
}

/// Base64 of a short text, by the program of that name.
fn base64(text: &str) -> String {
    let words = ["-c", "printf %s \"$0\" | base64 --wrap=0", text];
    let output = std::process::Command::new("sh").args(words).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// The registry is away when the job is submitted and comes back while it waits: the job runs. Away for
/// longer than the site's patience: the job is held, with why, and its node is off and not blamed.
pub(crate) fn a_registry_that_is_away(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "musl")?;
    case.cluster.stop_service(REGISTRY, "KILL")?;
    let patient = case.submit(&["-w", "n1", &image], "cat /etc/os-release")?;
    wait_until(Duration::from_secs(60), "n1 is powered on", || Ok(!case.is_off(case.node(1)?)?))?;
    case.cluster.start_service(REGISTRY)?;
    case.wait(patient, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(patient), "ID=musl")?;
    ensure!(case.field(patient, "Restarts")? == "0", "{}", case.describe(patient));

    case.cluster.stop_service(REGISTRY, "KILL")?;
    let unlucky = case.submit(&["-w", "n2", &image], "echo ran")?;
    let held = case.wait_held(unlucky, 2 * BOOT_SECONDS);
    case.cluster.start_service(REGISTRY)?;
    let comment = held?;
    ensure_contains(&comment, "registry:5000")?;
    ensure!(case.output(unlucky).is_empty(), "it ran: {}", case.output(unlucky));
    case.wait_all_off()?;
    let reason = case.reason(case.node(2)?)?;
    ensure!(reason.is_empty(), "n2 was drained for a registry: {reason}");
    Ok(())
}

/// How often a layer was asked for, by the registry's own log.
fn fetched(case: &Case<'_>) -> Result<usize> {
    let log = fs::read_to_string(case.cluster.dir().join("log/services/registry.log"))?;
    let is_layer = |line: &&str| line.contains("\"GET /v2/test/large") && line.contains("/blobs/");
    // The configuration of an image is a blob too, of some hundred bytes.
    let bytes = |line: &str| line.split("\" 20").nth(1)?.split(' ').nth(1)?.parse::<u64>().ok();
    Ok(log.lines().filter(is_layer).filter(|line| bytes(line).is_some_and(|b| b > 100_000)).count())
}

/// Slow: the submission does not wait, nodes boot meanwhile, the progress is shown; bootsrv is killed in
/// the middle and goes on.
pub(crate) fn a_slow_pull_goes_on_after_a_kill(case: &Case<'_>) -> Result<()> {
    pushed(case, "large-1")?;
    case.cluster.start_service(SLOW_REGISTRY)?;
    let image = registry::reference(SLOW_REGISTRY, "large-1", registry::TAG);
    let image = format!("--bmc-image={image}");
    let start = Instant::now();
    let job = case.submit(&["-w", "n1", &image], "ls -l /cc1; cat /etc/os-release")?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(seconds < 4.0, "sbatch waited {seconds:.1} s for a slow registry");
    let number = job.to_string();
    let bytes = || -> Result<u64> {
        let Ok(status) = case.json(&["status", &number]) else { return Ok(0) };
        Ok(status.pointer("/application/bytes_done").and_then(|n| n.as_u64()).unwrap_or(0))
    };
    wait_until(Duration::from_secs(60), "a part has been fetched", || Ok(bytes()? > 1_000_000))
        .with_context(|| case.describe(job))?;
    let shown = check(bmc(case.cluster, &["status", &number])?)?;
    for expected in ["pulling: ", "iB/s, ", " of 2 layers"] {
        ensure_contains(&shown, expected)?;
    }
    case.cluster.stop_service("bootsrv", "KILL")?;
    std::thread::sleep(Duration::from_secs(1));
    case.cluster.start_service("bootsrv")?;
    case.wait(job, "COMPLETED", BOOT_SECONDS).with_context(|| case.describe(job))?;
    ensure_contains(&case.output(job), "/cc1")?;
    ensure!(case.field(job, "Restarts")? == "0", "{}", case.describe(job));
    case.cluster.stop_service(SLOW_REGISTRY, "TERM").map_err(Into::into)
}

/// Two jobs that ask for the same image at once: each layer is fetched once.
pub(crate) fn two_jobs_pull_once(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "large-2")?;
    let before = fetched(case)?;
    let submit = |node| case.submit(&["-w", node, &image], "ls -l /lto1; busybox hostname");
    let jobs = [submit("n1")?, submit("n2")?];
    for job in jobs {
        case.wait(job, "COMPLETED", BOOT_SECONDS)?;
        ensure_contains(&case.output(job), "/lto1")?;
    }
    let layers = fetched(case)? - before;
    // Its base has been converted for another image before.
    ensure!(layers == 1, "{layers} layers were fetched instead of one");
    Ok(())
}

/// A tag is moved while the job waits to be started again: it gets the image that it was submitted
/// with.
pub(crate) fn a_requeued_job_keeps_its_image(case: &Case<'_>) -> Result<()> {
    let push = |image| registry::push_as(case.cluster, &layout(), image, "test/moving:1");
    let image = format!("--bmc-image={}", push("musl")?);
    let script = "cat /etc/os-release; [ ${SLURM_RESTART_COUNT:-0} -gt 0 ] || sleep 100";
    let job = case.submit(&[&image, "--open-mode=append"], script)?;
    wait_until(Duration::from_secs(BOOT_SECONDS), "the job has printed", || {
        Ok(case.output(job).contains("ID=musl"))
    })
    .with_context(|| case.describe(job))?;
    push("systemd")?;
    case.cluster.check(&["scontrol", "requeue", &job.to_string()])?;
    crate::requeue::start_now(case, job)?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let printed = case.output(job);
    ensure!(printed.matches("ID=musl").count() == 2, "{printed}");
    Ok(())
}
