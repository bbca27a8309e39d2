//! `bmc doctor`: what the last comparison of all nodes found, and what can be seen of this machine.

use super::App;
use super::answer::{Answer, blocking};
use super::auth::Signed;
use crate::clock::now_unix_ns;
use axum::Json;
use axum::extract::State;
use protocol::api::{Doctor, FINDINGS_MAX, Finding, FindingKind, MendedBy};
use protocol::node_list::compress;
use std::path::Path;
use std::time::Instant;

/// `GET`: everything that does not agree, most urgent first.
pub(super) async fn get(
    State(app): State<App>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Doctor>> {
    caller.require_admin()?;
    blocking(move || look(&app).map(Json)).await
}

fn look(app: &App) -> Answer<Doctor> {
    let engine = &app.engine;
    let last = engine.findings.last();
    let mut findings = last.found;
    let reserve = engine.config.application_images.pull.disk_reserve_bytes;
    findings.extend(disk(&engine.config.state_dir, reserve));
    findings.extend(engine.store.unreadable().into_iter().map(|what| {
        let follows = "a bug of ours, or of the disk: see docs/admin.md, Backup and restore";
        now_seen(FindingKind::UnreadableRow, what, follows)
    }));
    findings.extend(engine.images.site_failures(Instant::now()).into_iter().map(|what| {
        let follows = "see the registry, the network and bootsrv's log; then release the held jobs";
        now_seen(FindingKind::Preparation, what, follows)
    }));
    let (findings, left_out) = most_urgent(findings);
    let mut not_measured = vec!["the clocks of the nodes".to_owned()];
    if !last.unseen.is_empty() {
        not_measured.push(format!("the power of {} now", compress(&last.unseen)));
    }
    Ok(Doctor {
        now_unix_ns: now_unix_ns(),
        nodes: engine.store.nodes()?.len(),
        compared_unix_ns: last.compared_unix_ns,
        findings,
        left_out,
        not_measured,
    })
}

fn now_seen(kind: FindingKind, what: String, follows: impl Into<String>) -> Finding {
    Finding {
        mended_by: MendedBy::Admin,
        kind,
        node: None,
        since_unix_ns: None,
        what,
        follows: follows.into(),
    }
}

/// The first [`FINDINGS_MAX`] by urgency, and how many more there are.
fn most_urgent(mut findings: Vec<Finding>) -> (Vec<Finding>, usize) {
    let key = |one: &Finding| (one.mended_by, one.kind, one.node.clone());
    findings.sort_by_cached_key(key);
    let left_out = findings.len().saturating_sub(FINDINGS_MAX);
    findings.truncate(FINDINGS_MAX);
    (findings, left_out)
}

/// Whether the store's disk has less free than what images leave free, or cannot be looked at.
fn disk(state_dir: &Path, reserve: u64) -> Option<Finding> {
    let shown = state_dir.display();
    let follows = "make room: bmc image gc, bmc kernel rm";
    let (free, all) = match rustix::fs::statvfs(state_dir) {
        Ok(of) => {
            (of.f_bavail.saturating_mul(of.f_frsize), of.f_blocks.saturating_mul(of.f_frsize))
        }
        Err(error) => {
            let what = format!("cannot look at {shown}: {error}");
            return Some(now_seen(FindingKind::DiskFull, what, "look at the disk"));
        }
    };
    (free < reserve).then(|| {
        let mib = |bytes: u64| bytes >> 20;
        let what = format!(
            "the disk of {shown} is nearly full: {} of {} MiB are free, less than disk_reserve_bytes",
            mib(free),
            mib(all)
        );
        now_seen(FindingKind::DiskFull, what, follows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_come_first_and_the_rest_is_counted() {
        let of = |mended_by, node: usize| Finding {
            mended_by,
            node: Some(format!("n{node:05}").parse().unwrap()),
            ..now_seen(FindingKind::OwnDrain, String::new(), "")
        };
        let mut all: Vec<Finding> =
            (0..FINDINGS_MAX).rev().map(|node| of(MendedBy::Itself, node)).collect();
        all.push(of(MendedBy::Admin, 7));
        let (findings, left_out) = most_urgent(all);
        assert_eq!((findings.len(), left_out), (FINDINGS_MAX, 1));
        assert_eq!(findings[0], of(MendedBy::Admin, 7));
        assert_eq!(findings[1], of(MendedBy::Itself, 0));
    }

    #[test]
    fn a_disk_is_told_of_below_its_reserve() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(disk(directory.path(), 0), None);
        let full = disk(directory.path(), u64::MAX).unwrap();
        assert!(full.what.contains("is nearly full: "), "{full:?}");
        let gone = disk(&directory.path().join("x"), 0).unwrap();
        assert!(gone.what.starts_with("cannot look at "), "{gone:?}");
    }
}
