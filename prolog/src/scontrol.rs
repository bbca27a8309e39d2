//! The four things prolog tells slurmctld, through scontrol: absolute path, empty environment but
//! for `SLURM_CONF`, a limit on each call. Nothing passes through a shell.

use protocol::names::{JobId, JobReference};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// scontrol answers in milliseconds, or waits for slurmctld's lock; its own MessageTimeout is 10 s.
const CALL_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks whether scontrol has ended.
const POLL: Duration = Duration::from_millis(5);
/// How much of its complaint is kept, in bytes.
const COMPLAINT_BYTES_MAX: u64 = 1024;

/// What prolog tells Slurm. The errors are scontrol's own words.
pub(crate) trait Slurm {
    /// The nodes go to SuspendProgram as soon as the job has ended.
    fn power_down_asap(&self, nodes: &str) -> Result<(), String>;
    /// Puts a text where `scontrol show job` and `squeue -o %k` show it.
    fn comment(&self, job: JobReference, text: &str) -> Result<(), String>;
    /// Back into the queue and held. Refused for srun and salloc.
    fn requeue_hold(&self, job: JobReference) -> Result<(), String>;
    /// Writes to the standard error of the job's srun, salloc or script.
    fn notify(&self, job: JobId, text: &str) -> Result<(), String>;
}

/// The real one.
#[derive(Debug)]
pub(crate) struct Scontrol {
    program: PathBuf,
    slurm_conf: Option<OsString>,
}

impl Scontrol {
    pub(crate) fn new(program: &Path, slurm_conf: Option<OsString>) -> Self {
        Self { program: program.to_owned(), slurm_conf }
    }

    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear();
        if let Some(conf) = &self.slurm_conf {
            command.env(protocol::job_env::SLURM_CONF, conf);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        let ended = wait(&mut child)?;
        let mut complaint = String::new();
        if let Some(stderr) = child.stderr.take() {
            // What cannot be read is not shown; the exit code decides.
            drop(stderr.take(COMPLAINT_BYTES_MAX).read_to_string(&mut complaint));
        }
        if ended { Ok(()) } else { Err(complaint.trim().replace('\n', " ")) }
    }
}

/// Whether it ended with success; ended by us at the limit.
fn wait(child: &mut Child) -> Result<bool, String> {
    let deadline = Instant::now() + CALL_LIMIT;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status.success());
        }
        if Instant::now() >= deadline {
            // Both fail only if it has ended by itself meanwhile.
            drop(child.kill());
            drop(child.wait());
            return Err(format!("no answer within {} s", CALL_LIMIT.as_secs()));
        }
        std::thread::sleep(POLL);
    }
}

impl Slurm for Scontrol {
    fn power_down_asap(&self, nodes: &str) -> Result<(), String> {
        self.run(&["update", &format!("nodename={nodes}"), "state=power_down_asap"])
    }

    fn comment(&self, job: JobReference, text: &str) -> Result<(), String> {
        self.run(&["update", &format!("jobid={job}"), &format!("comment={text}")])
    }

    fn requeue_hold(&self, job: JobReference) -> Result<(), String> {
        let id = job.requeued_as().to_string();
        // Draining a node that is powering up has requeued the job already: then it is pending, and
        // only to be held.
        self.run(&["requeuehold", &id])
            .or_else(|refusal| self.run(&["hold", &id]).map_err(|_| refusal))
    }

    fn notify(&self, job: JobId, text: &str) -> Result<(), String> {
        self.run(&["notify", &job.to_string(), text])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_program_unchanged_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("scontrol");
        let log = folder.path().join("log");
        let script =
            format!("#!/bin/sh\n(printf '<%s>' \"$@\"; /usr/bin/env) > {}\n", log.display());
        std::fs::write(&program, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let slurm = Scontrol::new(&program, Some("/c".into()));
        slurm.comment(JobReference::Job(JobId(7)), "it's \"$HOME\" = a b").unwrap();
        let seen = std::fs::read_to_string(log).unwrap();
        assert!(seen.starts_with("<update><jobid=7><comment=it's \"$HOME\" = a b>"), "{seen}");
        assert!(seen.contains("SLURM_CONF=/c") && !seen.contains("CARGO"), "{seen}");
    }

    #[test]
    fn a_component_is_held_with_its_whole_job_and_a_task_alone() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("scontrol");
        let log = folder.path().join("log");
        std::fs::write(&program, format!("#!/bin/sh\necho \"$@\" >> {}\n", log.display())).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let slurm = Scontrol::new(&program, None);
        for job in [JobReference::Component(JobId(7), 1), JobReference::ArrayTask(JobId(7), 1)] {
            slurm.requeue_hold(job).unwrap();
        }
        assert_eq!(std::fs::read_to_string(log).unwrap(), "requeuehold 7\nrequeuehold 7_1\n");
    }

    #[test]
    fn a_refusal_is_scontrols_own_words() {
        let missing = Scontrol::new(Path::new("/nonexistent/scontrol"), None);
        let job = JobReference::Job(JobId(7));
        assert!(missing.requeue_hold(job).unwrap_err().contains("/nonexistent/scontrol"));
        let cat = Scontrol::new(Path::new("/bin/cat"), None);
        assert!(cat.requeue_hold(job).unwrap_err().contains("requeuehold: No such file"));
    }
}
