//! The environment slurmctld gives its scripts, parsed. Values with `SLURM_` in front are
//! slurmctld's own and only checked for form; `SPANK_` values come from the user.

use protocol::error::ErrorKind;
use protocol::job_env::{
    SLURM_ARRAY_JOB_ID, SLURM_ARRAY_TASK_ID, SLURM_HET_JOB_ID, SLURM_HET_JOB_OFFSET,
    SLURM_JOB_ACCOUNT, SLURM_JOB_ID, SLURM_JOB_NODELIST, SLURM_JOB_PARTITION,
    SLURM_JOB_RESTART_COUNT, SLURM_JOB_UID, SLURM_JOB_USER,
};
use protocol::names::{InvalidName, JobId, JobReference, NodeName};
use protocol::node_list::{self, InvalidNodeList};
use std::collections::HashMap;
use std::ffi::OsString;

/// Why a hook cannot do its work before bootsrv was even asked.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// slurmctld sets it always; somebody else started this program.
    #[error("{0} is not set: this program is started by slurmctld")]
    Missing(&'static str),
    /// A number is not one.
    #[error("{name}={value:?} is not a number")]
    Number {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// The job id is not one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The nodes are no list.
    #[error(transparent)]
    NodeList(#[from] InvalidNodeList),
    /// `client.toml` is not right.
    #[error(transparent)]
    Config(#[from] crate::ConfigError),
    /// bootsrv refused, or was not reached in time.
    #[error(transparent)]
    Client(#[from] crate::ClientError),
    /// The site's own script could not be run to its end.
    #[error("cannot run {program}")]
    Script {
        /// Its path.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The site's own script took all the time there was.
    #[error("{program} took too long and was ended")]
    ScriptLate {
        /// Its path.
        program: String,
    },
    /// The file named by `SLURM_RESUME_FILE` is not what Slurm writes.
    #[error("cannot use the resume file {path}: {reason}")]
    ResumeFile {
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
}

impl HookError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        if let Self::Client(error) = self { error.kind() } else { ErrorKind::Site }
    }
}

/// The variables of this process, taken once by `main`.
#[derive(Debug, Clone, Default)]
pub struct Environment(HashMap<OsString, OsString>);

impl Environment {
    /// From `std::env::vars_os()`, or from a list in a test.
    pub fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The value as it is.
    #[must_use]
    pub fn os(&self, name: &str) -> Option<&OsString> {
        self.0.get(std::ffi::OsStr::new(name))
    }

    /// The value as text, wrong UTF-8 replaced; an empty value is none.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let value = self.os(name)?.to_string_lossy();
        (!value.is_empty()).then(|| value.into_owned())
    }

    fn required(&self, name: &'static str) -> Result<String, HookError> {
        self.text(name).ok_or(HookError::Missing(name))
    }

    /// The job's id.
    ///
    /// # Errors
    /// When it is not set or not one.
    pub fn job(&self) -> Result<JobId, HookError> {
        Ok(self.required(SLURM_JOB_ID)?.parse()?)
    }

    /// The job as Slurm's commands name it.
    ///
    /// # Errors
    /// When a variable has not its form.
    pub fn job_reference(&self) -> Result<JobReference, HookError> {
        let pair = |id, part| Some((self.text(id)?, self.text(part)?));
        if let Some((array, task)) = pair(SLURM_ARRAY_JOB_ID, SLURM_ARRAY_TASK_ID) {
            let task = number(SLURM_ARRAY_TASK_ID, task)?;
            return Ok(JobReference::ArrayTask(array.parse()?, task));
        }
        if let Some((first, offset)) = pair(SLURM_HET_JOB_ID, SLURM_HET_JOB_OFFSET) {
            let offset = number(SLURM_HET_JOB_OFFSET, offset)?;
            return Ok(JobReference::Component(first.parse()?, offset));
        }
        self.job().map(JobReference::Job)
    }

    /// The job's partition.
    ///
    /// # Errors
    /// When it is not set.
    pub fn partition(&self) -> Result<String, HookError> {
        self.required(SLURM_JOB_PARTITION)
    }

    /// How often the job was requeued.
    ///
    /// # Errors
    /// When it is not a number.
    pub fn restart_count(&self) -> Result<u32, HookError> {
        let text = self.text(SLURM_JOB_RESTART_COUNT).unwrap_or_else(|| "0".into());
        number(SLURM_JOB_RESTART_COUNT, text)
    }

    /// Everything slurmctld says about a job.
    ///
    /// # Errors
    /// When a variable is missing or has not its form.
    pub fn job_facts(&self) -> Result<JobFacts, HookError> {
        Ok(JobFacts {
            job: self.job()?,
            reference: self.job_reference()?,
            nodes: node_list::expand(&self.required(SLURM_JOB_NODELIST)?)?,
            restart_count: self.restart_count()?,
            user: self.required(SLURM_JOB_USER)?,
            uid: number(SLURM_JOB_UID, self.required(SLURM_JOB_UID)?)?,
            // What printf(3) makes of no account at all (seen with Slurm 22.05).
            account: self.text(SLURM_JOB_ACCOUNT).filter(|account| account != "(null)"),
            partition: self.partition()?,
        })
    }
}

fn number(name: &'static str, value: String) -> Result<u32, HookError> {
    value.parse().map_err(|_| HookError::Number { name, value })
}

/// A job as slurmctld describes it to its scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// The job.
    pub job: JobId,
    /// The job as Slurm's commands name it.
    pub reference: JobReference,
    /// Its nodes.
    pub nodes: Vec<NodeName>,
    /// How often it was requeued.
    pub restart_count: u32,
    /// User name.
    pub user: String,
    /// User id.
    pub uid: u32,
    /// Account, if there is accounting.
    pub account: Option<String>,
    /// Partition.
    pub partition: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(extra: &[(&str, &str)]) -> Environment {
        let base = [
            ("SLURM_JOB_ID", "7"),
            ("SLURM_JOB_NODELIST", "n[1-2]"),
            ("SLURM_JOB_UID", "2001"),
            ("SLURM_JOB_USER", "alice"),
            ("SLURM_JOB_PARTITION", "bmc"),
        ];
        Environment::new(base.iter().chain(extra).map(|(k, v)| (k.into(), v.into())))
    }

    #[test]
    fn a_first_try_without_accounting_is_complete() {
        let facts = environment(&[("SLURM_JOB_ACCOUNT", "")]).job_facts().unwrap();
        assert_eq!((facts.job, facts.restart_count, facts.uid), (JobId(7), 0, 2001));
        assert_eq!(node_list::compress(&facts.nodes), "n[1-2]");
        assert_eq!(facts.account, None);
        let facts = environment(&[("SLURM_JOB_ACCOUNT", "(null)")]).job_facts().unwrap();
        assert_eq!(facts.account, None);
    }

    #[test]
    fn tasks_and_components_are_named_as_slurm_names_them() {
        let reference =
            |extra: &[(&str, &str)]| environment(extra).job_facts().unwrap().reference.to_string();
        assert_eq!(reference(&[]), "7");
        let task = [("SLURM_ARRAY_JOB_ID", "5"), ("SLURM_ARRAY_TASK_ID", "0")];
        assert_eq!(reference(&task), "5_0");
        let component = [("SLURM_HET_JOB_ID", "6"), ("SLURM_HET_JOB_OFFSET", "1")];
        assert_eq!(reference(&component), "6+1");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (extra, expected) in [
            (("SLURM_JOB_RESTART_COUNT", "x"), "SLURM_JOB_RESTART_COUNT=\"x\" is not a number"),
            (("SLURM_JOB_ID", "0"), "job id \"0\""),
            (("SLURM_JOB_ID", ""), "SLURM_JOB_ID is not set"),
            (("SLURM_JOB_NODELIST", "n["), "node list"),
        ] {
            let error = environment(&[extra]).job_facts().unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert_eq!(error.kind(), ErrorKind::Site);
        }
    }
}
