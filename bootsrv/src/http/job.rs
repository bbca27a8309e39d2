//! What prolog and epilog ask, and people with `bmc status`.

use super::App;
use super::answer::{Answer, Refused, blocking, parse, refuse};
use super::auth::{Caller, Signed};
use super::pinning::lack;
use crate::application::choice::{self, Application};
use crate::application::fitness;
use crate::application::{Prepared, Request};
use crate::catalog;
use crate::clock::now_unix_ns;
use crate::config::AfterJob;
use crate::deployment::transition::Event;
use crate::deployment::view;
use crate::pin::Pin;
use crate::plan::site_digest;
use crate::store::{NewDeployment, NewTry, Try};
use crate::token;
use axum::Json;
use axum::extract::{Path, Query, State as AppState};
use protocol::api::{JOB_WAIT_SECONDS_MAX, JobRequest, JobState, JobView, NodeDefinition};
use protocol::error::{ApiError, ErrorKind};
use protocol::image_reference::{ImageChoice, ImageReference};
use protocol::names::{JobId, JobReference, NodeName};
use protocol::profile::Asker;
use serde::Deserialize;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// `PUT`: the job wants its nodes. The same request again shows how far it is.
pub(super) async fn put(
    AppState(app): AppState<App>,
    Path(job): Path<String>,
    Signed { caller, body }: Signed<JobRequest>,
) -> Answer<Json<JobView>> {
    caller.require_admin()?;
    let job: JobId = parse(&job)?;
    // The hub may be busy with deleting: that holds up this job, and no other request.
    blocking(move || want(&app, job, &body)).await
}

pub(super) fn want(app: &App, job: JobId, body: &JobRequest) -> Answer<Json<JobView>> {
    let latest = app.engine.store.latest_try(job)?;
    if let Some(latest) = &latest {
        if !latest.ended && is_same(app, latest, body)? {
            return show(app, latest, true);
        }
        // An earlier try whose epilog was lost, or an older job of the same number.
        app.engine.end_try(latest, &body.nodes)?;
    }
    let (id, asked, nodes) = {
        let _kept = app.hub.keep();
        let (asked, nodes) = accept(app, job, body, latest.as_ref())?;
        (app.engine.store.add_try(&asked, &nodes, now_unix_ns())?, asked, nodes.len())
    };
    let application = asked.application.as_ref();
    log::info!(
        "job={job} user={} wants {} node(s) with kernel {} and image {}{}",
        asked.user,
        nodes,
        asked.kernel,
        asked.image,
        application.map_or_else(String::new, |one| format!(" and {}", one.reference))
    );
    app.engine.image_wanted.notify_one();
    app.engine.changed.notify_one();
    show(app, &Try { id, asked, created_unix_ns: now_unix_ns(), ended: false }, true)
}

/// Whether a request repeats that of a try: a slurmctld that lost its state gives numbers anew.
fn is_same(app: &App, latest: &Try, body: &JobRequest) -> Answer<bool> {
    let nodes = app.engine.store.deployments_of_try(latest.id)?;
    let nodes: BTreeSet<_> = nodes.iter().map(|one| &one.node).collect();
    Ok(latest.asked.restart_count == body.restart_count
        && latest.asked.uid == body.uid
        && nodes == body.nodes.iter().collect())
}

/// Checks a request against the site's rules; nothing is written yet. `latest` is the job's last try,
/// or an older job's of the same number.
fn accept(
    app: &App,
    job: JobId,
    body: &JobRequest,
    latest: Option<&Try>,
) -> Answer<(NewTry, Vec<NewDeployment>)> {
    let config = &app.engine.config;
    let partition = config.partition(&body.partition).ok_or_else(|| {
        refuse(ErrorKind::Site, format!("partition {} is not in bootsrv.toml", body.partition))
    })?;
    let asker = Asker {
        user: Some(&body.user),
        account: body.account.as_deref(),
        partition: Some(&body.partition),
    };
    let images = choice::images(config, &app.hub, &body.options, Some(partition), asker)?;
    let image = images.node.unwrap_or_else(|| partition.default_image.clone());
    let root = choice::node_image(config, &app.hub, &image)?;
    let last = latest
        .filter(|last| last.asked.uid == body.uid && last.asked.restart_count < body.restart_count);
    let application =
        images.application.map(|asked| application(app, body.uid, asked, last)).transpose()?;
    let (application, application_image) = application.unzip();
    // Once for all nodes of the try: an import in the middle must not give them two kernels.
    let mut choices = BTreeMap::new();
    let mut nodes = Vec::new();
    for node in &body.nodes {
        let kernel = catalog::kernel_name(&body.options, partition, node);
        let choice = match choices.entry(kernel.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(match &body.options.kernel {
                // A default is open to everybody: only a choice is checked for who made it.
                Some(kernel) => catalog::kernel(config, &app.hub, kernel, asker)?,
                None => catalog::find(config, &app.hub, &kernel, asker)?,
            }),
        };
        if let Some(request) = &application {
            fitness::check(&app.hub, &choice.kernel, request)?;
        }
        let definition = node_may_boot(app, node)?;
        let pin = Pin::new(choice.clone(), root.clone(), site_digest(config, &definition));
        let new = token::new_deployment(node.clone(), kernel, image.clone(), pin);
        nodes.push(NewDeployment { stays_on: partition.after_job == AfterJob::StayOn, ..new });
    }
    let first = nodes.first().ok_or_else(|| refuse(ErrorKind::User, "the job has no nodes"))?;
    let asked = NewTry {
        job,
        reference: body.reference,
        restart_count: body.restart_count,
        user: body.user.clone(),
        uid: body.uid,
        account: body.account.clone(),
        partition: body.partition.clone(),
        kernel: first.kernel.clone(),
        image,
        application,
        application_image: application_image.flatten(),
        // A marked node is out of the scheduler's sight: no other job could preempt this one.
        power_off_after: partition.after_job == AfterJob::Off
            && !app.engine.preemption.load(Ordering::Relaxed),
    };
    Ok((asked, nodes))
}

/// What the try keeps of its application image. A file that is gone since the job was submitted is
/// found out about here, before anything is powered on.
fn application(
    app: &App,
    uid: u32,
    asked: Application,
    last: Option<&Try>,
) -> Answer<(Request, Option<Prepared>)> {
    let of_last = last.and_then(|last| {
        Some((last.asked.application.as_ref()?, last.asked.application_image.as_ref()))
    });
    let is_here =
        |image: &Prepared| image.layers.iter().all(|layer| app.hub.path(&layer.sha256).is_file());
    let Application { request, prepared } = asked.requeued(of_last, is_here);
    if let (ImageChoice::Reference(_), ImageReference::File(_), None) =
        (&request.choice, &request.reference, &prepared)
        && let Some(why) = lack(app, uid, &request.reference)?
    {
        let text = format!("image {} {why}", request.reference);
        return Err(Refused(ApiError::new(ErrorKind::User, text).hint("Submit the job again.")));
    }
    Ok((request, prepared))
}

fn node_may_boot(app: &App, node: &NodeName) -> Answer<NodeDefinition> {
    let row = app.engine.store.node(node)?.ok_or_else(|| {
        ApiError::new(ErrorKind::Site, format!("node {node} is not defined"))
            .hint("Add it with bmc node import.")
    })?;
    match row.maintenance {
        Some(reason) => {
            Err(refuse(ErrorKind::Site, format!("node {node} is in maintenance: {reason}")))
        }
        None => Ok(row.definition),
    }
}

/// Query of one job.
#[derive(Debug, Default, Deserialize)]
pub(super) struct OneQuery {
    /// How long the answer may wait for the end of the boot.
    #[serde(default)]
    wait_seconds: u32,
}

/// `GET`: how far the job is. Users see their own jobs.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(job): Path<String>,
    Query(query): Query<OneQuery>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<JobView>> {
    let job = parse(&job)?;
    // Prolog comes as SlurmUser or root; nobody else can start a job by looking at it, or wait.
    let one = if caller.admin && query.wait_seconds > 0 {
        let seconds = query.wait_seconds.min(JOB_WAIT_SECONDS_MAX);
        decided(&app, job, &caller, Duration::from_secs(seconds.into())).await?
    } else {
        visible(&app, job, &caller)?
    };
    show(&app, &one, caller.admin)
}

/// The job's latest try, as soon as its nodes do not boot any more, and at the latest after that time.
async fn decided(app: &App, job: JobReference, caller: &Caller, longest: Duration) -> Answer<Try> {
    let deadline = Instant::now() + longest;
    let first = visible(app, job, caller)?;
    let Some(watcher) = app.engine.watchers.watch(first.asked.job) else { return Ok(first) };
    loop {
        let woken = watcher.changed.notified();
        tokio::pin!(woken);
        // Before looking: what changes after the look must not be missed.
        woken.as_mut().enable();
        let one = visible(app, job, caller)?;
        let nodes = app.engine.store.deployments_of_try(one.id)?;
        if view::state(&nodes, one.ended) != JobState::Booting {
            // Else one that is under way would overwrite the sentence that prolog leaves.
            app.engine.slurm.comments_are_said().await;
            return Ok(one);
        }
        if timeout_at(deadline, woken).await.is_err() {
            return Ok(one);
        }
    }
}

/// The latest try of a job that the caller may see.
fn visible(app: &App, job: JobReference, caller: &Caller) -> Answer<Try> {
    // Asked often: one row, where there is no older job of somebody else's.
    if let Some(one) = app.engine.store.latest_try_of(job)?
        && (caller.admin || one.asked.uid == caller.uid)
    {
        return Ok(one);
    }
    let exact = |one: &Try| one.asked.reference == job || JobReference::Job(one.asked.job) == job;
    let mut tries = tries(app, job, caller)?;
    let last = tries.iter().rposition(exact).unwrap_or_else(|| tries.len().saturating_sub(1));
    Ok(tries.swap_remove(last))
}

/// All tries of a job that the caller may see, oldest first: at least one.
pub(super) fn tries(app: &App, job: JobReference, caller: &Caller) -> Answer<Vec<Try>> {
    let mut tries = app.engine.store.tries_of(job)?;
    // An older job of the same number may have been somebody else's.
    tries.retain(|one| caller.admin || one.asked.uid == caller.uid);
    if tries.is_empty() {
        // One answer for "no such job" and "not yours": numbers of others' jobs are not to be probed.
        let text = format!("job {job} did not use bare-metal containers, or is not yours");
        return Err(refuse(ErrorKind::User, text));
    }
    Ok(tries)
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
    let views = own.map(|one| view::job(&app.engine, one)).collect::<Result<_, _>>()?;
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
    app.engine.end_try(&latest, &[])?;
    let ended = Try { ended: true, ..latest };
    Ok(Json(Some(view::job(&app.engine, &ended)?)))
}

fn show(app: &App, one: &Try, is_prolog: bool) -> Answer<Json<JobView>> {
    let job = view::job(&app.engine, one)?;
    // Slurm starts the job as soon as prolog hears this answer.
    if is_prolog && job.state == JobState::Ready {
        for deployment in app.engine.store.deployments_of_try(one.id)? {
            app.engine.apply(deployment.id, &Event::JobStarted)?;
        }
    }
    Ok(Json(job))
}

#[cfg(test)]
mod tests {
    use super::super::application_tests::Fixture;
    use super::*;
    use crate::application::request::tests::{example, prepared};
    use crate::application::uploads;
    use crate::deployment::{Blame, Failure};
    use crate::store::Upload;
    use protocol::names::Digest;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn a_job_waits_for_the_hub_and_nobody_waits_for_the_job() {
        let fixture = Fixture::new(false);
        let (app, hub) = (fixture.app.clone(), fixture.app.hub.clone());
        let ((held, is_held), (release, released)) = (channel(), channel::<()>());
        let holder = std::thread::spawn(move || {
            let _deleting = hub.keep();
            held.send(()).unwrap();
            released.recv_timeout(Duration::from_secs(5)).ok();
        });
        is_held.recv().unwrap();
        let body = JobRequest {
            reference: JobReference::Job(JobId(8)),
            nodes: vec![],
            restart_count: 0,
            user: "alice".into(),
            uid: 7,
            account: None,
            partition: "other".into(),
            options: serde_json::from_str("{}").unwrap(),
        };
        let caller = Caller { uid: 0, user: None, admin: true };
        let asked = put(AppState(app), Path("8".into()), Signed { caller, body });
        let asked = tokio::spawn(asked);
        let begin = Instant::now();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(begin.elapsed() < Duration::from_secs(3), "this thread stood still");
        assert!(!asked.is_finished());
        release.send(()).unwrap();
        let refused = asked.await.unwrap().unwrap_err();
        assert_eq!(refused.0.kind, ErrorKind::Site, "no such partition");
        holder.join().unwrap();
    }

    /// Prolog keeps a question open: it hears of the end of the boot at once, and else after its time.
    #[tokio::test]
    async fn who_waits_hears_of_the_end_of_the_boot_at_once() {
        let fixture = Fixture::new(false);
        let app = fixture.app.clone();
        let job = JobReference::Job(JobId(7));
        let caller = Caller { uid: 0, user: None, admin: true };
        let wait = |longest| {
            let (app, caller) = (app.clone(), caller.clone());
            tokio::spawn(async move { decided(&app, job, &caller, longest).await.unwrap() })
        };
        let begin = Instant::now();
        wait(Duration::from_millis(30)).await.unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(30), "it boots still");
        let waiting = wait(Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        let failure = Failure { blame: Blame::Node, reason: "r".into() };
        let one = app.engine.store.live_deployments().unwrap()[0].id;
        app.engine.apply(one, &Event::Failed(failure)).unwrap();
        let answered = tokio::time::timeout(Duration::from_secs(2), waiting).await;
        answered.expect("it is told at once").unwrap();
        let begin = Instant::now();
        wait(Duration::from_secs(20)).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(2), "it was over before");
    }

    #[test]
    fn a_file_that_is_gone_since_the_job_was_submitted_is_told_before_a_node_boots() {
        let fixture = Fixture::new(false);
        let app = &fixture.app;
        let sha256 = Digest([3; 32]);
        let choice: ImageChoice = format!("sif:/home/alice/x.sif@sha256:{sha256}").parse().unwrap();
        let ImageChoice::Reference(reference) = choice.clone() else { panic!("a reference") };
        let request = Request { choice, reference, ..example() };
        let asked = |uid, prepared| {
            application(app, uid, Application { request: request.clone(), prepared }, None)
        };
        let refused = |uid| {
            let refused = asked(uid, None).unwrap_err().0;
            assert_eq!(refused.kind, ErrorKind::User);
            assert_eq!(refused.hint.as_deref(), Some("Submit the job again."));
            refused.message
        };
        assert!(refused(7).ends_with("was not sent to bootsrv by you"));
        let path = uploads::path(&app.engine.config, &sha256);
        let upload = Upload { sha256, uid: 7, bytes: 1, used_unix_ns: 1 };
        std::fs::write(&path, "x").unwrap();
        app.engine.store.add_upload(&upload).unwrap();
        app.engine.store.admit(7, &uploads::admission(&sha256), 1).unwrap();
        asked(7, None).unwrap();
        assert!(refused(8).ends_with("was not sent to bootsrv by you"));
        std::fs::remove_file(&path).unwrap();
        assert!(refused(7).ends_with("is no longer at bootsrv"));
        // A requeued job has the image itself.
        asked(7, Some(prepared(4))).unwrap();
    }
}
