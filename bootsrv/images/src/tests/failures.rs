//! What goes wrong, and what the user reads then.

use super::real::RealRegistry;
use super::sample::{Sample, layer};
use super::scripted::{Reply, Scripted, from_sample};
use super::{blobs, open, open_with, pull, request};
use crate::settings::RegistrySettings;
use crate::{Blame, PrepareError, Settings};
use std::time::{Duration, Instant};

/// Pulls from a registry that serves this image but for what `script` says.
async fn fails(
    sample: &Sample,
    script: impl FnMut(&super::scripted::Received) -> Option<Reply> + Send + 'static,
) -> PrepareError {
    let server = Scripted::serve(sample.clone(), script);
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let error = pull(&images, &server.image()).await.unwrap_err();
    assert!(error.reason.starts_with(&server.image()), "it names the image: {error}");
    assert!(!error.reason.contains('\n'), "{error}");
    error
}

#[tokio::test]
async fn refusals_have_the_registrys_words() {
    let sample = Sample::one_layer(1000);
    for (status, words, blame) in [
        (404, "manifest unknown", Blame::User),
        (403, "requested access to the resource is denied", Blame::User),
        (400, "invalid repository name", Blame::User),
        (500, "our disk is full", Blame::Site),
        (418, "short and stout", Blame::Site),
    ] {
        let error = fails(&sample, move |_| Some(Reply::refusal(status, words))).await;
        assert!(error.reason.contains(words), "{error}");
        assert_eq!(error.blame, blame, "{error}");
    }
}

#[tokio::test]
async fn the_real_registrys_words() {
    let registry = RealRegistry::start();
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &registry.name);
    let text = registry.image("nothing:1");
    let error = pull(&images, &text).await.unwrap_err();
    let name = &registry.name;
    assert_eq!(
        error.reason,
        format!("{text}: {name} does not have it (404 Not Found: manifest unknown)")
    );
}

#[tokio::test]
async fn a_registry_that_is_down_or_does_not_exist() {
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), "127.0.0.1:1");
    let error = pull(&images, "docker://127.0.0.1:1/x:1").await.unwrap_err();
    assert_eq!(error.blame, Blame::Site);
    assert!(error.reason.contains("127.0.0.1:1 cannot be reached: Connection refused"), "{error}");
}

#[tokio::test]
async fn patience_as_the_registry_asks_for_it() {
    let sample = Sample::one_layer(1000);
    let mut asked = 0;
    let server = Scripted::serve(sample.clone(), move |_| {
        asked += 1;
        (asked == 1).then(|| Reply::refusal(429, "slow down").header("retry-after", "1"))
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let preparation = images.start(request(&server.image(), sample.digest()));
    let waiting = loop {
        if let Some(waiting) = preparation.progress().waiting_for() {
            break waiting;
        }
        tokio::task::yield_now().await;
    };
    assert!(waiting.contains("slow down") && waiting.contains("again in 1 s"), "{waiting}");
    let since = Instant::now();
    preparation.finished().await.unwrap();
    assert!(since.elapsed() > Duration::from_millis(900));
    assert_eq!(preparation.progress().waiting_for(), None);

    let error = fails(&sample, |_| {
        Some(Reply::refusal(429, "toomanyrequests").header("retry-after", "3600"))
    });
    let error = error.await;
    assert_eq!(error.blame, Blame::Site);
    assert!(error.reason.contains("asks for patience (429 Too Many Requests: toomanyrequests"));
}

#[tokio::test]
async fn a_passing_failure_is_overcome() {
    let sample = Sample::one_layer(1000);
    let mut asked = 0;
    let server = Scripted::serve(sample.clone(), move |_| {
        asked += 1;
        (asked % 2 == 1).then(|| Reply::new(503, "<html>"))
    });
    let directory = tempfile::tempdir().unwrap();
    pull(&open(directory.path(), &server.name()), &server.image()).await.unwrap();
}

#[tokio::test]
async fn silence_has_a_limit() {
    let sample = Sample::one_layer(100_000);
    let (path, copy) = (sample.layer_path(0), sample.clone());
    let error = fails(&sample, move |request| {
        let blob = request.path.contains(&path);
        blob.then(|| Reply { stall: Some(0), ..from_sample(&copy, request) })
    });
    let error = error.await;
    assert!(error.reason.contains("sent nothing for 0.3 s"), "{error}");
    assert_eq!(error.blame, Blame::Site);
}

#[tokio::test]
async fn a_lying_digest() {
    let sample = Sample::one_layer(50_000);
    let mut lie = sample.layers[0].clone();
    lie[40_000] ^= 1;
    let path = sample.layer_path(0);
    let error = fails(&sample, move |request| {
        request.path.contains(&path).then(|| Reply::new(200, lie.clone()))
    });
    let error = error.await;
    assert!(error.reason.contains("does not have that digest"), "{error}");
    assert_eq!(error.blame, Blame::Site, "not whoever named the image");

    let other = Sample::one_layer(7);
    let pinned = sample.digest();
    let server = Scripted::serve(other, |_| None);
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let error = images.start(request(&server.image(), pinned)).finished().await.unwrap_err();
    assert!(error.reason.contains("does not have the digest"), "{error}");
}

#[tokio::test]
async fn a_digest_that_only_a_header_has_is_not_there() {
    let asked = Sample::one_layer(7).digest();
    let server = Scripted::serve(Sample::one_layer(8), move |request| {
        let named = format!("sha256:{asked}");
        let reply = || Reply::new(200, "").header("docker-content-digest", named);
        (request.method == "HEAD").then(reply)
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let pinned = super::reference(&format!("{}@sha256:{asked}", server.image()));
    let protocol::image_reference::ImageReference::Docker(pinned) = pinned else { panic!() };
    let error = images.resolve(&pinned, None).await.unwrap_err();
    assert!(error.reason.contains("does not have the digest"), "{error}");
}

#[tokio::test]
async fn a_wrong_length() {
    let sample = Sample::one_layer(1000);
    let path = sample.layer_path(0);
    let mut longer = sample.layers[0].clone();
    longer.push(0);
    let bytes = longer.len();
    let error = fails(&sample, move |request| {
        request.path.contains(&path).then(|| Reply::new(200, longer.clone()))
    });
    let error = error.await;
    let text = format!("has {bytes} bytes for a layer of {} bytes", bytes - 1);
    assert!(error.reason.contains(&text), "{error}");
}

#[tokio::test]
async fn layers_that_cannot_be_used() {
    for (media_type, reason) in [
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "may not hand out"),
        ("application/vnd.oci.image.layer.v1.tar+encrypted", "unknown type"),
    ] {
        let sample = Sample::one_layer(1000);
        let sample = sample.with_manifest(|m| m["layers"][0]["mediaType"] = media_type.into());
        let error = fails(&sample, |_| None).await;
        assert!(error.reason.contains(reason), "{error}");
        assert_eq!(error.blame, Blame::User);
    }
    let many = Sample::new(&vec![layer("x", 1); 129]);
    assert!(fails(&many, |_| None).await.reason.contains("129 layers; 1 to 128"));
}

#[tokio::test]
async fn a_layer_with_other_content_than_the_image_says() {
    let good = Sample::one_layer(1000);
    let evil = Sample::new(&[layer("other", 1000)]);
    // The manifest names the layer of one image and the configuration of another.
    let mut mixed = evil.clone();
    mixed.blobs.extend(good.blobs.clone());
    let other: serde_json::Value = serde_json::from_slice(&good.manifest).unwrap();
    let mixed = mixed.with_manifest(|manifest| manifest["config"] = other["config"].clone());
    let server = Scripted::serve(mixed, |_| None);
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let error = pull(&images, &server.image()).await.unwrap_err();
    assert_eq!(error.blame, Blame::User, "{error}");
    assert_eq!(blobs(directory.path()), 0, "a refused layer is not kept");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for() {
    let certificate = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let pem = certificate.cert.pem();
    let registry = RealRegistry::start_with(|directory| {
        let (crt, key) = (directory.path().join("crt"), directory.path().join("key"));
        std::fs::write(&crt, &pem).unwrap();
        std::fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
        format!("  tls: {{certificate: {}, key: {}}}\n", crt.display(), key.display())
    });
    let sample = Sample::one_layer(1000);
    registry.push(&sample, "x:1", None);
    let directory = tempfile::tempdir().unwrap();
    let text = registry.image("x:1");
    let images = open_with(directory.path(), known(&registry.name));
    let error = pull(&images, &text).await.unwrap_err();
    assert!(error.reason.contains("cannot be reached by TLS"), "{error}");
    assert!(error.reason.contains("ca_file"), "{error}");
    assert_eq!(error.blame, Blame::Site);

    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, &pem).unwrap();
    let trusted = RegistrySettings { ca_file: Some(ca_file), ..RegistrySettings::default() };
    let settings =
        Settings { registry: [(registry.name.clone(), trusted)].into(), ..Settings::default() };
    pull(&open_with(directory.path(), settings), &text).await.unwrap();

    let plain = RealRegistry::start();
    let images = open_with(directory.path(), known(&plain.name));
    let error = pull(&images, &plain.image("x:1")).await.unwrap_err();
    assert!(error.reason.contains("insecure = true"), "{error}");
}

/// The site knows a registry of that name, and nothing special about it.
fn known(registry: &str) -> Settings {
    Settings { registry: [(registry.to_owned(), Default::default())].into(), ..Settings::default() }
}

#[tokio::test]
async fn services_on_bootsrvs_own_machine_are_not_asked() {
    let server = Scripted::serve(Sample::one_layer(1000), |_| None);
    let directory = tempfile::tempdir().unwrap();
    let images = open_with(directory.path(), Settings::default());
    let name = server.name();
    let port = name.strip_prefix("127.0.0.1:").unwrap();
    for host in ["127.0.0.1", "localhost"] {
        let error = pull(&images, &format!("docker://{host}:{port}/x:1")).await.unwrap_err();
        assert_eq!(error.blame, Blame::User, "{error}");
        assert!(error.reason.contains("is bootsrv's own machine or link"), "{error}");
        let section = format!("[application_images.registry.\"{host}:{port}\"]");
        assert!(error.reason.contains(&section), "{error}");
    }
    assert_eq!(server.received().len(), 0);
}
