//! Failure matrix: slurmctld fails over to a backup on another host, and back.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::matrix_means::{Cue, LOADING, ensure_unharmed, freeze, on_cue, thaw};
use crate::matrix_slurmctld::{SHOW_THP, WRITTEN_DOWN};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use tests::cluster::network::BRIDGE;
use tests::product::wait_until;

/// The backup's host, and its address.
const SPARE: (&str, &str) = ("spare", "10.77.0.2");
/// Beside the first one's, which has a directory of its own in the backup's view of the files.
const PID_FILE: &str = "/run/spare.pid";
/// What the names stand for, where only the backup sees that.
const HOSTS: &str = "/run/spare.hosts";
/// For the backup to notice and to take over: `SlurmctldTimeout`, and a busy machine.
const TAKES_OVER: Duration = Duration::from_secs(90);

/// One job runs and another one's node boots when slurmctld's host is lost: both end well under the backup,
/// and their nodes go off; then the first host is back, and a third job has what it asked for.
pub(crate) fn slurmctld_fails_over(case: &Case<'_>) -> Result<()> {
    let (name, address) = SPARE;
    let hosts = format!(
        "\nSlurmctldHost={name}({address})\nSlurmctldTimeout=10\n\
         CommunicationParameters=NoCtldInAddrAny\nSlurmUser=slurm\n"
    );
    let two_hosts = |conf: &str| conf.replace("\nSlurmUser=slurm\n", &hosts);
    let both = |config: &str| {
        config.replace("10.77.0.1:6817\"", &format!("10.77.0.1:6817,{address}:6817\""))
    };
    let cidr = format!("{address}/24");
    case.cluster.check(&["ip", "address", "add", &cidr, "dev", BRIDGE])?;
    let result = case.with_changed("etc/bootsrv.toml", both, || {
        case.restart_bootsrv()?;
        case.with_changed("etc-slurm/slurm.conf", two_hosts, || {
            restart_first(case, "TERM")?;
            let result = start_spare(case).and_then(|()| lose_the_first(case));
            // It has no lock on anything that is worth an orderly end.
            case.cluster.run("root", &["pkill", "-KILL", "-F", PID_FILE]).ok();
            result
        })
    });
    // All of it, whatever has failed before.
    let deleted = case.cluster.check(&["ip", "address", "delete", &cidr, "dev", BRIDGE]);
    let first = restart_first(case, "KILL");
    let restarted = case.restart_bootsrv();
    thaw(case, case.node(2)?).ok();
    result.and(first).and(restarted).and(Ok(deleted.map(drop)?))
}

fn restart_first(case: &Case<'_>, signal: &str) -> Result<()> {
    // It may have ended by itself.
    case.cluster.stop_service("slurmctld", signal).ok();
    Ok(case.cluster.start_service("slurmctld")?)
}

/// On a host of its own, as far as slurmctld can tell: another name, another address, other pid files.
fn start_spare(case: &Case<'_>) -> Result<()> {
    let (name, address) = SPARE;
    let script = format!(
        "echo $$ > {PID_FILE}; hostname {name}; mount -t tmpfs tmpfs /run/slurm; chown slurm: /run/slurm; \
         (cat /etc/hosts; echo {address} {name}) > {HOSTS}; mount --bind {HOSTS} /etc/hosts; \
         exec setpriv --reuid=slurm --regid=slurm --init-groups slurmctld -D -f /etc/slurm/slurm.conf"
    );
    let quiet = format!("exec unshare --uts --mount sh -c '{script}' >/run/spare.log 2>&1");
    case.cluster.check(&["setsid", "--fork", "sh", "-c", &quiet])?;
    wait_until(TAKES_OVER, "the backup waits", || Ok(ping(case)?.contains("spare is UP")))
        .with_context(|| ping(case).unwrap_or_default())
        .with_context(|| case.cluster.check(&["cat", "/run/spare.log"]).unwrap_or_default())
}

fn ping(case: &Case<'_>) -> Result<String> {
    // It fails when nobody answers, and prints all the same.
    let output = case.cluster.run("root", &["scontrol", "ping"])?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn lose_the_first(case: &Case<'_>) -> Result<()> {
    let nodes = [case.node(1)?, case.node(2)?];
    let script = "while ! [ -e go ]; do sleep 0.2; done; hostname";
    let running = case.submit(&["-w", "n1", "--bmc-kernel=thp-off"], script)?;
    case.wait(running, "RUNNING", BOOT_SECONDS)?;
    // Half way up until nobody answers any more.
    let cue = Cue { node: case.node(2)?, text: LOADING, then: &|node| freeze(case, node) };
    let booting =
        on_cue(case, &[cue], || case.submit(&["-w", "n2", "--bmc-kernel=thp-off"], "hostname"))?;
    sleep(WRITTEN_DOWN);
    case.cluster.stop_service("slurmctld", "KILL")?;
    thaw(case, case.node(2)?)?;
    wait_until(TAKES_OVER, "the backup has taken over", || {
        let shown = case.cluster.run("root", &["squeue", "--noheader", "--states=RUNNING"])?;
        Ok(shown.status.success() && !shown.stdout.is_empty())
    })?;
    ensure!(ping(case)?.contains("head is DOWN"), "the first one is there: {}", ping(case)?);
    case.wait(booting, "COMPLETED", BOOT_SECONDS)?;
    let go = case.cluster.dir().join("home/alice/go");
    fs::write(&go, "")?;
    let ended = case.wait(running, "COMPLETED", 60);
    fs::remove_file(go)?;
    ended?;
    case.wait_all_off()?;
    ensure_unharmed(case, running, &nodes)?;
    ensure_unharmed(case, booting, &nodes)?;
    case.cluster.start_service("slurmctld")?;
    wait_until(TAKES_OVER, "the first one is back", || Ok(ping(case)?.contains("head is UP")))?;
    let third = case.run(&["-w", "n2", "--bmc-kernel=thp-off"], SHOW_THP)?;
    ensure_contains(&third, "[never]")
}
