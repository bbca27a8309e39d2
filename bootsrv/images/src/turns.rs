//! One at a time for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

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
        let turn = {
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever has or awaits one holds a clone.
            keys.retain(|_, turn| Arc::strong_count(turn) > 1);
            keys.entry(key).or_default().clone()
        };
        turn.lock_owned().await
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
}
