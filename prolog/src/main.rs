//! PrologSlurmctld: asks bootsrv to boot the job's nodes, waits, and tells Slurm how it went.
//!
//! slurmctld kills it at a restart or a cancellation and may run it again, so it keeps nothing: the
//! deployment lives in bootsrv. Its exit code is all Slurm hears; `deploy` decides it.

mod deploy;
mod request;
mod scontrol;
mod verdict;

use bootsrv_client::hook::{Environment, HookError, run_site_script, start_log};
use bootsrv_client::{Client, ClientConfig, ClientError, Timeouts, chain};
use deploy::{Clock, Limits, Server};
use protocol::api::{JobRequest, JobView};
use protocol::job_env::{CLIENT_CONFIG_PATH, SLURM_CONF};
use protocol::names::JobId;
use request::Asked;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use verdict::Verdict;

/// One call to bootsrv; a handler only changes or reads a row.
const CALL_LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let environment = Environment::new(std::env::vars_os());
    let code = run(&environment).unwrap_or_else(|error| {
        start_log("prolog");
        let job = environment.job().map_or_else(|_| "?".into(), |job| job.to_string());
        log::error!("job={job} {}", chain(&error));
        error.kind().exit_code()
    });
    code.into()
}

/// The cheap ways out come first: a job in a partition that is not ours costs one small file.
fn run(environment: &Environment) -> Result<u8, HookError> {
    let path = environment.os(CLIENT_CONFIG_PATH).cloned();
    let config = ClientConfig::load(&ClientConfig::path(path))?;
    if let Some(script) = &config.site_prolog {
        let code = run_site_script(script)?;
        if code != 0 {
            start_log("prolog");
            log::warn!("job={} {} ended with {code}", environment.job()?, script.display());
            return Ok(code);
        }
    }
    let job = environment.job()?;
    let (restart_count, verdict) = match request::read(environment, &config)? {
        Asked::Nothing => return Ok(0),
        Asked::Refused { restart_count, verdict } => {
            start_log("prolog");
            (restart_count, verdict)
        }
        Asked::Boot(request) => {
            start_log("prolog");
            let client = BootServer(Client::new(&config, Timeouts::total(CALL_LIMIT)));
            let timeout = Duration::from_secs(config.prolog_timeout_seconds.into());
            let limits = Limits { timeout };
            (
                request.restart_count,
                deploy::wait(&client, &SystemClock::new(), job, &request, limits),
            )
        }
    };
    let slurm_conf = environment.os(SLURM_CONF).cloned();
    let slurm_conf = slurm_conf.or_else(|| Some(config.slurm_conf?.into_os_string()));
    let slurm = scontrol::Scontrol::new(&config.scontrol, slurm_conf);
    let verdict: Verdict = verdict.with_try_limit(restart_count, config.tries_max);
    Ok(verdict::carry_out(&slurm, job, &verdict))
}

struct BootServer(Client);

impl Server for BootServer {
    fn put(&self, job: JobId, request: &JobRequest) -> Result<JobView, ClientError> {
        self.0.put_job(job, request)
    }

    fn get(&self, job: JobId) -> Result<JobView, ClientError> {
        self.0.job(job)
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
