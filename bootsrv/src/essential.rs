//! Parts that run as long as bootsrv does.

use std::future::Future;

/// Runs a part without which bootsrv would be half alive. A panic in it ends the program: its
/// supervisor starts it anew, and everything it needs to go on is in the store.
pub(crate) fn spawn(name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
    let part = tokio::spawn(part);
    tokio::spawn(async move {
        if part.await.is_err_and(|error| error.is_panic()) {
            log::error!("{name} panicked: bootsrv ends, to be started anew");
            std::process::abort();
        }
    });
}
