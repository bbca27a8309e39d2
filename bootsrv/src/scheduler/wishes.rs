//! What was asked for by whom, when it was submitted: Slurm shows no options of ours of a job that waits.

use super::hint::Wish;
use protocol::names::{ImageName, KernelName};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most wishes remembered, the oldest are forgotten first.
const WISHES_MAX: usize = 10_000;
/// Longest from the plugin's question to the job's submission, in seconds.
const BEFORE_SECONDS_MAX: i64 = 5;

/// In memory only: what is forgotten boots ahead with the partition's defaults.
#[derive(Debug, Default)]
pub(super) struct Wishes(Mutex<VecDeque<Noted>>);

/// The kernel and the node image that a user named, if they did.
pub(super) type Named = (Option<KernelName>, Option<ImageName>);

#[derive(Debug)]
struct Noted {
    at_unix_seconds: i64,
    uid: u32,
    named: Named,
}

impl Wishes {
    pub(super) fn note(&self, at_unix_seconds: i64, wish: Wish<'_>) {
        let mut noted = self.lock();
        if noted.len() >= WISHES_MAX {
            noted.pop_front();
        }
        let named = (wish.kernel.cloned(), wish.image.cloned());
        noted.push_back(Noted { at_unix_seconds, uid: wish.uid, named });
    }

    /// What a job that this user submitted in that second is about: the user's latest question before.
    /// Of several jobs in one second it may be another one's, which a change of kernel makes good.
    pub(super) fn of(&self, uid: u32, submitted_unix_seconds: i64) -> Option<Named> {
        let is_before = |at: i64| (0..=BEFORE_SECONDS_MAX).contains(&(submitted_unix_seconds - at));
        let noted = self.lock();
        let found = noted.iter().rev().find(|one| one.uid == uid && is_before(one.at_unix_seconds));
        found.map(|one| one.named.clone())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_known_by_its_user_and_the_time() {
        let wishes = Wishes::default();
        let (one, two): (KernelName, KernelName) = ("one".parse().unwrap(), "two".parse().unwrap());
        wishes.note(100, Wish { uid: 7, kernel: Some(&one), image: None });
        wishes.note(103, Wish { uid: 7, kernel: Some(&two), image: None });
        wishes.note(104, Wish { uid: 8, kernel: None, image: None });
        assert_eq!(wishes.of(7, 101), Some((Some(one), None)));
        assert_eq!(wishes.of(7, 104), Some((Some(two), None)));
        assert_eq!(wishes.of(8, 104), Some((None, None)));
        assert_eq!((wishes.of(7, 99), wishes.of(7, 109), wishes.of(9, 104)), (None, None, None));
        for at in 0..20_000 {
            wishes.note(at, Wish { uid: 9, kernel: None, image: None });
        }
        assert_eq!(wishes.lock().len(), WISHES_MAX);
        assert_eq!(wishes.of(7, 104), None);
    }
}
