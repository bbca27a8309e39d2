//! Every call of `protocol::api`, typed. One line of logic each; names are parsed types, so that
//! none can leave its place in a path.

use crate::transport::percent_encoded;
use crate::{Client, ClientError};
use protocol::api::{
    APPLICATION_IMAGES, ApplicationImageView, CANCEL_PULL, CATALOG, CHECK, CLEAR, COLLECT, Catalog,
    CheckRequest, Checked, ClearRequest, Cleared, CollectRequest, Collected, DOCTOR, Doctor,
    ENERGY, IMAGES, ImageImport, ImageView, JOB_WAIT_SECONDS_MAX, JOBS, JobRequest, JobView,
    KERNELS, KernelView, Maintenance, NODES, NodeDefinition, NodeView, NodesRequest, POWER_OF_JOB,
    PREPARATIONS, PowerAction, PowerRequest, PullRequest, REBOOT, RESUME, RESUME_FAIL, RUNS,
    SUSPEND,
};
use protocol::application::PreparationView;
use protocol::energy::JobEnergy;
use protocol::job_options::JobOptions;
use protocol::names::{Digest, ImageName, JobId, JobReference, KernelName, NodeName};
use protocol::power_series::JobPower;
use protocol::runs::Runs;
use std::path::Path;
use std::time::Duration;

/// Every call fails with [`ClientError`]: refused by bootsrv, or not reached.
impl Client {
    /// Asks for a job's nodes to be booted; repeating it is harmless.
    ///
    /// # Errors
    /// As every call.
    pub fn put_job(&self, job: JobId, request: &JobRequest) -> Result<JobView, ClientError> {
        self.with_body("PUT", &format!("{JOBS}/{job}"), request)
    }

    /// Where a job stands.
    ///
    /// # Errors
    /// As every call.
    pub fn job(&self, job: JobReference) -> Result<JobView, ClientError> {
        self.get(&format!("{JOBS}/{job}"))
    }

    /// Where a job stands once its nodes do not boot any more, and after `wait` at the latest, which is
    /// added to the limit of the call. Whole seconds, at most [`JOB_WAIT_SECONDS_MAX`]; an older bootsrv
    /// answers at once.
    ///
    /// # Errors
    /// As every call.
    pub fn decided_job(&self, job: JobReference, wait: Duration) -> Result<JobView, ClientError> {
        let seconds = wait.as_secs().min(JOB_WAIT_SECONDS_MAX.into());
        let client = self.with_longer(Duration::from_secs(seconds));
        client.get(&format!("{JOBS}/{job}?wait_seconds={seconds}"))
    }

    /// Says that a job is over; repeating it is harmless. `None`: bootsrv never heard of the job.
    ///
    /// # Errors
    /// As every call.
    pub fn end_job(&self, job: JobId) -> Result<Option<JobView>, ClientError> {
        self.delete(&format!("{JOBS}/{job}"))
    }

    /// All jobs bootsrv works on; `ended`: those it is done with too.
    ///
    /// # Errors
    /// As every call.
    pub fn jobs(&self, ended: bool) -> Result<Vec<JobView>, ClientError> {
        self.get(&if ended { format!("{JOBS}?all=true") } else { JOBS.to_owned() })
    }

    /// A job's energy, one record per try; of an array or a heterogeneous job, of all its parts.
    ///
    /// # Errors
    /// As every call.
    pub fn energy(&self, job: JobReference) -> Result<Vec<JobEnergy>, ClientError> {
        self.get(&format!("{ENERGY}/{job}"))
    }

    /// The power readings of one try of a job, as far as they are kept.
    ///
    /// # Errors
    /// As every call.
    pub fn power_series(
        &self,
        job: JobReference,
        restart_count: u32,
    ) -> Result<Vec<JobPower>, ClientError> {
        self.get(&format!("{ENERGY}/{job}/{POWER_OF_JOB}?restart_count={restart_count}"))
    }

    /// The caller's finished runs of a kernel, those that used that node, those that ended since then.
    ///
    /// # Errors
    /// As every call.
    pub fn runs(
        &self,
        kernel: &KernelName,
        node: Option<&NodeName>,
        since_unix_ns: Option<i64>,
    ) -> Result<Runs, ClientError> {
        let mut path = format!("{RUNS}?kernel={}", percent_encoded(kernel.as_str()));
        if let Some(node) = node {
            path += &format!("&node={}", percent_encoded(node.as_str()));
        }
        if let Some(since) = since_unix_ns {
            path += &format!("&since_unix_ns={since}");
        }
        self.get(&path)
    }

    /// Passes on what Slurm's ResumeProgram was told.
    ///
    /// # Errors
    /// As every call.
    pub fn resume(&self, request: &NodesRequest) -> Result<(), ClientError> {
        self.without_answer("POST", RESUME, Some(request))
    }

    /// Passes on what Slurm's SuspendProgram was told.
    ///
    /// # Errors
    /// As every call.
    pub fn suspend(&self, request: &NodesRequest) -> Result<(), ClientError> {
        self.without_answer("POST", SUSPEND, Some(request))
    }

    /// Passes on what Slurm's ResumeFailProgram was told.
    ///
    /// # Errors
    /// As every call.
    pub fn resume_fail(&self, request: &NodesRequest) -> Result<(), ClientError> {
        self.without_answer("POST", RESUME_FAIL, Some(request))
    }

    /// Passes on what Slurm's RebootProgram was told.
    ///
    /// # Errors
    /// As every call.
    pub fn reboot(&self, request: &NodesRequest) -> Result<(), ClientError> {
        self.without_answer("POST", REBOOT, Some(request))
    }

    /// What the caller may choose, in a partition and with an account if they are known.
    ///
    /// # Errors
    /// As every call.
    pub fn catalog(
        &self,
        partition: Option<&str>,
        account: Option<&str>,
    ) -> Result<Catalog, ClientError> {
        let pairs: Vec<String> = [("partition", partition), ("account", account)]
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key}={}", percent_encoded(value?))))
            .collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        self.get(&format!("{CATALOG}{mark}{}", pairs.join("&")))
    }

    /// Would this be accepted?
    ///
    /// # Errors
    /// When it would not, with bootsrv's reason; and as every call.
    pub fn check_options(&self, request: &CheckRequest) -> Result<Checked, ClientError> {
        self.with_body("POST", CHECK, request)
    }

    /// All nodes.
    ///
    /// # Errors
    /// As every call.
    pub fn nodes(&self) -> Result<Vec<NodeView>, ClientError> {
        self.get(NODES)
    }

    /// One node.
    ///
    /// # Errors
    /// As every call.
    pub fn node(&self, node: &NodeName) -> Result<NodeView, ClientError> {
        self.get(&format!("{NODES}/{node}"))
    }

    /// Makes these the definitions of these nodes (admin).
    ///
    /// # Errors
    /// As every call.
    pub fn put_nodes(&self, nodes: &[NodeDefinition]) -> Result<(), ClientError> {
        self.without_answer("PUT", NODES, Some(&nodes))
    }

    /// Asks for or switches a node's power.
    ///
    /// # Errors
    /// As every call.
    pub fn power(&self, node: &NodeName, action: PowerAction) -> Result<NodeView, ClientError> {
        self.with_body("PUT", &format!("{NODES}/{node}/power"), &PowerRequest { action })
    }

    /// What a node last wrote to its serial console.
    ///
    /// # Errors
    /// As every call.
    pub fn console(&self, node: &NodeName) -> Result<String, ClientError> {
        self.get_text(&format!("{NODES}/{node}/console"))
    }

    /// Takes a node out of use with a reason, or back into use.
    ///
    /// # Errors
    /// As every call.
    pub fn maintenance(
        &self,
        node: &NodeName,
        body: &Maintenance,
    ) -> Result<NodeView, ClientError> {
        self.with_body("PUT", &format!("{NODES}/{node}/maintenance"), body)
    }

    /// Boots a node with a kernel and an image, without a job (admin).
    ///
    /// # Errors
    /// As every call.
    pub fn boot(&self, node: &NodeName, options: &JobOptions) -> Result<NodeView, ClientError> {
        self.with_body("POST", &format!("{NODES}/{node}/boot"), options)
    }

    /// Forgets what is held against nodes (admin); all or none.
    ///
    /// # Errors
    /// As every call.
    pub fn clear(&self, request: &ClearRequest) -> Result<Vec<Cleared>, ClientError> {
        self.with_body("POST", CLEAR, request)
    }

    /// What does not agree (admin).
    ///
    /// # Errors
    /// As every call.
    pub fn doctor(&self) -> Result<Doctor, ClientError> {
        self.get(DOCTOR)
    }

    /// The kernel hub.
    ///
    /// # Errors
    /// As every call.
    pub fn kernels(&self) -> Result<Vec<KernelView>, ClientError> {
        self.get(KERNELS)
    }

    /// One kernel.
    ///
    /// # Errors
    /// As every call.
    pub fn kernel(&self, name: &KernelName) -> Result<KernelView, ClientError> {
        self.get(&format!("{KERNELS}/{name}"))
    }

    /// Sends a kernel package (admin).
    ///
    /// # Errors
    /// As every call, and when the file cannot be read.
    pub fn put_kernel(&self, name: &KernelName, file: &Path) -> Result<KernelView, ClientError> {
        self.upload(&format!("{KERNELS}/{name}"), file)
    }

    /// Removes a kernel (admin).
    ///
    /// # Errors
    /// As every call.
    pub fn delete_kernel(&self, name: &KernelName) -> Result<(), ClientError> {
        self.without_answer::<()>("DELETE", &format!("{KERNELS}/{name}"), None)
    }

    /// The image catalog.
    ///
    /// # Errors
    /// As every call.
    pub fn images(&self) -> Result<Vec<ImageView>, ClientError> {
        self.get(IMAGES)
    }

    /// One image.
    ///
    /// # Errors
    /// As every call.
    pub fn image(&self, name: &ImageName) -> Result<ImageView, ClientError> {
        self.get(&format!("{IMAGES}/{name}"))
    }

    /// Sends an image's root file system as a tar file (admin).
    ///
    /// # Errors
    /// As every call, and when the file cannot be read.
    pub fn put_image(&self, name: &ImageName, file: &Path) -> Result<ImageView, ClientError> {
        self.upload(&format!("{IMAGES}/{name}"), file)
    }

    /// Gives a prepared image a name of the catalog (admin).
    ///
    /// # Errors
    /// As every call.
    pub fn name_image(
        &self,
        name: &ImageName,
        import: &ImageImport,
    ) -> Result<ImageView, ClientError> {
        self.with_body("POST", &format!("{IMAGES}/{name}"), import)
    }

    /// All prepared images.
    ///
    /// # Errors
    /// As every call.
    pub fn application_images(&self) -> Result<Vec<ApplicationImageView>, ClientError> {
        self.get(APPLICATION_IMAGES)
    }

    /// One prepared image.
    ///
    /// # Errors
    /// As every call.
    pub fn application_image(&self, digest: &Digest) -> Result<ApplicationImageView, ClientError> {
        self.get(&format!("{APPLICATION_IMAGES}/{digest}"))
    }

    /// Has an image prepared; answers at once, with the reference pinned.
    ///
    /// # Errors
    /// As every call.
    pub fn pull(&self, request: &PullRequest) -> Result<PreparationView, ClientError> {
        self.with_body("POST", APPLICATION_IMAGES, request)
    }

    /// The caller's own pull of an image ends.
    ///
    /// # Errors
    /// As every call.
    pub fn cancel_pull(&self, request: &PullRequest) -> Result<(), ClientError> {
        self.without_answer("POST", CANCEL_PULL, Some(request))
    }

    /// How far the image of that digest is.
    ///
    /// # Errors
    /// As every call.
    pub fn preparation(&self, digest: &Digest) -> Result<PreparationView, ClientError> {
        self.get(&format!("{PREPARATIONS}/{digest}"))
    }

    /// Forgets a prepared image (admin).
    ///
    /// # Errors
    /// As every call.
    pub fn delete_application_image(&self, digest: &Digest) -> Result<(), ClientError> {
        self.without_answer::<()>("DELETE", &format!("{APPLICATION_IMAGES}/{digest}"), None)
    }

    /// Removes prepared images that nobody has used for long (admin).
    ///
    /// # Errors
    /// As every call.
    pub fn collect(&self, request: &CollectRequest) -> Result<Collected, ClientError> {
        self.with_body("POST", COLLECT, request)
    }

    /// Removes an image (admin).
    ///
    /// # Errors
    /// As every call.
    pub fn delete_image(&self, name: &ImageName) -> Result<(), ClientError> {
        self.without_answer::<()>("DELETE", &format!("{IMAGES}/{name}"), None)
    }
}
