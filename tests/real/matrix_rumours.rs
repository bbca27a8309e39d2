//! Failure matrix: nodes under a job that seem dead, and are not.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::matrix_means::ensure_unharmed;
use crate::web::boot_url;
use anyhow::{Context, Result, ensure};
use std::thread::sleep;
use std::time::Duration;
use tests::cluster::Node;

/// Longer than bootsrv waits for a sign of life of a node that asks what to boot, in seconds.
const LONG: u64 = 40;

/// Bash speaks HTTP well enough.
const PLAY: &str = "for i in $(seq SECONDS); do \
                    exec 3<>/dev/tcp/10.77.0.1/8080; printf \"GET URL HTTP/1.0\\r\\n\\r\\n\" >&3; \
                    head -c 300 <&3 | grep -a ipxe; exec 3<&-; sleep 1; done; echo played";

/// One job's program asks bootsrv again and again what its node is to boot, as after a reset; another job's
/// node cannot reach bootsrv any more. Both jobs run to their end, and both nodes go off.
pub(crate) fn seem_dead_and_are_not(case: &Case<'_>) -> Result<()> {
    let [plays, cut_off] = [case.node(1)?, case.node(2)?];
    let path = boot_url(plays).replace("http://10.77.0.1:8080", "");
    let play = PLAY.replace("SECONDS", &LONG.to_string()).replace("URL", &path);
    let playing = case.submit(&["-w", "n1"], &format!("bash -c '{play}'"))?;
    let silent = case.submit(&["-w", "n2"], &format!("sleep {LONG}; hostname"))?;
    [playing, silent].iter().try_for_each(|job| case.wait(job, "RUNNING", BOOT_SECONDS))?;
    cut(case, cut_off, true)?;
    let result = run_on(case, playing, silent).and_then(|()| case.wait_all_off());
    let was_cut = is_cut(case);
    cut(case, cut_off, false)?;
    result?;
    ensure!(was_cut?, "nothing of n2 was kept from bootsrv: this case proves nothing");
    ensure_unharmed(case, playing, &[plays])?;
    ensure_unharmed(case, silent, &[cut_off])
}

fn run_on(case: &Case<'_>, playing: u32, silent: u32) -> Result<()> {
    sleep(Duration::from_secs(LONG - 10));
    for job in [playing, silent] {
        ensure!(case.field(job, "JobState")? == "RUNNING", "{}", case.describe(job));
    }
    [playing, silent].iter().try_for_each(|job| case.wait(job, "COMPLETED", 60))?;
    ensure!(case.output(silent).trim() == "n2", "{}", case.output(silent));
    let played = case.output(playing);
    ensure_contains(&played, "played")?;
    let answers = u64::try_from(played.matches("#!ipxe").count())?;
    ensure!(answers == LONG, "{answers} of {LONG} questions were answered: {played}");
    Ok(())
}

/// Whether the rule has kept a packet back.
fn is_cut(case: &Case<'_>) -> Result<bool> {
    let rules = case.cluster.check(&["iptables", "--wait", "-L", "INPUT", "-v", "-x", "-n"])?;
    let rule = rules.lines().find(|line| line.contains("DROP") && line.contains("8080,8443"));
    let packets = rule.and_then(|rule| rule.split_whitespace().next()).context(rules.clone())?;
    Ok(packets.parse::<u64>()? > 0)
}

/// Both doors of bootsrv are shut for the node; slurmctld's is open.
fn cut(case: &Case<'_>, node: Node, is_cut: bool) -> Result<()> {
    let change = if is_cut { "--insert" } else { "--delete" };
    let from = node.address();
    let ports = ["--match", "multiport", "--dports", "8080,8443", "--jump", "DROP"];
    let rule = [
        &["iptables", "--wait", change, "INPUT", "--source", &from, "--protocol", "tcp"][..],
        &ports,
    ];
    case.cluster.check(&rule.concat())?;
    Ok(())
}
