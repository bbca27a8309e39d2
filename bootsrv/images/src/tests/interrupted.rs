//! What goes on where it stopped.

use super::sample::Sample;
use super::scripted::{Received, Reply, Scripted, from_sample};
use super::{blob_file, blobs, open, pull, request};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// First bytes of a range that layers were asked from.
pub(super) fn ranges(server: &Scripted, sample: &Sample) -> Vec<usize> {
    let received = server.received();
    let layer = received.iter().filter(|one| one.path.contains(&sample.layer_path(0)));
    layer.map(|one| one.from().unwrap_or(0)).collect()
}

#[tokio::test]
async fn a_body_that_stops_half_way_goes_on_there() {
    let sample = Sample::one_layer(250_000);
    let (path, copy) = (sample.layer_path(0), sample.clone());
    let server = Scripted::serve(sample.clone(), move |request| {
        let cut = Some(100_000.min(copy.layers[0].len() - request.from().unwrap_or(0)));
        request.path.contains(&path).then(|| Reply { cut, ..from_sample(&copy, request) })
    });
    let directory = tempfile::tempdir().unwrap();
    pull(&open(directory.path(), &server.name()), &server.image()).await.unwrap();
    assert_eq!(ranges(&server, &sample), [0, 100_000, 200_000]);
}

#[tokio::test]
async fn a_registry_without_ranges_sends_all_of_it_again() {
    let sample = Sample::one_layer(300_000);
    let (path, whole) = (sample.layer_path(0), sample.layers[0].clone());
    let server = Scripted::serve(sample.clone(), move |request: &Received| {
        let cut = request.from().is_none().then_some(100_000);
        let blob = request.path.contains(&path);
        blob.then(|| Reply { cut, ..Reply::new(200, whole.clone()) })
    });
    let directory = tempfile::tempdir().unwrap();
    pull(&open(directory.path(), &server.name()), &server.image()).await.unwrap();
    assert_eq!(ranges(&server, &sample), [0, 100_000]);
}

#[tokio::test]
async fn a_body_that_always_stops_is_given_up_and_kept() {
    let sample = Sample::one_layer(300_000);
    let (path, copy) = (sample.layer_path(0), sample.clone());
    let server = Scripted::serve(sample.clone(), move |request| {
        let blob = request.path.contains(&path);
        blob.then(|| Reply { cut: Some(10), ..from_sample(&copy, request) })
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let error = pull(&images, &server.image()).await.unwrap_err();
    assert!(error.reason.contains("the connection to"), "{error}");
    assert_eq!(blobs(directory.path()), 1);
}

#[tokio::test]
async fn a_damaged_remainder_is_fetched_again() {
    let sample = Sample::one_layer(100_000);
    let server = Scripted::serve(sample.clone(), |_| None);
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let file = blob_file(directory.path(), &server, &sample);
    std::fs::write(file, vec![0; 60_000]).unwrap();
    pull(&images, &server.image()).await.unwrap();
    assert_eq!(ranges(&server, &sample), [60_000, 0]);
    assert_eq!(blobs(directory.path()), 0);
}

const DIRECTORY: &str = "IMAGES_KILLED_PULL";

/// Not a test by itself: the child of the next one, which kills it in the middle of its work.
#[tokio::test]
async fn killed_pull() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let text = std::env::var("IMAGES_KILLED_IMAGE").unwrap();
    let registry = text.trim_start_matches("docker://").split('/').next().unwrap().to_owned();
    drop(pull(&open(Path::new(&directory), &registry), &text).await);
}

#[tokio::test]
async fn a_pull_killed_in_the_middle_goes_on() {
    let sample = Sample::one_layer(1_000_000);
    let (path, copy) = (sample.layer_path(0), sample.clone());
    let healed = Arc::new(AtomicBool::new(false));
    let well = healed.clone();
    let server = Scripted::serve(sample.clone(), move |request| {
        let stalls = request.path.contains(&path) && !well.load(Ordering::Relaxed);
        stalls.then(|| Reply { stall: Some(700_000), ..from_sample(&copy, request) })
    });
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["tests::interrupted::killed_pull", "--exact"])
        .env(DIRECTORY, directory.path())
        .env("IMAGES_KILLED_IMAGE", server.image())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let blob = blob_file(directory.path(), &server, &sample);
    while std::fs::metadata(&blob).map_or(0, |file| file.len()) < 700_000 {
        assert!(child.try_wait().unwrap().is_none(), "the pull ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    healed.store(true, Ordering::Relaxed);
    let images = open(directory.path(), &server.name());
    let preparation = images.start(request(&server.image(), sample.digest()));
    preparation.finished().await.unwrap();
    let progress = preparation.progress();
    assert_eq!(Some(progress.bytes_done()), progress.bytes_total());
    assert_eq!(ranges(&server, &sample).last(), Some(&700_000));
    assert_eq!(blobs(directory.path()), 0);
}
