//! Failure matrix: bootsrv's store is locked, has no room, is damaged.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::matrix_means::{Cue, LOADING, bootsrv_log, ensure_unharmed, on_cue};
use crate::requeue::start_now;
use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;
use tests::product::{bmc, wait_until};

/// Longer than the five seconds for which bootsrv waits for its store.
const LOCKED: Duration = Duration::from_secs(8);

fn store(case: &Case<'_>) -> PathBuf {
    case.cluster.dir().join("state/store.sqlite")
}

/// Another program, a backup for example, keeps bootsrv from writing for a while.
fn lock(case: &Case<'_>) -> Result<()> {
    let connection = Connection::open(store(case))?;
    connection.busy_timeout(Duration::from_secs(20))?;
    connection.execute_batch("BEGIN EXCLUSIVE")?;
    sleep(LOCKED);
    Ok(connection.execute_batch("ROLLBACK")?)
}

/// While a kernel loads: the job starts at its first try, and no node is blamed.
pub(crate) fn store_is_locked(case: &Case<'_>) -> Result<()> {
    let node = case.node(1)?;
    let cues = [Cue { node, text: LOADING, then: &|_| lock(case) }];
    let job = on_cue(case, &cues, || case.submit(&["-w", "n1"], "hostname"))?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    case.wait_all_off()?;
    ensure_unharmed(case, job, &[node])
}

/// Where the small disk is, as bootsrv sees it.
const SMALL: &str = "/var/lib/bare-metal-container/small";

/// bootsrv's disk is full while a node boots, and when a job comes: as soon as there is room, both run.
pub(crate) fn disk_is_full(case: &Case<'_>) -> Result<()> {
    let inside = |script: &str| case.cluster.check(&["sh", "-ec", script]);
    let bytes = fs::metadata(store(case))?.len() + (4 << 20);
    case.cluster.stop_service("bootsrv", "TERM")?;
    inside(&format!(
        "mkdir {SMALL}; mount -t tmpfs -o size={bytes},mode=0700 small {SMALL}; \
         chown slurm: {SMALL}; cd {SMALL}/..; mv store.sqlite* small; \
         ln -s small/store.sqlite store.sqlite"
    ))?;
    case.cluster.start_service("bootsrv")?;
    let result = answers(case).and_then(|()| fill(case));
    case.cluster.stop_service("bootsrv", "TERM")?;
    inside(&format!(
        "cd {SMALL}/..; rm store.sqlite; cp -p small/store.sqlite* .; umount {SMALL}; rmdir small"
    ))?;
    case.cluster.start_service("bootsrv")?;
    answers(case)?;
    result
}

fn fill(case: &Case<'_>) -> Result<()> {
    let full = format!("cat /dev/zero > {SMALL}/full 2>/dev/null || true");
    let room = format!("rm {SMALL}/full");
    let inside = |script: &str| case.cluster.check(&["sh", "-c", script]).map(drop);
    let node = case.node(1)?;
    let cues = [Cue { node, text: LOADING, then: &|_| Ok(inside(&full)?) }];
    let job = on_cue(case, &cues, || case.submit(&["-w", "n1"], "hostname"))?;
    let late = case.submit(&["-w", "n2"], "hostname")?;
    sleep(LOCKED);
    inside(&room)?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    ensure_unharmed(case, job, &[node])?;
    // Its prolog could not write its request down: it went back to the queue, or was still asking.
    if case.field(late, "JobState")? == "PENDING" {
        start_now(case, late)?;
    }
    case.wait(late, "COMPLETED", BOOT_SECONDS)?;
    case.wait_all_off()
}

fn answers(case: &Case<'_>) -> Result<()> {
    wait_until(Duration::from_secs(20), "bootsrv answers", || {
        Ok(bmc(case.cluster, &["node", "list"])?.status.success())
    })
}

/// SQLite's page, in bytes.
const PAGE: usize = 4096;

/// A store that was damaged while bootsrv was down, its first words or a page in its middle: bootsrv says
/// so and does not start; from a backup it goes on.
pub(crate) fn damaged_store_is_refused(case: &Case<'_>) -> Result<()> {
    case.wait_all_off()?;
    case.cluster.stop_service("bootsrv", "TERM")?;
    let path = store(case);
    let backup = whole(&path)?;
    let refused = refuses_damaged(case, &backup);
    for log in ["sqlite-wal", "sqlite-shm"].map(|ending| path.with_extension(ending)) {
        // Of a bootsrv that did start: not to be taken over into the backup.
        fs::remove_file(log).ok();
    }
    // Written in place, so that it is still SlurmUser's.
    fs::write(&path, backup)?;
    case.cluster.start_service("bootsrv")?;
    refused?;
    answers(case)?;
    let nodes = case.json(&["node", "list"])?;
    ensure!(nodes.as_array().is_some_and(|nodes| nodes.len() == 4), "{nodes}");
    Ok(())
}

/// All of it in one file, which a backup has then.
fn whole(path: &Path) -> Result<Vec<u8>> {
    let connection = Connection::open(path)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    drop(connection);
    Ok(fs::read(path)?)
}

fn refuses_damaged(case: &Case<'_>, backup: &[u8]) -> Result<()> {
    let path = store(case);
    let find = "SELECT rootpage FROM sqlite_schema WHERE name = 'deployment'";
    let page: u32 = Connection::open(&path)?.query_row(find, [], |row| row.get(0))?;
    let page = PAGE * (usize::try_from(page)? - 1);
    for (byte, expected) in [(0, "file is not a database"), (page, "is damaged: ")] {
        let mut damaged = backup.to_vec();
        damaged.get_mut(byte).context("the store is smaller")?.clone_from(&0xff);
        fs::write(&path, damaged)?;
        refuses_to_start(case, expected)?;
    }
    Ok(())
}

fn refuses_to_start(case: &Case<'_>, expected: &str) -> Result<()> {
    let before = bootsrv_log(case)?.len();
    // It may end before it is looked at, or after.
    let is_running = case.cluster.start_service("bootsrv").is_ok();
    let ended = || {
        let services = case.cluster.services();
        Ok(services.iter().any(|(name, runs)| name == "bootsrv" && !runs))
    };
    let refused = wait_until(Duration::from_secs(5), "bootsrv ends", ended);
    if is_running {
        case.cluster.stop_service("bootsrv", "KILL")?;
    }
    refused.context("it runs on a store that is damaged")?;
    let said = bootsrv_log(case)?.split_off(before);
    ensure_contains(&said, "store.sqlite")?;
    ensure_contains(&said, expected)
}
