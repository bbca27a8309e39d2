//! The boot, from the first process's start to the hand-over, as one sequence.
//!
//! Downloads run beside the settings and mounts that do not need them. Any error ends the boot:
//! it is reported, printed, and the node goes off.

use crate::arguments::KernelArguments;
use crate::console::{Complaint, say, uptime_ns};
use crate::files::Root;
use crate::hand_over::hand_over;
use crate::heartbeats::Errand;
use crate::machine::{cpus_online, memory};
use crate::memory_clearing::{self, NotCleared};
use crate::modules::{self, Modules};
use crate::report::{Reporter, one_line};
use crate::server::{Server, is_refused};
use crate::settings::{self, SettingRefused};
use crate::{card, clock, download, mounts, power, root};
use anyhow::{Context as _, Result, bail};
use protocol::boot::{
    AgentStage, ArtifactRef, BootFailure, BootPlan, CERTIFICATE_FILE, Heartbeat,
    SECRETS_ASKED_SECONDS, Secrets, StageTime, TOKEN_FILE,
};
use protocol::names::Secret;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// How long the plan is asked for.
const PLAN_SECONDS: u64 = 60;
/// Memory that must be left beside image and modules: a kernel with less than that ends in a
/// deadlock on memory when it mounts them.
const RESERVE_KIB: u64 = 32 << 10;
/// Between two attempts at either.
const RETRY: Duration = Duration::from_millis(200);
/// Needed to hear the power button; a kernel without them boots all the same.
const POWER_BUTTON_MODULES: [&str; 2] = ["button", "evdev"];

/// Boots the node; this process then becomes the image's init.
pub(crate) fn run() -> ! {
    power::power_off_on_panic();
    let started_ns = uptime_ns();
    let Err(error) = start(started_ns);
    say(format_args!("boot failed before it could be reported: {error:#}"));
    power::power_off()
}

/// Up to the point from which a failure can be reported.
fn start(started_ns: i64) -> Result<Infallible> {
    mounts::mount_kernel_interfaces()?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let drivers = thread::spawn(modules::load_initrd_modules);
    let token = take_token()?;
    let command_line = fs::read_to_string("/proc/cmdline")?;
    let arguments = KernelArguments::parse(&command_line)?;
    let certificate_pem = fs::read_to_string(CERTIFICATE_FILE).context(CERTIFICATE_FILE)?;
    say(format_args!("started as {} for {}", arguments.node, arguments.server));
    let server = Arc::new(Server::new(
        &arguments.server,
        &arguments.artifacts,
        certificate_pem.as_bytes(),
        token.clone(),
    )?);
    let kernel_release = rustix::system::uname().release().to_string_lossy().into_owned();
    let heartbeat = Heartbeat {
        boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
        kernel_release,
        uptime_ns: 0,
        stages: vec![StageTime { stage: AgentStage::AgentStarted, uptime_ns: started_ns }],
        cpus_online: 0,
        memory_kib: 0,
        applied: Vec::new(),
        failure: None,
        memory_cleared: memory_clearing::is_done(&command_line),
    };
    rustix::system::sethostname(arguments.node.as_str().as_bytes())?;
    card::configure(&arguments)?;
    say(format_args!("network up with {}", arguments.address));

    let errand = Errand {
        server: arguments.server,
        artifacts: arguments.artifacts,
        application: false,
        certificate_pem,
        token,
        interval_seconds: 0,
        heartbeat: heartbeat.clone(),
    };
    let reporter = Reporter::start(heartbeat, server.clone(), |_| {
        say(format_args!("bootsrv does not want this boot any more"));
        power::power_off()
    });
    let Err(error) = boot(&server, &reporter, drivers, errand);
    let failure = failure_of(&error);
    say(format_args!("boot failed: {}", failure.reason));
    if !reporter.fail(failure) {
        say(format_args!("the failure could not be reported"));
    }
    power::power_off()
}

fn boot(
    server: &Arc<Server>,
    reporter: &Reporter,
    drivers: JoinHandle<()>,
    mut errand: Errand,
) -> Result<Infallible> {
    if errand.heartbeat.memory_cleared == Some(false) {
        bail!(NotCleared);
    }
    let plan = wait_for_plan(server)?;
    errand.interval_seconds = plan.heartbeat_seconds;
    errand.application = plan.application;
    reporter.reached(AgentStage::PlanReceived, "plan received");
    check_kernel(&plan.kernel_release, &errand.heartbeat.kernel_release)?;
    clock::set_if_off(plan.time_unix_ns)?;
    check_memory(&plan)?;
    root::prepare(&plan)?;
    let modules = vec![(plan.modules.clone(), root::modules_file())];
    let modules_download = download(server, modules, "module tree");
    let layers = plan.root.iter().cloned().enumerate();
    let layers = layers.map(|(index, layer)| (layer, root::layer_file(index))).collect();
    let root_download = download(server, layers, "node image");
    let secrets = take_secrets(server, &errand.heartbeat.boot_id)?;
    join(drivers, "loading drivers")?;

    join(modules_download, "fetching the module tree")??;
    root::mount_modules()?;
    let modules = Modules::open(Path::new(modules::MODULES_MOUNT), &plan.kernel_release)
        .context("reading the module tree")?;
    modules::offer_modprobe()?;
    reporter.settings(
        settings::apply(&plan.settings, &modules)?,
        cpus_online(),
        memory("MemTotal"),
    );
    reporter.reached(AgentStage::SettingsApplied, "settings applied");
    for module in POWER_BUTTON_MODULES {
        modules.load(module).ok();
    }

    join(root_download, "fetching the node image")??;
    root::mount_root(plan.root.len())?;
    let root = Root::open(Path::new(root::NEW_ROOT))?;
    mounts::mount_scratch(&root)?;
    root.write(&plan.files)?;
    root.write(&secrets.files).context("secrets")?;
    drop(secrets);
    mounts::mount_all(&root, &plan.mounts)?;
    reporter.reached(AgentStage::RootReady, "root ready");
    hand_over(&root, &plan.init, reporter, errand)
}

/// The token leaves the file system as soon as it is read.
fn take_token() -> Result<Secret> {
    let token = fs::read_to_string(TOKEN_FILE).context(TOKEN_FILE)?;
    fs::remove_file(TOKEN_FILE).context(TOKEN_FILE)?;
    Ok(Secret::new(token.trim().to_owned()))
}

fn wait_for_plan(server: &Server) -> Result<BootPlan> {
    let deadline = Instant::now() + Duration::from_secs(PLAN_SECONDS);
    let mut complaint = Complaint::default();
    loop {
        match server.plan() {
            Ok(plan) => return Ok(plan),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(error) => complaint.say(&format!("no plan yet: {error:#}")),
        }
        sleep(RETRY);
    }
}

/// bootsrv answers this to one boot only, but to that one again when the answer was lost: so it is
/// asked again unless it has refused.
fn take_secrets(server: &Server, boot_id: &str) -> Result<Secrets> {
    let deadline = Instant::now() + Duration::from_secs(SECRETS_ASKED_SECONDS.into());
    let mut complaint = Complaint::default();
    loop {
        match server.secrets(boot_id) {
            Ok(secrets) => return Ok(secrets),
            Err(error) if is_refused(&error) || Instant::now() >= deadline => return Err(error),
            Err(error) => complaint.say(&format!("no secrets yet: {error:#}")),
        }
        sleep(RETRY);
    }
}

fn check_kernel(planned: &str, running: &str) -> Result<()> {
    if planned != running {
        bail!("the kernel {running} runs, but the plan is for {planned}");
    }
    Ok(())
}

/// Says clearly what would otherwise be a full tmpfs in the middle of a download.
fn check_memory(plan: &BootPlan) -> Result<()> {
    let needed_kib = (root::artifact_bytes(plan) / 1024).saturating_add(RESERVE_KIB);
    let available_kib = memory("MemAvailable");
    if available_kib > 0 && needed_kib > available_kib {
        bail!(
            "this node needs {needed_kib} KiB for image and modules, only {available_kib} KiB are available"
        );
    }
    Ok(())
}

fn download(
    server: &Arc<Server>,
    files: Vec<(ArtifactRef, PathBuf)>,
    what: &'static str,
) -> JoinHandle<Result<()>> {
    let server = server.clone();
    thread::spawn(move || {
        download::fetch_all(&|artifact, file| download::fetch(&server, artifact, file), files, what)
    })
}

fn join<T>(thread: JoinHandle<T>, what: &'static str) -> Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("{what} ended unexpectedly"))
}

/// And whether the profile is to blame.
fn failure_of(error: &anyhow::Error) -> BootFailure {
    BootFailure { setting: error.is::<SettingRefused>(), reason: one_line(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_is_not_the_plans_is_refused_and_no_fault_of_a_profile() {
        check_kernel("6.1.0", "6.1.0").unwrap();
        let failure = failure_of(&check_kernel("6.1.0", "6.12.1").unwrap_err());
        assert_eq!(failure.reason, "the kernel 6.12.1 runs, but the plan is for 6.1.0");
        assert!(!failure.setting);
    }
}
