//! Who waits until a job's boot is decided.
//!
//! In memory only: after a restart of bootsrv the askers come again.

use protocol::names::JobId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Most askers that wait at once, each with an open connection. One more is answered at once, and
/// asks again.
const WATCHERS_MAX: usize = 5_000;

/// The waiting askers by job, as long as they wait.
#[derive(Debug, Default)]
pub struct Watchers {
    jobs: Arc<Mutex<Jobs>>,
}

#[derive(Debug, Default)]
struct Jobs {
    waiting: usize,
    by_job: HashMap<JobId, (usize, Arc<Notify>)>,
}

/// One asker; it waits no more when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    job: JobId,
    /// What [`Watchers::wake`] wakes.
    pub changed: Arc<Notify>,
    jobs: Arc<Mutex<Jobs>>,
}

impl Watchers {
    /// One asker more for a job; `None`: there are too many.
    #[must_use]
    pub fn watch(&self, job: JobId) -> Option<Watcher> {
        let mut jobs = lock(&self.jobs);
        if jobs.waiting >= WATCHERS_MAX {
            return None;
        }
        jobs.waiting += 1;
        let (askers, changed) = jobs.by_job.entry(job).or_default();
        *askers += 1;
        Some(Watcher { job, changed: Arc::clone(changed), jobs: Arc::clone(&self.jobs) })
    }

    /// Wakes those of a job: a node of it has got ready, failed, or ended.
    pub fn wake(&self, job: JobId) {
        if let Some((_, changed)) = lock(&self.jobs).by_job.get(&job) {
            changed.notify_waiters();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut jobs = lock(&self.jobs);
        jobs.waiting = jobs.waiting.saturating_sub(1);
        if let Entry::Occupied(mut entry) = jobs.by_job.entry(self.job) {
            let askers = &mut entry.get_mut().0;
            *askers = askers.saturating_sub(1);
            if *askers == 0 {
                entry.remove();
            }
        }
    }
}

fn lock(jobs: &Mutex<Jobs>) -> MutexGuard<'_, Jobs> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_no_more_leaves_nothing_behind() {
        let watchers = Watchers::default();
        let all: Vec<Watcher> = (0..WATCHERS_MAX).map_while(|_| watchers.watch(JobId(7))).collect();
        assert_eq!(all.len(), WATCHERS_MAX);
        assert!(watchers.watch(JobId(8)).is_none(), "there are too many");
        drop(all);
        assert!(watchers.watch(JobId(8)).is_some());
        let jobs = lock(&watchers.jobs);
        assert!(jobs.by_job.is_empty() && jobs.waiting == 0);
    }
}
