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

/// The crates of this project that bootsrv is made of, as lines name them.
const CRATES: [&str; 7] = ["bootsrv", "artifacts", "images", "ipmi", "energy", "munge", "protocol"];

/// Lines of our own crates, and none of the libraries they use.
struct Own<L>(L);

fn is_own(target: &str) -> bool {
    target.split("::").next().is_some_and(|name| CRATES.contains(&name))
}

impl<L: Log> Log for Own<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_own(metadata.target()) && self.0.enabled(metadata)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_our_crates_and_of_no_library() {
        for own in [
            "bootsrv",
            module_path!(),
            std::any::type_name::<artifacts::Store>(),
            std::any::type_name::<ipmi::Client>(),
            std::any::type_name_of_val(&energy::job_energy),
            std::any::type_name::<munge::MungeError>(),
            std::any::type_name::<protocol::boot::BootPlan>(),
        ] {
            assert!(is_own(own), "{own}");
        }
        for library in ["rustls::conn", "hyper", "ureq", "artifacts_of_another", ""] {
            assert!(!is_own(library), "{library}");
        }
    }
}
