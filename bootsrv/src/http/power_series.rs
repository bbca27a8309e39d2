//! The power of a job's nodes over time, for who draws it.

use super::App;
use super::answer::{Answer, blocking, parse, refuse};
use super::auth::{Caller, Signed};
use super::job::tries;
use crate::deployment::Deployment;
use crate::energy_record;
use crate::store::{Store, StoreError, Try};
use axum::Json;
use axum::extract::{Path, Query, State as AppState};
use energy::Options;
use protocol::error::ErrorKind;
use protocol::names::{JobReference, NodeName};
use protocol::power_series::{JobPower, NODES_MAX, NodePower, POINTS_MAX};
use serde::Deserialize;

/// Query of the power. Texts, so that what is wrong with them is told in our words.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PowerQuery {
    restart_count: Option<String>,
    node: Option<String>,
}

/// The same, understood.
#[derive(Debug, Default)]
struct Wish {
    restart_count: Option<u32>,
    node: Option<NodeName>,
}

/// Most points of a node, and most nodes that come with theirs.
type Most = (u32, u32);

/// `GET /v1/energy/{job}/power`: each try of the job, oldest first.
pub(super) async fn get(
    AppState(app): AppState<App>,
    Path(job): Path<String>,
    Query(query): Query<PowerQuery>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Vec<JobPower>>> {
    let (job, wish) = (parse(&job)?, understand(&query)?);
    // Days of readings are read.
    blocking(move || Ok(Json(power(&app, job, &wish, &caller, (POINTS_MAX, NODES_MAX))?))).await
}

fn understand(query: &PowerQuery) -> Answer<Wish> {
    let count = |text: &String| {
        let text_of = || format!("restart_count is {text:?}: it is a whole number from 0 on");
        text.parse().map_err(|_| refuse(ErrorKind::User, text_of()))
    };
    Ok(Wish {
        restart_count: query.restart_count.as_ref().map(count).transpose()?,
        node: query.node.as_deref().map(parse).transpose()?,
    })
}

fn power(
    app: &App,
    job: JobReference,
    wish: &Wish,
    caller: &Caller,
    (points_max, nodes_max): Most,
) -> Answer<Vec<JobPower>> {
    let mut tries = tries(app, job, caller)?;
    let is_wanted = |one: &Try| wish.restart_count.is_none_or(|n| n == one.asked.restart_count);
    tries.retain(is_wanted);
    let (store, mut nodes_left) = (&app.engine.store, nodes_max);
    let mut found = Vec::with_capacity(tries.len());
    // The newest is what most want to see: it gets its points first.
    for one in tries.iter().rev() {
        let mut deployments = store.deployments_of_try(one.id)?;
        deployments.retain(|of| wish.node.as_ref().is_none_or(|node| *node == of.node));
        let mut nodes = Vec::with_capacity(deployments.len());
        for deployment in deployments {
            nodes.push(if nodes_left == 0 {
                left_out(deployment)
            } else {
                node(store, deployment, points_max)?
            });
            nodes_left = nodes_left.saturating_sub(1);
        }
        found.push(JobPower {
            job: one.asked.job,
            reference: one.asked.reference,
            restart_count: one.asked.restart_count,
            nodes,
        });
    }
    found.reverse();
    Ok(found)
}

fn node(store: &Store, deployment: Deployment, points_max: u32) -> Result<NodePower, StoreError> {
    let readings = energy_record::readings(store, &deployment)?;
    let series = energy::series(&readings.samples, &Options::default(), points_max);
    Ok(NodePower {
        points: series.points,
        readings: series.readings,
        is_reduced: series.is_reduced,
        gone_until_unix_ns: readings.gone_until,
        is_left_out: false,
        ..left_out(deployment)
    })
}

fn left_out(deployment: Deployment) -> NodePower {
    NodePower {
        node: deployment.node,
        kernel: deployment.kernel,
        points: Vec::new(),
        readings: 0,
        is_reduced: false,
        gone_until_unix_ns: None,
        is_left_out: true,
    }
}

#[cfg(test)]
#[path = "power_series_tests.rs"]
mod tests;
