//! Registries that are slow or silent, and those who want something else meanwhile.

use super::sample::{Sample, layer};
use super::scripted::{Received, Reply, Scripted, from_sample};
use super::shared::pretending;
use super::{blobs, pace, pull, request};
use crate::registry::Pace;
use crate::settings::RegistrySettings;
use crate::{Blame, Images, Request, Settings};
use artifacts::store::Store;
use std::path::Path;
use std::time::{Duration, Instant};

/// Images that reach these registries, with more patience than other tests have.
fn open(directory: &Path, servers: &[&Scripted], settings: Settings) -> Images {
    let insecure = RegistrySettings { insecure: true, ..RegistrySettings::default() };
    let registry = servers.iter().map(|server| (server.name(), insecure.clone())).collect();
    let minute = Duration::from_secs(60);
    let patient = Pace { idle: minute, ..pace() };
    let store = Store::open(directory.join("artifacts")).unwrap();
    Images::open_with(directory, store, Settings { registry, ..settings }, patient).unwrap()
}

/// Serves a sample, but for its layers.
fn but_layers(
    sample: &Sample,
    script: impl Fn(&Received, Reply) -> Reply + Send + 'static,
) -> Scripted {
    let (copy, paths) = (sample.clone(), (0..sample.layers.len()).map(|at| sample.layer_path(at)));
    let paths: Vec<String> = paths.collect();
    Scripted::serve(sample.clone(), move |request| {
        let is_layer = paths.iter().any(|path| request.path.ends_with(path));
        is_layer.then(|| script(request, from_sample(&copy, request)))
    })
}

/// A user's pull from the good one, while another one's from the bad one has begun and is not over.
async fn goes_on_beside(bad: &Scripted, sample: &Sample, good: &Scripted, settings: Settings) {
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &[bad, good], settings);
    let of_other = Request { uid: Some(1), ..request(&bad.image(), sample.digest()) };
    let hangs = images.start(of_other);
    while bad.count("blobs") < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let pulled = tokio::time::timeout(Duration::from_secs(30), pull(&images, &good.image())).await;
    pulled.expect("a registry that is slow holds others up").unwrap();
    assert!(hangs.result().is_none());
}

#[tokio::test]
async fn silent_registries_do_not_have_all_places() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let many = Sample::new(&names.map(|name| layer(name, 1000)));
    let silent = but_layers(&many, |_, reply| Reply { stall: Some(100), ..reply });
    let good = Scripted::serve(Sample::one_layer(1000), |_| None);
    goes_on_beside(&silent, &many, &good, Settings::default()).await;
}

#[tokio::test]
async fn who_waits_for_a_registry_gives_his_place_away() {
    let sample = Sample::one_layer(1000);
    let busy = but_layers(&sample, |_, _| Reply::refusal(429, "later").header("retry-after", "4"));
    let good = Scripted::serve(Sample::new(&[layer("other", 1000)]), |_| None);
    let one = Settings { parallel_downloads: 1, parallel_conversions: 1, ..Settings::default() };
    let since = Instant::now();
    // Its configuration is the other blob.
    goes_on_beside(&busy, &sample, &good, one).await;
    assert!(since.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn another_registrys_silence_about_the_same_layer_is_not_waited_for() {
    let sample = Sample::one_layer(1000);
    let silent = but_layers(&sample, |_, reply| Reply { stall: Some(100), ..reply });
    let good = Scripted::serve(sample.clone(), |_| None);
    goes_on_beside(&silent, &sample, &good, Settings::default()).await;
}

#[tokio::test]
async fn who_says_of_other_bytes_that_they_are_a_layer_holds_up_nobody() {
    let base = layer("base", 1000);
    let (lie, truth) = (pretending(&base), Sample::new(&[base]));
    let (path, lied, true_digest) = (lie.layer_path(0), lie.digest(), truth.digest());
    let server = Scripted::start(move |request| {
        if request.path.contains("/liar/x/") {
            let stall = request.path.ends_with(&path).then_some(100);
            return Reply { stall, ..from_sample(&lie, request) };
        }
        from_sample(&truth, request)
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &[&server], Settings::default());
    let liar = format!("docker://{}/liar/x:1", server.name());
    let hangs = images.start(request(&liar, lied));
    while server.count("blobs") < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let pulled = images.start(request(&server.image(), true_digest));
    let pulled = tokio::time::timeout(Duration::from_secs(30), pulled.finished()).await;
    pulled.expect("others' lies are waited for").unwrap();
    assert!(hangs.result().is_none());
}

#[tokio::test]
async fn one_users_registries_do_not_have_all_places() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let many = Sample::new(&names.map(|name| layer(name, 1000)));
    let silent = || but_layers(&many, |_, reply| Reply { stall: Some(100), ..reply });
    let bad = [silent(), silent()];
    let good = Scripted::serve(Sample::one_layer(1000), |_| None);
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &[&bad[0], &bad[1], &good], Settings::default());
    let of_one = |server: &Scripted| {
        images.start(Request { uid: Some(1), ..request(&server.image(), many.digest()) })
    };
    let hang = [of_one(&bad[0]), of_one(&bad[1])];
    while bad.iter().any(|server| server.count("blobs") < 1) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let layers: usize = bad.iter().map(|server| server.count("blobs") - 1).sum();
    assert_eq!(layers, 4, "half of the places are one user's");
    let pulled = tokio::time::timeout(Duration::from_secs(30), pull(&images, &good.image())).await;
    pulled.expect("one user has all places").unwrap();
    assert!(hang.iter().all(|one| one.result().is_none()));
}

#[tokio::test]
async fn a_trickle_is_as_good_as_silence() {
    let sample = Sample::one_layer(1 << 20);
    let slow = but_layers(&sample, |_, reply| Reply { trickle: true, ..reply });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &[&slow], Settings::default());
    let ended = tokio::time::timeout(Duration::from_secs(30), pull(&images, &slow.image())).await;
    let error = ended.unwrap().unwrap_err();
    assert!(error.reason.contains("is too slow"), "{error}");
    assert_eq!((error.blame, blobs(directory.path())), (Blame::Site, 1));
}

#[tokio::test]
async fn an_image_has_a_time_limit() {
    let sample = Sample::one_layer(1000);
    let silent = but_layers(&sample, |_, reply| Reply { stall: Some(100), ..reply });
    let directory = tempfile::tempdir().unwrap();
    let short = Settings { pull_seconds: 1, ..Settings::default() };
    let images = open(directory.path(), &[&silent], short);
    let error = pull(&images, &silent.image()).await.unwrap_err();
    assert!(error.reason.contains("longer than 1 s (pull_seconds)"), "{error}");
    assert_eq!((error.blame, blobs(directory.path())), (Blame::Site, 1));
}

#[tokio::test]
async fn a_wrong_size_takes_nothing_from_the_right_one() {
    let sample = Sample::one_layer(100_000);
    let lie = sample.clone().with_manifest(|manifest| manifest["layers"][0]["size"] = 10.into());
    let mut lying = true;
    let (right, wrong) = (sample.clone(), lie.clone());
    let server = Scripted::start(move |request| {
        lying = lying && !request.path.ends_with(&right.digest().to_string());
        from_sample(if lying { &wrong } else { &right }, request)
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &[&server], Settings::default());
    let left = super::blob_file(directory.path(), &server, &sample);
    std::fs::write(&left, &sample.layers[0][..60_000]).unwrap();
    images.start(request(&server.image(), lie.digest())).finished().await.unwrap_err();
    assert_eq!(std::fs::metadata(&left).unwrap().len(), 60_000);
    images.start(request(&server.image(), sample.digest())).finished().await.unwrap();
    let asked = server.received();
    let last = asked.iter().rfind(|one| one.path.ends_with(&sample.layer_path(0))).unwrap();
    assert_eq!(last.from(), Some(60_000));
}
