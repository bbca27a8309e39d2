//! Every environment variable name of the product, and nothing else of it.
//!
//! Slurm puts `SPANK_` before the name of a variable set with `spank_job_control_setenv` when it
//! starts prolog and epilog scripts, and `SLURM_` before that in the job's own environment
//! (slurm.conf(5), spank(8)). Those values come from the user's side: parse them again.

/// Input forms of `--bmc-kernel`, one a command as Slurm's own options have them (`SBATCH_PARTITION`
/// and so on). They differ from what the job sees, so that an `sbatch` typed inside a job does not
/// silently take over that job's kernel.
pub const INPUT_KERNEL: InputNames = InputNames {
    sbatch: "SBATCH_BMC_KERNEL",
    salloc: "SALLOC_BMC_KERNEL",
    srun: "SRUN_BMC_KERNEL",
};
/// Input forms of `--bmc-image`.
pub const INPUT_IMAGE: InputNames =
    InputNames { sbatch: "SBATCH_BMC_IMAGE", salloc: "SALLOC_BMC_IMAGE", srun: "SRUN_BMC_IMAGE" };
/// What a job sees: the kernel it was given. (Slurm's `spank_setenv` sets it in every task.)
pub const JOB_KERNEL: &str = "BMC_KERNEL";
/// What a job sees: the image it was given.
pub const JOB_IMAGE: &str = "BMC_IMAGE";

/// The environment form of one option in the three commands.
#[derive(Debug, Clone, Copy)]
pub struct InputNames {
    /// Read by `sbatch`.
    pub sbatch: &'static str,
    /// Read by `salloc`.
    pub salloc: &'static str,
    /// Read by `srun`.
    pub srun: &'static str,
}
/// What PrologSlurmctld sees of `spank_job_control_setenv("BMC_KERNEL", …)`.
pub const HOOK_KERNEL: &str = "SPANK_BMC_KERNEL";
/// What PrologSlurmctld sees of `spank_job_control_setenv("BMC_IMAGE", …)`.
pub const HOOK_IMAGE: &str = "SPANK_BMC_IMAGE";

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
/// Set by Slurm for ResumeProgram: a JSON file with the jobs the nodes are wanted for.
pub const SLURM_RESUME_FILE: &str = "SLURM_RESUME_FILE";
/// Set by Slurm: the path of its slurm.conf.
pub const SLURM_CONF: &str = "SLURM_CONF";

/// Where our programs look for `client.toml` instead of [`CLIENT_CONFIG`].
pub const CLIENT_CONFIG_PATH: &str = "BMC_CLIENT_CONFIG";
/// Where a client finds bootsrv, and which partitions are ours.
pub const CLIENT_CONFIG: &str = "/etc/bare-metal-container/client.toml";
