//! EpilogSlurmctld: closes the job's energy window at bootsrv. Switches nothing off: that is
//! SuspendProgram's, and bootsrv's own when it sees no job on a node.
//!
//! Runs after every job, and after every prolog that failed; may run twice or never. Slurm only
//! logs its failure, so a `client.toml` that cannot be read costs no job anything here: the site's
//! own script runs all the same.

mod release;

use bootsrv_client::hook::{Environment, HookError, run_site_script, start_log};
use bootsrv_client::{Client, ClientConfig, SiteScripts, Timeouts, chain};
use protocol::job_env::CLIENT_CONFIG_PATH;
use release::{CALL_LIMIT, Released, release};
use std::process::ExitCode;

fn main() -> ExitCode {
    let environment = Environment::new(std::env::vars_os());
    let code = run(&environment).unwrap_or_else(|error| {
        start_log("epilog");
        let job = environment.job().map_or_else(|_| "?".into(), |job| job.to_string());
        log::error!("job={job} {}", chain(&error));
        error.kind().exit_code()
    });
    code.into()
}

fn run(environment: &Environment) -> Result<u8, HookError> {
    let path = ClientConfig::path(environment.os(CLIENT_CONFIG_PATH).cloned());
    let config = match ClientConfig::load(&path) {
        Ok(config) => config,
        Err(error) => {
            let scripts = SiteScripts::load(&path).ok();
            if let Some(script) = scripts.and_then(|scripts| scripts.site_epilog)
                && let Err(failure) = run_site_script(&script, None)
            {
                start_log("epilog");
                log::error!("{}", chain(&failure));
            }
            return Err(error.into());
        }
    };
    let mut code = 0;
    if config.manages(&environment.partition()?) {
        start_log("epilog");
        let job = environment.job()?;
        let client = Client::new(&config, Timeouts::total(CALL_LIMIT));
        match release(|| client.end_job(job)) {
            Released::Ended => log::info!("job={job} energy window closed"),
            Released::Unknown => log::info!("job={job} nothing to close: bootsrv never had it"),
            Released::Failed(error) => {
                log::error!("job={job} energy window not closed: {}", error.chain());
                code = error.kind().exit_code();
            }
        }
    }
    // The site's script runs whatever became of our part.
    let site = match &config.site_epilog {
        Some(script) => run_site_script(script, None)?,
        None => 0,
    };
    Ok(if code == 0 { site } else { code })
}
