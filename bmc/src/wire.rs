//! The real server: bootsrv over HTTP, found by `client.toml`.

use crate::server::Server;
use bootsrv_client::{Client, ClientConfig, Timeouts};
use protocol::api::{
    ImageView, JobView, KernelView, Maintenance, NodeDefinition, NodeView, PowerAction,
};
use protocol::energy::JobEnergy;
use protocol::job_env::CLIENT_CONFIG_PATH;
use protocol::job_options::JobOptions;
use protocol::names::{ImageName, JobReference, KernelName, NodeName};
use std::path::Path;
use std::time::Duration;

/// A power order is waited for longer than anything else; the server gives up after 90 s.
const POWER_LIMIT: Duration = Duration::from_secs(100);

/// The server that this machine's `client.toml` names. Nothing is sent yet.
pub(crate) fn connect() -> anyhow::Result<Client> {
    let path = ClientConfig::path(std::env::var_os(CLIENT_CONFIG_PATH));
    Ok(Client::new(&ClientConfig::load(&path)?, Timeouts::default()))
}

impl Server for Client {
    fn kernels(&self) -> anyhow::Result<Vec<KernelView>> {
        Ok(self.kernels()?)
    }

    fn kernel(&self, name: &KernelName) -> anyhow::Result<KernelView> {
        Ok(self.kernel(name)?)
    }

    fn import_kernel(&self, name: &KernelName, package: &Path) -> anyhow::Result<KernelView> {
        Ok(self.put_kernel(name, package)?)
    }

    fn remove_kernel(&self, name: &KernelName) -> anyhow::Result<()> {
        Ok(self.delete_kernel(name)?)
    }

    fn images(&self) -> anyhow::Result<Vec<ImageView>> {
        Ok(self.images()?)
    }

    fn image(&self, name: &ImageName) -> anyhow::Result<ImageView> {
        Ok(self.image(name)?)
    }

    fn import_image(&self, name: &ImageName, archive: &Path) -> anyhow::Result<ImageView> {
        Ok(self.put_image(name, archive)?)
    }

    fn remove_image(&self, name: &ImageName) -> anyhow::Result<()> {
        Ok(self.delete_image(name)?)
    }

    fn jobs(&self, all: bool) -> anyhow::Result<Vec<JobView>> {
        Ok(self.jobs(all)?)
    }

    fn job(&self, job: JobReference) -> anyhow::Result<JobView> {
        Ok(self.job(job)?)
    }

    fn energy(&self, job: JobReference) -> anyhow::Result<Vec<JobEnergy>> {
        Ok(self.energy(job)?)
    }

    fn nodes(&self) -> anyhow::Result<Vec<NodeView>> {
        Ok(self.nodes()?)
    }

    fn node(&self, name: &NodeName) -> anyhow::Result<NodeView> {
        Ok(self.node(name)?)
    }

    fn import_nodes(&self, nodes: &[NodeDefinition]) -> anyhow::Result<()> {
        Ok(self.put_nodes(nodes)?)
    }

    fn power(&self, name: &NodeName, action: PowerAction) -> anyhow::Result<NodeView> {
        Ok(self.with_total(POWER_LIMIT).power(name, action)?)
    }

    fn console(&self, name: &NodeName) -> anyhow::Result<String> {
        Ok(self.console(name)?)
    }

    fn boot(&self, name: &NodeName, options: &JobOptions) -> anyhow::Result<NodeView> {
        Ok(self.boot(name, options)?)
    }

    fn maintenance(&self, name: &NodeName, change: &Maintenance) -> anyhow::Result<NodeView> {
        Ok(self.maintenance(name, change)?)
    }
}
