//! A capture whose last lines are kept.

use ipmi::{
    CaptureEvent, CaptureState, ClientConfig, ConsoleCapture, ConsoleLines, ControllerAddress,
};
use std::sync::{Arc, Mutex};

pub(crate) struct Capture {
    running: ConsoleCapture,
    lines: Arc<Mutex<ConsoleLines>>,
}

impl Capture {
    pub(crate) fn start(
        address: ControllerAddress,
        config: ClientConfig,
        lines_max: usize,
    ) -> Self {
        let lines = Arc::new(Mutex::new(ConsoleLines::new(lines_max)));
        let kept = Arc::clone(&lines);
        let running = ConsoleCapture::start(address, config, None, move |event| {
            if let CaptureEvent::Bytes(bytes) = event {
                kept.lock().unwrap().push(bytes);
            }
        });
        Self { running, lines }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().lines()
    }

    pub(crate) fn state(&self) -> CaptureState {
        self.running.state()
    }

    pub(crate) async fn stop(self) -> Vec<String> {
        self.running.stop().await;
        self.lines.lock().unwrap().lines()
    }
}
