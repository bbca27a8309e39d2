//! Who may see a job's power, how much of it, and what is said when it is gone.

use super::super::application_tests::Fixture;
use super::*;
use crate::clock::SECOND_NS;
use crate::deployment::{Mark, State};
use crate::examples::asked;
use crate::pin::Pin;
use crate::store::NewTry;
use crate::token;
use energy::Sample;
use protocol::energy::Accuracy;

const ROOT: Caller = Caller { uid: 0, user: None, admin: true };
const ALL: Most = (POINTS_MAX, NODES_MAX);

/// A try of job 20 of user 7, on from second 100 to second 200.
fn add(app: &App, restart_count: u32, nodes: &[&str]) -> Vec<Deployment> {
    let store = &app.engine.store;
    let new = |node: &&str| {
        let (kernel, image) = ("debian12".parse().unwrap(), "i".parse().unwrap());
        token::new_deployment(node.parse().unwrap(), kernel, image, Pin::of_nothing())
    };
    let asked = NewTry { uid: 7, restart_count, ..asked(20) };
    let nodes: Vec<_> = nodes.iter().map(new).collect();
    let id = store.add_try(&asked, &nodes, 1).unwrap();
    for one in store.deployments_of_try(id).unwrap() {
        let marks = [(Mark::PowerOn, 100 * SECOND_NS), (Mark::PowerOff, 200 * SECOND_NS)];
        store.change(one.id, None, None, &marks, 200 * SECOND_NS).unwrap();
    }
    store.deployments_of_try(id).unwrap()
}

/// 100 W each second, and 500 W at second 150.
fn read(app: &App, node: &str, seconds: std::ops::RangeInclusive<i64>) {
    for second in seconds {
        let milliwatts = if second == 150 { 500_000 } else { 100_000 };
        let sample = Sample { unix_ns: second * SECOND_NS, milliwatts };
        app.engine.store.add_sample(&node.parse().unwrap(), sample, "ipmi-dcmi").unwrap();
    }
}

fn job(number: u32) -> JobReference {
    number.to_string().parse().unwrap()
}

fn seen(app: &App, wish: &Wish, most: Most) -> Vec<JobPower> {
    power(app, job(20), wish, &ROOT, most).unwrap()
}

#[test]
fn the_readings_of_the_record_come_and_no_others() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    add(app, 0, &["n1", "n2"]);
    read(app, "n1", 90..=210);
    let found = seen(app, &Wish::default(), ALL);
    assert_eq!((found.len(), found[0].reference, found[0].restart_count), (1, job(20), 0));
    let [n1, n2] = &found[0].nodes[..] else { panic!("{found:?}") };
    assert_eq!((n1.node.as_str(), n1.kernel.as_str()), ("n1", "debian12"));
    assert_eq!((n1.readings, n1.is_reduced, n1.gone_until_unix_ns), (101, false, None));
    let times = [&n1.points[0], &n1.points[100]].map(|point| point.unix_ns / SECOND_NS);
    assert_eq!(times, [100, 200]);
    assert_eq!((n2.points.len(), n2.gone_until_unix_ns, n2.is_left_out), (0, None, false));
}

#[test]
fn a_long_series_is_reduced_and_says_so_and_its_peak_stays() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    add(app, 0, &["n1"]);
    read(app, "n1", 100..=200);
    let found = seen(app, &Wish::default(), (10, 1));
    let node = &found[0].nodes[0];
    assert_eq!((node.points.len(), node.readings, node.is_reduced), (10, 101, true));
    let peaks: Vec<_> =
        node.points.iter().filter(|point| point.most_milliwatts > 100_000).collect();
    assert_eq!(peaks.len(), 1);
    assert_eq!((peaks[0].least_milliwatts, peaks[0].most_milliwatts), (100_000, 500_000));
}

#[test]
fn an_answer_has_so_many_nodes_and_the_others_are_there_by_name() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    add(app, 0, &["n1"]);
    add(app, 1, &["n1", "n2"]);
    let left_out = |wish: &Wish, nodes_max| {
        let found = seen(app, wish, (9, nodes_max));
        let all = found.iter().flat_map(|one| one.nodes.iter().map(move |node| (one, node)));
        let name =
            |(one, node): (&JobPower, &NodePower)| format!("{}{}", node.node, one.restart_count);
        all.filter(|(_, node)| node.is_left_out).map(name).collect::<Vec<_>>()
    };
    assert_eq!(left_out(&Wish::default(), 1), ["n10", "n21"], "the newest come first");
    assert!(left_out(&Wish::default(), 3).is_empty());
    let second = Wish { restart_count: Some(1), node: Some("n2".parse().unwrap()) };
    assert!(left_out(&second, 1).is_empty());
    let found = seen(app, &second, ALL);
    assert_eq!((found.len(), found[0].nodes.len(), found[0].nodes[0].node.as_str()), (1, 1, "n2"));
    let none = Wish { restart_count: Some(5), node: None };
    assert!(seen(app, &none, ALL).is_empty());
}

#[test]
fn readings_that_are_gone_are_told_from_those_that_never_were() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    let store = &app.engine.store;
    // Not n1: that is in use by the fixture's job, so that its readings stay.
    let deployments = add(app, 0, &["n3", "n4"]);
    read(app, "n3", 95..=200);
    for one in &deployments {
        store.change(one.id, Some(State::Released), None, &[], 2).unwrap();
        let one = store.deployment(one.id).unwrap().unwrap();
        let record = energy_record::of_deployment(store, &one, Accuracy::ASSUMED).unwrap();
        store.keep_energy(one.id, &record).unwrap();
    }
    let gone = || {
        let nodes = seen(app, &Wish::default(), ALL).swap_remove(0).nodes;
        let gone =
            |node: NodePower| (node.points.len(), node.gone_until_unix_ns.map(|at| at / SECOND_NS));
        nodes.into_iter().map(gone).collect::<Vec<_>>()
    };
    assert_eq!(gone(), [(101, None), (0, None)]);
    let three_days_after = |second: i64| (3 * 24 * 3600 + second) * SECOND_NS;
    store.thin_samples(&deployments[0].node, three_days_after(151)).unwrap();
    assert_eq!(gone(), [(50, Some(151)), (0, None)]);
    store.thin_samples(&deployments[0].node, three_days_after(300)).unwrap();
    assert_eq!(gone(), [(0, Some(200)), (0, None)]);
}

#[test]
fn only_whoever_may_see_the_energy_sees_the_power() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    add(app, 0, &["n1"]);
    let ask = |number, uid| {
        let caller = Caller { uid, user: None, admin: false };
        power(app, job(number), &Wish::default(), &caller, ALL).map_err(|refused| refused.0.message)
    };
    assert_eq!(ask(20, 7).unwrap().len(), 1);
    // The same words: numbers of others' jobs are not to be probed.
    let words = |number| format!("job {number} did not use bare-metal containers, or is not yours");
    assert_eq!(ask(20, 8).unwrap_err(), words(20));
    assert_eq!(ask(21, 7).unwrap_err(), words(21));
}

/// The client's path, and the whole way behind the credential.
#[tokio::test]
async fn a_question_is_understood_as_the_client_asks_it() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    for restart_count in [0, 1] {
        add(app, restart_count, &["n1", "n2"]);
    }
    let ask = |query: &str| {
        let uri = format!("/v1/energy/20/power?{query}").parse().unwrap();
        let query = Query::try_from_uri(&uri).unwrap();
        let caller = Caller { uid: 7, user: None, admin: false };
        get(AppState(app.clone()), Path("20".into()), query, Signed { caller, body: () })
    };
    let found = ask("restart_count=1").await.unwrap().0;
    assert_eq!((found.len(), found[0].restart_count, found[0].nodes.len()), (1, 1, 2));
    assert_eq!(ask("node=n2").await.unwrap().0[1].nodes.len(), 1);
    assert_eq!(ask("").await.unwrap().0.len(), 2);
    for wrong in ["restart_count=-1", "restart_count=x", "node=n%201"] {
        assert_eq!(ask(wrong).await.unwrap_err().0.kind, ErrorKind::User, "{wrong}");
    }
}
