//! Images that want more than their user may have.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::images::{layout, pushed, start};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use tests::product::check;

/// Set-uid, set-gid and capabilities of a file give nothing, in the script and in a step; an entry whose
/// name leads out of the image lies in it.
pub(crate) fn an_image_gives_no_rights(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "setuid")?;
    let escape = start(case, &[&pushed(case, "escape")?, "/probe", "read", "/evil"])?;
    let look = "ls -l /bin/setuid; for one in setuid setgid capable; do $one look; done";
    let job = case.submit(&[&image], &format!("{look}; srun sh -c '{look}'"))?;
    case.wait(job, "COMPLETED", BOOT_SECONDS)?;
    let printed = case.output(job);
    let bit = printed.lines().filter(|line| line.starts_with("-rws")).count();
    ensure!(bit == 2, "the image was changed, so this shows nothing: {printed}");
    for (line, count) in [
        ("Uid 2001 2001 2001 2001", 6),
        ("Gid 2001 2001 2001 2001", 6),
        ("NoNewPrivs 1", 6),
        ("CapEff 0000000000000000", 6),
    ] {
        let found = printed.lines().filter(|one| *one == line).count();
        ensure!(found == count, "{found} times {line:?}: {printed}");
    }
    let printed = check(escape.wait_with_output()?)?;
    ensure!(printed == "evil\n", "{printed}");
    Ok(())
}

/// An image with the machine's devices under other names is refused: the job is held with the entry's
/// name, no node is blamed, and the user reads it in all places.
pub(crate) fn a_bad_image_holds_the_job(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "device")?;
    let job = case.submit(&[&image], "true")?;
    let comment = case.wait_held(job, BOOT_SECONDS)?;
    let sentence = "the layer's entry './danger/kmsg' is a device node";
    ensure_contains(&comment, sentence)?;
    ensure_contains(&comment, "test/device:1")?;
    let status = check(case.alice(&["bmc", "status", &job.to_string()])?)?;
    ensure_contains(&status, sentence)?;
    case.wait_all_off()?;
    for node in case.cluster.nodes() {
        let reason = case.reason(node)?;
        ensure!(reason.is_empty(), "{node} was drained for a user's image: {reason}");
    }
    Ok(())
}

/// What a job sees of an image of layers that undo each other is what `umoci unpack` makes of it.
pub(crate) fn a_tricky_image_is_whole(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "tricky")?;
    let inside = start(case, &[&image, "/probe", "tree", "/data"])?;
    let to = case.cluster.dir().join("tricky");
    let from = format!("{}:tricky", layout().display());
    let unpacked = Command::new("umoci").args(["unpack", "--image", &from]).arg(&to).output()?;
    check(unpacked).context("umoci unpack")?;
    let root = to.join("rootfs");
    let program = ["--userspec=2001:2001", &root.to_string_lossy(), "/probe", "tree", "/data"];
    let expected = check(Command::new("chroot").args(program).output()?)?;
    let seen = check(inside.wait_with_output()?)?;
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (expected, seen) = (lines(&expected), lines(&seen));
    let lacking: Vec<_> = expected.iter().filter(|line| !seen.contains(line)).collect();
    let besides: Vec<_> = seen.iter().filter(|line| !expected.contains(line)).collect();
    ensure!(lacking.is_empty() && besides.is_empty(), "lacking {lacking:#?}, besides {besides:#?}");
    ensure!(expected.len() > 20, "only {} entries were compared", expected.len());
    Ok(std::fs::remove_dir_all(to)?)
}
