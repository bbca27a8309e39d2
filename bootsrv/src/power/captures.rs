//! Serial consoles over the baseboard controllers: one capture a booting node, in a session of its own
//! beside that of the power commands, which it gives way to.

use super::drivers::Account;
use crate::deployment::DeploymentId;
use ipmi::{CaptureEvent, ClientConfig, ConsoleCapture};
use protocol::api::NodeDefinition;
use protocol::names::NodeName;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a power command waits for a capture to give its session back: what that may take, and a
/// little.
const GIVE_WAY_MAX: Duration = Duration::from_secs(4);

/// One boot's capture.
#[derive(Debug)]
struct Running {
    boot: DeploymentId,
    /// It ends with it.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// The captures that run.
#[derive(Debug, Clone, Default)]
pub struct Captures(Arc<Mutex<HashMap<NodeName, Running>>>);

impl Captures {
    /// Starts to capture a node's console for a boot; one for an earlier boot ends. `former`: our
    /// session that captured the same boot before a restart, as the controller names it.
    pub(crate) fn start(
        &self,
        node: &NodeDefinition,
        boot: DeploymentId,
        former: Option<u32>,
        ear: impl FnMut(CaptureEvent<'_>) + Send + 'static,
    ) {
        let (Some(account), Ok(runtime)) = (Account::of(&node.power), Handle::try_current()) else {
            return;
        };
        let (stop, stopped) = oneshot::channel();
        let before = self.remove(&node.name, |_| true);
        let name = node.name.clone();
        let task = runtime.spawn(async move {
            if let Some(before) = before {
                before.stop().await;
            }
            capture(&name, &account, former, ear, stopped).await;
        });
        self.lock().insert(node.name.clone(), Running { boot, stop, task });
    }

    /// Whether a boot's console is captured.
    pub(crate) fn is_running(&self, node: &NodeName, boot: DeploymentId) -> bool {
        let runs = |running: &Running| running.boot == boot && !running.task.is_finished();
        self.lock().get(node).is_some_and(runs)
    }

    /// Ends a boot's capture, if it runs; returns at once.
    pub(crate) fn end(&self, node: &NodeName, boot: DeploymentId) {
        // The task itself gives the console back.
        drop(self.remove(node, |running| running.boot == boot));
    }

    /// Ends a node's capture, and with it its session; gives whether there was one.
    pub(super) async fn give_way(&self, node: &NodeName) -> bool {
        let Some(running) = self.remove(node, |running| !running.task.is_finished()) else {
            return false;
        };
        log::warn!("node={node}: its console is not captured: the controller has too few sessions");
        running.stop().await;
        true
    }

    fn remove(&self, node: &NodeName, which: impl Fn(&Running) -> bool) -> Option<Running> {
        let mut all = self.lock();
        all.get(node).is_some_and(which).then(|| all.remove(node)).flatten()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeName, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    async fn stop(self) {
        drop(self.stop);
        drop(tokio::time::timeout(GIVE_WAY_MAX, self.task).await);
    }
}

async fn capture(
    node: &NodeName,
    account: &Account,
    former: Option<u32>,
    ear: impl FnMut(CaptureEvent<'_>) + Send + 'static,
    stopped: oneshot::Receiver<()>,
) {
    let address = match account.resolve().await {
        Ok(address) => address,
        Err(error) => {
            log::warn!("node={node}: its console is not captured: {}", crate::chain(&error));
            return;
        }
    };
    let capture = ConsoleCapture::start(address, ClientConfig::default(), former, ear);
    // An error is the sender's end: both mean the same.
    drop(stopped.await);
    capture.stop().await;
}

#[cfg(test)]
mod tests {
    use super::super::driver::Driver;
    use super::*;
    use crate::power::Power;
    use crate::power::drivers::Drivers;
    use ipmi::fake::{Fake, Settings};
    use std::time::Instant;

    fn node(fake: &Fake) -> NodeDefinition {
        let mut node = crate::power::testing::definition("n1");
        let address = fake.account().addr;
        let power = format!(
            r#"{{"method":"ipmi","address":"{address}","user":"admin","password":"password"}}"#
        );
        node.power = serde_json::from_str(&power).unwrap();
        node
    }

    /// A controller with one session, which has a serial console.
    async fn narrow() -> Fake {
        let fake = Fake::start(Settings { sessions_max: 1, ..Settings::default() }).await.unwrap();
        fake.answer_with(Box::new(|_, command, _| match command {
            0x48 => Some((0, vec![0; 10])),
            0x49 => Some((0, vec![])),
            0x4B => Some((0, vec![7, 0, 0, 0])),
            _ => None,
        }));
        fake
    }

    #[tokio::test]
    async fn a_power_command_comes_before_the_console() {
        let fake = narrow().await;
        let (node, captures) = (node(&fake), Captures::default());
        let (tell, told) = std::sync::mpsc::channel();
        captures.start(&node, 5, None, move |event| {
            if let CaptureEvent::Session(session) = event {
                tell.send(session).ok();
            }
        });
        let begun = Instant::now();
        while told.try_recv() != Ok(7) {
            assert!(begun.elapsed() < Duration::from_secs(10), "no console");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(captures.is_running(&node.name, 5));
        let mut driver: Box<dyn Driver> = Drivers::open(&node, &captures).unwrap().node;
        assert_eq!(driver.power().await.unwrap(), Power::Off);
        assert!(!captures.is_running(&node.name, 5), "it gave way");
        assert_eq!(fake.counters().full, 1);
    }

    #[tokio::test]
    async fn a_boot_ends_its_own_capture_only() {
        let fake = narrow().await;
        let (node, captures) = (node(&fake), Captures::default());
        captures.start(&node, 5, None, |_| {});
        captures.end(&node.name, 4);
        assert!(captures.is_running(&node.name, 5));
        captures.start(&node, 6, None, |_| {});
        captures.end(&node.name, 5);
        assert!(captures.is_running(&node.name, 6));
        captures.end(&node.name, 6);
        assert!(!captures.is_running(&node.name, 6));
    }
}
