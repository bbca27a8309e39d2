//! Parts that run as long as bootsrv does.

use std::future::Future;

/// Runs a part without which bootsrv would be half alive. A panic in it ends the program: its
/// supervisor starts it anew, and everything it needs to go on is in the store.
pub(crate) fn spawn(name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
    let part = tokio::spawn(part);
    #[cfg(test)]
    killing::note(&part);
    tokio::spawn(async move {
        if part.await.is_err_and(|error| error.is_panic()) {
            log::error!("{name} panicked: bootsrv ends, to be started anew");
            std::process::abort();
        }
    });
}

#[cfg(test)]
pub(crate) use killing::kill_all;

/// What a test needs to kill bootsrv.
#[cfg(test)]
mod killing {
    use std::cell::RefCell;
    use tokio::task::{AbortHandle, JoinHandle};

    thread_local! {
        static PARTS: RefCell<Vec<AbortHandle>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note(part: &JoinHandle<()>) {
        PARTS.with_borrow_mut(|parts| parts.push(part.abort_handle()));
    }

    /// Ends every part that this thread has started, wherever it waits.
    pub(crate) fn kill_all() {
        PARTS.take().iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    const INSIDE: &str = "A_PART_PANICS";
    const SIGABRT: i32 = 6;

    /// This test runs itself once more as the program that ends.
    #[test]
    fn a_part_that_panics_ends_the_program() {
        if std::env::var_os(INSIDE).is_some() {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                super::spawn("one part", async { panic!("by intention") });
                tokio::time::sleep(std::time::Duration::from_secs(60)).await;
            });
            return;
        }
        let mut again = Command::new(std::env::current_exe().unwrap());
        let name = "essential::tests::a_part_that_panics_ends_the_program";
        let output =
            again.args([name, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(SIGABRT), "{said}");
        assert!(said.contains("by intention"), "{said}");
    }
}
