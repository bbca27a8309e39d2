//! Jobs that wait, as slurmctld shows them.

use protocol::names::{JobId, NodeName};
use protocol::node_list::expand;

/// A pending job for which slurmctld has chosen nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingJob {
    pub(super) job: JobId,
    pub(super) user: String,
    pub(super) uid: u32,
    pub(super) account: Option<String>,
    pub(super) partition: String,
    /// When it is expected to start, seconds since 1970.
    pub(super) start_unix_seconds: i64,
    /// Where.
    pub(super) nodes: Vec<NodeName>,
    /// When it was submitted, seconds since 1970.
    pub(super) submit_unix_seconds: i64,
}

/// Reads `scontrol show job -o`: those that wait for nothing but their nodes.
///
/// A job's name stands before these words and may look like them. What a user can win by that is a
/// node that boots ahead, within the site's limit, as by a job of theirs that waits.
pub(super) fn parse(text: &str) -> Vec<PendingJob> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<PendingJob> {
    let value = |key: &str| {
        let found = line.split_whitespace().find_map(|word| word.strip_prefix(key));
        found.filter(|value| !value.is_empty() && !value.starts_with('(') && *value != "N/A")
    };
    let waits = value("JobState=")? == "PENDING"
        && value("Dependency=").is_none()
        && value("Priority=")?.parse::<u32>().ok()? > 0;
    let (user, uid) = value("UserId=")?.strip_suffix(')')?.split_once('(')?;
    let job = PendingJob {
        job: value("JobId=")?.parse().ok()?,
        user: user.to_owned(),
        uid: uid.parse().ok()?,
        account: value("Account=").map(String::from),
        partition: value("Partition=")?.to_owned(),
        start_unix_seconds: value("StartTime=")?.parse().ok()?,
        nodes: expand(value("SchedNodeList=")?).ok()?,
        submit_unix_seconds: value("SubmitTime=")?.parse().ok()?,
    };
    waits.then_some(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 22.05 prints it with `SLURM_TIME_FORMAT=%s`, shortened.
    const SHOWN: &str = "\
JobId=30 JobName=wrap UserId=alice(2001) GroupId=alice(2001) MCS_label=N/A Priority=4294901731 Nice=0 Account=(null) QOS=(null) JobState=PENDING Reason=Resources Dependency=(null) SubmitTime=1795252500 StartTime=1795252545 EndTime=1795252845 Scheduler=Backfill:* Partition=bmc ReqNodeList=(null) NodeList= SchedNodeList=n[1-2] NumNodes=2-2 Features=skylake DelayBoot=00:00:00 Prefer=skylake&bmc_0123456789ab OverSubscribe=NO
";

    #[test]
    fn a_job_with_chosen_nodes_is_read() {
        let jobs = parse(SHOWN);
        let job = jobs.first().unwrap();
        assert_eq!((job.job, job.uid, job.user.as_str()), (JobId(30), 2001, "alice"));
        assert_eq!((job.partition.as_str(), job.start_unix_seconds), ("bmc", 1_795_252_545));
        assert_eq!(job.nodes.len(), 2);
        assert_eq!((job.submit_unix_seconds, &job.account), (1_795_252_500, &None));
    }

    #[test]
    fn jobs_that_wait_for_more_than_nodes_are_passed_over() {
        for (from, to) in [
            ("PENDING", "RUNNING"),
            ("Priority=4294901731", "Priority=0"),
            ("Dependency=(null)", "Dependency=afterok:29"),
            ("SchedNodeList=n[1-2]", "SchedNodeList=(null)"),
            ("SchedNodeList=n[1-2]", "SchedNodeList=n[1-"),
            ("StartTime=1795252545", "StartTime=Unknown"),
        ] {
            assert_eq!(parse(&SHOWN.replace(from, to)), [], "{to}");
        }
        assert_eq!(parse("slurm_load_jobs error\n\n"), []);
    }
}
