//! Whose fault a failed set-up is. What would be the same on every node, because the job, its image, the
//! kernel or the site's servers make it so, holds the job; the node is spared, or a server that is down
//! would drain one node after the other. What is left is the node's: a broken one must not hold job
//! after job.

use crate::stack::NotMountable;
use crate::{download, limit};
use anyhow::{Error, Result};
use rustix::io::Errno;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// The node has run out of something: memory, descriptors, mounts.
const RAN_OUT: [Errno; 4] = [Errno::NOMEM, Errno::NOSPC, Errno::MFILE, Errno::NFILE];
/// The kernel, which the job has chosen, has no such system call.
const KERNEL_LACKS: [Errno; 1] = [Errno::NOSYS];

/// Every node would fail so.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct EveryNodes(pub(super) String);

/// Whether bootsrv is to spare the node and hold the job.
pub(super) fn spares_node(error: &Error) -> bool {
    // The memory that a kernel takes for layers grows with their number, which is the image's.
    if error.is::<NotMountable>() && any(error, &[Errno::NOMEM]) {
        return true;
    }
    let is_everywhere = error.is::<EveryNodes>()
        || error.is::<NotMountable>()
        || download::is_of_server(error)
        || any(error, &KERNEL_LACKS);
    is_everywhere && !any(error, &RAN_OUT)
}

fn any(error: &Error, wanted: &[Errno]) -> bool {
    error.chain().any(|cause| {
        let found = match cause.downcast_ref::<std::io::Error>() {
            Some(error) => Errno::from_io_error(error),
            None => cause.downcast_ref().copied(),
        };
        found.is_some_and(|found| wanted.contains(&found))
    })
}

/// Does a step that may meet a file server, which may never answer.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    what: &str,
    act: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match limit::within(limit, act) {
        Ok(result) => result,
        Err(RecvTimeoutError::Disconnected) => anyhow::bail!("{what} ended unexpectedly"),
        Err(RecvTimeoutError::Timeout) => Err(EveryNodes(format!(
            "{what} has not ended after {} s: a file server may not answer",
            limit.as_secs()
        ))
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context as _, anyhow};
    use std::sync::mpsc;

    #[test]
    fn what_every_node_would_meet_spares_them_but_running_out_is_the_nodes() {
        let of = |error: Result<(), Errno>| {
            let error = error.context("mounting").context(EveryNodes("the image".into()));
            spares_node(&error.context("setting up").unwrap_err())
        };
        assert!(of(Err(Errno::NOTDIR)) && of(Err(Errno::IO)) && of(Err(Errno::NODEV)));
        assert!(!of(Err(Errno::NOMEM)) && !of(Err(Errno::NOSPC)) && !of(Err(Errno::MFILE)));
        let layer = |error: Errno| {
            let error = Error::from(error).context(NotMountable("mounting as squashfs: x".into()));
            spares_node(&error.context("layer 7 of 128"))
        };
        assert!(layer(Errno::NOMEM) && layer(Errno::INVAL) && !layer(Errno::MFILE));
        let full = std::io::Error::from_raw_os_error(28);
        assert!(!spares_node(&Error::from(full).context(EveryNodes("x".into()))));
        assert!(!spares_node(&anyhow!("no loop device stayed free")));
        let plain =
            |error: Errno| spares_node(&Error::from(error).context("restricting the mount"));
        assert!(plain(Errno::NOSYS) && !plain(Errno::INVAL) && !plain(Errno::IO));
    }

    #[test]
    fn what_hangs_is_left_behind() {
        let (held, holds) = mpsc::channel::<()>();
        let limit = Duration::from_millis(20);
        let error = within(limit, "looking", move || Ok(holds.recv().is_ok())).unwrap_err();
        assert!(spares_node(&error) && error.to_string().starts_with("looking has not ended"));
        drop(held);
        assert_eq!(within(Duration::from_secs(60), "looking", || Ok(7)).unwrap(), 7);
        let broken =
            within(Duration::from_secs(60), "looking", || -> Result<()> { panic!("of the test") });
        assert!(!spares_node(&broken.unwrap_err()));
    }
}
