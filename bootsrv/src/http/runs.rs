//! Finished runs of a kernel, for who compares two of them.

use super::App;
use super::answer::{Answer, blocking, parse, refuse};
use super::auth::{Caller, Signed};
use crate::store::{KeptNode, KernelTry, StoreError};
use axum::Json;
use axum::extract::{Query, State as AppState};
use protocol::error::ErrorKind;
use protocol::names::{JobReference, KernelName, NodeName};
use protocol::runs::{Run, Runs};
use serde::Deserialize;
use std::collections::HashMap;

/// Most tries that one question looks at: the newest.
const TRIES_MAX: u32 = 1_000;
/// Nodes of these tries after which it looks at no more: each has a record of a KiB or more.
const NODES_MAX: usize = 20_000;
/// Both.
const MOST: (u32, usize) = (TRIES_MAX, NODES_MAX);

/// Query of the runs. Texts, so that what is wrong with them is told in our words.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RunsQuery {
    kernel: Option<String>,
    node: Option<String>,
    since_unix_ns: Option<String>,
}

/// The same, understood.
struct Wish {
    kernel: KernelName,
    node: Option<NodeName>,
    since_unix_ns: Option<i64>,
}

/// `GET /v1/runs`: users see their own.
pub(super) async fn list(
    AppState(app): AppState<App>,
    Query(query): Query<RunsQuery>,
    Signed { caller, body: () }: Signed<()>,
) -> Answer<Json<Runs>> {
    let wish = understand(&query)?;
    // A thousand records are read.
    blocking(move || Ok(Json(runs(&app, &wish, &caller, MOST)?))).await
}

fn understand(query: &RunsQuery) -> Answer<Wish> {
    let no_kernel = || refuse(ErrorKind::User, "a kernel has to be named: ?kernel=NAME");
    let time = |text: &String| {
        let time = text.parse().ok().filter(|time: &i64| *time >= 0);
        time.ok_or_else(|| {
            let text = format!("since_unix_ns is {text:?}: it is nanoseconds since 1970");
            refuse(ErrorKind::User, text)
        })
    };
    Ok(Wish {
        kernel: parse(query.kernel.as_deref().ok_or_else(no_kernel)?)?,
        node: query.node.as_deref().map(parse).transpose()?,
        since_unix_ns: query.since_unix_ns.as_ref().map(time).transpose()?,
    })
}

fn runs(
    app: &App,
    wish: &Wish,
    caller: &Caller,
    (tries_max, nodes_max): (u32, usize),
) -> Result<Runs, StoreError> {
    let store = &app.engine.store;
    let own = (!caller.admin).then_some(caller.uid);
    // One more than is looked at: whether there are more.
    let tries = store.tries_with_kernel(&wish.kernel, own, tries_max.saturating_add(1))?;
    let mut found =
        Runs { kernel: wish.kernel.clone(), runs: Vec::new(), tries_max, is_cut: false };
    let mut last_starts: HashMap<JobReference, u32> = HashMap::new();
    let mut nodes = 0_usize;
    for (index, one) in (0_u32..).zip(tries) {
        if index >= tries_max || nodes >= nodes_max {
            (found.tries_max, found.is_cut) = (index, true);
            break;
        }
        // Newest first: a try that was followed by another did not get to the end of its work.
        if *last_starts.entry(one.reference).or_insert(one.restart_count) > one.restart_count {
            continue;
        }
        let Some(ended_unix_ns) = one.ended_unix_ns else { continue };
        if wish.since_unix_ns.is_some_and(|since| ended_unix_ns < since) {
            continue;
        }
        let kept = store.kept_of_try(one.id);
        // One job's record that cannot be read must not hide the others.
        let Some(kept) = store.told("deployment", kept)? else { continue };
        nodes = nodes.saturating_add(kept.len());
        found.runs.extend(run(wish, &one, ended_unix_ns, kept));
    }
    Ok(found)
}

/// The run that a try was; `None`: it failed, is not complete, or is not what was asked for.
fn run(wish: &Wish, of: &KernelTry, ended_unix_ns: i64, kept: Vec<KeptNode>) -> Option<Run> {
    // A partition may give its nodes different kernels where the job asks for none.
    if kept.iter().any(|node| node.failed || node.kernel != wish.kernel) {
        return None;
    }
    let (nodes, records): (Vec<_>, Vec<_>) =
        kept.into_iter().map(|node| (node.node, node.energy)).unzip();
    if wish.node.as_ref().is_some_and(|node| !nodes.contains(node)) {
        return None;
    }
    let parts = energy::parts(&records.into_iter().collect::<Option<Vec<_>>>()?)?;
    Some(Run {
        reference: of.reference,
        restart_count: of.restart_count,
        kernel: wish.kernel.clone(),
        nodes,
        job_ns: parts.job_ns,
        job_millijoules: parts.job_millijoules,
        overhead_ns: parts.overhead_ns,
        overhead_millijoules: parts.overhead_millijoules,
        ended_unix_ns,
    })
}

#[cfg(test)]
mod tests {
    use super::super::application_tests::Fixture;
    use super::*;
    use crate::deployment::{Blame, Failure};
    use crate::examples::asked;
    use crate::pin::Pin;
    use crate::store::NewTry;
    use crate::token;
    use protocol::energy::{NodeEnergy, Stage, StageEnergy};

    const SECOND: i64 = 1_000_000_000;

    /// 20 s boot, 60 s job, 10 s shutdown; 1 J a second each.
    fn record(node: &NodeName, job_energy: Option<i64>, complete: bool) -> NodeEnergy {
        let mut from_unix_ns = 100 * SECOND;
        let stages = [
            (Stage::Firmware, 20, Some(20_000)),
            (Stage::Job, 60, job_energy),
            (Stage::Shutdown, 10, Some(10_000)),
        ];
        let stages = stages.map(|(stage, seconds, energy_millijoules)| {
            let from = from_unix_ns;
            from_unix_ns += seconds * SECOND;
            let json = serde_json::json!({
                "stage": stage, "from_unix_ns": from, "duration_ns": seconds * SECOND,
                "energy_millijoules": energy_millijoules, "estimated_millijoules": 0
            });
            serde_json::from_value::<StageEnergy>(json).unwrap()
        });
        let integral = energy::integrate(&[], &[], 0, &energy::Options::default());
        let integral = energy::Integral { stages: stages.into(), ..integral };
        energy::node_energy(node.clone(), Some("dcmi".into()), integral, complete)
    }

    /// A try of that job on these nodes with these kernels; it is over at that time.
    fn add(app: &App, job: u32, uid: u32, nodes: &[(&str, &str)], ended: i64) -> i64 {
        let store = &app.engine.store;
        let new = |(node, kernel): &(&str, &str)| {
            let (node, kernel) = (node.parse().unwrap(), kernel.parse().unwrap());
            token::new_deployment(node, kernel, "i".parse().unwrap(), Pin::of_nothing())
        };
        let asked = NewTry { uid, kernel: nodes[0].1.parse().unwrap(), ..asked(job) };
        let nodes: Vec<_> = nodes.iter().map(new).collect();
        let id = store.add_try(&asked, &nodes, 1).unwrap();
        store.end_try(id, ended).unwrap();
        for one in store.deployments_of_try(id).unwrap() {
            store.keep_energy(one.id, &record(&one.node, Some(60_000), true)).unwrap();
        }
        id
    }

    fn jobs(app: &App, wish: &Wish, caller: &Caller) -> Vec<String> {
        let runs = runs(app, wish, caller, MOST).unwrap();
        runs.runs.iter().map(|run| run.reference.to_string()).collect()
    }

    const ROOT: Caller = Caller { uid: 0, user: None, admin: true };

    fn of(kernel: &str) -> Wish {
        Wish { kernel: kernel.parse().unwrap(), node: None, since_unix_ns: None }
    }

    #[test]
    fn a_run_has_the_job_and_the_rest_apart_and_users_see_their_own() {
        let fixture = Fixture::new(false);
        let app = &fixture.app;
        add(app, 20, 7, &[("n1", "a"), ("n2", "a")], 1_000);
        add(app, 21, 8, &[("n1", "a")], 2_000);
        add(app, 22, 7, &[("n1", "b")], 3_000);
        let user = Caller { uid: 7, user: None, admin: false };
        let found = runs(app, &of("a"), &user, MOST).unwrap();
        let run = Run {
            reference: "20".parse().unwrap(),
            restart_count: 0,
            kernel: "a".parse().unwrap(),
            nodes: vec!["n1".parse().unwrap(), "n2".parse().unwrap()],
            job_ns: 60 * SECOND,
            job_millijoules: Some(120_000),
            overhead_ns: 30 * SECOND,
            overhead_millijoules: Some(60_000),
            ended_unix_ns: 1_000,
        };
        assert_eq!((found.runs, found.tries_max, found.is_cut), (vec![run], 1_000, false));
        assert_eq!(jobs(app, &of("a"), &ROOT), ["21", "20"], "newest first");
        let since = Wish { since_unix_ns: Some(2_000), ..of("a") };
        assert_eq!(jobs(app, &since, &ROOT), ["21"]);
        let node = Wish { node: Some("n2".parse().unwrap()), ..of("a") };
        assert_eq!(jobs(app, &node, &ROOT), ["20"]);
        assert!(jobs(app, &of("none"), &ROOT).is_empty());
        for most in [(1, 9), (9, 1)] {
            let cut = runs(app, &of("a"), &ROOT, most).unwrap();
            assert_eq!((cut.runs.len(), cut.tries_max, cut.is_cut), (1, 1, true));
        }
        assert!(!runs(app, &of("a"), &ROOT, (2, 9)).unwrap().is_cut);
    }

    #[test]
    fn only_a_try_that_is_over_whole_and_without_fault_is_a_run() {
        let fixture = Fixture::new(false);
        let app = &fixture.app;
        let store = &app.engine.store;
        let [failed, used, unknown, unreadable, open] = [20, 21, 22, 23, 24].map(|job| {
            let id = add(app, job, 7, &[("n1", "a")], 1_000);
            store.deployments_of_try(id).unwrap()[0].clone()
        });
        add(app, 25, 7, &[("n1", "a"), ("n2", "b")], 1_000);
        assert_eq!(jobs(app, &of("a"), &ROOT), ["24", "23", "22", "21", "20"], "25 is mixed");
        let failure = Failure { blame: Blame::Node, reason: "r".into() };
        store.change(failed.id, None, Some(&failure), &[], 2).unwrap();
        store.keep_energy(used.id, &record(&used.node, Some(1), false)).unwrap();
        store.keep_energy(unknown.id, &record(&unknown.node, None, true)).unwrap();
        store.spoil_energy(unreadable.id, Some("{"));
        store.spoil_energy(open.id, None);
        let found = runs(app, &of("a"), &ROOT, MOST).unwrap().runs;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].job_millijoules, found[0].job_ns), (None, 60 * SECOND));
        assert_eq!(store.unreadable().len(), 1);
    }

    /// The client's path, and the whole way behind the credential.
    #[tokio::test]
    async fn a_question_is_understood_as_the_client_asks_it() {
        let fixture = Fixture::new(false);
        let app = &fixture.app;
        for ended in [6, 7] {
            add(app, 20, 7, &[("n1", "k+1")], ended);
        }
        let ask = |query: &str| {
            let uri = format!("/v1/runs?{query}").parse().unwrap();
            let query = Query::try_from_uri(&uri).unwrap();
            let caller = Caller { uid: 7, user: None, admin: false };
            list(AppState(app.clone()), query, Signed { caller, body: () })
        };
        let found = ask("kernel=k%2B1&node=n1&since_unix_ns=7").await.unwrap().0;
        assert_eq!((found.kernel.as_str(), found.runs.len()), ("k+1", 1));
        assert_eq!(found.runs[0].ended_unix_ns, 7);
        assert_eq!(ask("kernel=k%2B1").await.unwrap().0.runs.len(), 2);
        assert_eq!(ask("node=n1").await.unwrap_err().0.kind, ErrorKind::User);
    }

    #[test]
    fn a_try_that_was_started_again_is_no_run() {
        let fixture = Fixture::new(false);
        let app = &fixture.app;
        let first = add(app, 20, 7, &[("n1", "a")], 1_000);
        let again = NewTry { restart_count: 1, kernel: "a".parse().unwrap(), ..asked(20) };
        app.engine.store.add_try(&again, &[], 1).unwrap();
        assert!(jobs(app, &of("a"), &ROOT).is_empty(), "{first}");
    }

    #[test]
    fn what_is_not_understood_is_told_in_a_sentence() {
        let text = |text: &str| Some(text.to_owned());
        let refused = |query: RunsQuery| understand(&query).err().unwrap().0.message;
        assert_eq!(refused(RunsQuery::default()), "a kernel has to be named: ?kernel=NAME");
        let kernel = || RunsQuery { kernel: text("a"), ..RunsQuery::default() };
        let said = refused(RunsQuery { kernel: text("../x"), ..kernel() });
        assert!(said.contains("../x"), "{said}");
        let said = refused(RunsQuery { node: text("n 1"), ..kernel() });
        assert!(said.contains("n 1"), "{said}");
        for time in ["", "yesterday", "-1", "99999999999999999999"] {
            let said = refused(RunsQuery { since_unix_ns: text(time), ..kernel() });
            assert!(said.ends_with("it is nanoseconds since 1970"), "{said}");
        }
        assert_eq!(understand(&kernel()).ok().unwrap().since_unix_ns, None);
    }
}
