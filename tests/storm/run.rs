//! A run, from an empty site to its figures.

use crate::bootsrv::{Bootsrv, start_munged};
use crate::faults::{self, Parts};
use crate::load::{self, STREAM_FAULTS, STREAM_HOOKS, STREAM_SLURMCTLD};
use crate::options::Options;
use crate::report::{Figures, Report};
use crate::site::{self, HTTP, Site};
use crate::{inside, judge};
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tests::simulated::dice::Dice;
use tests::simulated::hooks::{HookOdds, Hooks};
use tests::simulated::node::Surroundings;
use tests::simulated::slurmctld::{Slurmctld, Timing};
use tests::simulated::tally::Tally;
use tests::simulated::{scontrol, tls};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, sleep};

const TIMING: Timing = Timing {
    suspend_timeout: Duration::from_secs(60),
    resume_timeout: Duration::from_secs(300),
    slurmd_timeout: Duration::from_secs(120),
    requeue_delay: Duration::from_secs(20),
    suspend_time: Duration::from_secs(10),
    completing: Duration::from_millis(300),
};
/// After the last job: for power-offs, their retries, and what a resync repairs after its patience.
const REST: Duration = Duration::from_secs(240);
/// Between two questions of an admin.
const LOOK: Duration = Duration::from_millis(250);
/// So long everything must have been at rest before it is looked at.
const CALM: Duration = Duration::from_secs(3);

/// Whether every promise was kept.
pub(crate) fn start(options: Options) -> Result<bool> {
    inside::settle_in()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = options.seed.unwrap_or_else(|| u64::from(now.subsec_nanos()));
    let temporary = tempfile::Builder::new().prefix("storm-").tempdir()?;
    let directory = match &options.dir {
        Some(directory) => {
            std::fs::create_dir_all(directory)?;
            directory.canonicalize()?
        }
        None => temporary.path().to_owned(),
    };
    eprintln!("seed {seed}: {options:?}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(run(&options, &directory, seed))?;
    report.print(options.json)?;
    let is_good = report.broken.is_empty();
    if !is_good && options.dir.is_none() {
        let kept = temporary.keep();
        eprintln!("seed {seed}: the run's files are kept in {}", kept.display());
    }
    Ok(is_good)
}

async fn run(options: &Options, directory: &Path, seed: u64) -> Result<Report> {
    let site = Site::write(options, directory)?;
    let mut munged = start_munged(&site)?;
    let tally = Arc::new(Tally::default());
    let (calls, called) = unbounded_channel();
    let names = (0..u16::try_from(options.nodes)?).map(site::name).collect::<Result<Vec<_>>>()?;
    let dice = Dice::new(seed, STREAM_SLURMCTLD);
    let slurmctld =
        Slurmctld::new(names, site.partitions.clone(), TIMING, dice, Arc::clone(&tally), calls);
    let slurmctld = Arc::new(slurmctld);
    scontrol::serve(Arc::clone(&slurmctld), directory).await.context("the stand-in's socket")?;
    let controllers = load::controllers(options, seed).await?;

    let definitions: Vec<_> = controllers.iter().map(|(_, node)| node.clone()).collect();
    let mut bootsrv = Bootsrv::new(site.clone());
    let of = site.clone();
    let bootsrv = spawn_blocking(move || -> Result<Bootsrv> {
        bootsrv.start()?;
        of.import(&definitions)?;
        Ok(bootsrv)
    })
    .await??;
    let certificate = std::fs::read(site.path("state/tls/certificate.pem"))?;
    let around = Arc::new(Surroundings {
        slurmctld: Arc::clone(&slurmctld),
        tally: Arc::clone(&tally),
        odds: load::odds(options),
        boot_url: HTTP.into(),
        tokens: Mutex::default(),
    });
    let nodes = load::start_nodes(controllers, &around, &tls::pinned(&certificate)?, seed)?;
    let parts = Parts {
        site,
        slurmctld,
        tally,
        nodes: Arc::new(nodes),
        bootsrv: Arc::new(Mutex::new(bootsrv)),
        calm: Arc::new(AtomicBool::new(false)),
    };
    let begin = Instant::now();
    let figures = weather(options, &parts, called, seed).await?;
    let rest = wait_for_rest(&parts).await?;
    let took = begin.elapsed();
    let broken = judge::all(&parts, &around, rest).await?;
    let cost = parts.bootsrv.lock().unwrap_or_else(PoisonError::into_inner).end()?;
    munged.kill()?;
    munged.wait()?;
    let figures = Figures { seconds_in_all: took.as_secs_f64(), ..figures };
    Ok(Report::new(
        options,
        seed,
        figures,
        cost,
        &parts.tally,
        &parts.slurmctld,
        &parts.nodes,
        broken,
    ))
}

/// The jobs, and the faults beside them.
async fn weather(
    options: &Options,
    parts: &Parts,
    called: UnboundedReceiver<tests::simulated::slurmctld::Call>,
    seed: u64,
) -> Result<Figures> {
    let odds = HookOdds {
        lost: 0.002 * options.faults,
        late: 0.005 * options.faults,
        twice: 0.01 * options.faults,
    };
    let hooks = Hooks::new(
        Arc::clone(&parts.slurmctld),
        Arc::clone(&parts.tally),
        parts.site.programs.clone(),
        parts.site.directory.clone(),
        odds,
        Dice::new(seed, STREAM_HOOKS),
    );
    tokio::spawn(Arc::new(hooks).run(called));
    load::submit(options, &parts.site, &parts.slurmctld, seed);
    tokio::spawn(Arc::clone(&parts.slurmctld).run());
    tokio::spawn(faults::admin(parts.clone(), options.strict));
    tokio::spawn(look(parts.clone()));
    let dice = || Dice::new(seed, STREAM_FAULTS);
    if options.faults > 0.0 {
        let pause = 200.0 / f64::from(options.nodes) / options.faults;
        tokio::spawn(faults::inject(parts.clone(), pause.max(0.05), dice()));
    }
    let every = Duration::from_secs(options.kill_every.into());
    let mut killer = (!every.is_zero())
        .then(|| tokio::spawn(faults::kill_bootsrv(parts.clone(), every, dice())));

    let begin = Instant::now();
    let limit = Duration::from_secs(u64::from(options.minutes) * 60);
    let mut told = Instant::now();
    while parts.slurmctld.jobs_left() > 0 && begin.elapsed() < limit {
        sleep(Duration::from_millis(200)).await;
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let boots = parts.tally.get("requests: token");
            eprintln!(
                "{:6.0} s: {boots} boots; {}",
                begin.elapsed().as_secs_f64(),
                parts.slurmctld.summary()
            );
        }
        require_bootsrv(parts)?;
        if killer.as_ref().is_some_and(tokio::task::JoinHandle::is_finished)
            && let Some(killer) = killer.take()
        {
            killer.await??;
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    parts.calm.store(true, Ordering::Relaxed);
    if let Some(killer) = killer {
        killer.abort();
    }
    yield_now().await;
    Ok(Figures {
        seconds_of_jobs: seconds,
        seconds_in_all: seconds,
        boots: parts.tally.get("requests: token"),
    })
}

/// Asks as an admin does, all the time: how long that takes is a figure of the run.
async fn look(parts: Parts) {
    let Some(node) = parts.nodes.first().map(|node| node.definition.name.clone()) else { return };
    while !parts.calm.load(Ordering::Relaxed) {
        let (site, name) = (parts.site.clone(), node.clone());
        let asked = Instant::now();
        let answer = spawn_blocking(move || -> Result<()> {
            site.client()?.node(&name).map(drop).map_err(Into::into)
        });
        match answer.await {
            Ok(Ok(())) => parts.tally.took("an admin's", asked.elapsed()),
            Ok(Err(_)) | Err(_) => parts.tally.count("an admin's questions without answer"),
        }
        sleep(LOOK).await;
    }
}

/// bootsrv may be killed, and never ends by itself.
fn require_bootsrv(parts: &Parts) -> Result<()> {
    // Locked: it is just being killed, or started again.
    let Ok(mut bootsrv) = parts.bootsrv.try_lock() else { return Ok(()) };
    match bootsrv.ended()? {
        Some(how) => bail!(
            "bootsrv ended by itself: {how}; see {}",
            parts.site.path("bootsrv.log").display()
        ),
        None => Ok(()),
    }
}

/// Whether all came to rest in time.
async fn wait_for_rest(parts: &Parts) -> Result<bool> {
    let begin = Instant::now();
    let mut still_since = None;
    while begin.elapsed() < REST {
        sleep(Duration::from_millis(500)).await;
        require_bootsrv(parts)?;
        let is_quiet = parts.slurmctld.is_at_rest() && judge::is_bootsrv_at_rest(&parts.site).await;
        still_since = if is_quiet { still_since.or_else(|| Some(Instant::now())) } else { None };
        if still_since.is_some_and(|since: Instant| since.elapsed() > CALM) {
            return Ok(true);
        }
    }
    Ok(false)
}
