//! The service with a real store, hub and puller; without a registry.

use super::*;
use crate::application::request::tests::example;
use crate::application::{keeping, uploads};
use crate::clock::SECOND_NS;
use crate::config::Config;
use crate::deployment::{Application, State, view};
use crate::examples::asked;
use crate::pin::Pin;
use crate::power::Fleet;
use crate::slurm_queue::SlurmQueue;
use crate::store::{NewTry, Store};
use crate::token;
use protocol::api::{JobState, RegistryCredential};
use protocol::application::PreparationState;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};

const CONFIG: &str = r#"
    state_dir = "STATE"
    profiles_dir = "/p"
    listen = { http = "127.0.0.1:1", https = "127.0.0.1:2" }
    url = { http = "http://a", https = "https://a" }
    slurm = { user = "slurm", conf_server = "a:1" }
    application_images = { tries = 1, prepare_seconds = 60 }
"#;

fn service() -> (tempfile::TempDir, Service) {
    let directory = tempfile::tempdir().unwrap();
    let text = CONFIG.replace("STATE", &directory.path().to_string_lossy());
    let config: Arc<Config> = Arc::new(toml::from_str(&text).unwrap());
    std::fs::create_dir(uploads::directory(&config)).unwrap();
    let (slurm, _words) = SlurmQueue::recorded();
    let store = Arc::new(Store::in_memory().unwrap());
    let hub = Arc::new(Hub::open(&config, "/none".as_ref()).unwrap());
    let engine = Arc::new(Engine::new(store, config, Fleet::default(), slurm));
    (directory, Service { engine, hub, waits: Waits::default() })
}

/// A job of that user with one node.
fn job(service: &Service, job: u32, uid: u32, image: &str, created: i64) -> i64 {
    let choice: ImageChoice = image.parse().unwrap();
    let ImageChoice::Reference(reference) = choice.clone() else { panic!("{image}") };
    let asked = NewTry {
        uid,
        application: Some(crate::application::Request { choice, reference, ..example() }),
        ..asked(job)
    };
    let (kernel, image) = (asked.kernel.clone(), asked.image.clone());
    let node = format!("n{job}").parse().unwrap();
    let node = token::new_deployment(node, kernel, image, Pin::of_nothing());
    service.engine.store.add_try(&asked, &[node], created).unwrap()
}

fn wished(service: &Service) -> Vec<Wish> {
    service.wanted(now_unix_ns()).unwrap().wishes
}

fn shown(service: &Service, try_id: i64) -> protocol::api::JobView {
    let one = service.engine.store.one_try(try_id).unwrap().unwrap();
    view::job(&service.engine, &one).unwrap()
}

fn reference(service: &Service, try_id: i64) -> ImageReference {
    let one = service.engine.store.one_try(try_id).unwrap().unwrap();
    one.asked.application.unwrap().reference
}

/// A root file system as a directory is sent, and its pinned reference.
fn upload(service: &Service) -> String {
    upload_of(service, "hello")
}

fn upload_of(service: &Service, text: &str) -> String {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "./etc/motd", text.as_bytes()).unwrap();
    let bytes = builder.into_inner().unwrap();
    let digest = Digest(Sha256::digest(&bytes).into());
    std::fs::write(uploads::path(&service.engine.config, &digest), bytes).unwrap();
    format!("dir:/home/alice/root@sha256:{digest}")
}

/// As if they had sent the bytes.
fn admit(service: &Service, uid: u32, image: &str) {
    let content = crate::application::admission(&image.parse().unwrap()).unwrap();
    service.engine.store.admit(uid, &content, now_unix_ns()).unwrap();
}

#[test]
fn a_user_has_one_work_for_one_content_of_one_place() {
    let digest = "ab".repeat(32);
    let wish = |text: &str, uid, admitted, has_credential| Wish {
        uid,
        admitted,
        has_credential,
        reference: text.parse().unwrap(),
    };
    let pinned = format!("docker://r.io/x@sha256:{digest}");
    let tagged = format!("docker://r.io/x:1@sha256:{digest}");
    let works = works(vec![
        wish(&pinned, 1, true, false),
        wish(&tagged, 1, true, true),
        wish(&pinned, 1, true, false),
        wish(&format!("docker://evil.io/x@sha256:{digest}"), 1, true, false),
        wish(&pinned, 2, true, true),
        wish(&pinned, 2, false, true),
        wish("docker://r.io/x", 1, false, false),
        wish("docker://r.io/x", 1, false, false),
    ]);
    assert_eq!(works.len(), 5, "{works:?}");
    let text = |wish: &Wish| wish.reference.to_string();
    assert!(works.values().any(|wish| wish.uid == 1 && text(wish) == tagged), "has a credential");
}

#[tokio::test]
async fn jobs_with_one_file_get_one_image() {
    let (_directory, service) = service();
    let image = upload(&service);
    let now = now_unix_ns();
    [2001, 2002].iter().for_each(|uid| admit(&service, *uid, &image));
    let tries = [
        job(&service, 1, 2001, &image, now),
        job(&service, 2, 2001, &image, now),
        job(&service, 3, 2002, &image, now),
    ];
    let works = works(wished(&service));
    assert_eq!(works.len(), 2, "one a user");
    assert_eq!(shown(&service, tries[0]).application.unwrap().state, PreparationState::Resolving);
    for wish in works.values() {
        service.work(wish).await;
    }
    for id in tries {
        let application = shown(&service, id).application.unwrap();
        assert_eq!(application.state, PreparationState::Ready, "{application:?}");
        assert_eq!(application.layers_total, Some(1));
    }
    let layers: Vec<_> = tries
        .iter()
        .map(|id| service.engine.store.one_try(*id).unwrap().unwrap().asked.application_image)
        .map(|image| image.unwrap().layers)
        .collect();
    assert_eq!((&layers[0], &layers[0]), (&layers[1], &layers[2]));
    assert!(service.hub.path(&layers[0][0].sha256).is_file());
    assert!(wished(&service).is_empty());
}

#[tokio::test]
async fn bad_references_of_others_do_not_fail_a_job() {
    let (_directory, service) = service();
    let image = upload(&service);
    let now = now_unix_ns();
    [2001, 2002].iter().for_each(|uid| admit(&service, *uid, &image));
    let good = job(&service, 1, 2001, &image, now);
    // The same bytes as another kind, and the same digest in a registry of their own.
    let kind = job(&service, 2, 2002, &image.replace("dir:", "squashfs:"), now);
    let elsewhere = image.replace("dir:/home/alice/root", "docker://127.0.0.1:1/x");
    admit(&service, 2002, &elsewhere);
    let elsewhere = job(&service, 3, 2002, &elsewhere, now);
    let works = works(wished(&service));
    assert_eq!(works.len(), 3);
    for wish in works.values().filter(|wish| wish.uid == 2002) {
        service.refused(wish, &PrepareError::user("authentication required")).unwrap();
    }
    for bad in [kind, elsewhere] {
        assert_eq!(shown(&service, bad).failure.unwrap().reason, "authentication required");
    }
    let job = shown(&service, good);
    assert!(job.failure.is_none(), "{job:?}");
    assert_eq!(job.application.unwrap().state, PreparationState::Resolving);
    service.work(works.values().find(|wish| wish.uid == 2001).unwrap()).await;
    assert_eq!(shown(&service, good).application.unwrap().state, PreparationState::Ready);
}

#[test]
fn a_registrys_word_counts_for_its_own_repository() {
    let (_directory, service) = service();
    let image = |place: &str| format!("docker://{place}@sha256:{}", Digest([9; 32]));
    admit(&service, 2001, &image("evil.io/x"));
    let admitted = |place: &str| service.is_admitted(&image(place).parse().unwrap(), 2001).unwrap();
    assert!(admitted("evil.io/x") && admitted("evil.io/x:tag"));
    assert!(!admitted("r.io/x") && !admitted("evil.io/private"));
}

#[test]
fn a_credential_that_one_user_sent_is_used_for_nobody_else() {
    let (_directory, service) = service();
    let image: ImageReference =
        format!("docker://r.io/x@sha256:{}", Digest([9; 32])).parse().unwrap();
    let login = Credential::Password { user: "a".into(), password: "wrong".into() };
    let login = RegistryCredential { registry: "r.io".into(), login };
    service.engine.store.keep_credential(2002, &image, &login, 1).unwrap();
    for uid in [2001, 2002] {
        admit(&service, uid, &image.to_string());
        job(&service, uid, uid, &image.to_string(), now_unix_ns());
    }
    let works = works(wished(&service));
    let of = |uid| works.values().find(|wish| wish.uid == uid).unwrap();
    assert!(service.credential(of(2001)).is_none() && service.credential(of(2002)).is_some());
    // What the registry is to blame for today, it may do tomorrow; a wrong password stays wrong.
    service.refused(of(2002), &PrepareError::site("r.io is down")).unwrap();
    assert!(service.credential(of(2002)).is_some());
    service.refused(of(2002), &PrepareError::user("wrong password")).unwrap();
    assert!(service.credential(of(2002)).is_none());
}

#[tokio::test]
async fn an_image_that_kills_bootsrv_is_not_begun_for_ever() {
    let (_directory, service) = service();
    let image = upload(&service);
    admit(&service, 2001, &image);
    let id = job(&service, 1, 2001, &image, now_unix_ns());
    let wish = wished(&service).remove(0);
    for starts in 1..=STARTS_MAX {
        assert_eq!(service.engine.store.begin_preparation(&wish.name()).unwrap(), starts);
    }
    service.engine.store.begin_preparation("of a job that was cancelled since").unwrap();
    service.clean(now_unix_ns()).unwrap();
    assert_eq!(
        service.engine.store.begin_preparation("of a job that was cancelled since").unwrap(),
        1
    );
    service.work(&wish).await;
    let failure = shown(&service, id).failure.unwrap();
    assert!(failure.hold && failure.reason.contains("was killed 3 times"), "{failure:?}");
    // Whoever releases the job wants it tried.
    let again = job(&service, 2, 2001, &image, now_unix_ns());
    service.work(&wish).await;
    assert_eq!(shown(&service, again).application.unwrap().state, PreparationState::Ready);
    assert_eq!(service.engine.store.begin_preparation(&wish.name()).unwrap(), 1, "it ended");
}

/// Nothing but the notice wakes the service within these seconds.
#[tokio::test]
async fn who_comes_is_served_at_once_and_not_at_the_next_look() {
    let (_directory, service) = service();
    let image = upload(&service);
    admit(&service, 2001, &image);
    let running = tokio::spawn(run(service.clone()));
    for number in 1..=3 {
        let begin = std::time::Instant::now();
        let id = job(&service, number, 2001, &image, now_unix_ns());
        service.engine.image_wanted.notify_one();
        while shown(&service, id).application.unwrap().state != PreparationState::Ready {
            assert!(begin.elapsed() < TICK / 2, "job {number} waits for the next look");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    running.abort();
}

#[test]
fn the_service_sleeps_until_the_first_job_has_waited_for_too_long() {
    let (_directory, service) = service();
    let now = now_unix_ns();
    assert!(service.wanted(now).unwrap().rest > TICK);
    let image = format!("dir:/r@sha256:{}", Digest([7; 32]));
    job(&service, 1, 2001, &image, now - 20 * SECOND_NS);
    job(&service, 2, 2001, &image, now - 58 * SECOND_NS);
    assert_eq!(service.wanted(now).unwrap().rest.as_secs(), 2);
}

#[tokio::test]
async fn a_job_does_not_get_the_file_of_another_user() {
    let (_directory, service) = service();
    let image = upload(&service);
    admit(&service, 2001, &image);
    let now = now_unix_ns();
    let (own, guessed) = (job(&service, 1, 2001, &image, now), job(&service, 2, 2002, &image, now));
    // The same digest as a registry's image: another content, whoever has the bytes.
    let manifest = image.replace("dir:/home/alice/root", "docker://r.io/x");
    let other = job(&service, 3, 2001, &manifest, now);
    let works = works(wished(&service));
    assert_eq!(works.len(), 3);
    let wish = |test: &dyn Fn(&Wish) -> bool| works.values().find(|wish| test(wish)).unwrap();
    service.work(wish(&|wish| wish.uid == 2002)).await;
    let failure = shown(&service, guessed).failure.unwrap();
    assert!(failure.hold && failure.reason.contains("was not sent"), "{failure:?}");
    let view = service.engine.images.view(2001, &image.parse().unwrap());
    assert!(view.is_none(), "the owner does not see the refusal: {view:?}");
    service.work(wish(&|wish| wish.admitted)).await;
    assert_eq!(shown(&service, own).application.unwrap().state, PreparationState::Ready);
    let image = |id| service.engine.store.one_try(id).unwrap().unwrap().asked.application_image;
    assert!(image(own).is_some() && image(guessed).is_none() && image(other).is_none());
}

#[tokio::test]
async fn a_full_disk_loses_images_that_nothing_uses_and_no_others() {
    let (directory, service) = service();
    let image = upload(&service);
    admit(&service, 2001, &image);
    let id = job(&service, 1, 2001, &image, now_unix_ns());
    service.work(works(wished(&service)).values().next().unwrap()).await;
    let room = |bytes| keeping::make_room(&service.engine, &service.hub, bytes).unwrap();
    assert_eq!(room(1), [], "a job uses it");
    for deployment in service.engine.store.deployments_of_try(id).unwrap() {
        service.engine.store.change(deployment.id, Some(State::Released), None, &[], 2).unwrap();
    }
    assert_eq!(room(u64::MAX), [], "it would not help");
    // A layer of no image, as those of an image on its way: it stays, and must not count.
    let orphan = upload_of(&service, &"orphan".repeat(1000));
    admit(&service, 2001, &orphan);
    let other = job(&service, 2, 2001, &orphan, now_unix_ns());
    service.work(works(wished(&service)).values().next().unwrap()).await;
    let one = service.engine.store.one_try(other).unwrap().unwrap();
    let digest = one.asked.application_image.unwrap().digest;
    for deployment in service.engine.store.deployments_of_try(other).unwrap() {
        service.engine.store.change(deployment.id, Some(State::Released), None, &[], 2).unwrap();
    }
    std::fs::remove_file(directory.path().join(format!("prepared/{digest}.json"))).unwrap();
    assert_eq!(service.hub.application().shelf().layers().unwrap().len(), 2);
    assert_eq!(room(1).len(), 1);
}

#[tokio::test]
async fn a_file_that_is_gone_holds_its_job_and_spares_the_node() {
    let (_directory, service) = service();
    let image = format!("sif:/home/alice/x.sif@sha256:{}", Digest([7; 32]));
    admit(&service, 2001, &image);
    let id = job(&service, 1, 2001, &image, now_unix_ns());
    service.work(works(wished(&service)).values().next().unwrap()).await;
    let job = shown(&service, id);
    let failure = job.failure.unwrap();
    assert!(failure.hold && failure.reason.contains("/home/alice/x.sif"), "{failure:?}");
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(job.application.unwrap().state, PreparationState::Failed);
    assert_eq!(job.failed_tries, 0, "no node has failed");
}

#[test]
fn what_a_registry_meant_is_pinned_for_those_it_was_shown_to() {
    let (_directory, service) = service();
    let now = now_unix_ns();
    let image = "docker://r.io/x:1";
    let own = [job(&service, 1, 2001, image, now), job(&service, 2, 2001, image, now)];
    let other = job(&service, 3, 2002, image, now);
    let wishes = wished(&service);
    assert_eq!(works(wishes.clone()).len(), 2, "one question a user");
    let digest = Digest([9; 32]);
    let wish = wishes.iter().find(|wish| wish.uid == 2001).unwrap();
    service.pin(wish, digest).unwrap();
    for id in own {
        assert_eq!(reference(&service, id).digest(), Some(&digest));
    }
    assert_eq!(reference(&service, other).digest(), None);
    // The other has heard of the digest, but the registry has not shown it to them.
    let pinned = format!("{image}@sha256:{digest}");
    let guessed = job(&service, 4, 2003, &pinned, now);
    let wishes = wished(&service);
    let admitted = |uid| wishes.iter().find(|wish| wish.uid == uid).unwrap().admitted;
    assert_eq!((admitted(2001), admitted(2003)), (true, false));
    assert!(
        !service
            .may_have(
                &service.engine.store.one_try(guessed).unwrap().unwrap().asked.application.unwrap(),
                2003
            )
            .unwrap()
    );
}

#[test]
fn a_refusal_holds_only_the_jobs_of_the_user_it_was_for() {
    let (_directory, service) = service();
    let now = now_unix_ns();
    let image = "docker://r.io/x:1";
    let (one, other) = (job(&service, 1, 2001, image, now), job(&service, 2, 2002, image, now));
    let wish = wished(&service).into_iter().find(|wish| wish.uid == 2001).unwrap();
    let error = PrepareError::user("image docker://r.io/x:1: r.io says: authentication required");
    service.refused(&wish, &error).unwrap();
    let failure = shown(&service, one).failure.unwrap();
    assert!(failure.hold && failure.reason == error.reason, "{failure:?}");
    assert!(shown(&service, other).failure.is_none());
    let deployment = service.engine.store.deployments_of_try(one).unwrap().remove(0);
    assert_eq!(
        (deployment.state, deployment.application),
        (State::PoweringOff, Application::Awaited)
    );
}

#[test]
fn a_job_waits_only_so_long_and_its_pull_goes_on() {
    let (_directory, service) = service();
    let long_ago = now_unix_ns() - 61 * SECOND_NS;
    let image = format!("dir:/r@sha256:{}", Digest([7; 32]));
    admit(&service, 2001, &image);
    let id = job(&service, 1, 2001, &image, long_ago);
    let wishes = wished(&service);
    let failure = shown(&service, id).failure.unwrap();
    assert!(failure.hold && failure.reason.contains("is not ready after 60 s"), "{failure:?}");
    assert!(failure.reason.ends_with("it goes on: release the job later"), "{failure:?}");
    assert_eq!(wishes.len(), 1, "{wishes:?}");
    assert!(service.engine.store.tries_waiting_for_image().unwrap().is_empty());
}

#[tokio::test]
async fn an_image_for_other_machines_is_refused() {
    let (_directory, service) = service();
    let image = format!("dir:/r@sha256:{}", Digest([7; 32]));
    admit(&service, 2001, &image);
    let id = job(&service, 1, 2001, &image, now_unix_ns());
    let wish = wished(&service).remove(0);
    let prepared = PreparedImage { architecture: Some("riscv64".into()), ..without_layers(image) };
    service.prepared(&wish, &prepared).await.unwrap();
    let failure = shown(&service, id).failure.unwrap();
    assert!(failure.hold && failure.reason.contains("is for riscv64"), "{failure:?}");
}

fn without_layers(reference: String) -> PreparedImage {
    PreparedImage {
        digest: Digest([7; 32]),
        reference,
        architecture: None,
        layers: vec![],
        config: protocol::application::ImageConfig::default(),
        prepared_unix_ns: 1,
        used_unix_ns: 1,
    }
}

/// One thread for everything here: whoever waited on it would stop the test.
#[tokio::test]
async fn a_long_deletion_of_artifacts_stops_nothing_else() {
    let (_directory, service) = service();
    let image = format!("dir:/r@sha256:{}", Digest([7; 32]));
    admit(&service, 2001, &image);
    let id = job(&service, 1, 2001, &image, now_unix_ns());
    let wish = wished(&service).remove(0);
    let (hub, (held, is_held)) = (Arc::clone(&service.hub), std::sync::mpsc::channel());
    let (end, ended) = std::sync::mpsc::channel();
    let deletion = std::thread::spawn(move || {
        let _kept = hub.keep();
        held.send(()).unwrap();
        ended.recv_timeout(Duration::from_secs(5))
    });
    is_held.recv().unwrap();
    let prepared = without_layers(image);
    let ended = tokio::join!(service.prepared(&wish, &prepared), async { end.send(()) });
    ended.0.unwrap();
    assert_eq!(deletion.join().unwrap(), Ok(()), "something else went on meanwhile");
    let one = service.engine.store.one_try(id).unwrap().unwrap();
    assert!(one.asked.application_image.is_some());
}

#[test]
fn a_task_that_starts_later_has_its_login() {
    let (_directory, service) = service();
    let now = now_unix_ns();
    let image = "docker://r.io/x:1";
    let first = job(&service, 1, 2001, image, now);
    let wish = wished(&service).remove(0);
    let login = Credential::IdentityToken("secret".into());
    let login = RegistryCredential { registry: "r.io".into(), login };
    let store = &service.engine.store;
    store.keep_credential(2001, &wish.reference, &login, now).unwrap();
    service.pin(&wish, Digest([9; 32])).unwrap();
    let pinned = wished(&service).remove(0);
    assert!(pinned.admitted && service.credential(&pinned).is_some());
    assert_eq!(pinned.reference, reference(&service, first));
    // The first task's image is pulled.
    store.forget_credentials(2001, &pinned.reference).unwrap();
    assert!(service.credential(&pinned).is_none());
    let later = job(&service, 2, 2001, image, now);
    let wishes = wished(&service);
    let wish = wishes.iter().find(|wish| wish.reference == reference(&service, later)).unwrap();
    assert!(wish.has_credential && service.credential(wish).is_some());
}
