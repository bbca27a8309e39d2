//! A step with an upper limit of time, where the kernel itself has none.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Does the step in a thread of its own, which shares mounts and root with the caller: one that never ends
/// leaves the thread behind (`Timeout`), one that panics is `Disconnected`.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    act: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RecvTimeoutError> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(act()).ok());
    result.recv_timeout(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_left_behind() {
        let (held, holds) = mpsc::channel::<()>();
        let hangs = within(Duration::from_millis(20), move || holds.recv().is_ok());
        assert_eq!(hangs, Err(RecvTimeoutError::Timeout));
        drop(held);
        assert_eq!(within(Duration::from_secs(60), || 7), Ok(7));
    }
}
