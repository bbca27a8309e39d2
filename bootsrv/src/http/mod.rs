//! The route table: one line a URL, in the order of docs/api.md. Handlers change a row and return.

mod agent;
mod answer;
mod application;
mod application_image;
#[cfg(test)]
mod application_tests;
mod artifact;
mod auth;
mod boot;
mod clear;
mod doctor;
#[cfg(test)]
#[path = "../simulation/doors.rs"]
pub(crate) mod doors;
mod image;
mod job;
mod kernel;
mod node;
mod orders;
mod pinning;
mod power;
mod power_series;
#[cfg(test)]
mod quarantine_tests;
mod report;
mod runs;
mod upload;
mod user_file;

use crate::application::uploads::Senders;
use crate::deployment::engine::Engine;
use crate::hub::Hub;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use std::path::PathBuf;
use std::sync::Arc;

/// What every handler sees.
#[derive(Debug, Clone)]
pub struct App {
    /// Deployments.
    pub engine: Arc<Engine>,
    /// Kernels and images.
    pub hub: Arc<Hub>,
    /// Power workers' common part, for nodes that are imported later.
    pub site: Arc<crate::power::Site>,
    /// SlurmUser's id: may do everything, like root.
    pub slurm_uid: u32,
    /// Who is sending files.
    pub senders: Arc<Senders>,
    /// Where uploads go, and users' files stay.
    pub upload_dir: PathBuf,
}

/// Longest request body but uploads, in bytes.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Routes for iPXE, Slurm's hooks and people; plain HTTP.
pub fn public(app: App) -> Router {
    Router::new()
        .route("/boot/{mac}", get(boot::script))
        .route("/boot/{mac}/token", get(boot::token))
        .route("/artifacts/{sha256}", get(artifact::get))
        .route("/v1/jobs", get(job::list))
        .route("/v1/jobs/{job}", get(job::get).put(job::put).delete(job::delete))
        .route("/v1/energy/{job}", get(report::energy))
        .route("/v1/energy/{job}/power", get(power_series::get))
        .route("/v1/runs", get(runs::list))
        .route("/v1/power/resume", post(power::resume))
        .route("/v1/power/suspend", post(power::suspend))
        .route("/v1/power/resume-fail", post(power::resume_fail))
        .route("/v1/power/reboot", post(power::reboot))
        .route("/v1/catalog", get(report::catalog))
        .route("/v1/check", post(report::check))
        .route("/v1/nodes", get(node::list).put(node::import))
        .route("/v1/nodes/{node}", get(node::get))
        .route("/v1/nodes/{node}/power", put(node::power))
        .route("/v1/nodes/{node}/console", get(node::console))
        .route("/v1/nodes/{node}/maintenance", put(node::maintenance))
        .route("/v1/nodes/{node}/boot", post(node::boot))
        .route("/v1/clear", post(clear::clear))
        .route("/v1/doctor", get(doctor::get))
        .route("/v1/kernels", get(kernel::list))
        .route("/v1/kernels/{name}", get(kernel::get).put(kernel::import).delete(kernel::remove))
        .route("/v1/images", get(image::list))
        .route(
            "/v1/images/{name}",
            get(image::get).put(image::import).post(image::name).delete(image::remove),
        )
        .route("/v1/application-images", get(application_image::list).post(application_image::pull))
        .route("/v1/application-images/preparations/{digest}", get(application_image::preparation))
        .route("/v1/application-images/cancel", post(application_image::cancel))
        .route("/v1/application-images/gc", post(application_image::collect))
        .route(
            "/v1/application-images/{digest}",
            get(application_image::get).delete(application_image::remove),
        )
        .route("/v1/uploads/{sha256}", get(user_file::get).put(user_file::put))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

/// Routes for booting nodes; HTTPS, because secrets travel here.
pub fn nodes(app: App) -> Router {
    Router::new()
        .route("/artifacts/{sha256}", get(artifact::get))
        .route(protocol::boot::PLAN_PATH, get(agent::plan))
        .route(protocol::boot::SECRETS_PATH, post(agent::secrets))
        .route(protocol::boot::HEARTBEAT_PATH, post(agent::heartbeat))
        .route(protocol::boot::ORDERS_PATH, get(orders::get))
        .route(protocol::application::APPLICATION_PATH, get(application::plan))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}
