//! The machine behind the controller: its power, which changes after a delay, and what it boots.

use super::boot::{Boot, DONE, NOT_NOW};
use super::hook::Hook;
use super::settings::Knobs;
use super::{Shared, lock};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Power and boot choices.
#[derive(Debug)]
pub(super) struct Machine {
    hook: Hook,
    delay: Duration,
    /// A change is on its way.
    changing: bool,
    boot: Boot,
}

impl Machine {
    pub(super) fn new(hook: Hook, delay: Duration) -> Self {
        Self { hook, delay, changing: false, boot: Boot::default() }
    }

    pub(super) fn hook(&self) -> &Hook {
        &self.hook
    }

    pub(super) fn boot(&mut self) -> &mut Boot {
        &mut self.boot
    }

    /// The power state, and what can be asked now.
    pub(super) async fn status(&self, knobs: &Knobs) -> io::Result<(u16, Vec<u16>)> {
        let on = self.hook.is_on().await?;
        let available = match (&knobs.lists, on, knobs.without_agent) {
            (Some(listed), ..) => listed.clone(),
            (None, true, true) => vec![10, 8, 5],
            (None, true, false) => vec![10, 8, 5, 12],
            (None, false, _) => vec![2],
        };
        let state = if on { 2 } else { 8 };
        Ok((knobs.lies.unwrap_or(state), available))
    }
}

/// RequestPowerStateChange: answers, and does it after the delay.
pub(super) async fn request(shared: &Arc<Shared>, knobs: &Knobs, state: u16) -> u32 {
    shared.count(|counters| counters.power_requests += 1);
    let mut machine = shared.machine.lock().await;
    // What is possible is decided by the power, whatever is told of it.
    let honest = Knobs { lies: None, lists: None, ..knobs.clone() };
    let Ok((_, available)) = machine.status(&honest).await else { return NOT_NOW };
    let known = available.contains(&state) || (state == 9 && available.contains(&5));
    if machine.changing || !known {
        return NOT_NOW;
    }
    if knobs.ignores > 0 {
        let mut knobs = lock(&shared.knobs);
        knobs.ignores = knobs.ignores.saturating_sub(1);
        shared.count(|counters| counters.ignored += 1);
        return DONE;
    }
    machine.changing = true;
    drop(machine);
    let later = Arc::clone(shared);
    let change = async move {
        let done = change(&later, state).await;
        later.machine.lock().await.changing = false;
        if let Err(error) = done {
            eprintln!("amt-fake: power state {state}: {error}");
            later.count(|counters| counters.failed += 1);
        }
    };
    if shared.machine.lock().await.delay.is_zero() {
        change.await;
    } else {
        lock(&shared.changes).spawn(change);
    }
    DONE
}

async fn change(shared: &Shared, state: u16) -> io::Result<()> {
    let (hook, delay) = {
        let machine = shared.machine.lock().await;
        (machine.hook.clone(), machine.delay)
    };
    tokio::time::sleep(delay).await;
    match state {
        2 => power_on(shared, &hook).await,
        8 => power_off(shared, &hook).await,
        12 => {
            shared.count(|counters| counters.soft_off += 1);
            hook.shut_down().await
        }
        10 => {
            choose_boot(shared, &hook).await?;
            hook.reset().await?;
            shared.count(|counters| counters.resets += 1);
            Ok(())
        }
        _ => {
            power_off(shared, &hook).await?;
            tokio::time::sleep(delay).await;
            power_on(shared, &hook).await
        }
    }
}

async fn power_on(shared: &Shared, hook: &Hook) -> io::Result<()> {
    choose_boot(shared, hook).await?;
    hook.power(true).await?;
    shared.count(|counters| counters.on += 1);
    Ok(())
}

async fn power_off(shared: &Shared, hook: &Hook) -> io::Result<()> {
    hook.power(false).await?;
    shared.count(|counters| counters.off += 1);
    Ok(())
}

async fn choose_boot(shared: &Shared, hook: &Hook) -> io::Result<()> {
    let network = shared.machine.lock().await.boot().take();
    hook.boot(network).await?;
    shared.count(|counters| counters.network_boots += u64::from(network));
    Ok(())
}
