//! Layers that are on the shelf already: taken from there by those who have their bytes or may have
//! them, and by nobody else.

use super::sample::{Sample, digest, layer};
use super::scripted::{Reply, Scripted, from_sample};
use super::{blob_file, blobs, open, open_with, pull, request};
use crate::prepare_file;
use crate::prepare_layer::Workshop;
use crate::prepare_room::Budget;
use crate::progress::Progress;
use crate::settings::RegistrySettings;
use crate::{Blame, Images, PrepareError, PreparedImage, Request, Settings};
use protocol::image_reference::ImageReference;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// One image by the name `first`, another by any other.
fn two(first: Sample, second: Sample) -> Scripted {
    Scripted::start(move |request| {
        let sample = if request.path.contains("/first/x/") { &first } else { &second };
        from_sample(sample, request)
    })
}

fn image(server: &Scripted, name: &str) -> String {
    format!("docker://{}/{name}/x:1", server.name())
}

#[tokio::test]
async fn a_layer_that_another_image_had_is_asked_for_and_not_fetched() {
    let base = layer("base", 100_000);
    let first = Sample::new(std::slice::from_ref(&base));
    let second = Sample::new(&[base, layer("top", 1000)]);
    let server = two(first.clone(), second);
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let shared = pull(&images, &image(&server, "first")).await.unwrap();
    let more = pull(&images, &image(&server, "second")).await.unwrap();
    assert_eq!(more.layers[0], shared.layers[0]);
    let asked: Vec<String> = server
        .received()
        .iter()
        .filter(|one| one.path.ends_with(&first.layer_path(0)))
        .map(|one| format!("{} {}", one.method, one.path.split('/').nth(2).unwrap()))
        .collect();
    assert_eq!(asked, ["GET first", "HEAD second"]);
}

/// An image of a layer of the sender's own, whose configuration says that it is another one.
pub(super) fn pretending(to_be: &[u8]) -> Sample {
    let mut sample = Sample::new(&[layer("own", 1000)]);
    let mut manifest: Value = serde_json::from_slice(&sample.manifest).unwrap();
    let name = manifest["config"]["digest"].as_str().unwrap().to_owned();
    let mut config: Value = serde_json::from_slice(&sample.blobs.remove(&name).unwrap()).unwrap();
    config["rootfs"]["diff_ids"] = json!([format!("sha256:{}", digest(to_be))]);
    let config = serde_json::to_vec(&config).unwrap();
    let name = format!("sha256:{}", digest(&config));
    manifest["config"]["digest"] = json!(name);
    manifest["config"]["size"] = json!(config.len());
    sample.blobs.insert(name, config);
    sample.manifest = serde_json::to_vec(&manifest).unwrap();
    sample
}

#[tokio::test]
async fn a_configuration_that_names_anothers_layer_does_not_get_it() {
    let secret = layer("secret", 100_000);
    let server = two(Sample::new(std::slice::from_ref(&secret)), pretending(&secret));
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    pull(&images, &image(&server, "first")).await.unwrap();
    let error = pull(&images, &image(&server, "second")).await.unwrap_err();
    assert_eq!(error.blame, Blame::User);
    assert!(error.reason.contains("the layer's content has the digest"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_names_anothers_blob_gets_what_the_registry_gives() {
    let secret = Sample::new(&[layer("secret", 100_000)]);
    let path = secret.layer_path(0);
    let copy = secret.clone();
    // The registry has the blob in one repository only, as a real one does.
    let server = Scripted::start(move |request| {
        if request.path.contains("/second/x/") && request.path.ends_with(&path) {
            return Reply::refusal(404, "blob unknown to registry");
        }
        from_sample(&copy, request)
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let own = pull(&images, &image(&server, "first")).await.unwrap();
    images.shelf().remove(&own.digest).unwrap();
    // The layer stays for a while: an image of the same manifest is prepared anew.
    images.shelf().convert_layer(&layer("secret", 100_000)[..], None, &Default::default()).unwrap();
    images.shelf().add_blob(&own.layers[0].diff_id, digest(&secret.layers[0])).unwrap();
    let error = pull(&images, &image(&server, "second")).await.unwrap_err();
    assert!(error.reason.contains("blob unknown to registry"), "{error}");
    pull(&images, &image(&server, "first")).await.unwrap();
}

/// A registry that knows the manifest and the digests in it, says that it has everything, and has no
/// bytes.
#[tokio::test]
async fn another_registrys_word_is_no_proof() {
    let sample = Sample::one_layer(100_000);
    let good = Scripted::serve(sample.clone(), |_| None);
    let path = sample.layer_path(0);
    let evil = Scripted::serve(sample.clone(), move |request| {
        let bytes = request.method == "GET" && request.path.contains(&path);
        bytes.then(|| Reply::refusal(404, "blob unknown to registry"))
    });
    let insecure = RegistrySettings { insecure: true, ..RegistrySettings::default() };
    let registry = [&good, &evil].map(|server| (server.name(), insecure.clone())).into();
    let directory = tempfile::tempdir().unwrap();
    let images = open_with(directory.path(), Settings { registry, ..Settings::default() });
    let own = pull(&images, &good.image()).await.unwrap();
    let error = pull(&images, &evil.image()).await.unwrap_err();
    assert!(error.reason.contains("blob unknown to registry"), "{error}");
    let asked = good.received().len();
    assert_eq!(pull(&images, &good.image()).await.unwrap().layers, own.layers);
    assert_eq!(good.received().len(), asked + 1, "whom it came from is only asked for the digest");
}

#[tokio::test]
async fn bytes_left_by_another_users_try_are_no_proof_either() {
    let sample = Sample::one_layer(10_000);
    let path = sample.layer_path(0);
    let copy = sample.clone();
    let server = Scripted::serve(sample.clone(), move |request| {
        let blob = request.path.contains(&path);
        (blob && !copy.layers.is_empty()).then(|| Reply::refusal(403, "not yours"))
    });
    let directory = tempfile::tempdir().unwrap();
    let images = open(directory.path(), &server.name());
    let left = blob_file(directory.path(), &server, &sample);
    std::fs::write(left, &sample.layers[0]).unwrap();
    let asked = images.start(request(&server.image(), sample.digest()));
    let error = asked.finished().await.unwrap_err();
    assert!(error.reason.contains("does not give its layer"), "{error}");
    assert_eq!(blobs(directory.path()), 1);
}

/// As a user sends an image layout: the tar archive of a directory.
fn archive(directory: &Path, sample: &Sample) -> PathBuf {
    let layout = tempfile::tempdir_in(directory).unwrap();
    sample.save(layout.path(), "x");
    let file = directory.join(sample.digest().to_string());
    let mut builder = tar::Builder::new(std::fs::File::create(&file).unwrap());
    builder.append_dir_all(".", layout.path()).unwrap();
    builder.finish().unwrap();
    file
}

fn asked(file: PathBuf) -> Request {
    let key = digest(&std::fs::read(&file).unwrap());
    let reference: ImageReference = format!("oci-archive:/x.tar@sha256:{key}").parse().unwrap();
    Request { reference, uploaded: Some(file), credential: None, uid: None }
}

async fn convert(images: &Images, file: PathBuf) -> Result<PreparedImage, PrepareError> {
    images.start(asked(file)).finished().await
}

#[tokio::test]
async fn a_file_gets_the_layers_whose_bytes_are_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let images = open_with(directory.path(), Settings::default());
    let secret = layer("secret", 100_000);
    let first = Sample::new(std::slice::from_ref(&secret));
    let own = convert(&images, archive(directory.path(), &first)).await.unwrap();
    let error =
        convert(&images, archive(directory.path(), &pretending(&secret))).await.unwrap_err();
    assert_eq!(error.blame, Blame::User, "{error}");
    assert!(error.reason.contains("has the digest"), "{error}");

    // Found on the shelf and not converted again: that would touch the layer's own file anew.
    let record = directory.path().join(format!("layers/{}.index", own.layers[0].diff_id));
    let made = std::fs::metadata(&record).unwrap().modified().unwrap();
    let more = Sample::new(&[secret, layer("top", 1000)]);
    let more = convert(&images, archive(directory.path(), &more)).await.unwrap();
    assert_eq!(more.layers[0], own.layers[0]);
    assert_eq!(std::fs::metadata(&record).unwrap().modified().unwrap(), made);
}

#[tokio::test]
async fn a_file_is_hashed_in_a_place_too() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { parallel_conversions: 1, ..Settings::default() };
    let shelf = open_with(directory.path(), settings.clone()).shelf().clone();
    let workshop = Workshop::open(directory.path(), shelf, settings.clone()).unwrap();
    let sample = archive(directory.path(), &Sample::one_layer(1000));
    let request = asked(sample);
    let ImageReference::File(file) = &request.reference else { panic!("{request:?}") };
    let prepare = |progress: &Arc<Progress>| {
        let told = (progress.clone(), Budget::new(&settings, None));
        prepare_file::prepare(&workshop, file, request.uploaded.as_deref(), told)
    };
    let first = prepare(&Arc::default()).await.unwrap();
    let budget = Budget::new(&settings, Some(1));
    let (place, _) = workshop.layer_place("other", None, &budget).await;
    let progress = Arc::new(Progress::default());
    let mut again = pin!(prepare(&progress));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut again).await;
    let done = (early.is_ok(), progress.layers_total(), progress.layers_done());
    assert_eq!(done, (false, Some(1), 0), "others work in the only place");
    drop(place);
    assert_eq!(again.await.unwrap().layers, first.layers);
}

#[tokio::test]
async fn an_image_is_limited_as_a_whole_and_a_full_disk_is_the_sites() {
    let sample = Sample::new(&[layer("one", 60_000), layer("two", 60_000)]);
    let directory = tempfile::tempdir().unwrap();
    let small = Settings { image_bytes_max: 100_000, ..Settings::default() };
    let images = open_with(directory.path(), small);
    let error = convert(&images, archive(directory.path(), &sample)).await.unwrap_err();
    assert_eq!(error.blame, Blame::User);
    assert!(error.reason.contains("image_bytes_max"), "{error}");

    let full = Settings { disk_reserve_bytes: u64::MAX, ..Settings::default() };
    let images = open_with(directory.path(), full);
    let (sender, made) = std::sync::mpsc::channel();
    images.on_full_disk(move |missing| sender.send(missing).unwrap());
    let error = convert(&images, archive(directory.path(), &sample)).await.unwrap_err();
    assert_eq!(error.blame, Blame::Site);
    assert!(error.reason.contains("bmc image gc"), "{error}");
    assert!(made.try_recv().unwrap() > 0, "room was made before it was refused");
}
