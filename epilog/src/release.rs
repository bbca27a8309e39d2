//! Ends a job at bootsrv within a fixed time. Knows no more of Slurm than the job's end.

use bootsrv_client::ClientError;
use protocol::error::ErrorKind;
use std::time::{Duration, Instant};

/// The nodes wait for this program: Slurm keeps the job COMPLETING meanwhile.
const GIVE_UP_AFTER: Duration = Duration::from_secs(7);
/// One call; the last one may begin just before [`GIVE_UP_AFTER`]: 10 s in all.
pub(crate) const CALL_LIMIT: Duration = Duration::from_secs(3);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(250);

/// How it went.
#[derive(Debug)]
pub(crate) enum Released {
    /// bootsrv has closed the job, now or before.
    Ended,
    /// bootsrv never heard of the job: prolog failed before it asked.
    Unknown,
    /// bootsrv finds out by itself later.
    Failed(ClientError),
}

/// Repeats `end` while bootsrv is busy or restarting; it answers `None` for an unknown job.
pub(crate) fn release<T>(end: impl Fn() -> Result<Option<T>, ClientError>) -> Released {
    let started = Instant::now();
    loop {
        match end() {
            Ok(Some(_)) => return Released::Ended,
            Ok(None) => return Released::Unknown,
            Err(error) if error.kind() == ErrorKind::Busy && started.elapsed() < GIVE_UP_AFTER => {
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Released::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::error::ApiError;
    use std::cell::Cell;

    fn refused(kind: ErrorKind) -> Result<Option<()>, ClientError> {
        Err(ApiError::new(kind, "x").into())
    }

    #[test]
    fn an_unknown_job_is_nothing_to_do() {
        assert!(matches!(release(|| Ok(None::<()>)), Released::Unknown));
        assert!(matches!(release(|| Ok(Some(()))), Released::Ended));
        assert!(matches!(release(|| refused(ErrorKind::Internal)), Released::Failed(_)));
    }

    #[test]
    fn a_busy_bootsrv_is_asked_again() {
        let calls = Cell::new(0);
        let released = release(|| {
            calls.set(calls.get() + 1);
            if calls.get() < 3 { refused(ErrorKind::Busy) } else { Ok(Some(())) }
        });
        assert!(matches!(released, Released::Ended) && calls.get() == 3);
    }
}
