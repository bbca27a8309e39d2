//! Many ask for one image at once: what bootsrv needs for all of them, over what it needs for one.

use crate::figure::Figure;
use crate::image::{Bench, SIZES, bootsrv};
use crate::memory::Watch;
use anyhow::{Context, Result, bail};
use tests::product::{bmc, check};

/// Who ask at once.
const CROWD: usize = 50;
/// Their memory over that of one: a connection each.
const GOAL: f64 = 1.1;

/// One figure, each repeat from nothing.
pub(crate) fn figure(bench: &Bench<'_>, repeats: u32) -> Figure {
    let over = |_| {
        let both = needed(bench, 1).and_then(|one| Ok(needed(bench, CROWD)? / one));
        both.map_err(|error| format!("{error:#}"))
    };
    let name = format!("memory of bootsrv, {CROWD} pulls of one image at once over one pull");
    Figure::new(name, "", Some(GOAL), (0..repeats).map(over))
}

/// MiB at most.
fn needed(bench: &Bench<'_>, who: usize) -> Result<f64> {
    bench.forget()?;
    let reference = Bench::reference(SIZES[0]);
    let watch = Watch::start(bootsrv(bench.cluster)?);
    let pull = || check(bmc(bench.cluster, &["image", "pull", &reference])?);
    let pulled = std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..who).map(|_| scope.spawn(pull)).collect();
        pulls.into_iter().try_for_each(|pull| match pull.join() {
            Ok(pulled) => pulled.map(drop),
            Err(_) => bail!("a pull ended unexpectedly"),
        })
    });
    let mebibytes = watch.end();
    pulled.with_context(|| format!("{who} pulls of {reference}"))?;
    Ok(mebibytes)
}
