//! From the environment to what is asked of bootsrv. `SPANK_` values come from the user's side and
//! are parsed as if nobody had ever looked at them.

use crate::verdict::Verdict;
use bootsrv_client::ClientConfig;
use bootsrv_client::hook::{Environment, HookError};
use protocol::api::JobRequest;
use protocol::error::ErrorKind;
use protocol::job_options::{JobOptions, OptionName};

/// What the environment asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Not our partition and none of our options.
    Nothing,
    /// Boot these nodes.
    Boot(Box<JobRequest>),
    /// It cannot be done, and no waiting helps.
    Refused(Verdict),
}

/// Whether the job has an option of ours, rightly or wrongly.
pub(crate) fn has_options(environment: &Environment) -> bool {
    OptionName::ALL.into_iter().any(|name| environment.text(name.variables().prolog).is_some())
}

/// Reads the request.
///
/// # Errors
/// When slurmctld's own variables are not there: then this was not started by slurmctld.
pub(crate) fn read(environment: &Environment, config: &ClientConfig) -> Result<Asked, HookError> {
    let partition = environment.partition()?;
    let refused =
        |reason: String| Ok(Asked::Refused(Verdict::Hold { reason, kind: ErrorKind::User }));
    match (config.manages(&partition), has_options(environment)) {
        (true, _) => {}
        (false, true) => return refused(unmanaged(&partition, &config.partitions)),
        (false, false) => return Ok(Asked::Nothing),
    }
    let facts = environment.job_facts()?;
    let options = match parse(environment) {
        Ok(options) => options,
        Err(reason) => return refused(reason),
    };
    Ok(Asked::Boot(Box::new(JobRequest {
        reference: facts.reference,
        nodes: facts.nodes,
        restart_count: facts.restart_count,
        user: facts.user,
        uid: facts.uid,
        account: facts.account,
        partition: facts.partition,
        options,
    })))
}

fn parse(environment: &Environment) -> Result<JobOptions, String> {
    let mut options = JobOptions::default();
    for name in OptionName::ALL {
        if let Some(text) = environment.text(name.variables().prolog) {
            options.set(name, &text).map_err(|reason| format!("--{}: {reason}", name.long()))?;
        }
    }
    match options.without_image() {
        Some(name) => Err(format!("--{} without --{}", name.long(), OptionName::Image.long())),
        None => Ok(options),
    }
}

fn unmanaged(partition: &str, managed: &[String]) -> String {
    let managed = match managed {
        [] => "no partition of this cluster does".to_owned(),
        [one] => format!("partition {one} does"),
        several => format!("partitions {} do", several.join(", ")),
    };
    format!("partition {partition} does not boot nodes for a job: {managed}; resubmit with -p")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn asked(extra: &[(&str, &str)]) -> Asked {
        let base = [
            ("SLURM_JOB_ID", "7"),
            ("SLURM_JOB_NODELIST", "n[1-2]"),
            ("SLURM_JOB_UID", "2001"),
            ("SLURM_JOB_USER", "alice"),
            ("SLURM_JOB_PARTITION", "bmc"),
        ];
        let environment = Environment::new(
            base.iter().chain(extra).map(|(name, value)| (name.into(), value.into())),
        );
        let text = "server = \"http://h:1\"\npartitions = [\"bmc\", \"gpu\"]";
        let config = ClientConfig::parse(text, Path::new("client.toml")).unwrap();
        read(&environment, &config).unwrap()
    }

    fn held(asked: Asked) -> String {
        match asked {
            Asked::Refused(Verdict::Hold { reason, kind: ErrorKind::User }) => reason,
            other @ (Asked::Nothing | Asked::Boot(_) | Asked::Refused(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_foreign_partition_is_left_alone() {
        let asked = asked(&[("SLURM_JOB_PARTITION", "cpu"), ("SPANK_BMC_KERNEL", "")]);
        assert_eq!(asked, Asked::Nothing);
    }

    #[test]
    fn our_options_in_a_foreign_partition_are_told() {
        let reason = held(asked(&[("SLURM_JOB_PARTITION", "cpu"), ("SPANK_BMC_KERNEL", "x")]));
        assert_eq!(
            reason,
            "partition cpu does not boot nodes for a job: partitions bmc, gpu do; resubmit with -p"
        );
    }

    #[test]
    fn a_job_without_options_gets_the_partitions_default() {
        let Asked::Boot(request) = asked(&[("SLURM_JOB_RESTART_COUNT", "2")]) else { panic!() };
        assert_eq!((request.restart_count, request.nodes.len()), (2, 2));
        assert_eq!(request.options, JobOptions::default());
    }

    #[test]
    fn every_option_reaches_bootsrv() {
        let Asked::Boot(request) = asked(&[
            ("SPANK_BMC_KERNEL", "6.1"),
            ("SPANK_BMC_IMAGE", "docker://r.io/x:1"),
            ("SPANK_BMC_NODE_IMAGE", "debian12"),
            ("SPANK_BMC_ROOT", "nfs"),
            ("SPANK_BMC_MOUNTS", "/a:/b:ro,/c"),
            ("SPANK_BMC_ENTRYPOINT", "yes"),
        ]) else {
            panic!()
        };
        let text = |name| request.options.text(name).unwrap_or_default();
        assert_eq!(
            OptionName::ALL.map(text),
            ["6.1", "docker://r.io/x:1", "debian12", "nfs", "/a:/b:ro,/c:/c", "yes"]
        );
    }

    #[test]
    fn forged_values_hold_the_job() {
        for (name, value, expected) in [
            ("SPANK_BMC_KERNEL", "../../etc/shadow", "--bmc-kernel: kernel name"),
            ("SPANK_BMC_KERNEL", "a\nimgfetch x", "--bmc-kernel: kernel name \"a\\nimgfetch x\""),
            ("SPANK_BMC_IMAGE", "docker://X", "--bmc-image: image reference \"X\" is not valid"),
            ("SPANK_BMC_IMAGE", "sif:/a/../b", "--bmc-image: image reference"),
            ("SPANK_BMC_MOUNTS", "/a:/", "--bmc-mounts: mount \"/a:/\" is not valid"),
            ("SPANK_BMC_ROOT", "ram", "--bmc-root without --bmc-image"),
            ("SPANK_BMC_IMAGE", &"x".repeat(100_000), "--bmc-image: image name \"xxx"),
        ] {
            let reason = held(asked(&[(name, value)]));
            assert!(reason.starts_with(expected) && reason.len() < 300, "{reason}");
        }
    }
}
