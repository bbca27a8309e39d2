//! What becomes of the job, and how Slurm and the user are told. The only place that calls scontrol
//! and picks the exit code.

use crate::scontrol::Slurm;
use protocol::error::ErrorKind;
use protocol::names::{JobId, JobReference, NodeName};
use protocol::node_list;

/// Longest text given to Slurm, in characters; squeue and mails stay readable.
const TEXT_CHARACTERS_MAX: usize = 500;

/// How prolog ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All nodes are up: the job may start.
    Ready {
        /// The job's nodes.
        nodes: Vec<NodeName>,
        /// They are to be marked, so that they go off as soon as the job has ended.
        power_off_after: bool,
    },
    /// Another try would fail the same way: the job waits for its user.
    Hold {
        /// For the user.
        reason: String,
        /// Whose fault.
        kind: ErrorKind,
    },
    /// Slurm requeues it, to other nodes if the faulty ones are drained.
    TryAgain {
        /// For the log.
        reason: String,
        /// Whose fault.
        kind: ErrorKind,
        /// The job's tries that a node's fault has ended, this one included; `None`: bootsrv cannot
        /// say, or noted no such fault.
        failed_tries: Option<u32>,
    },
    /// Somebody ended or requeued the job meanwhile: nothing is wrong, and no try counts.
    Over {
        /// For the log.
        reason: String,
    },
}

impl Verdict {
    /// A fault that meets a job again and again must end some day: Slurm itself counts no tries
    /// when PrologSlurmctld fails. Where bootsrv cannot say how many have failed, every start of the
    /// job counts as one, because a fault without a count must end too.
    pub(crate) fn with_try_limit(self, restart_count: u32, tries_max: u32) -> Self {
        match self {
            Self::TryAgain { reason, kind, failed_tries } => {
                let tries = failed_tries.unwrap_or_else(|| restart_count.saturating_add(1));
                if tries < tries_max {
                    return Self::TryAgain { reason, kind, failed_tries };
                }
                Self::Hold { reason: format!("held after {tries} tries: {reason}"), kind }
            }
            other @ (Self::Ready { .. } | Self::Hold { .. } | Self::Over { .. }) => other,
        }
    }
}

/// Tells Slurm, and answers with the exit code. Nothing here may be lost to a later failure, so the
/// sentence goes before the hold, and a hold that Slurm refuses is not the end.
pub(crate) fn carry_out(
    slurm: &dyn Slurm,
    job: JobId,
    reference: JobReference,
    verdict: &Verdict,
) -> u8 {
    match verdict {
        Verdict::Ready { nodes, power_off_after } => {
            if *power_off_after {
                let list = node_list::compress(nodes);
                // bootsrv powers nodes off that no job is on, so the job need not wait for this.
                log_failure(job, "mark the nodes", slurm.power_down_asap(&list));
            }
            log::info!("job={job} {} nodes are up", nodes.len());
            0
        }
        Verdict::Hold { reason, kind } => {
            let text = sentence(reason);
            log::warn!("job={job} cannot start: {text}");
            log_failure(job, "leave a comment", slurm.comment(reference, &text));
            if let Err(refusal) = slurm.requeue_hold(reference) {
                // srun and salloc cannot be requeued: the exit code ends them, this tells why.
                log::info!("job={job} not held ({refusal}): told to its command instead");
                log_failure(job, "notify the user", slurm.notify(job, &text));
            }
            kind.exit_code()
        }
        Verdict::Over { reason } => {
            log::info!("job={job} {reason}");
            ErrorKind::Busy.exit_code()
        }
        Verdict::TryAgain { reason, kind, failed_tries: _ } => {
            let text = sentence(reason);
            log::error!("job={job} goes back to the queue: {text}");
            log_failure(job, "notify the user", slurm.notify(job, &text));
            kind.exit_code()
        }
    }
}

fn log_failure(job: JobId, what: &str, result: Result<(), String>) {
    if let Err(reason) = result {
        log::warn!("job={job} cannot {what}: {reason}");
    }
}

/// One line without control characters: it ends up in `squeue`, in mails and on terminals.
fn sentence(reason: &str) -> String {
    let line: String = reason
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_CHARACTERS_MAX)
        .collect();
    format!("[bare-metal container] {line}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[derive(Default)]
    struct FakeSlurm {
        calls: RefCell<Vec<String>>,
        interactive: bool,
    }

    impl FakeSlurm {
        fn called(&self, call: String) -> Result<(), String> {
            self.calls.borrow_mut().push(call);
            Ok(())
        }
    }

    impl Slurm for FakeSlurm {
        fn power_down_asap(&self, nodes: &str) -> Result<(), String> {
            self.called(format!("asap {nodes}"))
        }
        fn comment(&self, job: JobReference, text: &str) -> Result<(), String> {
            self.called(format!("comment {job} {text}"))
        }
        fn requeue_hold(&self, job: JobReference) -> Result<(), String> {
            self.called(format!("hold {job}"))?;
            if self.interactive { Err("batch only".into()) } else { Ok(()) }
        }
        fn notify(&self, job: JobId, text: &str) -> Result<(), String> {
            self.called(format!("notify {job} {text}"))
        }
    }

    fn check(slurm: &FakeSlurm, verdict: &Verdict, code: u8, calls: &[&str]) {
        assert_eq!(carry_out(slurm, JobId(7), JobReference::Job(JobId(7)), verdict), code);
        assert_eq!(*slurm.calls.borrow(), calls);
    }

    fn hold(reason: &str) -> Verdict {
        Verdict::Hold { reason: reason.into(), kind: ErrorKind::User }
    }

    #[test]
    fn ready_marks_the_nodes_only_where_they_go_off_after_the_job() {
        let nodes = || node_list::expand("n[1-2]").unwrap();
        let ready = Verdict::Ready { nodes: nodes(), power_off_after: true };
        check(&FakeSlurm::default(), &ready, 0, &["asap n[1-2]"]);
        let ready = Verdict::Ready { nodes: nodes(), power_off_after: false };
        check(&FakeSlurm::default(), &ready, 0, &[]);
    }

    #[test]
    fn a_held_job_carries_its_sentence() {
        let calls = ["comment 7 [bare-metal container] no kernel \"x\"  y", "hold 7"];
        check(&FakeSlurm::default(), &hold("no kernel \"x\"\n\x1by"), 2, &calls);
    }

    #[test]
    fn a_command_that_cannot_be_held_is_told() {
        let slurm = FakeSlurm { interactive: true, ..FakeSlurm::default() };
        let text = "[bare-metal container] no";
        let (comment, notify) = (format!("comment 7 {text}"), format!("notify 7 {text}"));
        check(&slurm, &hold("no"), 2, &[&comment, "hold 7", &notify]);
    }

    #[test]
    fn the_last_try_holds() {
        let again = |failed_tries| Verdict::TryAgain {
            reason: "n1 is dead".into(),
            kind: ErrorKind::Site,
            failed_tries,
        };
        let site = again(None);
        check(&FakeSlurm::default(), &site, 4, &["notify 7 [bare-metal container] n1 is dead"]);
        assert_eq!(site.clone().with_try_limit(1, 3), site);
        let held = site.with_try_limit(2, 3);
        let reason = "held after 3 tries: n1 is dead".to_owned();
        assert_eq!(held, Verdict::Hold { reason, kind: ErrorKind::Site });
        assert_eq!(hold("x").with_try_limit(9, 3), hold("x"));
        // Preempted or requeued by its owner five times, and now its first faulty node.
        assert_eq!(again(Some(1)).with_try_limit(5, 3), again(Some(1)));
        assert!(matches!(again(Some(3)).with_try_limit(5, 3), Verdict::Hold { .. }));
    }

    #[test]
    fn a_job_that_was_ended_meanwhile_is_left_alone() {
        let over = Verdict::Over { reason: "the job was ended while its nodes booted".into() };
        assert_eq!(over.clone().with_try_limit(9, 3), over);
        check(&FakeSlurm::default(), &over, 3, &[]);
    }
}
