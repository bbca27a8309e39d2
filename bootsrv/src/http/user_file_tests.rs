//! Two users and one file.

use super::*;
use crate::http::application_image;
use crate::http::application_tests::Fixture;
use crate::http::auth::{Caller, sha256};
use crate::http::pinning::pin_now;
use futures_util::StreamExt;
use protocol::api::PullRequest;
use protocol::application::PreparationState;
use protocol::image_reference::ImageReference;
use protocol::names::ImageName;

fn caller(uid: u32) -> Caller {
    Caller { uid, user: None, admin: uid == 0 }
}

fn signed(uid: u32) -> Signed<()> {
    Signed { caller: caller(uid), body: () }
}

async fn here(app: &App, uid: u32, digest: &Digest) -> bool {
    let answer = get(AppState(app.clone()), Path(digest.to_string()), signed(uid)).await;
    answer.unwrap().0.is_some()
}

#[tokio::test]
async fn who_only_knows_a_digest_does_not_get_the_file() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    let bytes = b"a squashfs of alice's".to_vec();
    let digest = sha256(&bytes);
    let image: ImageReference = format!("squashfs:/x@sha256:{digest}").parse().unwrap();
    take(app, 1, digest, Body::from(bytes.clone())).await.unwrap();
    assert!(here(app, 1, &digest).await);
    assert_eq!(pin_now(app, &caller(1), image.clone(), None).await.unwrap(), image);

    assert!(!here(app, 2, &digest).await);
    let refused = pin_now(app, &caller(2), image.clone(), None).await.unwrap_err();
    assert!(refused.0.message.contains("was not sent to bootsrv by you"), "{refused:?}");
    take(app, 2, digest, Body::from("other bytes")).await.unwrap_err();
    assert!(!here(app, 2, &digest).await, "a claim is no proof");

    take(app, 2, digest, Body::from(bytes)).await.unwrap();
    assert!(here(app, 2, &digest).await);
    pin_now(app, &caller(2), image, None).await.unwrap();
    assert_eq!(app.engine.store.uploads().unwrap().len(), 1, "kept once");
}

#[tokio::test]
async fn a_second_file_of_the_same_user_waits_for_its_turn() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    let bytes = b"x".to_vec();
    let sending = app.senders.begin(1).unwrap();
    let refused = take(app, 1, sha256(&bytes), Body::from(bytes.clone())).await.unwrap_err();
    assert_eq!(refused.0.kind, ErrorKind::Busy);
    drop(sending);
    take(app, 1, sha256(&bytes), Body::from(bytes)).await.unwrap();
}

/// `tools` of the catalog is that image.
fn name_tools(app: &App, digest: &Digest) {
    let name: ImageName = "tools".parse().unwrap();
    let file = protocol::boot::ArtifactRef { sha256: Digest([9; 32]), bytes: 1 };
    let entry = artifacts::Image {
        kind: protocol::api::ImageKind::Application,
        reference: Some(format!("docker://r.io/tools@sha256:{digest}").parse().unwrap()),
        layers: vec![],
        ..artifacts::Image::node(name, file, vec![])
    };
    app.hub.put_image(&entry).unwrap();
}

#[tokio::test]
async fn prepared_images_are_seen_by_those_who_may_have_them() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    let shelf = app.hub.application().shelf();
    let kept = |reference: &str| {
        let reference: ImageReference = reference.parse().unwrap();
        let image = images::PreparedImage {
            digest: images::prepared::key(&reference).unwrap(),
            reference: reference.to_string(),
            architecture: None,
            layers: vec![],
            config: protocol::application::ImageConfig::default(),
            prepared_unix_ns: 1,
            used_unix_ns: 1,
        };
        shelf.put(&image).unwrap();
        image.digest
    };
    let hex = |byte: u8| Digest([byte; 32]);
    let pulled = kept(&format!("docker://r.io/private@sha256:{}", hex(1)));
    let sent = kept(&format!("oci-archive:/home/alice/x.tar:v1@sha256:{}", hex(2)));
    let named = kept(&format!("docker://r.io/tools@sha256:{}", hex(3)));
    let store = &app.engine.store;
    let shown = |place: &str| {
        let image = format!("docker://{place}@sha256:{}", hex(1)).parse().unwrap();
        crate::application::admission(&image).unwrap()
    };
    store.admit(1, &shown("r.io/private"), 1).unwrap();
    // A registry of their own knows the digest.
    store.admit(2, &shown("evil.io/private"), 1).unwrap();
    store.admit(1, &uploads::admission(&hex(2)), 1).unwrap();
    // Bytes that have the digest of a manifest are no right to its image.
    store.admit(2, &uploads::admission(&hex(1)), 1).unwrap();
    name_tools(app, &hex(3));

    // Pulled from a mirror they know, before somebody else had it from here.
    let elsewhere = format!("docker://mirror.io/x@sha256:{}", hex(1)).parse().unwrap();
    app.engine.images.over(3, &elsewhere, None);
    let refused = format!("docker://mirror.io/y@sha256:{}", hex(1)).parse().unwrap();
    app.engine.images.over(4, &refused, Some(images::PrepareError::user("denied")));

    for (uid, expected) in [
        (0, vec![pulled, sent, named]),
        (1, vec![pulled, sent, named]),
        (2, vec![named]),
        (3, vec![pulled, named]),
    ] {
        let listed = application_image::list(AppState(app.clone()), signed(uid)).await.unwrap();
        let mut listed: Vec<Digest> = listed.0.iter().map(|view| view.digest).collect();
        let mut expected = expected;
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected, "user {uid}");
        for digest in [pulled, sent, named] {
            let path = || Path(digest.to_string());
            let one = application_image::get(AppState(app.clone()), path(), signed(uid)).await;
            let far =
                application_image::preparation(AppState(app.clone()), path(), signed(uid)).await;
            let may = expected.contains(&digest);
            assert_eq!((one.is_ok(), far.is_ok()), (may, may), "user {uid}, {digest}");
        }
    }
    let path = Path(pulled.to_string());
    assert!(application_image::get(AppState(app.clone()), path, signed(4)).await.is_err());
    let path = Path(pulled.to_string());
    let far = application_image::preparation(AppState(app.clone()), path, signed(4)).await.unwrap();
    assert_eq!(far.0.state, PreparationState::Failed, "they hear what became of their own");
}

#[tokio::test]
async fn a_user_ends_a_pull_of_their_own_and_nobody_elses() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    let pinned: ImageReference =
        format!("docker://r.io/x:1@sha256:{}", Digest([1; 32])).parse().unwrap();
    for uid in [1, 2] {
        app.engine.store.add_pull(&pinned, uid, 1).unwrap();
    }
    let cancel = |uid, text: String| {
        let body = PullRequest { reference: text.parse().unwrap(), credential: None };
        application_image::cancel(AppState(app.clone()), Signed { caller: caller(uid), body })
    };
    cancel(1, "docker://r.io/x:2".into()).await.unwrap_err();
    let Json(()) = cancel(1, "docker://r.io/x:1".into()).await.unwrap();
    let refused = cancel(1, pinned.to_string()).await.unwrap_err();
    assert!(refused.0.message.contains("no pull of docker://r.io/x:1"), "{refused:?}");
    assert_eq!(app.engine.store.pulls().unwrap(), [(pinned.clone(), 2)]);
    let Json(()) = cancel(2, pinned.to_string()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sender_who_stands_still_does_not_keep_their_place() {
    let fixture = Fixture::new(false);
    let app = &fixture.app;
    let begins = futures_util::stream::once(async { Ok::<_, std::io::Error>("begin") });
    let body = Body::from_stream(begins.chain(futures_util::stream::pending()));
    let refused = take(app, 1, sha256(b"x"), body).await.unwrap_err();
    assert_eq!(refused.0.kind, ErrorKind::Busy);
    assert!(
        refused.0.message.contains("slower than 1000 kB/s, and ended at byte 5"),
        "{refused:?}"
    );
    drop(app.senders.begin(1).unwrap());
}
