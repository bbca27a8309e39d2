//! One at a time for each key, and a few at a time of each kind.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Keys somebody works at or waits for; clones share them.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    keys: Arc<Mutex<HashMap<K, Arc<Turn<()>>>>>,
}

impl<K> Clone for Turns<K> {
    fn clone(&self) -> Self {
        Self { keys: self.keys.clone() }
    }
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self { keys: Arc::default() }
    }
}

impl<K: Eq + Hash> Turns<K> {
    /// Waits until nobody else has it; it is over when the guard is dropped.
    pub(crate) async fn take(&self, key: K) -> OwnedMutexGuard<()> {
        self.turn(key).lock_owned().await
    }

    /// The same, without waiting; none: somebody has it.
    pub(crate) fn try_take(&self, key: K) -> Option<OwnedMutexGuard<()>> {
        self.turn(key).try_lock_owned().ok()
    }

    fn turn(&self, key: K) -> Arc<Turn<()>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has or awaits one holds a clone.
        keys.retain(|_, turn| Arc::strong_count(turn) > 1);
        keys.entry(key).or_default().clone()
    }
}

/// Places for work, of which one kind gets at most half: nobody has them all to himself.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    all: Arc<Semaphore>,
    of_a_kind: usize,
    kinds: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _of_its_kind: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(count.max(1))),
            of_a_kind: count.max(1).div_ceil(2),
            kinds: Arc::default(),
        }
    }

    /// Waits for a place. Who waits for others of his kind is in nobody else's way.
    pub(crate) async fn take(&self, kind: &str) -> Slot {
        let of_its_kind = {
            let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever has or awaits one holds a clone.
            kinds.retain(|_, slots| Arc::strong_count(slots) > 1);
            let new = || Arc::new(Semaphore::new(self.of_a_kind));
            kinds.entry(kind.to_owned()).or_insert_with(new).clone()
        };
        // Neither semaphore is ever closed.
        Slot {
            _of_its_kind: of_its_kind.acquire_owned().await.ok(),
            _of_all: self.all.clone().acquire_owned().await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_key_is_taken_by_one_at_a_time_and_forgotten_afterwards() {
        let turns = Turns::default();
        let first = turns.take(1).await;
        drop(turns.take(2).await);
        let second = turns.take(1);
        assert!(tokio::time::timeout(Duration::from_millis(10), second).await.is_err());
        drop(first);
        let third = turns.take(1).await;
        assert_eq!(turns.keys.lock().unwrap().len(), 1);
        drop(third);
    }

    #[tokio::test]
    async fn one_kind_gets_half_of_the_places() {
        let slots = Slots::new(4);
        let in_time = |kind| tokio::time::timeout(Duration::from_millis(10), slots.take(kind));
        let mut taken = vec![slots.take("a").await, slots.take("a").await];
        assert!(in_time("a").await.is_err());
        taken.extend([slots.take("b").await, slots.take("c").await]);
        assert!(in_time("d").await.is_err(), "all are taken");
        drop(taken);
        drop(slots.take("a").await);
        assert_eq!(slots.kinds.lock().unwrap().len(), 1, "kinds are forgotten");
    }
}
