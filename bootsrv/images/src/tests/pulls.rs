//! What works.

use super::real::RealRegistry;
use super::sample::{Sample, digest, layer};
use super::scripted::{Reply, Scripted, from_sample};
use super::{blobs, open, open_with, pace, pull, request};
use crate::settings::RegistrySettings;
use crate::shelf::GcLimits;
use crate::{Images, Settings};
use artifacts::store::Store;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

#[tokio::test]
async fn an_image_is_pinned_pulled_and_kept() {
    let registry = RealRegistry::start();
    let sample = Sample::new(&[layer("base", 200_000), layer("top", 1000)]);
    registry.push(&sample, "tools/cc:1", None);
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &registry.name);
    let text = registry.image("tools/cc:1");

    let preparation = images.start(request(&text, sample.digest()));
    let image = preparation.finished().await.unwrap();
    assert_eq!(image.digest, sample.digest());
    assert_eq!(image.reference, format!("{text}@sha256:{}", sample.digest()));
    assert_eq!(image.architecture.as_deref(), Some("amd64"));
    assert_eq!(image.config.environment, ["COLOUR=blue"]);
    assert_eq!(image.layers[0].diff_id, digest(&layer("base", 200_000)));
    assert_eq!(image.layers[1].diff_id, digest(&layer("top", 1000)));
    assert!(image.layers.iter().all(|one| images.shelf().store().contains(&one.squashfs.sha256)));
    let progress = preparation.progress();
    assert_eq!(Some(progress.bytes_done()), progress.bytes_total());
    assert_eq!((progress.layers_done(), progress.layers_total()), (2, Some(2)));
    assert_eq!(blobs(directory.path()), 0, "blobs go when they are converted");

    assert_eq!(pull(&images, &text).await.unwrap().digest, sample.digest(), "the tag means it");
    drop(registry);
    let again = images.start(request(&text, sample.digest())).finished().await.unwrap();
    assert_eq!(again.layers, image.layers, "nothing is asked for what is prepared");
}

#[tokio::test]
async fn the_layers_of_an_image_go_with_it() {
    let sample = Sample::new(&[layer("base", 200_000), layer("top", 1000)]);
    let server = Scripted::serve(sample.clone(), |_| None);
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let shelf = images.shelf();
    let image = pull(&images, &server.image()).await.unwrap();
    shelf.remove(&image.digest).unwrap().unwrap();
    assert_eq!(shelf.layers().unwrap(), [], "removed");

    pull(&images, &server.image()).await.unwrap();
    let limits = GcLimits { bytes_max: 0, age_max: Duration::MAX };
    let gone = shelf.gc(&limits, &BTreeSet::new(), SystemTime::now()).unwrap();
    assert_eq!((gone.len(), shelf.layers().unwrap()), (1, vec![]), "above the cache's limit");
}

#[tokio::test]
async fn jobs_that_ask_at_once_share_one_pull() {
    let sample = Sample::one_layer(100_000);
    let server = Scripted::serve(sample.clone(), |_| None);
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let asked = request(&server.image(), sample.digest());
    let other_name = asked.reference.to_string().replace("/x:1", "/team/x:1");
    let other = crate::Request { reference: super::reference(&other_name), ..asked.clone() };
    let of = |user: u32| crate::Request { uid: Some(user), ..asked.clone() };
    let all: Vec<_> = (0..50).map(|number| images.start(of(number % 20))).collect();
    let other = images.start(other);
    for one in &all {
        assert_eq!(one.finished().await.unwrap().digest, sample.digest());
    }
    other.finished().await.unwrap();
    let fetched = server.received().into_iter().filter(|one| one.method == "GET");
    let layers = fetched.filter(|one| one.path.contains(&sample.layer_path(0)));
    assert_eq!(layers.count(), 1, "of many users and two names");
}

#[tokio::test]
async fn nobody_waits_then_nothing_goes_on() {
    let sample = Sample::one_layer(100_000);
    let path = sample.layer_path(0);
    let stalled = sample.clone();
    let server = Scripted::serve(sample.clone(), move |request| {
        let stall = request.path.contains(&path).then_some(50_000)?;
        Some(Reply { stall: Some(stall), ..from_sample(&stalled, request) })
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let first = images.start(request(&server.image(), sample.digest()));
    let second = images.start(request(&server.image(), sample.digest()));
    while first.progress().bytes_done() == 0 {
        tokio::task::yield_now().await;
    }
    drop(first);
    assert!(second.result().is_none(), "one still waits");
    drop(second);
    let fresh = images.start(request(&server.image(), sample.digest()));
    while server.count(&sample.layer_path(0)) < 2 {
        tokio::task::yield_now().await;
    }
    let last = server.received().pop().unwrap();
    assert!(last.from().is_some_and(|from| from > 0), "what was fetched is kept: {last:?}");
    drop(fresh);
}

#[tokio::test]
async fn an_index_leads_to_the_image_of_the_nodes_and_is_what_is_pinned() {
    let sample = Sample::one_layer(1000);
    let one = |architecture: &str, of: &str| {
        json!({
            "mediaType": super::sample::MANIFEST, "digest": of, "size": sample.manifest.len(),
            "platform": {"os": "linux", "architecture": architecture},
        })
    };
    let other = format!("sha256:{}", "0".repeat(64));
    let mine = format!("sha256:{}", sample.digest());
    let index =
        json!({"schemaVersion": 2, "manifests": [one("arm64", &other), one("amd64", &mine)]});
    let index = index.to_string().into_bytes();
    let pin = digest(&index);
    // A registry without digests in its headers: the pin is then taken from the bytes.
    let server = Scripted::serve(sample.clone(), move |request| {
        let wanted = request.path.ends_with("/1") || request.path.ends_with(&pin.to_string());
        wanted.then(|| {
            Reply::new(200, index.clone())
                .header("content-type", "application/vnd.oci.image.index.v1+json")
        })
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let image = pull(&images, &server.image()).await.unwrap();
    assert_eq!(image.digest, pin);
    assert_eq!(image.layers[0].diff_id, digest(&layer("file", 1000)));

    let arm = tempfile::tempdir().unwrap();
    let insecure = RegistrySettings { insecure: true, ..RegistrySettings::default() };
    let settings = Settings {
        architecture: "riscv64".into(),
        registry: [(server.name(), insecure)].into(),
        ..Settings::default()
    };
    let error = pull(&open_with(arm.path(), settings), &server.image()).await.unwrap_err();
    assert!(error.reason.contains("none for linux/riscv64"), "{error}");
}

/// A mirror that answers `script`, in front of a registry.
fn mirrored(directory: &Path, mirror: &str, registry: &Scripted) -> Images {
    let own = RegistrySettings {
        insecure: true,
        mirrors: vec![mirror.to_owned()],
        ..RegistrySettings::default()
    };
    let settings = Settings { registry: [(registry.name(), own)].into(), ..Settings::default() };
    open_with(directory, settings)
}

#[tokio::test]
async fn a_mirror_is_asked_first() {
    let sample = Sample::one_layer(1000);
    let registry = Scripted::serve(sample.clone(), |_| None);
    let mirror = Scripted::serve(sample.clone(), |_| None);
    let directory = tempfile::tempdir().unwrap();
    let images = mirrored(directory.path(), &format!("http://{}/cache/", mirror.name()), &registry);
    pull(&images, &registry.image()).await.unwrap();
    assert_eq!(mirror.count("/v2/cache/x/"), mirror.received().len());
    assert_eq!(registry.received().len(), 0);
}

#[tokio::test]
async fn a_mirror_that_has_nothing_is_down_or_lies_costs_nothing_but_time() {
    let sample = Sample::one_layer(1000);
    let path = sample.layer_path(0);
    let empty = Scripted::start(|_| Reply::refusal(404, "unknown"));
    let lies = Scripted::serve(sample.clone(), move |request| {
        request.path.contains(&path).then(|| Reply::new(200, vec![7; 1]))
    });
    let size = sample.layers[0].len();
    let path = sample.layer_path(0);
    let lies_well = Scripted::serve(sample.clone(), move |request| {
        request.path.contains(&path).then(|| Reply::new(200, vec![7; size]))
    });
    let down = "http://127.0.0.1:1".to_owned();
    for mirror in [empty.name(), lies.name(), lies_well.name()]
        .map(|name| format!("http://{name}"))
        .into_iter()
        .chain([down])
    {
        let registry = Scripted::serve(sample.clone(), |_| None);
        let directory = tempfile::tempdir().unwrap();
        let images = mirrored(directory.path(), &mirror, &registry);
        pull(&images, &registry.image()).await.unwrap();
        assert!(registry.count(&sample.layer_path(0)) == 1, "{mirror}");
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_what_is_elsewhere() {
    let sample = Sample::one_layer(1000);
    let proxy = Scripted::serve(sample.clone(), |_| None);
    let behind = RegistrySettings {
        insecure: true,
        proxy: Some(format!("http://{}", proxy.name())),
        ..RegistrySettings::default()
    };
    let settings =
        Settings { registry: [("far.invalid:5000".into(), behind)].into(), ..Settings::default() };
    let directory = tempfile::tempdir().unwrap();
    let images = open_with(directory.path(), settings);
    pull(&images, "docker://far.invalid:5000/x:1").await.unwrap();
    assert!(proxy.received()[0].path.starts_with("http://far.invalid:5000/v2/x/"));
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    for (special, reason) in [
        (RegistrySettings { mirrors: vec!["m:5000".into()], ..Default::default() }, "mirror"),
        (
            RegistrySettings { ca_file: Some("/nonexistent".into()), ..Default::default() },
            "No such",
        ),
        (RegistrySettings { ca_file: Some("/dev/null".into()), ..Default::default() }, "no cert"),
        (RegistrySettings { proxy: Some("::".into()), ..Default::default() }, "proxy"),
    ] {
        let settings = Settings { registry: [("r".into(), special)].into(), ..Settings::default() };
        let store = Store::open(directory.path().join("artifacts")).unwrap();
        let error = Images::open_with(directory.path(), store, settings, pace()).unwrap_err();
        assert!(error.reason.contains(reason), "{error}");
    }
}
