//! What hooks and nodes ask bootsrv, through the real handlers; compiled into `http`. Only the munge
//! credential is left out: there is one caller.

use super::App;
use super::answer::Answer;
use super::auth::{Booting, Caller, Signed};
use super::{agent, boot, job, power};
use axum::Json;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use protocol::api::{JobRequest, JobView, NodeDefinition, NodesRequest};
use protocol::boot::{Heartbeat, HeartbeatReply};
use protocol::error::ErrorKind;
use protocol::names::JobId;
use std::net::SocketAddr;

fn signed<T>(body: T) -> Signed<T> {
    Signed { caller: Caller { uid: 0, user: None, admin: true }, body }
}

fn kind<T>(answer: Answer<Json<T>>) -> Result<T, (ErrorKind, String)> {
    answer.map(|Json(answer)| answer).map_err(|refused| (refused.0.kind, refused.0.message))
}

/// PrologSlurmctld asks for its job.
pub(crate) fn put_job(
    app: &App,
    job: JobId,
    body: &JobRequest,
) -> Result<JobView, (ErrorKind, String)> {
    kind(job::want(app, job, body))
}

/// PrologSlurmctld asks how far it is.
pub(crate) async fn get_job(app: &App, job: JobId) -> Result<JobView, (ErrorKind, String)> {
    let at_once = Query(job::OneQuery::default());
    kind(job::get(State(app.clone()), Path(job.to_string()), at_once, signed(())).await)
}

/// EpilogSlurmctld.
pub(crate) async fn end_job(app: &App, job: JobId) -> Result<(), (ErrorKind, String)> {
    kind(job::delete(State(app.clone()), Path(job.to_string()), signed(())).await).map(drop)
}

/// ResumeProgram.
pub(crate) fn resume(app: &App, body: &NodesRequest) -> Result<(), (ErrorKind, String)> {
    kind(power::want(app, body))
}

/// SuspendProgram.
pub(crate) async fn suspend(app: &App, body: NodesRequest) -> Result<(), (ErrorKind, String)> {
    kind(power::suspend(State(app.clone()), signed(body)).await)
}

/// ResumeFailProgram.
pub(crate) async fn resume_fail(app: &App, body: NodesRequest) -> Result<(), (ErrorKind, String)> {
    kind(power::resume_fail(State(app.clone()), signed(body)).await)
}

fn from(node: &NodeDefinition) -> Request {
    let mut request = Request::new(Body::empty());
    let address = SocketAddr::new(node.ip().unwrap(), 4711);
    request.extensions_mut().insert(ConnectInfo(address));
    request
}

/// iPXE asks for its script.
pub(crate) async fn script(app: &App, node: &NodeDefinition) -> Option<String> {
    boot::script(State(app.clone()), Path(node.mac.to_string()), from(node)).await.ok()
}

/// iPXE fetches the boot token, as an initrd.
pub(crate) async fn token(app: &App, node: &NodeDefinition) -> Option<Vec<u8>> {
    boot::token(State(app.clone()), Path(node.mac.to_string()), from(node)).await.ok()
}

/// The agent reports; `None`: its token is not valid.
pub(crate) async fn heartbeat(app: &App, token: &str, report: Heartbeat) -> Option<HeartbeatReply> {
    let one = app.engine.store.by_token(&crate::token::hash(token)).ok()??;
    let answer = agent::heartbeat(State(app.clone()), Booting(one), Json(report)).await;
    answer.ok().map(|Json(reply)| reply)
}
