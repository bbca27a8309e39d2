//! Looks again and again whether the store is still whole.

use crate::store::{Store, StoreError};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Between two looks at the store's file: how long bootsrv runs on a damaged one at most.
const LOOK: Duration = Duration::from_secs(3600);

/// Returns what is wrong as soon as the store is found to be damaged: bootsrv has to end then, before what
/// it reads there does harm.
pub async fn of_store(store: &Arc<Store>) -> StoreError {
    loop {
        sleep(LOOK).await;
        let (sender, looked) = oneshot::channel();
        let of = Arc::clone(store);
        // A thread that nobody waits for: the end of bootsrv does not wait for a look at a large store.
        let look = move || drop(sender.send(of.check()));
        if let Err(error) = thread::Builder::new().name("store-check".into()).spawn(look) {
            log::error!("looking at the store: {error}");
            continue;
        }
        match looked.await {
            Ok(Ok(())) => {}
            Ok(Err(damage @ StoreError::Damaged { .. })) => return damage,
            Ok(Err(error)) => log::error!("looking at the store: {}", crate::chain(&error)),
            Err(error) => log::error!("looking at the store: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::check::tests::damage;
    use tokio::time::{Instant, timeout};

    #[tokio::test(start_paused = true)]
    async fn a_running_bootsrv_learns_of_a_damaged_page_within_an_hour() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.sqlite");
        let store = Arc::new(Store::open(&path).unwrap());
        assert!(timeout(3 * LOOK, of_store(&store)).await.is_err(), "nothing is wrong with it");
        damage(&path);
        let begin = Instant::now();
        let found = of_store(&store).await;
        assert!(matches!(found, StoreError::Damaged { .. }), "{found}");
        assert!(begin.elapsed() <= LOOK, "{:?}", begin.elapsed());
    }
}
