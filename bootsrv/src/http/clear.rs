//! `bmc node clear`: an admin has looked at nodes that failed.

use super::App;
use super::answer::{Answer, refuse};
use super::auth::Signed;
use crate::deployment::quarantine::drain_when_cleared;
use crate::slurm_queue::Word;
use crate::store::NodeRow;
use axum::Json;
use axum::extract::State;
use protocol::api::{CLEAR_NODES_MAX, ClearRequest, Cleared};
use protocol::error::ErrorKind;

/// `POST`: forgets what is held against nodes, and takes our own drains of them back; all or none.
pub(super) async fn clear(
    State(app): State<App>,
    Signed { caller, body }: Signed<ClearRequest>,
) -> Answer<Json<Vec<Cleared>>> {
    caller.require_admin()?;
    if body.nodes.is_empty() || body.nodes.len() > CLEAR_NODES_MAX {
        let text = format!("name one node or more, at most {CLEAR_NODES_MAX}");
        return Err(refuse(ErrorKind::User, text));
    }
    let store = &app.engine.store;
    let mut rows: Vec<NodeRow> = Vec::with_capacity(body.nodes.len());
    for name in &body.nodes {
        let unknown = || refuse(ErrorKind::User, format!("there is no node {name}"));
        rows.push(store.node(name)?.ok_or_else(unknown)?);
    }
    let cleared: Vec<Cleared> = rows.into_iter().map(|row| foresee(&app, row)).collect();
    if !body.dry_run {
        store.clear_nodes(&body.nodes)?;
        for one in &cleared {
            log::info!("node={} was cleared by uid {}: {one:?}", one.node, caller.uid);
            // Where there is no drain of ours, nothing is said.
            app.engine.slurm.say(Word::Undrain(one.node.clone()));
        }
    }
    Ok(Json(cleared))
}

fn foresee(app: &App, row: NodeRow) -> Cleared {
    let shown = app.engine.findings.in_slurm(&row.definition.name);
    let drain = drain_when_cleared(&row, shown.as_ref());
    Cleared {
        node: row.definition.name,
        strikes: row.strikes,
        last_failure: row.last_failure,
        drain,
    }
}
