//! Every environment variable name of the product, and nothing else of it.
//!
//! Slurm puts `SPANK_` before the name of a variable set with `spank_job_control_setenv` when it
//! starts prolog and epilog scripts, and `SLURM_` before that in the job's own environment
//! (slurm.conf(5), spank(8)). Those values come from the user's side: parse them again.

/// The environment forms of one option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionVariables {
    /// Read by `sbatch`. The three input forms are one a command, as Slurm's own options have them
    /// (`SBATCH_PARTITION` and so on), and differ from what the job sees, so that an `sbatch` typed
    /// inside a job does not silently take over that job's choice.
    pub sbatch: &'static str,
    /// Read by `salloc`.
    pub salloc: &'static str,
    /// Read by `srun` outside a job.
    pub srun: &'static str,
    /// What a job sees. (Slurm's `spank_setenv` sets it in every task.)
    pub job: &'static str,
    /// What `spank_job_control_setenv` is given.
    pub hook: &'static str,
    /// What PrologSlurmctld sees of that.
    pub prolog: &'static str,
}

macro_rules! option_variables {
    ($name:literal) => {
        OptionVariables {
            sbatch: concat!("SBATCH_BMC_", $name),
            salloc: concat!("SALLOC_BMC_", $name),
            srun: concat!("SRUN_BMC_", $name),
            job: concat!("BMC_", $name),
            hook: concat!("BMC_", $name),
            prolog: concat!("SPANK_BMC_", $name),
        }
    };
}

/// `--bmc-kernel`.
pub const KERNEL: OptionVariables = option_variables!("KERNEL");
/// `--bmc-image`. What the job sees is pinned: `docker://…@sha256:…`.
pub const IMAGE: OptionVariables = option_variables!("IMAGE");
/// `--bmc-node-image`.
pub const NODE_IMAGE: OptionVariables = option_variables!("NODE_IMAGE");
/// `--bmc-root`.
pub const ROOT: OptionVariables = option_variables!("ROOT");
/// `--bmc-mounts`.
pub const MOUNTS: OptionVariables = option_variables!("MOUNTS");
/// `--bmc-entrypoint`.
pub const ENTRYPOINT: OptionVariables = option_variables!("ENTRYPOINT");

/// What a task inside an application image sees: the job whose image it is. A step whose environment
/// has it was started inside, so that its `PATH` is already the image's.
pub const JOB_INSIDE: &str = "BMC_INSIDE";

/// Set by slurmctld, trusted: the job's id.
pub const SLURM_JOB_ID: &str = "SLURM_JOB_ID";
/// Set by slurmctld, trusted: the job's nodes as a Slurm node list.
pub const SLURM_JOB_NODELIST: &str = "SLURM_JOB_NODELIST";
/// Set by slurmctld, trusted: the user's id.
pub const SLURM_JOB_UID: &str = "SLURM_JOB_UID";
/// Set by slurmctld, trusted: the user's name.
pub const SLURM_JOB_USER: &str = "SLURM_JOB_USER";
/// Set by slurmctld, trusted: the account, absent without accounting.
pub const SLURM_JOB_ACCOUNT: &str = "SLURM_JOB_ACCOUNT";
/// Set by slurmctld, trusted: the partition.
pub const SLURM_JOB_PARTITION: &str = "SLURM_JOB_PARTITION";
/// Set by slurmctld, trusted: how often the job was requeued; absent the first time.
pub const SLURM_JOB_RESTART_COUNT: &str = "SLURM_JOB_RESTART_COUNT";
/// Set by slurmctld, trusted, for a task of a job array: the array's id.
pub const SLURM_ARRAY_JOB_ID: &str = "SLURM_ARRAY_JOB_ID";
/// Set by slurmctld, trusted, for a task of a job array: its number.
pub const SLURM_ARRAY_TASK_ID: &str = "SLURM_ARRAY_TASK_ID";
/// Set by slurmctld, trusted, for a component of a heterogeneous job: the first component's id.
pub const SLURM_HET_JOB_ID: &str = "SLURM_HET_JOB_ID";
/// Set by slurmctld, trusted, for a component of a heterogeneous job: which one, from 0.
pub const SLURM_HET_JOB_OFFSET: &str = "SLURM_HET_JOB_OFFSET";
/// Set by Slurm for the tasks of a heterogeneous job: how many components it has.
pub const SLURM_HET_SIZE: &str = "SLURM_HET_SIZE";
/// Set by Slurm for ResumeProgram: a JSON file with the jobs the nodes are wanted for.
pub const SLURM_RESUME_FILE: &str = "SLURM_RESUME_FILE";
/// Set by Slurm: the path of its slurm.conf.
pub const SLURM_CONF: &str = "SLURM_CONF";

/// Where our programs look for `client.toml` instead of [`CLIENT_CONFIG`].
pub const CLIENT_CONFIG_PATH: &str = "BMC_CLIENT_CONFIG";
/// Where a client finds bootsrv, and which partitions are ours.
pub const CLIENT_CONFIG: &str = "/etc/bare-metal-container/client.toml";
