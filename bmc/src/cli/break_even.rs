//! The words of `bmc breakeven`.

use clap::Args;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned, civil};
use protocol::names::{JobReference, KernelName, NodeName};

/// `bmc breakeven`.
#[derive(Debug, Args)]
#[command(
    override_usage = "bmc breakeven --kernel <KERNEL> --kernel <KERNEL> [OPTIONS]",
    after_help = "\
Examples:
  bmc breakeven --kernel debian12 --kernel thp-off --job 42,43,44,45,46,51,52,53,54,55
  bmc breakeven --kernel debian12 --kernel thp-off --node n1 --since 7d
  bmc breakeven --kernel debian12 --kernel thp-off --idle-watts 41.5 --json

The first kernel, A, is what the node would run anyway; the second, B, is booted for the job. B pays
off from a run of L on, measured on A, where L times the part of A's time that B saves is what booting B
and shutting it down takes; likewise for energy. [ ] is the 95 % interval, from how far the runs of one
kernel differ. `never`: all of the interval says that B saves nothing. `undetermined`: the runs do not
tell; more of them do.

Only runs of the same work can be compared, on the same nodes, five or more with each kernel, best in
turns (A B B A …). The boot server does not know what a job did, nor whether it succeeded: pick the runs
with --job. What counts is a job that ended on nodes without a fault; that of nodes that stay on counts
once they have gone to another job or are off."
)]
pub(crate) struct BreakEvenArgs {
    /// Kernel or profile; twice: what the node would run anyway, then what is booted for the job
    #[arg(long = "kernel", value_name = "KERNEL", required = true)]
    pub(crate) kernels: Vec<KernelName>,
    /// Only these jobs: 42,43_1; an array's id stands for all its tasks
    #[arg(long = "job", value_name = "LIST", value_delimiter = ',')]
    pub(crate) jobs: Vec<JobReference>,
    /// Only runs on this node
    #[arg(long)]
    pub(crate) node: Option<NodeName>,
    /// Only runs that ended since then: a date, a date with a time, or how long ago (7d, 12h)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) since: Option<Timestamp>,
    /// What a node draws when it is not booted for the job: taken off the energy of the boot
    #[arg(long, value_name = "WATTS", value_parser = watts)]
    pub(crate) idle_watts: Option<f64>,
    /// Print JSON: the runs as the boot server's API has them, their means, and the answers
    #[arg(long)]
    pub(crate) json: bool,
}

fn watts(text: &str) -> Result<f64, String> {
    let watts = text.parse().ok().filter(|watts: &f64| watts.is_finite() && *watts >= 0.0);
    watts.ok_or_else(|| "it is a number of watts".to_owned())
}

fn time(text: &str) -> Result<Timestamp, String> {
    time_at(text, &Zoned::now().with_time_zone(TimeZone::system()))
}

/// A time as people write it, in their zone, or a span before now.
fn time_at(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(time) = text.parse::<civil::DateTime>() {
        let zoned = time.to_zoned(now.time_zone().clone());
        return zoned.map(|time| time.timestamp()).map_err(|error| error.to_string());
    }
    let ago = text.parse::<Span>().and_then(|span| now.checked_sub(span.abs()));
    ago.map(|time| time.timestamp()).map_err(|_| {
        "it is a date (2026-11-21), a time (2026-11-21T08:00), or a span (7d, 12h)".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_the_zone_or_spans_before_now() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let now = "2026-11-22T08:00:00Z".parse::<Timestamp>().unwrap().to_zoned(zone);
        for (text, expected) in [
            ("2026-11-21", "2026-11-20T23:00:00Z"),
            ("2026-11-21T08:30", "2026-11-21T07:30:00Z"),
            ("2026-11-21 08:30:15", "2026-11-21T07:30:15Z"),
            ("2026-11-21T08:30:15Z", "2026-11-21T08:30:15Z"),
            ("12h", "2026-11-21T20:00:00Z"),
            ("7d", "2026-11-15T08:00:00Z"),
            ("2 weeks ago", "2026-11-08T08:00:00Z"),
        ] {
            assert_eq!(time_at(text, &now).unwrap(), expected.parse().unwrap(), "{text}");
        }
        for text in ["", "yesterday", "21.11.2026", "7"] {
            assert!(time_at(text, &now).unwrap_err().contains("a date"), "{text}");
        }
    }
}
