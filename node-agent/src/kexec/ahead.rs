//! The kernel that a node may be told to start next, fetched while nobody has the node.
//!
//! It costs memory that a job would miss, so it is dropped as soon as there is one.

use super::fetch;
use crate::clock;
use crate::console::say;
use crate::server::Server;
use protocol::boot::{FetchAhead, KernelFiles};
use protocol::names::Digest;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// Longest that a download is put off.
const SPREAD_MAX: Duration = Duration::from_secs(3600);

/// What is there, or on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ahead(Arc<Mutex<Option<Wanted>>>);

#[derive(Debug)]
struct Wanted {
    files: KernelFiles,
    /// Kernel and initrd; none: not there yet, or they could not be fetched.
    content: Option<[Vec<u8>; 2]>,
}

impl Ahead {
    /// The kernel that was asked for last; none: it was forgotten.
    pub(crate) fn kernel(&self) -> Option<Digest> {
        self.lock().as_ref().map(|wanted| wanted.files.kernel.sha256)
    }

    /// Fetches it in the background, some time within what the order says.
    pub(crate) fn begin(&self, server: Arc<Server>, order: FetchAhead) {
        let FetchAhead { files, within_seconds } = order;
        let spread = Duration::from_secs(within_seconds.into()).min(SPREAD_MAX);
        *self.lock() = Some(Wanted { files: files.clone(), content: None });
        let ahead = self.clone();
        spawn(move || {
            sleep(spread * clock::chance() / 1000);
            if !ahead.wants(&files) {
                return;
            }
            match fetch(&server, &files) {
                Ok(content) => ahead.keep(&files, content),
                Err(error) => say(format_args!("nothing is fetched ahead: {error:#}")),
            }
        });
    }

    fn wants(&self, files: &KernelFiles) -> bool {
        self.lock().as_ref().is_some_and(|wanted| wanted.files == *files)
    }

    fn keep(&self, files: &KernelFiles, content: [Vec<u8>; 2]) {
        if let Some(wanted) = self.lock().as_mut().filter(|wanted| wanted.files == *files) {
            wanted.content = Some(content);
        }
    }

    /// Kernel and initrd, if these are there.
    pub(super) fn take(&self, files: &KernelFiles) -> Option<[Vec<u8>; 2]> {
        self.lock().take().filter(|wanted| wanted.files == *files)?.content
    }

    /// Gives the memory back.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Wanted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::boot::ArtifactRef;

    fn files(digit: &str) -> KernelFiles {
        let artifact = |bytes| ArtifactRef { sha256: digit.repeat(64).parse().unwrap(), bytes };
        KernelFiles { kernel: artifact(1), initrd: artifact(2) }
    }

    fn wanted(digit: &str) -> Ahead {
        Ahead(Arc::new(Mutex::new(Some(Wanted { files: files(digit), content: None }))))
    }

    #[test]
    fn only_what_is_wanted_is_kept_and_given() {
        let content = || [vec![1], vec![2]];
        let ahead = wanted("a");
        assert_eq!(ahead.kernel(), Some(files("a").kernel.sha256));
        ahead.keep(&files("b"), content());
        assert_eq!(ahead.take(&files("a")), None, "it came too late");

        let ahead = wanted("a");
        ahead.keep(&files("a"), content());
        assert_eq!(ahead.take(&files("a")), Some(content()));
        assert_eq!(ahead.kernel(), None);

        let ahead = wanted("a");
        ahead.keep(&files("a"), content());
        assert_eq!(ahead.take(&files("b")), None);

        let ahead = wanted("a");
        ahead.forget();
        ahead.keep(&files("a"), content());
        assert_eq!(ahead.take(&files("a")), None);
    }
}
