//! What the verbs ask of the boot server. The seam between words and wire: behind it stands the
//! HTTP client, in tests a server made of values.

use protocol::api::{
    ApplicationImageView, ClearRequest, Cleared, CollectRequest, Collected, Doctor, ImageImport,
    ImageView, JobView, KernelView, Maintenance, NodeDefinition, NodeView, PowerAction,
};
use protocol::application::PreparationView;
use protocol::energy::JobEnergy;
use protocol::image_reference::ImageReference;
use protocol::job_options::JobOptions;
use protocol::names::{Digest, ImageName, JobReference, KernelName, NodeName};
use protocol::power_series::JobPower;
use protocol::runs::Runs;
use std::path::Path;

/// One method per request of the API that a person makes.
pub(crate) trait Server {
    /// All kernels and profiles.
    fn kernels(&self) -> anyhow::Result<Vec<KernelView>>;
    /// One kernel or profile.
    fn kernel(&self, name: &KernelName) -> anyhow::Result<KernelView>;
    /// Sends a package.
    fn import_kernel(&self, name: &KernelName, package: &Path) -> anyhow::Result<KernelView>;
    /// Removes one.
    fn remove_kernel(&self, name: &KernelName) -> anyhow::Result<()>;
    /// All images.
    fn images(&self) -> anyhow::Result<Vec<ImageView>>;
    /// One image.
    fn image(&self, name: &ImageName) -> anyhow::Result<ImageView>;
    /// Sends a tar archive.
    fn import_image(&self, name: &ImageName, archive: &Path) -> anyhow::Result<ImageView>;
    /// Gives a prepared image a name.
    fn name_image(&self, name: &ImageName, import: &ImageImport) -> anyhow::Result<ImageView>;
    /// Removes one.
    fn remove_image(&self, name: &ImageName) -> anyhow::Result<()>;
    /// All prepared images.
    fn prepared_images(&self) -> anyhow::Result<Vec<ApplicationImageView>>;
    /// One prepared image.
    fn prepared_image(&self, digest: &Digest) -> anyhow::Result<ApplicationImageView>;
    /// Has an image prepared: sends a file's bytes, or the user's login for the registry, along.
    fn pull(&self, image: &ImageReference) -> anyhow::Result<PreparationView>;
    /// The user's own pull of an image ends.
    fn cancel_pull(&self, image: &ImageReference) -> anyhow::Result<()>;
    /// How far the image of that digest is.
    fn preparation(&self, digest: &Digest) -> anyhow::Result<PreparationView>;
    /// Forgets a prepared image.
    fn remove_prepared(&self, digest: &Digest) -> anyhow::Result<()>;
    /// Removes prepared images that nobody has used for long.
    fn collect(&self, request: &CollectRequest) -> anyhow::Result<Collected>;
    /// The jobs that are not over, or all that the server remembers.
    fn jobs(&self, all: bool) -> anyhow::Result<Vec<JobView>>;
    /// One job's latest try.
    fn job(&self, job: JobReference) -> anyhow::Result<JobView>;
    /// The energy of each try of a job.
    fn energy(&self, job: JobReference) -> anyhow::Result<Vec<JobEnergy>>;
    /// The power readings of a try of a job.
    fn power_series(&self, job: JobReference, restart_count: u32) -> anyhow::Result<Vec<JobPower>>;
    /// The finished runs of a kernel, on that node, that ended since then.
    fn runs(
        &self,
        kernel: &KernelName,
        node: Option<&NodeName>,
        since_unix_ns: Option<i64>,
    ) -> anyhow::Result<Runs>;
    /// All nodes.
    fn nodes(&self) -> anyhow::Result<Vec<NodeView>>;
    /// One node.
    fn node(&self, name: &NodeName) -> anyhow::Result<NodeView>;
    /// Adds and changes nodes; all or none.
    fn import_nodes(&self, nodes: &[NodeDefinition]) -> anyhow::Result<()>;
    /// Switches or asks a node's power.
    fn power(&self, name: &NodeName, action: PowerAction) -> anyhow::Result<NodeView>;
    /// The newest part of a node's console.
    fn console(&self, name: &NodeName) -> anyhow::Result<String>;
    /// Boots a node outside of any job.
    fn boot(&self, name: &NodeName, options: &JobOptions) -> anyhow::Result<NodeView>;
    /// Forgets what is held against nodes; all or none.
    fn clear(&self, request: &ClearRequest) -> anyhow::Result<Vec<Cleared>>;
    /// What does not agree.
    fn doctor(&self) -> anyhow::Result<Doctor>;
    /// Takes a node out of use, or gives it back.
    fn maintenance(&self, name: &NodeName, change: &Maintenance) -> anyhow::Result<NodeView>;
}
