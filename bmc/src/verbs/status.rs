//! `bmc status`: jobs, their nodes, and how far each boot is.

use super::{preparation, timeline};
use crate::cli::StatusArgs;
use crate::output::{self, Picture};
use crate::server::Server;
use crate::table::{Table, printable, seconds};
use protocol::api::{JobState, JobView};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time between two looks of `--watch`.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Asks and returns what to print; with `--watch` it prints, and returns when there is nothing more.
pub(crate) fn run(args: &StatusArgs, server: &dyn Server) -> anyhow::Result<String> {
    let ask = || match args.job {
        Some(job) => server.job(job).map(|view| vec![view]),
        None => server.jobs(args.all),
    };
    if !args.watch {
        let with_timeline = args.job.is_some();
        return match (args.job, args.json.json) {
            (Some(job), true) => output::json(&server.job(job)?),
            (_, as_json) => {
                output::show(as_json, &ask()?, |jobs| render(jobs, with_timeline, now_unix_ns()))
            }
        };
    }
    let mut picture = Picture::default();
    loop {
        let jobs = ask()?;
        picture.show(&render(&jobs, args.job.is_some(), now_unix_ns()))?;
        if args.job.is_some() && jobs.iter().all(|job| job.state == JobState::Ended) {
            return Ok(String::new());
        }
        std::thread::sleep(WATCH_PERIOD);
    }
}

fn now_unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn render(jobs: &[JobView], with_timeline: bool, now_unix_ns: i64) -> String {
    if jobs.is_empty() {
        return "no job boots, runs or ends\n".to_owned();
    }
    let texts = jobs.iter().map(|view| {
        let mut text = job(view, now_unix_ns);
        if with_timeline {
            text += &consoles(view);
            text += &timeline::render(&view.nodes);
        }
        text
    });
    texts.collect::<Vec<_>>().join("\n")
}

fn job(view: &JobView, now_unix_ns: i64) -> String {
    let mut text = format!(
        "job {}, try {}: {}\nuser {}, partition {}, kernel {}, image {}\n",
        view.reference,
        u64::from(view.restart_count) + 1,
        title(view.state),
        printable(&view.user),
        printable(&view.partition),
        view.kernel,
        view.image
    );
    if let Some(image) = &view.application {
        text += &format!("{}\n  {}\n", printable(&image.reference), preparation::line(image));
    }
    if let Some(failure) = &view.failure {
        let node = failure.node.as_ref().map_or_else(String::new, |node| format!("{node}: "));
        let then = if failure.hold { "the job is held" } else { "the job is tried elsewhere" };
        text += &format!("failed: {node}{} ({then})\n", printable(&failure.reason));
    }
    let mut table = Table::new(["NODE", "STATE", ">SECONDS", "DETAIL"]);
    for node in &view.nodes {
        // The two clocks may differ a little; nothing has lasted less than no time.
        let elapsed = now_unix_ns.saturating_sub(node.since_unix_ns).max(0);
        table.row([node.node.as_str(), &node.state, &seconds(elapsed), &node.detail]);
    }
    text + &table.text()
}

/// What the consoles of failed boots showed last.
fn consoles(view: &JobView) -> String {
    let shown = view.nodes.iter().filter(|node| !node.console.is_empty());
    let texts = shown.map(|node| {
        let lines = node.console.iter().map(|line| format!("  {}\n", printable(line)));
        format!("\nconsole of {} at the end of its boot:\n{}", node.node, lines.collect::<String>())
    });
    texts.collect()
}

fn title(state: JobState) -> &'static str {
    match state {
        JobState::Booting => "booting",
        JobState::Ready => "ready",
        JobState::Failed => "failed",
        JobState::Ending => "ending",
        JobState::Ended => "ended",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::api::{DeploymentView, JobFailure, MarkView};
    use protocol::boot::AppliedSetting;
    use protocol::names::{JobId, JobReference};

    const T0: i64 = 1_790_000_000_000_000_000;

    fn mark(mark: &str, milliseconds: i64) -> MarkView {
        MarkView { mark: mark.into(), unix_ns: T0 + milliseconds * 1_000_000 }
    }

    fn view() -> JobView {
        let node = |name: &str, state: &str, detail: &str, timeline| DeploymentView {
            node: name.parse().unwrap(),
            state: state.into(),
            detail: detail.into(),
            since_unix_ns: T0 + 2_500_000_000,
            timeline,
            applied: vec![AppliedSetting { name: "vm.swappiness".into(), value: "1".into() }],
            console: vec![],
        };
        let first = vec![mark("requested", 0), mark("power_on", 150), mark("script_served", 2_500)];
        let second = vec![mark("requested", 1), mark("power_on", 155)];
        JobView {
            job: JobId(42),
            reference: JobReference::Job(JobId(42)),
            restart_count: 1,
            user: "alice".into(),
            partition: "bmc".into(),
            kernel: "thp-off".parse().unwrap(),
            image: "debian12".parse().unwrap(),
            application: None,
            state: JobState::Booting,
            nodes: vec![
                node("n1", "booting", "loads kernel and initrd", first),
                node("n2", "powering_on", "", second),
            ],
            failure: None,
            failed_tries: 0,
            power_off_after: true,
        }
    }

    #[test]
    fn a_job_shows_its_nodes_their_time_line_and_their_settings() {
        let expected = "\
job 42, try 2: booting
user alice, partition bmc, kernel thp-off, image debian12
NODE  STATE        SECONDS  DETAIL
n1    booting         1.25  loads kernel and initrd
n2    powering_on     1.25

MARK             n1    n2
requested      0.00  0.00
power_on       0.15  0.16
script_served  2.50     -

SETTING        VALUE  NODES
vm.swappiness  1      n[1-2]
";
        assert_eq!(render(&[view()], true, T0 + 3_750_000_000), expected);
    }

    #[test]
    fn a_list_has_no_time_lines_and_tells_failures() {
        let mut failed = view();
        failed.state = JobState::Failed;
        let reason = "kernel panic\u{1b}[31m".to_owned();
        failed.failure = Some(JobFailure { hold: true, node: Some("n1".parse().unwrap()), reason });
        failed.nodes.truncate(1);
        let expected = "\
job 42, try 2: failed
user alice, partition bmc, kernel thp-off, image debian12
failed: n1: kernel panic?[31m (the job is held)
NODE  STATE    SECONDS  DETAIL
n1    booting     0.00  loads kernel and initrd
";
        assert_eq!(render(&[failed], false, T0), expected);
    }

    #[test]
    fn a_failed_boot_shows_its_last_lines() {
        let mut failed = view();
        failed.state = JobState::Failed;
        failed.nodes.iter_mut().for_each(|node| (node.timeline, node.applied) = (vec![], vec![]));
        failed.nodes[1].console = vec!["booting".into(), "[ 1.0] Kernel panic\u{1b}[31m".into()];
        let text = render(&[failed.clone()], true, T0);
        let expected = "
console of n2 at the end of its boot:
  booting
  [ 1.0] Kernel panic?[31m
";
        assert!(text.ends_with(expected), "{text}");
        assert!(!render(&[failed], false, T0).contains("booting\n  "), "a list has no consoles");
    }

    #[test]
    fn an_application_image_shows_how_far_it_is() {
        let application = Some(preparation::tests::pulling());
        let text = render(&[JobView { application, ..view() }], false, T0);
        let expected =
            "docker://r.io/x:1\n  pulling: 12.0 MiB of 80.0 MiB, 4.0 MiB/s, 3 of 5 layers\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn no_job_is_a_sentence() {
        assert_eq!(render(&[], false, T0), "no job boots, runs or ends\n");
    }
}
