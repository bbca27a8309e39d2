//! Writes the nodes' power readings down, once a second for all together, and drops the old ones, and with
//! them what consoles showed long ago.
//! A kill loses the readings of the last second; an orderly end loses none.

use crate::clock::now_unix_ns;
use crate::essential;
use crate::store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Between two writings: what a kill loses.
const WRITE: Duration = Duration::from_secs(1);
/// Between two thinnings of old readings.
const THIN: Duration = Duration::from_secs(3600);

/// Starts both; they run for ever.
pub fn start(store: &Arc<Store>) {
    essential::spawn("the readings", write(Arc::clone(store)));
    essential::spawn("the old readings", thin(Arc::clone(store)));
}

async fn write(store: Arc<Store>) {
    loop {
        sleep(WRITE).await;
        let of = Arc::clone(&store);
        match spawn_blocking(move || of.write_samples()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => log::error!("keeping power readings: {}", crate::chain(&error)),
            Err(error) => log::error!("keeping power readings: {error}"),
        }
    }
}

async fn thin(store: Arc<Store>) {
    loop {
        match drop_old(&store).await {
            Ok(0) => {}
            Ok(count) => log::info!("dropped {count} old readings"),
            Err(error) => log::error!("dropping old readings: {error:#}"),
        }
        let of = Arc::clone(&store);
        match spawn_blocking(move || of.drop_old_consoles(now_unix_ns())).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => log::error!("dropping old consoles: {}", crate::chain(&error)),
            Err(error) => log::error!("dropping old consoles: {error}"),
        }
        sleep(THIN).await;
    }
}

/// Node by node: whoever else needs the store gets it in between.
async fn drop_old(store: &Arc<Store>) -> anyhow::Result<usize> {
    let of = Arc::clone(store);
    let mut dropped: usize = 0;
    for name in spawn_blocking(move || of.node_names()).await?? {
        let of = Arc::clone(store);
        let count = spawn_blocking(move || of.thin_samples(&name, now_unix_ns())).await??;
        dropped = dropped.saturating_add(count);
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use energy::Sample;

    #[tokio::test(start_paused = true)]
    async fn a_reading_waits_for_a_second() {
        let store = Arc::new(Store::in_memory().unwrap());
        start(&store);
        let sample = Sample { unix_ns: 1, milliwatts: 100_000 };
        store.add_sample(&"n1".parse().unwrap(), sample, "ipmi-dcmi").unwrap();
        sleep(WRITE / 2).await;
        assert_eq!(store.samples_that_wait(), 1);
        sleep(WRITE).await;
        assert_eq!(store.samples_that_wait(), 0);
    }
}
