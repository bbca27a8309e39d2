//! What prolog and epilog ask, and people with `bmc status`.

use super::App;
use super::answer::{Answer, parse, refuse};
use super::auth::{Caller, Signed};
use crate::catalog;
use crate::clock::now_unix_ns;
use crate::config::{AfterJob, Partition};
use crate::deployment::transition::Event;
use crate::deployment::view;
use crate::slurm_queue::Word;
use crate::store::{NewDeployment, NewTry, Try};
use crate::token;
use axum::Json;
use axum::extract::{Path, Query, State as AppState};
use protocol::api::{JobRequest, JobState, JobView};
use protocol::error::{ApiError, ErrorKind};
use protocol::names::JobId;
use protocol::profile::Asker;
use serde::Deserialize;

/// `PUT`: the job wants its nodes. The same request again shows how far it is.
pub(super) async fn put(
    AppState(app): AppState<App>,
    Path(job): Path<String>,
    Signed { caller, body }: Signed<JobRequest>,
) -> Answer<Json<JobView>> {
    caller.require_admin()?;
    let job: JobId = parse(&job)?;
    let latest = app.engine.store.latest_try(job)?;
    if let Some(latest) = &latest {
        if !latest.ended && latest.asked.restart_count == body.restart_count {
            return show(&app, latest);
        }
        // An earlier try whose epilog was lost, or an older job of the same number.
        end(&app, latest)?;
    }
    let (asked, nodes) = accept(&app, job, &body)?;
    let id = app.engine.store.add_try(&asked, &nodes, now_unix_ns())?;
    log::info!(
        "job={job} user={} wants {} node(s) with kernel {} and image {}",
        asked.user,
        nodes.len(),
        asked.kernel,
        asked.image
    );
    app.engine.changed.notify_one();
    show(&app, &Try { id, asked, created_unix_ns: now_unix_ns(), ended: false })
}

/// Checks a request against the site's rules; nothing is written yet.
fn accept(app: &App, job: JobId, body: &JobRequest) -> Answer<(NewTry, Vec<NewDeployment>)> {
    let config = &app.engine.config;
    let partition = config.partition(&body.partition).ok_or_else(|| {
        refuse(ErrorKind::Site, format!("partition {} is not in bootsrv.toml", body.partition))
    })?;
    let asker = Asker {
        user: Some(&body.user),
        account: body.account.as_deref(),
        partition: Some(&body.partition),
    };
    let image = body.options.image.clone().unwrap_or_else(|| partition.default_image.clone());
    catalog::image(&app.hub, &image)?;
    let nodes = body
        .nodes
        .iter()
        .map(|node| {
            let kernel = catalog::kernel_name(&body.options, partition, node);
            // A default is open to everybody: only a choice is checked for who made it.
            match &body.options.kernel {
                Some(kernel) => catalog::kernel(config, &app.hub, kernel, asker)?,
                None => catalog::find(config, &app.hub, &kernel, asker)?,
            };
            node_may_boot(app, node)?;
            Ok(token::new_deployment(node.clone(), kernel, image.clone()))
        })
        .collect::<Answer<Vec<_>>>()?;
    let first = nodes.first().ok_or_else(|| refuse(ErrorKind::User, "the job has no nodes"))?;
    let asked = NewTry {
        job,
        restart_count: body.restart_count,
        user: body.user.clone(),
        uid: body.uid,
        account: body.account.clone(),
        partition: body.partition.clone(),
        kernel: first.kernel.clone(),
        image,
        power_off_after: powers_off(partition),
    };
    Ok((asked, nodes))
}

fn powers_off(partition: &Partition) -> bool {
    match partition.after_job {
        AfterJob::Off => true,
    }
}

fn node_may_boot(app: &App, node: &protocol::names::NodeName) -> Answer<()> {
    let row = app.engine.store.node(node)?.ok_or_else(|| {
        ApiError::new(ErrorKind::Site, format!("node {node} is not defined"))
            .hint("Add it with bmc node import.")
    })?;
    match row.maintenance {
        Some(reason) => {
            Err(refuse(ErrorKind::Site, format!("node {node} is in maintenance: {reason}")))
        }
        None => Ok(()),
    }
}

/// `GET`: how far the job is. Users see their own jobs.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(job): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<JobView>> {
    show(&app, &visible(&app, parse(&job)?, &caller)?)
}

/// The latest try of a job that the caller may see.
pub(super) fn visible(app: &App, job: JobId, caller: &Caller) -> Answer<Try> {
    let latest = app.engine.store.latest_try(job)?;
    // One answer for "no such job" and "not yours": numbers of other users' jobs are not to be probed.
    latest.filter(|latest| caller.admin || latest.asked.uid == caller.uid).ok_or_else(|| {
        refuse(
            ErrorKind::User,
            format!("job {job} did not use bare-metal containers, or is not yours"),
        )
    })
}

/// Query of the list.
#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    /// Ended jobs too.
    #[serde(default)]
    all: bool,
}

/// Most jobs in one list.
const LIST_MAX: u32 = 1_000;

/// `GET` without a job: the caller's jobs, newest first.
pub(super) async fn list(
    AppState(app): AppState<App>,
    Query(query): Query<ListQuery>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Vec<JobView>>> {
    let tries = app.engine.store.recent_tries(query.all, LIST_MAX)?;
    let own = tries.iter().filter(|one| caller.admin || one.asked.uid == caller.uid);
    let views = own.map(|one| view::job(&app.engine.store, one)).collect::<Result<_, _>>()?;
    Ok(Json(views))
}

/// `DELETE`: the job is over; closes its energy window. Twice is fine.
pub(super) async fn delete(
    AppState(app): AppState<App>,
    Path(job): Path<String>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Option<JobView>>> {
    caller.require_admin()?;
    let Some(latest) = app.engine.store.latest_try(parse(&job)?)? else { return Ok(Json(None)) };
    end(&app, &latest)?;
    let ended = Try { ended: true, ..latest };
    Ok(Json(Some(view::job(&app.engine.store, &ended)?)))
}

fn end(app: &App, latest: &Try) -> Answer<()> {
    if latest.ended {
        return Ok(());
    }
    for one in app.engine.store.deployments_of_try(latest.id)? {
        app.engine.slurm.say(Word::NoteDrain(one.node));
        app.engine.apply(one.id, &Event::JobEnded)?;
    }
    app.engine.store.end_try(latest.id, now_unix_ns())?;
    let failed = app.engine.store.deployments_of_try(latest.id)?;
    if failed.iter().any(|one| one.failure.is_some()) {
        app.engine.slurm.say(Word::StartNow(latest.asked.job));
    }
    Ok(())
}

fn show(app: &App, one: &Try) -> Answer<Json<JobView>> {
    let job = view::job(&app.engine.store, one)?;
    // Slurm starts the job as soon as prolog hears this answer.
    if job.state == JobState::Ready {
        for deployment in app.engine.store.deployments_of_try(one.id)? {
            app.engine.apply(deployment.id, &Event::JobStarted)?;
        }
    }
    Ok(Json(job))
}
