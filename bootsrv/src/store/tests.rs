//! Rows that decide something by themselves: who gets the secrets, and how many tries have failed.

use super::deployments::{self, BY_TOKEN, CURRENT, LIVE, LIVE_OF_NODE, OF_TRY};
use super::tries::{ALL_OF_ID, ALL_OF_PART, LATEST_OF_ID, LATEST_OF_PART, NEWEST_LIVE, select};
use super::{NewTry, PULLS_MAX, Store, Upload};
use crate::application;
use crate::application::request::tests::{example, prepared};
use crate::application::{Prepared, Request};
use crate::clock::SECOND_NS;
use crate::deployment::{Application, Blame, Failure, State};
use crate::examples;
use crate::pin::Pin;
use crate::token;
use protocol::api::RegistryCredential;
use protocol::boot::SECRETS_ASKED_SECONDS;
use protocol::names::{Digest, JobId};
use protocol::registry_credentials::Credential;
use rusqlite::StatementStatus;

fn asked(job: u32, reference: &str, restart_count: u32) -> NewTry {
    let reference = reference.parse().unwrap();
    NewTry { reference, restart_count, ..examples::asked(job) }
}

fn add_try(store: &Store, restart_count: u32, blame: Option<Blame>) -> i64 {
    let asked = asked(7, "7", restart_count);
    let node = |name: &str| {
        let (kernel, image) = (asked.kernel.clone(), asked.image.clone());
        token::new_deployment(name.parse().unwrap(), kernel, image, Pin::of_nothing())
    };
    let id = store.add_try(&asked, &[node("n1"), node("n2")], 1).unwrap();
    if let Some(blame) = blame {
        for one in store.deployments_of_try(id).unwrap() {
            let failure = Failure { blame, reason: "r".into() };
            store.change(one.id, None, Some(&failure), &[], 2).unwrap();
        }
    }
    id
}

#[test]
fn a_node_is_found_by_its_address_of_now() {
    let store = Store::in_memory().unwrap();
    let define = |name: &str, address: &str| {
        let text = format!(
            r#"{{"name":"{name}","mac":"52:54:00:00:00:01","address":"{address}","cpus":1,
            "power":{{"method":"ipmi","address":"10.77.1.11","user":"u","password":"p"}}}}"#
        );
        store.put_nodes(&[serde_json::from_str(&text).unwrap()]).unwrap();
    };
    let at = |from: &str| -> Vec<String> {
        let nodes = store.nodes_at(from.parse().unwrap()).unwrap();
        nodes.iter().map(ToString::to_string).collect()
    };
    define("n1", "10.77.0.11/24");
    define("n2", "fd77:0::c/64");
    assert_eq!((at("::ffff:10.77.0.11"), at("fd77::c")), (vec!["n1".into()], vec!["n2".into()]));
    let mac = "52:54:00:00:00:01".parse().unwrap();
    let with = |mac| store.node_with(mac).unwrap().map(|row| row.definition);
    assert_eq!(with(mac).unwrap().name.as_str(), "n1", "the first, where two have the same");
    define("n1", "10.77.0.12/24");
    assert!(at("10.77.0.11").is_empty());
    assert_eq!(at("10.77.0.12"), ["n1"]);
    assert_eq!(with(mac).unwrap().address, "10.77.0.12/24");
    assert_eq!(with("52:54:00:00:00:02".parse().unwrap()), None);
}

#[test]
fn secrets_go_to_one_boot_and_again_only_soon() {
    let store = Store::in_memory().unwrap();
    let try_id = add_try(&store, 0, None);
    let deployments = store.deployments_of_try(try_id).unwrap();
    let take = |boot_id, second: i64| {
        store.take_secrets(deployments[0].id, boot_id, 100 + second * SECOND_NS).unwrap()
    };
    assert!(take("a", 0));
    let asked = i64::from(SECRETS_ASKED_SECONDS);
    assert!(take("a", asked), "the answer was lost with us, and the agent still asks");
    assert!(!take("b", asked), "another boot, or a thief");
    assert!(take("a", 89));
    assert!(!take("a", 91), "the time counts from the first");
    // Another boot has reported with this token before.
    store.note_agent(deployments[1].id, "a", &[]).unwrap();
    assert!(!store.take_secrets(deployments[1].id, "b", 1).unwrap());
    assert!(store.take_secrets(deployments[1].id, "a", 1).unwrap());
}

#[test]
fn only_tries_of_this_job_that_a_node_failed_count() {
    let store = Store::in_memory().unwrap();
    let count = |id| store.failed_tries(JobId(7), id).unwrap();
    // An older job of the same number.
    add_try(&store, 0, Some(Blame::Node));
    let of_the_older = add_try(&store, 1, Some(Blame::Node));
    assert_eq!(count(of_the_older), 2);
    assert_eq!(count(add_try(&store, 0, None)), 0);
    let failed = add_try(&store, 1, Some(Blame::Node));
    assert_eq!(count(failed), 1, "two bad nodes fail one try");
    // Requeued by its owner, which leads to another start; and a profile that does not fit.
    assert_eq!(count(add_try(&store, 3, None)), 1);
    assert_eq!(count(add_try(&store, 4, Some(Blame::Job))), 1);
    assert_eq!(count(add_try(&store, 5, Some(Blame::Node))), 2);
    assert_eq!(count(failed), 1);
}

/// Slurm gives the last task of an array, and the first component of a heterogeneous job, the id
/// of the whole.
#[test]
fn a_plain_id_stands_for_all_parts() {
    let store = Store::in_memory().unwrap();
    for (job, reference, restart_count) in [
        (10, "9_0", 0),
        (9, "9_2", 0),
        (11, "9_1", 0),
        (10, "9_0", 1),
        (90, "90_0", 0),
        (7, "7", 0),
    ] {
        store.add_try(&asked(job, reference, restart_count), &[], 1).unwrap();
    }
    let tries = |reference: &str| -> Vec<String> {
        let tries = store.tries_of(reference.parse().unwrap()).unwrap();
        tries
            .iter()
            .map(|one| format!("{} {}", one.asked.reference, one.asked.restart_count))
            .collect()
    };
    assert_eq!(tries("9"), ["9_0 0", "9_0 1", "9_1 0", "9_2 0"]);
    assert_eq!(tries("9_0"), ["9_0 0", "9_0 1"]);
    assert_eq!(tries("11"), ["9_1 0"], "its own id is good too");
    assert!(tries("9_7").is_empty() && tries("8").is_empty());
    store.add_try(&asked(12, "9+1", 0), &[], 1).unwrap();
    assert_eq!(tries("9").len(), 5, "9 was an array first, and is a heterogeneous job now");
    let latest = |reference: &str| {
        let latest = store.latest_try_of(reference.parse().unwrap()).unwrap();
        latest.map(|one| format!("{} {}", one.asked.reference, one.asked.restart_count))
    };
    assert_eq!(latest("9_0").unwrap(), "9_0 1");
    assert_eq!(latest("9").unwrap(), "9_2 0", "the task that has the whole's id");
    assert_eq!((latest("9_7"), latest("8")), (None, None));
}

/// Each job is asked for many times, and the store keeps every try for ever.
#[test]
fn looking_for_a_job_reads_no_other_jobs() {
    let store = Store::in_memory().unwrap();
    for rest in [LATEST_OF_ID, LATEST_OF_PART, ALL_OF_ID, ALL_OF_PART, NEWEST_LIVE] {
        let connection = store.lock();
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", select(rest))).unwrap();
        let steps: Vec<String> =
            plan.query_map(["9"], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
        assert!(steps.iter().any(|step| step.contains("SEARCH try USING ")), "{steps:?}");
        assert!(!steps.iter().any(|step| reads_all(step)), "{steps:?}");
    }
}

/// Whether a step of SQLite's plan goes through all rows; those that live are few.
fn reads_all(step: &str) -> bool {
    step.contains("SCAN") && !step.contains("INDEX deployment_live")
}

/// Each boot asks some dozen times, and the store keeps every deployment for ever.
#[test]
fn looking_for_a_deployment_reads_none_that_is_over() {
    let store = Store::in_memory().unwrap();
    for rest in [LIVE, LIVE_OF_NODE, OF_TRY, BY_TOKEN, CURRENT] {
        let connection = store.lock();
        let sql = format!("EXPLAIN QUERY PLAN {}", deployments::select(rest));
        let mut plan = connection.prepare(&sql).unwrap();
        let values = vec!["9"; plan.parameter_count()];
        let steps = plan.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap();
        let steps: Vec<String> = steps.collect::<Result<_, _>>().unwrap();
        assert!(!steps.iter().any(|step| reads_all(step)), "{rest}: {steps:?}");
    }
}

#[test]
fn a_plan_is_made_once() {
    let store = Store::in_memory().unwrap();
    add_try(&store, 0, None);
    let connection = store.lock();
    for sql in [deployments::select(OF_TRY), deployments::select(CURRENT), select(LATEST_OF_ID)] {
        for value in ["n1", "1", "n1"] {
            let mut statement = connection.prepare_cached(&sql).unwrap();
            statement.query_map([value], |_| Ok(())).unwrap().for_each(drop);
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
        }
    }
}

#[test]
fn what_a_node_is_about_is_its_newest_that_lives() {
    let store = Store::in_memory().unwrap();
    let node = "n1".parse().unwrap();
    assert_eq!(store.current_on(&node).unwrap(), None);
    let tries = [0, 1].map(|restart_count| add_try(&store, restart_count, None));
    let [first, second] = tries.map(|of| store.deployments_of_try(of).unwrap()[0].id);
    let current = || store.current_on(&node).unwrap().unwrap().id;
    assert_eq!(current(), second);
    store.change(second, Some(State::Released), None, &[], 2).unwrap();
    assert_eq!(current(), first, "the newer one is over");
    store.change(first, Some(State::Released), None, &[], 3).unwrap();
    assert_eq!(current(), second);
}

fn application_try(store: &Store, request: Request, image: Option<Prepared>) -> i64 {
    let mut asked = asked(7, "7", 0);
    (asked.application, asked.application_image) = (Some(request), image);
    let (kernel, image) = (asked.kernel.clone(), asked.image.clone());
    let node = token::new_deployment("n1".parse().unwrap(), kernel, image, Pin::of_nothing());
    store.add_try(&asked, &[node], 1).unwrap()
}

#[test]
fn a_try_waits_for_its_image_until_it_has_it_or_is_over() {
    let store = Store::in_memory().unwrap();
    let waiting = || -> Vec<i64> {
        store.tries_waiting_for_image().unwrap().iter().map(|one| one.id).collect()
    };
    add_try(&store, 0, None);
    let (one, two) =
        (application_try(&store, example(), None), application_try(&store, example(), None));
    application_try(&store, example(), Some(prepared(1)));
    assert_eq!(waiting(), [one, two]);
    let pinned = Request { reference: example().reference.pinned(Digest([9; 32])), ..example() };
    store.set_application(one, &pinned).unwrap();
    store.set_application_image(one, &prepared(2)).unwrap();
    assert_eq!(waiting(), [two]);
    let read = store.one_try(one).unwrap().unwrap().asked;
    assert_eq!((read.application, read.application_image), (Some(pinned), Some(prepared(2))));
    assert!(store.pinned().unwrap().contains(&Digest([2; 32])), "its layers stay");
    let in_use = store.images_in_use().unwrap();
    assert!(in_use.contains(&Digest([9; 32])) && in_use.contains(&Digest([1; 32])));

    let failure = Failure { blame: Blame::Job, reason: "r".into() };
    let deployment = store.deployments_of_try(two).unwrap()[0].id;
    assert_eq!(store.deployment(deployment).unwrap().unwrap().application, Application::Awaited);
    store.change(deployment, None, Some(&failure), &[], 2).unwrap();
    assert!(waiting().is_empty());
    store.note_application_ready(deployment).unwrap();
    assert_eq!(store.deployment(deployment).unwrap().unwrap().application, Application::Ready);
    for one in store.live_deployments().unwrap() {
        store.change(one.id, Some(State::Released), None, &[], 3).unwrap();
    }
    assert!(store.images_in_use().unwrap().is_empty());
}

#[test]
fn a_credential_lives_until_its_image_is_pulled() {
    let store = Store::in_memory().unwrap();
    let (image, pinned) = (example().reference, example().reference.pinned(Digest([1; 32])));
    let login = Credential::Password { user: "a".into(), password: "b".into() };
    let credential = RegistryCredential { registry: "r.io".into(), login };
    for uid in [7, 8] {
        store.keep_credential(uid, &image, &credential, 10).unwrap();
    }
    assert_eq!(store.credential(7, &image).unwrap().as_ref(), Some(&credential));
    store.copy_credential(7, &image, &pinned).unwrap();
    assert_eq!(store.credential(7, &image).unwrap().as_ref(), Some(&credential));
    assert_eq!(store.credential(7, &pinned).unwrap().as_ref(), Some(&credential));
    // By another tag of the same content.
    let text = format!("docker://r.io/x:2@sha256:{}", Digest([1; 32]));
    store.keep_credential(8, &pinned, &credential, 10).unwrap();
    store.forget_credentials(7, &text.parse().unwrap()).unwrap();
    assert_eq!(store.credential(7, &pinned).unwrap(), None);
    assert!(store.credential(8, &pinned).unwrap().is_some(), "another's");
    store.forget_credentials(8, &pinned).unwrap();
    assert!(store.credential(8, &image).unwrap().is_some(), "for what is not pinned");
    let digest = Digest([1; 32]);
    store.admit(7, &digest, 20).unwrap();
    assert!(store.is_admitted(7, &digest).unwrap() && !store.is_admitted(8, &digest).unwrap());
    assert_eq!(store.forget_old_credentials(15).unwrap(), 2, "for what was not pinned");
    assert!(store.is_admitted(7, &digest).unwrap());
}

#[test]
fn a_user_has_only_so_many_credentials_kept() {
    let store = Store::in_memory().unwrap();
    let login = Credential::Password { user: "a".into(), password: "b".into() };
    let credential = RegistryCredential { registry: "r.io".into(), login };
    let image = |number: i64| format!("docker://r.io/x:{number}").parse().unwrap();
    store.keep_credential(8, &image(0), &credential, 0).unwrap();
    for number in 0..=128 {
        store.keep_credential(7, &image(number), &credential, number).unwrap();
    }
    assert_eq!(store.credential(7, &image(0)).unwrap(), None, "the oldest");
    assert!(store.credential(7, &image(1)).unwrap().is_some());
    assert!(store.credential(8, &image(0)).unwrap().is_some(), "another's");
}

#[test]
fn a_user_has_only_so_many_admissions() {
    let store = Store::in_memory().unwrap();
    let digest = |number: i64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Digest(bytes)
    };
    store.admit(8, &digest(0), 0).unwrap();
    for number in 0..=1024 {
        store.admit(7, &digest(number), number).unwrap();
    }
    let admitted = |uid, number| store.is_admitted(uid, &digest(number)).unwrap();
    assert!(!admitted(7, 0), "the oldest");
    assert!(admitted(7, 1) && admitted(7, 1024));
    assert!(admitted(8, 0), "another's");
}

#[test]
fn a_user_wants_only_so_many_images_and_not_for_ever() {
    let store = Store::in_memory().unwrap();
    let image = |number: u32| {
        format!("docker://r.io/x:{number}@sha256:{}", "ab".repeat(32)).parse().unwrap()
    };
    for number in 0..PULLS_MAX {
        assert!(store.add_pull(&image(number), 7, number.into()).unwrap(), "{number}");
    }
    assert!(!store.add_pull(&image(PULLS_MAX), 7, 99).unwrap());
    assert!(store.add_pull(&image(0), 7, 99).unwrap(), "it is under way already");
    assert!(store.add_pull(&image(PULLS_MAX), 8, 99).unwrap(), "another's");
    assert_eq!(store.end_old_pulls(30).unwrap(), 30);
    assert!(store.add_pull(&image(PULLS_MAX), 7, 99).unwrap());
}

#[test]
fn pulls_and_uploads_are_kept_once() {
    let store = Store::in_memory().unwrap();
    let pinned = |text: &str| format!("{text}@sha256:{}", "ab".repeat(32)).parse().unwrap();
    store.add_pull(&pinned("docker://r.io/x:1"), 7, 1).unwrap();
    store.add_pull(&pinned("docker://r.io/x:1"), 7, 2).unwrap();
    store.add_pull(&pinned("docker://r.io/x:2"), 7, 3).unwrap();
    store.add_pull(&pinned("docker://r.io/x:1"), 8, 4).unwrap();
    let whose = || store.pulls().unwrap().iter().map(|(_, uid)| *uid).collect::<Vec<_>>();
    assert_eq!(whose(), [7, 7, 8]);
    let key = application::key(&pinned("docker://r.io/x"));
    assert_eq!(store.end_pulls(7, |image| application::key(image) == key).unwrap(), 2);
    assert_eq!(whose(), [8], "another user waits for it still");

    let sha256 = Digest([1; 32]);
    let upload = Upload { sha256, uid: 7, bytes: 5, used_unix_ns: 1 };
    store.add_upload(&upload).unwrap();
    store.add_upload(&Upload { uid: 8, used_unix_ns: 2, ..upload.clone() }).unwrap();
    let used = Upload { used_unix_ns: 3, ..upload };
    assert_eq!(store.use_upload(&sha256, 3).unwrap(), Some(used.clone()), "the first sender's");
    assert_eq!(store.uploads().unwrap(), [used]);
    store.remove_upload(&sha256).unwrap();
    assert_eq!(store.use_upload(&sha256, 4).unwrap(), None);
}

/// A store as bootsrv 0.1 of schema 2 wrote it, with a job on its way.
#[test]
fn a_store_of_schema_2_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("schema_2.sql")).unwrap();
    let artifact = |byte: u8| format!(r#"{{"sha256":"{}","bytes":1}}"#, Digest([byte; 32]));
    let pin = format!(
        r#"{{"release":"6.1.0","vmlinuz":{},"initrd":{},"modules":{},"profile":{},"root":{},
            "init":["/sbin/init"],"mounts":[]}}"#,
        artifact(1),
        artifact(2),
        artifact(3),
        serde_json::to_string(&Pin::of_nothing().profile).unwrap(),
        artifact(4)
    );
    old.execute_batch(
        "INSERT INTO try (id, job, reference, restart_count, user, uid, partition, kernel, image, \
         power_off_after, created) VALUES (1, 7, '7', 0, 'alice', 2001, 'bmc', 'k', 'i', 1, 5);",
    )
    .unwrap();
    old.execute(
        "INSERT INTO deployment (id, try, job, node, kernel, image, pin, state, since, token_sha256) \
         VALUES (1, 1, 7, 'n1', 'k', 'i', ?, 'ready', 6, 'x')",
        [&pin],
    )
    .unwrap();
    old.pragma_update(None, "user_version", 2).unwrap();
    drop(old);

    for _ in ["migrated", "opened again"] {
        let store = Store::open(&path).unwrap();
        let one = store.latest_try(JobId(7)).unwrap().unwrap();
        assert_eq!((one.asked, one.ended), (asked(7, "7", 0), false));
        let deployment = store.deployment(1).unwrap().unwrap();
        assert_eq!((deployment.state, deployment.application), (State::Ready, Application::None));
        assert_eq!(store.pin(1).unwrap(), Pin::of_nothing());
        assert!(store.pulls().unwrap().is_empty());
    }
    let columns = |store: &Store| -> Vec<String> {
        let connection = store.lock();
        let sql = "SELECT m.name || '.' || p.name || ' ' || p.type || p.pk FROM sqlite_master m, \
                   pragma_table_info(m.name) p WHERE m.type = 'table' ORDER BY 1";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let fresh = Store::in_memory().unwrap();
    assert_eq!(columns(&Store::open(&path).unwrap()), columns(&fresh), "the same as a new one");
    let indices = |store: &Store| -> Vec<String> {
        let connection = store.lock();
        let sql = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql <> '' ORDER BY name";
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(indices(&Store::open(&path).unwrap()), indices(&fresh));
}

/// A row that a bug has written is one job's trouble.
#[test]
fn a_row_that_cannot_be_read_is_left_out_of_lists() {
    let store = Store::in_memory().unwrap();
    let request = NewTry { application: Some(example()), ..asked(7, "7", 0) };
    let add = |name: &str| {
        let (kernel, image) = (request.kernel.clone(), request.image.clone());
        let node = token::new_deployment(name.parse().unwrap(), kernel, image, Pin::of_nothing());
        store.add_try(&request, &[node], 1).unwrap()
    };
    let (bad, good) = (add("n1"), add("n2"));
    let long = format!("docker://{}.io/x", "a".repeat(2000));
    let change = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        assert_eq!(store.lock().execute(sql, values).unwrap(), 1);
    };
    let broken = serde_json::to_string(&example()).unwrap().replace("docker://r.io/x:1", &long);
    change("UPDATE try SET application = ? WHERE id = ?", &[&broken, &bad]);
    change("INSERT INTO pull VALUES (7, ?, 1)", &[&long]);
    assert!(store.add_pull(&example().reference, 8, 2).unwrap());
    let ids = |tries: Vec<super::Try>| tries.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(store.tries_waiting_for_image().unwrap()), [good]);
    assert_eq!(ids(store.tries_with_image().unwrap()), [good]);
    assert_eq!(ids(store.recent_tries(true, 9).unwrap()), [good]);
    assert_eq!(store.pulls().unwrap(), [(example().reference, 8)]);
    assert!(store.one_try(bad).is_err(), "who asks for it is told");
    assert_eq!(store.live_deployments().unwrap().len(), 2);
    change("UPDATE deployment SET state = 'x' WHERE try = ?", &[&bad]);
    assert_eq!(store.live_deployments().unwrap().len(), 1);
    assert!(store.deployments_of_try(bad).is_err());
    let told = store.unreadable.lock().unwrap().len();
    assert_eq!(told, 3, "each once");
}

#[test]
fn a_damaged_file_is_refused_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.sqlite");
    drop(Store::open(&path).unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let error = crate::chain(&Store::open(&path).unwrap_err());
    assert!(error.contains("store.sqlite") && error.contains("not a database"), "{error}");
}
