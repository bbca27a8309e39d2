//! MPI inside an image: ranks on two nodes, started by plain srun.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::images::pushed;
use anyhow::{Context, Result, ensure};

/// Started inside the image, which has no Slurm, by MPICH's and Open MPI's own ways. The nodes have one
/// processor and two ranks each.
///
/// In MPICH before 4.2 a rank may wait in MPI_Finalize for ever for another that is in PMI's barrier
/// already and does nothing for its connections any more (MPICH's pull request 6596; with or without an
/// image): such a step is ended after 20 s and tried again.
const SCRIPT: &str = "export OMPI_MCA_mpi_yield_when_idle=1
    run() {
        srun --overcommit --ntasks-per-node=2 --ntasks=4 \"$@\" </dev/null & step=$! left=20
        while kill -0 $step 2>/dev/null && [ $left -gt 0 ]; do sleep 1; left=$((left - 1)); done
        kill $step 2>/dev/null; wait $step
    }
    for try in 1 2 3 4; do echo pmi2; run --mpi=pmi2 sum-mpich && break; done
    echo pmix; run --mpi=pmix sum-openmpi";

/// Four ranks on two nodes add up to ten, with each of the two.
pub(crate) fn mpi_on_two_nodes(case: &Case<'_>) -> Result<()> {
    let image = pushed(case, "mpi")?;
    let job = case.submit(&["-N2", "-w", "n[1-2]", &image], SCRIPT)?;
    case.wait(job, "COMPLETED", 2 * BOOT_SECONDS)?;
    let printed = case.output(job);
    let (pmi2, pmix) = printed.split_once("pmix\n").context("no second program")?;
    let pmi2 = pmi2.rsplit("pmi2\n").next().context("no first program")?;
    for one in [pmi2, pmix] {
        ensure!(!one.contains("srun: error"), "a step did not end by itself: {printed}");
        ensure_contains(one, "ring 10\n").with_context(|| printed.clone())?;
        let line = one.lines().find(|line| line.starts_with("ranks 4 sum 10 on "));
        let hosts = line.with_context(|| printed.clone())?;
        for host in ["n1", "n2"] {
            ensure!(hosts.split(' ').filter(|one| *one == host).count() == 2, "{printed}");
        }
    }
    Ok(())
}
