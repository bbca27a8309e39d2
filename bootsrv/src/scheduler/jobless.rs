//! Boots that belong to no job.

use crate::application::choice;
use crate::clock::now_unix_ns;
use crate::config::{AfterJob, Partition};
use crate::deployment::engine::Engine;
use crate::hub::Hub;
use crate::pin::Pin;
use crate::plan::site_digest;
use crate::store::NewDeployment;
use crate::{catalog, token};
use protocol::api::NodeDefinition;
use protocol::error::{ApiError, ErrorKind};
use protocol::job_options::JobOptions;
use protocol::profile::Asker;

/// Writes a deployment of a node for no job: what the options name, else the partition's defaults.
/// Whoever calls it has looked that nobody has the node.
///
/// # Errors
/// When a name is unknown or not for this, or the store fails.
pub fn boot(
    engine: &Engine,
    hub: &Hub,
    definition: &NodeDefinition,
    partition: &Partition,
    options: &JobOptions,
) -> Result<(), ApiError> {
    let (config, node) = (&engine.config, &definition.name);
    let kernel = catalog::kernel_name(options, partition, node);
    let _kept = hub.keep();
    let kernel_choice = catalog::find(config, hub, &kernel, Asker::default())?;
    let images = choice::images(config, hub, options, Some(partition), Asker::default())?;
    if let Some(application) = images.application {
        let text = format!("image {} is for jobs to enter", application.request.reference);
        let text = text + ": a node without a job boots a node image";
        return Err(ApiError::new(ErrorKind::User, text));
    }
    let image = images.node.unwrap_or_else(|| partition.default_image.clone());
    let site = site_digest(config, definition);
    let pin = Pin::new(kernel_choice, choice::node_image(config, hub, &image)?, site);
    let stays_on = partition.after_job == AfterJob::StayOn;
    let new = token::new_deployment(node.clone(), kernel, image, pin);
    let added = engine.store.add_jobless(&NewDeployment { stays_on, ..new }, now_unix_ns());
    added.map_err(|error| ApiError::new(ErrorKind::Internal, crate::chain(&error)))?;
    engine.changed.notify_one();
    Ok(())
}
