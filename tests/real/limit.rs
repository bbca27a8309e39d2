//! A run of the cases ends: after a few failures, and after a time.

use anyhow::{Result, bail};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// Failed cases after which the rest is not run: something basic is broken, and each that waits for a
/// boot in vain takes minutes.
pub(crate) const FAILED: usize = 3;
/// Longest a run may take; all cases together take half of it on two processors.
pub(crate) const RUN: Duration = Duration::from_secs(70 * 60);

/// The cases that have not ended, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Left(Arc<Mutex<Vec<&'static str>>>);

impl Left {
    pub(crate) fn new(names: impl Iterator<Item = &'static str>) -> Self {
        Self(Arc::new(Mutex::new(names.collect())))
    }

    pub(crate) fn is_done(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|one| *one != name);
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.lock().unwrap_or_else(PoisonError::into_inner).join(", "))
    }
}

/// Runs the cases on a thread of their own. When the time is up this returns, and the thread ends with
/// the process; so does the cluster, whose directory stays.
pub(crate) fn within(
    limit: Duration,
    left: &Left,
    run: impl FnOnce() -> Result<usize> + Send + 'static,
) -> Result<usize> {
    let (sender, receiver) = mpsc::channel();
    let runs = thread::spawn(move || sender.send(run()).is_ok());
    match receiver.recv_timeout(limit) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let minutes = limit.as_secs() / 60;
            bail!(
                "the run takes longer than {minutes} min; these have not ended or not begun: {left}"
            )
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => match runs.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => bail!("the run ended without a result"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_does_not_end_says_what_is_left() {
        let left = Left::new(["one", "two", "three"].into_iter());
        left.is_done("one");
        let (held, holds) = mpsc::channel::<()>();
        let limit = Duration::from_millis(20);
        let error = within(limit, &left, move || Ok(usize::from(holds.recv().is_ok())));
        assert!(error.unwrap_err().to_string().ends_with("not begun: two, three"));
        drop(held);
        assert_eq!(within(Duration::from_secs(60), &left, || Ok(2)).unwrap(), 2);
    }
}
