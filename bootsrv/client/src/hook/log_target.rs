//! Where a hook's lines go: syslog (facility daemon), or standard error where there is none.

use log::{LevelFilter, Log, Metadata, Record};
use std::io::Write;
use syslog::{BasicLogger, Facility, Formatter3164};

/// Standard error, with the level in front.
struct StandardError;

impl Log for StandardError {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // One write a line: several hooks share slurmctld's standard error.
        let line = format!("{}: {}\n", record.level().as_str().to_lowercase(), record.args());
        drop(std::io::stderr().write_all(line.as_bytes()));
    }

    fn flush(&self) {}
}

/// Opens the log of `program`. Called once, after the cheap way out was not taken.
pub fn start(program: &str) {
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: program.to_owned(),
        pid: std::process::id(),
    };
    let logger: Box<dyn Log> = match syslog::unix(formatter) {
        Ok(writer) => Box::new(Quiet(BasicLogger::new(writer))),
        Err(_) => Box::new(StandardError),
    };
    // A second call finds the first logger in place, which is as good.
    if log::set_boxed_logger(logger).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Keeps the lines of the libraries below us out of the site's log.
struct Quiet(BasicLogger);

impl Log for Quiet {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.target().starts_with("ureq") && self.0.enabled(metadata)
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
