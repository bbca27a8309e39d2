//! The promises that are looked at when all is quiet, from both sides of the wire.

use crate::faults::Parts;
use crate::site::{PASSWORD, SECRET, Site};
use anyhow::Result;
use protocol::api::NodeView;
use protocol::energy::{JobEnergy, Stage, StageEnergy};
use protocol::names::{JobId, JobReference, NodeName};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use tests::simulated::node::Surroundings;
use tokio::task::spawn_blocking;

/// Jobs whose energy records are read.
const RECORDS_MAX: usize = 2_000;

/// Everything that is not as promised.
pub(crate) async fn all(
    parts: &Parts,
    around: &Surroundings,
    came_to_rest: bool,
) -> Result<Vec<String>> {
    parts.slurmctld.judge_rest();
    let mut broken = parts.slurmctld.all_broken();
    if !came_to_rest {
        broken.push("not everything came to rest in time".into());
    }
    let site = parts.site.clone();
    let started = parts.slurmctld.jobs_started();
    let (views, live, records) = spawn_blocking(move || -> Result<_> {
        let client = site.client()?;
        let views = client.nodes()?;
        let live: Vec<_> = client.jobs(false)?.into_iter().map(|job| job.job).collect();
        let step = started.len().div_ceil(RECORDS_MAX).max(1);
        let mut records: Vec<JobEnergy> = Vec::new();
        for id in started.into_iter().step_by(step) {
            records.extend(client.energy(JobReference::Job(JobId(id)))?);
        }
        Ok((views, live, records))
    })
    .await??;
    if !live.is_empty() {
        broken.push(format!("bootsrv has not released these jobs: {live:?}"));
    }
    nodes(parts, &views, &mut broken);
    parts.tally.add("energy records looked at", records.len() as u64);
    overlaps(&records, &mut broken);
    let tokens = around.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone();
    secrets(&parts.site, &tokens, &mut broken)?;
    log(&parts.site, parts, &mut broken)?;
    Ok(broken)
}

/// Whether bootsrv has nothing to do any more.
pub(crate) async fn is_bootsrv_at_rest(site: &Site) -> bool {
    let site = site.clone();
    let asked = spawn_blocking(move || -> Result<bool> {
        let views = site.client()?.nodes()?;
        Ok(views.iter().all(|view| view.state == "idle"))
    });
    matches!(asked.await, Ok(Ok(true)))
}

/// No node is lost: both sides have it off, or it is out of service with a reason.
fn nodes(parts: &Parts, views: &[NodeView], broken: &mut Vec<String>) {
    let out: BTreeMap<NodeName, String> = parts.slurmctld.out_of_service().into_iter().collect();
    parts.tally.add("nodes out of service at the end", out.len() as u64);
    if views.len() != parts.nodes.len() {
        broken.push(format!("bootsrv knows {} of {} nodes", views.len(), parts.nodes.len()));
    }
    for view in views {
        let node = parts.nodes.iter().find(|node| node.definition.name == view.name);
        let is_on = node.is_some_and(|node| node.controller.power().borrow().on);
        let mut say = |what: &str| {
            let story = parts.slurmctld.story(&view.name);
            broken.push(format!("{}: {what}: {view:?}\n{story}", view.name));
        };
        if view.state != "idle" {
            say("a deployment is not released");
        } else if is_on {
            say("is on, and nobody wants it");
        }
    }
}

/// Every joule belongs to one deployment: what a node's records count to their jobs does not overlap.
fn overlaps(records: &[JobEnergy], broken: &mut Vec<String>) {
    let mut windows: BTreeMap<&NodeName, Vec<(i64, i64, JobId)>> = BTreeMap::new();
    for record in records {
        for node in &record.nodes {
            // From its idle time on, a node that stays on is nobody's.
            let own = |at: &&StageEnergy| at.stage != Stage::Idle;
            let mut counted = node.stages.iter().take_while(own);
            if let Some(first) = counted.next() {
                let last = counted.last().unwrap_or(first);
                let end = last.from_unix_ns + last.duration_ns;
                windows.entry(&node.node).or_default().push((first.from_unix_ns, end, record.job));
            }
            let sum: Option<i64> =
                node.stages.iter().take_while(own).map(|stage| stage.energy_millijoules).sum();
            if !node.complete || node.total_millijoules.is_some() && node.total_millijoules != sum {
                broken.push(format!(
                    "job {}: the record of {} is not whole: {node:?}",
                    record.job, node.node
                ));
            }
        }
    }
    for (node, of_node) in &mut windows {
        of_node.sort_unstable();
        for pair in of_node.windows(2) {
            if let [(_, end, one), (begin, _, other)] = pair
                && begin < end
            {
                let by = end - begin;
                broken.push(format!(
                    "{node}: the records of jobs {one} and {other} overlap by {by} ns"
                ));
            }
        }
    }
}

/// Where a secret may stand: passwords and tokens that were not fetched yet, in the store.
fn secrets(site: &Site, tokens: &[String], broken: &mut Vec<String>) -> Result<()> {
    let mut files = vec![site.path("bootsrv.log"), site.path("hooks.log")];
    list(&site.path("state"), &mut files)?;
    let tokens: HashSet<&str> = tokens.iter().map(String::as_str).collect();
    for file in files {
        let bytes = fs::read(&file).unwrap_or_default();
        let shown = file.display();
        let is_store =
            file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("store."));
        let has = |secret: &str| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        if has(SECRET) || !is_store && has(PASSWORD) {
            broken.push(format!("{shown} shows a secret"));
        }
        let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
        let mut words = bytes.split(|byte| !is_digit(byte)).filter(|word| word.len() == 64);
        let is_token =
            |word: &[u8]| std::str::from_utf8(word).is_ok_and(|word| tokens.contains(word));
        if !is_store && words.any(is_token) {
            broken.push(format!("{shown} shows a boot token"));
        }
    }
    Ok(())
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // Artifacts are what the run itself made.
        if path.is_dir() && !path.ends_with("artifacts") {
            list(&path, files)?;
        } else if path.is_file() && !path.ends_with("key.pem") {
            files.push(path);
        }
    }
    Ok(())
}

/// bootsrv's own complaints, counted by their kind; a panic is a broken promise.
fn log(site: &Site, parts: &Parts, broken: &mut Vec<String>) -> Result<()> {
    let text = fs::read(site.path("bootsrv.log"))?;
    for line in String::from_utf8_lossy(&text).lines() {
        if line.contains("panicked") {
            broken.push(format!("bootsrv: {line}"));
        }
        let level =
            ["ERROR", "WARN", "error", "warn"].into_iter().find(|level| line.contains(level));
        if let Some(level) = level {
            let rest = line.split_once(level).map_or(line, |(_, rest)| rest);
            let kind: String = rest
                .split(|c: char| c.is_ascii_digit())
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("#")
                .chars()
                .take(100)
                .collect();
            parts.tally.count(&format!("log: {}{kind}", level.to_lowercase()));
        }
    }
    Ok(())
}
