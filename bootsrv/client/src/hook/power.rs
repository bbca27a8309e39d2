//! Slurm's three power programs are one program with three addresses: a host list comes in as the
//! first argument and goes on to bootsrv.
//!
//! slurmctld may call them twice, late, or for nodes that are not ours; bootsrv sorts that out.

use crate::hook::{Environment, HookError, start_log};
use crate::{Client, ClientConfig, ClientError, Timeouts, chain};
use protocol::api::NodesRequest;
use protocol::error::ErrorKind;
use protocol::job_env::{CLIENT_CONFIG_PATH, SLURM_RESUME_FILE};
use protocol::names::NodeName;
use protocol::node_list;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read;
use std::time::{Duration, Instant};

/// Largest resume file that is read, in bytes.
const RESUME_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Slurm kills these programs after max(ResumeTimeout, SuspendTimeout), 30 s at the least by
/// default; bootsrv is back from a restart well before.
const GIVE_UP_AFTER: Duration = Duration::from_secs(25);
/// One call.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// The resume file of Slurm 22.05 (`nodes`) and of 23.02 and later (`nodes_resume`).
#[derive(Debug, Deserialize)]
struct ResumeFile {
    #[serde(default)]
    jobs: Vec<ResumeJob>,
}

#[derive(Debug, Deserialize)]
struct ResumeJob {
    #[serde(alias = "nodes_resume")]
    nodes: Option<String>,
}

/// The nodes of the host list, and those of them that jobs wait for.
///
/// # Errors
/// When the list is none. A resume file that cannot be used is an error of its own kind: the nodes
/// are wanted all the same, so the caller may go on with [`NodesRequest::for_jobs`] empty.
pub fn wanted_nodes(host_list: &str, resume_file: Option<&str>) -> Result<NodesRequest, HookError> {
    let nodes = node_list::expand(host_list)?;
    let named: BTreeSet<NodeName> = match resume_file {
        None => BTreeSet::new(),
        Some(path) => nodes_with_jobs(path)?,
    };
    let for_jobs = nodes.iter().filter(|node| named.contains(*node)).cloned().collect();
    Ok(NodesRequest { nodes, for_jobs })
}

fn nodes_with_jobs(path: &str) -> Result<BTreeSet<NodeName>, HookError> {
    let unusable = |reason: String| HookError::ResumeFile { path: path.to_owned(), reason };
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(RESUME_FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| unusable(error.to_string()))?;
    if text.len() as u64 > RESUME_FILE_BYTES_MAX {
        return Err(unusable(format!("it is longer than {RESUME_FILE_BYTES_MAX} bytes")));
    }
    let file: ResumeFile =
        serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    let mut named = BTreeSet::new();
    for list in file.jobs.into_iter().filter_map(|job| job.nodes).filter(|list| !list.is_empty()) {
        named.extend(node_list::expand(&list).map_err(|error| unusable(error.to_string()))?);
    }
    Ok(named)
}

/// The whole of a power program: arguments and environment in, exit code out. `call` is the
/// request it stands for.
#[must_use]
pub fn run(
    program: &'static str,
    host_list: Option<OsString>,
    environment: &Environment,
    call: fn(&Client, &NodesRequest) -> Result<(), ClientError>,
) -> u8 {
    start_log(program);
    let host_list = host_list.map(|list| list.to_string_lossy().into_owned()).unwrap_or_default();
    match pass_on(program, &host_list, environment, call) {
        Ok(()) => 0,
        Err(error) => {
            log::error!("nodes={host_list} {program}: {}", chain(&error));
            error.kind().exit_code()
        }
    }
}

fn pass_on(
    program: &str,
    host_list: &str,
    environment: &Environment,
    call: fn(&Client, &NodesRequest) -> Result<(), ClientError>,
) -> Result<(), HookError> {
    let config =
        ClientConfig::load(&ClientConfig::path(environment.os(CLIENT_CONFIG_PATH).cloned()))?;
    let request = match wanted_nodes(host_list, environment.text(SLURM_RESUME_FILE).as_deref()) {
        Err(error @ HookError::ResumeFile { .. }) => {
            log::warn!("nodes={host_list} {program}: {error}");
            wanted_nodes(host_list, None)?
        }
        other => other?,
    };
    let client = Client::new(&config, Timeouts::total(CALL_LIMIT));
    let started = Instant::now();
    loop {
        match call(&client, &request) {
            Ok(()) => {
                log::info!("nodes={host_list} {program}: passed on to bootsrv");
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::Busy && started.elapsed() < GIVE_UP_AFTER => {
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn check(file: &str, for_jobs: &str) {
        let mut resume = tempfile::NamedTempFile::new().unwrap();
        resume.write_all(file.as_bytes()).unwrap();
        let request = wanted_nodes("n[1-4]", resume.path().to_str()).unwrap();
        assert_eq!(node_list::compress(&request.nodes), "n[1-4]");
        assert_eq!(node_list::compress(&request.for_jobs), for_jobs, "{file}");
    }

    #[test]
    fn both_shapes_of_the_resume_file_are_read() {
        check(r#"{"all_nodes":"n[1-4]","jobs":[{"job_id":7,"nodes":"n[1-2]"}]}"#, "n[1-2]");
        check(
            r#"{"all_nodes_resume":"n[1-4]","jobs":[{"extra":null,"features":null,"job_id":7,
               "nodes_alloc":"n[1-4]","nodes_resume":"n[2-3]","oversubscribe":"NO",
               "partition":"bmc","reservation":null,"exclusive":"x"}]}"#,
            "n[2-3]",
        );
        check(r#"{"all_nodes":"n[1-4]","jobs":[]}"#, "");
        // A job's nodes that this call does not name are none of its business.
        check(r#"{"jobs":[{"job_id":7,"nodes":"n4,x9"}]}"#, "n4");
    }

    #[test]
    fn a_resume_file_that_is_none_is_told_apart() {
        for text in ["", "[1]", "{\"jobs\":[{\"nodes\":\"n[\"}]}", &" ".repeat(1024 * 1024 + 1)] {
            let mut resume = tempfile::NamedTempFile::new().unwrap();
            resume.write_all(text.as_bytes()).unwrap();
            let refused = wanted_nodes("n1", resume.path().to_str());
            assert!(matches!(refused, Err(HookError::ResumeFile { .. })));
        }
        assert!(matches!(
            wanted_nodes("n1", Some("/nonexistent")),
            Err(HookError::ResumeFile { .. })
        ));
        assert!(matches!(wanted_nodes("", None), Err(HookError::NodeList(_))));
    }
}
