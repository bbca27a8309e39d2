//! What bootsrv wants of a node that is on: asked all the time that slurmd runs, over a connection that
//! is kept open, so that an order is there at once.

use crate::console::{Complaint, say};
use crate::kexec::ahead::Ahead;
use crate::report::{Reporter, one_line};
use crate::server::Server;
use crate::{adoption, clock, kexec, power, shut_down};
use protocol::boot::{Adoption, AgentStage, BootFailure, Kexec, Orders};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two questions when something is wrong, at least and at most: bootsrv may be away for hours.
const PAUSE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// What is known of the node from the moment its slurmd was seen.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) reporter: Arc<Reporter>,
    /// slurmd's process id.
    pub(crate) slurmd: u32,
    /// Memory that programs could have, before the first job, in KiB.
    pub(crate) available_kib: u64,
}

/// Asks and obeys until the node ends.
pub(crate) fn obey(node: &Node, mut server: Arc<Server>) {
    let boot_id = node.reporter.heartbeat().boot_id;
    let mut complaint = Complaint::default();
    let mut in_vain: u32 = 0;
    let ahead = Ahead::default();
    loop {
        let asked = Instant::now();
        match server.orders(&boot_id, ahead.kernel().as_ref()) {
            Ok(Orders::Nothing) if asked.elapsed() >= PAUSE[0] => in_vain = 0,
            // An answer that was not waited for: bootsrv is just ending.
            Ok(Orders::Nothing) => sleep(pause(0, clock::chance())),
            Ok(Orders::ShutDown) => return shut_down::unwanted(&node.reporter),
            Ok(Orders::FetchAhead(order)) => {
                in_vain = 0;
                ahead.begin(server.clone(), order);
            }
            Ok(Orders::Adopt(order)) => {
                in_vain = 0;
                // Its memory is the next job's.
                ahead.forget();
                let Some(next) = adopt(node, &server, order) else { return };
                server = next;
            }
            Ok(Orders::Kexec(order)) => return start_kernel(node, &server, &order, &ahead),
            Err(error) => {
                complaint.say(&format!("no orders: {error:#}"));
                sleep(pause(in_vain, clock::chance()));
                in_vain = in_vain.saturating_add(1);
            }
        }
    }
}

/// The server as the new deployment sees it; none: the node ends.
fn adopt(node: &Node, server: &Server, order: Adoption) -> Option<Arc<Server>> {
    let begin = Instant::now();
    if !node.reporter.take_order() {
        return None;
    }
    let next = Arc::new(server.with_token(order.token.clone()));
    match adoption::take_over(node, &next, &order) {
        Ok(()) => {
            let job = order.job.map_or_else(|| "no job".into(), |job| format!("job {}", job.0));
            say(format_args!("now of {job}, after {} ms", begin.elapsed().as_millis()));
            Some(next)
        }
        Err(error) => {
            fail(node, next, &error.context("the node cannot go on with another job"));
            None
        }
    }
}

fn start_kernel(node: &Node, server: &Server, order: &Kexec, ahead: &Ahead) {
    if !node.reporter.take_order() {
        return;
    }
    let next = Arc::new(server.with_token(order.token.clone()));
    let Err(error) = kexec::start(node, &next, order, ahead);
    fail(node, next, &error.context("the next kernel cannot be started"));
}

/// Reports with the new deployment's token, which a boot through the firmware then serves.
fn fail(node: &Node, next: Arc<Server>, error: &anyhow::Error) {
    let failure = BootFailure { setting: false, reason: one_line(error) };
    let mut runs = true;
    let is_told = node.reporter.go_on(next, |heartbeat| {
        // In the first report already: without it the node would count as taken over.
        heartbeat.failure = Some(failure.clone());
        runs = heartbeat.stages.iter().all(|known| known.stage != AgentStage::Jumping);
        heartbeat.stages.retain(|known| known.stage < AgentStage::SlurmdStarted);
    });
    if is_told && runs {
        shut_down::failed(&node.reporter, failure, "the node cannot be taken over");
    } else if is_told {
        say(format_args!("boot failed: {}", failure.reason));
        node.reporter.fail(failure);
        // There is no init any more that could be asked.
        power::power_off();
    }
}

/// After so many questions in vain; `chance` is below 1000.
fn pause(in_vain: u32, chance: u32) -> Duration {
    let [least, most] = PAUSE;
    let longest = least.saturating_mul(1 << in_vain.saturating_add(1).min(16)).min(most);
    least + (longest - least) * chance / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_in_vain_asks_less_often_and_never_more_than_ten_seconds_later() {
        for (in_vain, most) in [(0, 2000), (1, 4000), (2, 8000), (3, 10_000), (u32::MAX, 10_000)] {
            assert_eq!(pause(in_vain, 0).as_millis(), 1000);
            let longest = pause(in_vain, 999).as_millis();
            assert!((most - 10..=most).contains(&longest), "{in_vain}: {longest}");
        }
    }
}
