//! The real server: bootsrv over HTTP, found by `client.toml`.

use crate::output;
use crate::server::Server;
use bootsrv_client::{Client, ClientConfig, FileProgress, Timeouts, registry_login};
use protocol::api::{
    ApplicationImageView, ClearRequest, Cleared, CollectRequest, Collected, Doctor, ImageImport,
    ImageView, JobView, KernelView, Maintenance, NodeDefinition, NodeView, PowerAction,
    PullRequest,
};
use protocol::application::PreparationView;
use protocol::energy::JobEnergy;
use protocol::image_reference::ImageReference;
use protocol::job_env::CLIENT_CONFIG_PATH;
use protocol::job_options::JobOptions;
use protocol::names::{Digest, ImageName, JobReference, KernelName, NodeName};
use protocol::power_series::JobPower;
use protocol::runs::Runs;
use std::path::Path;
use std::time::Duration;

/// A power order is waited for longer than anything else; the server gives up after 90 s.
const POWER_LIMIT: Duration = Duration::from_secs(100);

/// bootsrv, and what this machine knows of it.
pub(crate) struct Bootsrv {
    client: Client,
    config: ClientConfig,
}

/// The server that this machine's `client.toml` names. Nothing is sent yet.
pub(crate) fn connect() -> anyhow::Result<Bootsrv> {
    let path = ClientConfig::path(std::env::var_os(CLIENT_CONFIG_PATH));
    Ok(Bootsrv::of(ClientConfig::load(&path)?))
}

/// A megabyte as it is told.
const MEGABYTE: u64 = 1_000_000;

impl Bootsrv {
    /// The server of that configuration.
    pub(crate) fn of(config: ClientConfig) -> Self {
        Self { client: Client::new(&config, Timeouts::default()), config }
    }

    /// What the registry of an image is shown; without it a public image can be had all the same.
    fn login(&self, image: &protocol::image_reference::DockerReference) -> Option<String> {
        let variable = |name: &str| std::env::var(name).ok();
        registry_login(&self.config, image, &variable).unwrap_or_else(|reason| {
            eprintln!("bmc: no registry login goes along: {reason}");
            None
        })
    }
}

/// One line while a file is on its way, if a person looks.
fn tell(file: &str, progress: FileProgress) {
    let text = match progress {
        FileProgress::Hashing(bytes) => format!("reading {file}: {} MB", bytes / MEGABYTE),
        FileProgress::Sending(bytes, all) => {
            format!("sending {file}: {} of {} MB", bytes / MEGABYTE, all / MEGABYTE)
        }
    };
    output::passing(Some(&text));
}

impl Server for Bootsrv {
    fn kernels(&self) -> anyhow::Result<Vec<KernelView>> {
        Ok(self.client.kernels()?)
    }

    fn kernel(&self, name: &KernelName) -> anyhow::Result<KernelView> {
        Ok(self.client.kernel(name)?)
    }

    fn import_kernel(&self, name: &KernelName, package: &Path) -> anyhow::Result<KernelView> {
        Ok(self.client.put_kernel(name, package)?)
    }

    fn remove_kernel(&self, name: &KernelName) -> anyhow::Result<()> {
        Ok(self.client.delete_kernel(name)?)
    }

    fn images(&self) -> anyhow::Result<Vec<ImageView>> {
        Ok(self.client.images()?)
    }

    fn image(&self, name: &ImageName) -> anyhow::Result<ImageView> {
        Ok(self.client.image(name)?)
    }

    fn import_image(&self, name: &ImageName, archive: &Path) -> anyhow::Result<ImageView> {
        Ok(self.client.put_image(name, archive)?)
    }

    fn name_image(&self, name: &ImageName, import: &ImageImport) -> anyhow::Result<ImageView> {
        Ok(self.client.name_image(name, import)?)
    }

    fn prepared_images(&self) -> anyhow::Result<Vec<ApplicationImageView>> {
        Ok(self.client.application_images()?)
    }

    fn prepared_image(&self, digest: &Digest) -> anyhow::Result<ApplicationImageView> {
        Ok(self.client.application_image(digest)?)
    }

    fn pull(&self, image: &ImageReference) -> anyhow::Result<PreparationView> {
        let mut reference = image.clone();
        let credential = match &mut reference {
            ImageReference::Docker(docker) => self.login(docker),
            ImageReference::File(file) => {
                let path = file.path.clone();
                let sent = self.client.send_file(file, &mut |progress| tell(&path, progress));
                output::passing(None);
                file.digest = Some(sent?);
                None
            }
        };
        Ok(self.client.pull(&PullRequest { reference, credential })?)
    }

    fn cancel_pull(&self, image: &ImageReference) -> anyhow::Result<()> {
        let reference = image.clone();
        Ok(self.client.cancel_pull(&PullRequest { reference, credential: None })?)
    }

    fn preparation(&self, digest: &Digest) -> anyhow::Result<PreparationView> {
        Ok(self.client.preparation(digest)?)
    }

    fn remove_prepared(&self, digest: &Digest) -> anyhow::Result<()> {
        Ok(self.client.delete_application_image(digest)?)
    }

    fn collect(&self, request: &CollectRequest) -> anyhow::Result<Collected> {
        Ok(self.client.collect(request)?)
    }

    fn remove_image(&self, name: &ImageName) -> anyhow::Result<()> {
        Ok(self.client.delete_image(name)?)
    }

    fn jobs(&self, all: bool) -> anyhow::Result<Vec<JobView>> {
        Ok(self.client.jobs(all)?)
    }

    fn job(&self, job: JobReference) -> anyhow::Result<JobView> {
        Ok(self.client.job(job)?)
    }

    fn energy(&self, job: JobReference) -> anyhow::Result<Vec<JobEnergy>> {
        Ok(self.client.energy(job)?)
    }

    fn power_series(&self, job: JobReference, restart_count: u32) -> anyhow::Result<Vec<JobPower>> {
        Ok(self.client.power_series(job, restart_count)?)
    }

    fn runs(
        &self,
        kernel: &KernelName,
        node: Option<&NodeName>,
        since_unix_ns: Option<i64>,
    ) -> anyhow::Result<Runs> {
        Ok(self.client.runs(kernel, node, since_unix_ns)?)
    }

    fn nodes(&self) -> anyhow::Result<Vec<NodeView>> {
        Ok(self.client.nodes()?)
    }

    fn node(&self, name: &NodeName) -> anyhow::Result<NodeView> {
        Ok(self.client.node(name)?)
    }

    fn import_nodes(&self, nodes: &[NodeDefinition]) -> anyhow::Result<()> {
        Ok(self.client.put_nodes(nodes)?)
    }

    fn power(&self, name: &NodeName, action: PowerAction) -> anyhow::Result<NodeView> {
        Ok(self.client.with_total(POWER_LIMIT).power(name, action)?)
    }

    fn console(&self, name: &NodeName) -> anyhow::Result<String> {
        Ok(self.client.console(name)?)
    }

    fn boot(&self, name: &NodeName, options: &JobOptions) -> anyhow::Result<NodeView> {
        Ok(self.client.boot(name, options)?)
    }

    fn clear(&self, request: &ClearRequest) -> anyhow::Result<Vec<Cleared>> {
        Ok(self.client.clear(request)?)
    }

    fn doctor(&self) -> anyhow::Result<Doctor> {
        Ok(self.client.doctor()?)
    }

    fn maintenance(&self, name: &NodeName, change: &Maintenance) -> anyhow::Result<NodeView> {
        Ok(self.client.maintenance(name, change)?)
    }
}
