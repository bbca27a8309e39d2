//! What goes wrong beside boots: controllers, slurmctld, jobs that are cancelled, and bootsrv killed;
//! and the admin who looks after what was drained.

use crate::bootsrv::Bootsrv;
use crate::site::Site;
use anyhow::Result;
use protocol::api::ClearRequest;
use protocol::names::NodeName;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tests::simulated::dice::Dice;
use tests::simulated::node::Node;
use tests::simulated::slurmctld::Slurmctld;
use tests::simulated::tally::Tally;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

/// Until an admin looks at a node that is out of service, and until he gives up on `bmc node clear`.
const CLEARED: Duration = Duration::from_secs(15);
const RETURNED: Duration = Duration::from_secs(45);
/// How long bootsrv is away when it is killed, in seconds.
const AWAY: (f64, f64) = (0.2, 6.0);

/// What the parts of a run share.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) site: Site,
    pub(crate) slurmctld: Arc<Slurmctld>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) nodes: Arc<Vec<Arc<Node>>>,
    pub(crate) bootsrv: Arc<Mutex<Bootsrv>>,
    /// No fault begins any more.
    pub(crate) calm: Arc<AtomicBool>,
}

impl Parts {
    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }
}

/// bootsrv is killed every so often, and started again a moment later.
pub(crate) async fn kill_bootsrv(parts: Parts, every: Duration, dice: Dice) -> Result<()> {
    loop {
        sleep(every.mul_f64(0.5) + dice.seconds(0.0, every.as_secs_f64())).await;
        if parts.is_calm() {
            return Ok(());
        }
        let (bootsrv, away) = (Arc::clone(&parts.bootsrv), dice.seconds(AWAY.0, AWAY.1));
        parts.tally.count("fault: bootsrv killed");
        spawn_blocking(move || {
            let mut bootsrv = bootsrv.lock().unwrap_or_else(PoisonError::into_inner);
            bootsrv.kill()?;
            std::thread::sleep(away);
            bootsrv.start()
        })
        .await??;
    }
}

/// One fault after the other, in the mean one in `pause` seconds.
pub(crate) async fn inject(parts: Parts, pause: f64, dice: Dice) {
    while !parts.is_calm() {
        sleep(dice.seconds(0.0, 2.0 * pause)).await;
        let Some(node) = parts.nodes.get(dice.below(parts.nodes.len())) else { return };
        let lasts = dice.seconds(2.0, 25.0);
        match dice.below(10) {
            0 => parts.slurmctld.cancel_one(),
            1 => parts.slurmctld.go_away(lasts.mul_f64(0.3)),
            2..=4 => {
                for_a_time(&parts, node, "controller silent", lasts, |knobs, on| knobs.silent = on);
            }
            5 => for_a_time(&parts, node, "controller refuses", lasts, |knobs, on| {
                knobs.refused_percent = if on { 100 } else { 0 };
            }),
            6 => for_a_time(&parts, node, "controller slow", lasts, |knobs, on| {
                knobs.switch_time = Duration::from_millis(if on { 8_000 } else { 150 });
            }),
            7 => for_a_time(&parts, node, "packets lost", lasts, |knobs, on| {
                knobs.lost_percent = if on { 30 } else { 0 };
            }),
            8 => {
                parts.tally.count("fault: controller forgets its sessions");
                node.controller.forget_sessions();
            }
            _ => {
                let says = dice.happens(0.5);
                for_a_time(&parts, node, "controller lies", lasts, move |knobs, on| {
                    knobs.status_says = on.then_some(says);
                });
            }
        }
    }
}

fn for_a_time(
    parts: &Parts,
    node: &Arc<Node>,
    what: &'static str,
    time: Duration,
    turn: impl Fn(&mut ipmi::fake::Knobs, bool) + Send + 'static,
) {
    parts.tally.count(&format!("fault: {what}"));
    parts.slurmctld.note(node.index, what);
    node.controller.turn(|knobs| turn(knobs, true));
    let (node, slurmctld) = (Arc::clone(node), Arc::clone(&parts.slurmctld));
    tokio::spawn(async move {
        sleep(time).await;
        node.controller.turn(|knobs| turn(knobs, false));
        slurmctld.note(node.index, &format!("{what}: over"));
    });
}

/// Clears what bootsrv has drained; what is still out of service then is returned with scontrol.
/// `strict`: nothing may be.
pub(crate) async fn admin(parts: Parts, strict: bool) {
    let mut seen: HashMap<NodeName, (Instant, bool)> = HashMap::new();
    loop {
        sleep(Duration::from_secs(1)).await;
        let out: HashMap<NodeName, String> = parts.slurmctld.out_of_service().into_iter().collect();
        seen.retain(|node, _| out.contains_key(node));
        let mut due = Vec::new();
        for (node, reason) in out {
            let (since, cleared) = seen.entry(node.clone()).or_insert_with(|| {
                parts.tally.count(&format!("out of service: {}", kind(&reason)));
                if strict {
                    let story = parts.slurmctld.story(&node);
                    parts.slurmctld.broken(&format!("{node} is out of service: {reason}\n{story}"));
                }
                (Instant::now(), false)
            });
            if !*cleared && since.elapsed() > CLEARED {
                *cleared = true;
                due.push(node);
            } else if since.elapsed() > RETURNED {
                *since = Instant::now();
                parts.tally.count("nodes that scontrol had to return");
                drop(parts.slurmctld.scontrol(&[
                    "update",
                    &format!("nodename={node}"),
                    "state=resume",
                ]));
            }
        }
        if !due.is_empty() {
            clear(&parts, due).await;
        }
    }
}

/// Without names and numbers.
fn kind(reason: &str) -> String {
    let words = reason.split(|c: char| c.is_ascii_digit()).collect::<Vec<_>>().join("#");
    words.chars().take(90).collect()
}

async fn clear(parts: &Parts, nodes: Vec<NodeName>) {
    let (site, tally) = (parts.site.clone(), Arc::clone(&parts.tally));
    let cleared = spawn_blocking(move || -> Result<usize> {
        let request = ClearRequest { nodes, dry_run: false };
        Ok(site.client()?.clear(&request)?.len())
    });
    match cleared.await {
        Ok(Ok(count)) => tally.add("nodes cleared by the admin", count as u64),
        Ok(Err(_)) | Err(_) => tally.count("clears that bootsrv did not answer"),
    }
}
