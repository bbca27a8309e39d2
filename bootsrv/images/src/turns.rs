//! One at a time for each key, and a few at a time of each kind.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Keys somebody works at or waits for; clones share them.
#[derive(Debug)]
pub(crate) struct Turns<K> {
    keys: Arc<Mutex<HashMap<K, Arc<Turn>>>>,
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

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits for a place and for the turn in it. Who has the turn works already: he does not wait in
    /// the queue of his owner's, where others would wait with him. Who waits for it has no place.
    pub(crate) async fn take_in<P, F: Future<Output = P>>(
        &self,
        key: &K,
        place: impl Fn() -> F,
    ) -> (P, TurnGuard) {
        let turn = self.turn(key.clone());
        loop {
            let place = place().await;
            let mut freed = pin!(turn.freed.notified());
            // From here on it is heard, before it is looked whether somebody has it.
            freed.as_mut().enable();
            if let Some(taken) = turn.try_take() {
                return (place, taken);
            }
            drop(place);
            freed.await;
        }
    }

    /// The same in any place, without waiting; none: somebody has it.
    pub(crate) fn try_take(&self, key: K) -> Option<TurnGuard> {
        self.turn(key).try_take()
    }

    fn turn(&self, key: K) -> Arc<Turn> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has or awaits one holds a clone.
        keys.retain(|_, turn| Arc::strong_count(turn) > 1);
        keys.entry(key).or_default().clone()
    }
}

/// It is never handed on to one who waits: he may have no place, and others would find it taken by
/// somebody who does not work.
#[derive(Debug, Default)]
struct Turn {
    is_taken: AtomicBool,
    freed: Notify,
}

impl Turn {
    fn try_take(self: &Arc<Self>) -> Option<TurnGuard> {
        let was_taken = self.is_taken.swap(true, Ordering::AcqRel);
        (!was_taken).then(|| TurnGuard(self.clone()))
    }
}

/// A turn; over when it is dropped.
#[derive(Debug)]
pub(crate) struct TurnGuard(Arc<Turn>);

impl Drop for TurnGuard {
    fn drop(&mut self) {
        self.0.is_taken.store(false, Ordering::Release);
        self.0.freed.notify_waiters();
    }
}

/// Places for work, of which one kind gets only some: nobody has them all to himself.
#[derive(Debug)]
pub(crate) struct Slots<K> {
    all: Arc<Semaphore>,
    of_a_kind: usize,
    kinds: Arc<Mutex<HashMap<K, Arc<Semaphore>>>>,
}

impl<K> Clone for Slots<K> {
    fn clone(&self) -> Self {
        let (all, kinds) = (self.all.clone(), self.kinds.clone());
        Self { all, of_a_kind: self.of_a_kind, kinds }
    }
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl<K: Eq + Hash + Clone> Slots<K> {
    pub(crate) fn new(count: usize, of_a_kind: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(count)), of_a_kind, kinds: Arc::default() }
    }

    /// Waits for a place that is of all these kinds, always in the same order. Who waits for others of
    /// his first kind is in nobody else's way.
    pub(crate) async fn take(&self, kinds: &[K]) -> Slot {
        let mut permits = Vec::with_capacity(kinds.len() + 1);
        for semaphore in self.semaphores(kinds) {
            // None is ever closed.
            permits.extend(semaphore.acquire_owned().await);
        }
        Slot { _permits: permits }
    }

    /// The same, without waiting; none: there is no place.
    pub(crate) fn try_take(&self, kinds: &[K]) -> Option<Slot> {
        let permits = self.semaphores(kinds).into_iter().map(Semaphore::try_acquire_owned);
        Some(Slot { _permits: permits.collect::<Result<_, _>>().ok()? })
    }

    /// Those of the kinds, then the one of all.
    fn semaphores(&self, of: &[K]) -> Vec<Arc<Semaphore>> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has or awaits one holds a clone.
        kinds.retain(|_, slots| Arc::strong_count(slots) > 1);
        let new = || Arc::new(Semaphore::new(self.of_a_kind));
        let own = of.iter().map(|kind| kinds.entry(kind.clone()).or_insert_with(new).clone());
        own.chain([self.all.clone()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_key_is_taken_by_one_at_a_time_and_forgotten_afterwards() {
        let turns = Turns::default();
        let first = turns.try_take(1).unwrap();
        drop(turns.try_take(2).unwrap());
        let second = turns.take_in(&1, || async {});
        assert!(tokio::time::timeout(Duration::from_millis(10), second).await.is_err());
        drop(first);
        let third = turns.take_in(&1, || async {}).await;
        assert_eq!(turns.keys.lock().unwrap().len(), 1);
        drop(third);
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_has_no_place_and_the_reverse() {
        let (turns, slots) = (Turns::default(), Slots::new(2, 1));
        let take = async |owner: &'static [&'static str]| {
            let taken = turns.take_in(&1, || slots.take(owner));
            tokio::time::timeout(Duration::from_millis(50), taken).await
        };
        let queued = slots.take(&["a"]).await;
        assert!(take(&["a"]).await.is_err(), "his owner has no place left");
        let works = take(&["b"]).await.expect("who waits in a queue keeps nobody from the turn");
        drop(queued);
        let waits = turns.take_in(&1, || slots.take(&["a"]));
        let mut waits = std::pin::pin!(waits);
        assert!(tokio::time::timeout(Duration::from_millis(10), &mut waits).await.is_err());
        let other = slots.try_take(&["a"]).expect("who waits for a turn has a place");
        drop((works, other));
        tokio::time::timeout(Duration::from_secs(60), waits).await.unwrap();
    }

    #[tokio::test]
    async fn many_who_wait_get_their_turn_one_after_the_other() {
        let (turns, slots) = (Turns::default(), Slots::new(3, 1));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (turns, slots) = (turns.clone(), slots.clone());
            tasks.spawn(async move {
                let owner = [number % 10];
                let taken = turns.take_in(&1, || slots.take(&owner)).await;
                tokio::task::yield_now().await;
                drop(taken);
            });
        }
        let all = tokio::time::timeout(Duration::from_secs(60), tasks.join_all()).await;
        assert_eq!(all.unwrap().len(), 50);
    }

    #[tokio::test]
    async fn one_kind_gets_half_of_the_places() {
        let slots = Slots::new(4, 2);
        let mut taken = vec![slots.take(&["a"]).await, slots.take(&["a", "x"]).await];
        assert!(slots.try_take(&["a"]).is_none());
        taken.extend([slots.take(&["b", "x"]).await]);
        assert!(slots.try_take(&["c", "x"]).is_none(), "of another kind");
        taken.extend([slots.take(&["c"]).await]);
        assert!(slots.try_take(&["d"]).is_none(), "all are taken");
        let waits = slots.take(&["a"]);
        assert!(tokio::time::timeout(Duration::from_millis(10), waits).await.is_err());
        drop(taken);
        drop(slots.take(&["a"]).await);
        assert_eq!(slots.kinds.lock().unwrap().len(), 1, "kinds are forgotten");
    }
}
