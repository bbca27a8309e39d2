//! PrologSlurmctld: asks bootsrv to boot the job's nodes, waits, and tells Slurm how it went.
//!
//! slurmctld kills it at a restart or a cancellation and may run it again, so it keeps nothing: the
//! deployment lives in bootsrv. Its exit code is all Slurm hears; `deploy` decides it.

mod deploy;
mod request;
mod scontrol;
mod verdict;

use bootsrv_client::hook::{Environment, HookError, run_site_script, start_log};
use bootsrv_client::{
    Client, ClientConfig, ClientError, ConfigError, DEFAULT_SCONTROL, DEFAULT_TRIES_MAX,
    SiteScripts, Timeouts, chain,
};
use deploy::{Clock, Limits, Server};
use protocol::api::{JobRequest, JobView};
use protocol::error::ErrorKind;
use protocol::job_env::{CLIENT_CONFIG_PATH, SLURM_CONF};
use protocol::names::{JobId, JobReference};
use request::Asked;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use verdict::Verdict;

/// One call to bootsrv, without the time that it keeps an answer back; a handler only changes or reads
/// a row.
const CALL_LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let clock = SystemClock::new();
    run(&Environment::new(std::env::vars_os()), &clock).into()
}

/// What follows for the job.
enum Decision {
    /// Nothing for us to tell: prolog ends with this code.
    Exit(u8),
    /// Slurm and the user are told.
    Tell(Verdict),
}

fn run(environment: &Environment, clock: &SystemClock) -> u8 {
    let path = ClientConfig::path(environment.os(CLIENT_CONFIG_PATH).cloned());
    let config = ClientConfig::load(&path);
    let decision = match &config {
        Ok(config) => {
            decide(environment, config, clock).unwrap_or_else(|error| Decision::Tell(fault(&error)))
        }
        Err(error) => without_config(environment, &path, error),
    };
    match decision {
        Decision::Exit(code) => code,
        Decision::Tell(verdict) => {
            start_log("prolog");
            tell(environment, config.ok(), verdict).unwrap_or_else(|error| {
                // Without its job's number it was not started by slurmctld: there is none to hold.
                log::error!("{}", chain(&error));
                error.kind().exit_code()
            })
        }
    }
}

/// The cheap ways out come first: a job in a partition that is not ours costs one small file.
fn decide(
    environment: &Environment,
    config: &ClientConfig,
    clock: &SystemClock,
) -> Result<Decision, HookError> {
    let timeout = Duration::from_secs(config.prolog_timeout_seconds.into());
    if let Some(script) = &config.site_prolog {
        // The site wants it before every job: one that cannot be run stops those of other partitions
        // too, as it would in its own place.
        let code = run_site_script(script, Some(timeout.saturating_sub(clock.elapsed())))?;
        if code != 0 {
            start_log("prolog");
            log::warn!("job={} {} ended with {code}", environment.job()?, script.display());
            return Ok(Decision::Exit(code));
        }
    }
    let verdict = match request::read(environment, config)? {
        Asked::Nothing => return Ok(Decision::Exit(0)),
        Asked::Refused(verdict) => verdict,
        Asked::Boot(request) => {
            start_log("prolog");
            let server = BootServer(Client::new(config, Timeouts::total(CALL_LIMIT)));
            deploy::wait(&server, clock, environment.job()?, &request, Limits { timeout })
        }
    };
    Ok(Decision::Tell(verdict))
}

/// Which partitions are ours is not known then, but whether the job asked for us is. One that did
/// cannot start. One that did not is let go, after the site's own script: it is another partition's
/// as a rule, and must not wait for our file. If it is ours, nodes that are off stay off, and nodes
/// that are up run it with the kernel they have.
fn without_config(environment: &Environment, path: &Path, error: &ConfigError) -> Decision {
    if request::has_options(environment) {
        return Decision::Tell(fault(error));
    }
    start_log("prolog");
    let job = environment.job().map_or_else(|_| "?".into(), |job| job.to_string());
    let script = match SiteScripts::load(path) {
        Ok(scripts) => scripts.site_prolog,
        Err(unknown) => {
            let unknown = chain(&unknown);
            log::error!("job={job} site_prolog not run, if there is one: {unknown}");
            None
        }
    };
    if let Some(script) = script {
        // How long it may take is slurmctld's to say, as it would be in its own place.
        match run_site_script(&script, None) {
            Ok(0) => {}
            Ok(code) => {
                log::warn!("job={job} {} ended with {code}", script.display());
                return Decision::Exit(code);
            }
            Err(error) => return Decision::Tell(fault(&error)),
        }
    }
    log::error!("job={job} has no option of ours and is let go: {}", chain(error));
    Decision::Exit(0)
}

/// A fault of the site: it may be repaired by the next try, and ends with the last.
fn fault(error: &dyn std::error::Error) -> Verdict {
    Verdict::TryAgain { reason: chain(error), kind: ErrorKind::Site, failed_tries: None }
}

fn tell(
    environment: &Environment,
    config: Option<ClientConfig>,
    verdict: Verdict,
) -> Result<u8, HookError> {
    let (job, reference) = (environment.job()?, environment.job_reference()?);
    let (scontrol, slurm_conf, tries_max) = match config {
        Some(config) => (config.scontrol, config.slurm_conf, config.tries_max),
        None => (DEFAULT_SCONTROL.into(), None, DEFAULT_TRIES_MAX),
    };
    let slurm_conf = environment.os(SLURM_CONF).cloned().or_else(|| slurm_conf.map(Into::into));
    let slurm = scontrol::Scontrol::new(&scontrol, slurm_conf);
    let verdict = verdict.with_try_limit(environment.restart_count()?, tries_max);
    Ok(verdict::carry_out(&slurm, job, reference, &verdict))
}

struct BootServer(Client);

impl Server for BootServer {
    fn put(&self, job: JobId, request: &JobRequest) -> Result<JobView, ClientError> {
        self.0.put_job(job, request)
    }

    fn get(&self, job: JobId, wait: Duration) -> Result<JobView, ClientError> {
        self.0.decided_job(JobReference::Job(job), wait)
    }
}

struct SystemClock(Instant);

impl SystemClock {
    fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
