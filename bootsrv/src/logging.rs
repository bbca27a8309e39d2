//! The log: syslog, or standard error in the foreground.

use log::{LevelFilter, Log, Metadata, Record};
use std::io::Write;
use syslog::{BasicLogger, Facility, Formatter3164};

/// Starts logging. Without a syslog socket it goes to standard error.
///
/// # Errors
/// When logging was started before.
pub fn start(foreground: bool, debug: bool) -> Result<(), log::SetLoggerError> {
    let level = if debug { LevelFilter::Debug } else { LevelFilter::Info };
    log::set_max_level(level);
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: "bootsrv".into(),
        pid: std::process::id(),
    };
    match syslog::unix(formatter) {
        Ok(writer) if !foreground => log::set_boxed_logger(Box::new(Own(BasicLogger::new(writer)))),
        _ => log::set_boxed_logger(Box::new(Own(StandardError))),
    }
}

/// Lines of bootsrv itself, and none of the libraries it uses.
struct Own<L>(L);

impl<L: Log> Log for Own<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bootsrv") && self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let now = jiff::Timestamp::now();
        // Nowhere to complain when standard error is closed.
        drop(writeln!(std::io::stderr(), "{now:.3} {} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}
