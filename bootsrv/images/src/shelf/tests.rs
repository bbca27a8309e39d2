//! The shelf with real conversions of tiny layers.

use super::*;
use crate::layer::LayerLimits;
use crate::prepared::PreparedLayer;
use artifacts::Hub;
use std::time::Duration;

fn archive(name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    header.set_mtime(5);
    builder.append_data(&mut header, name, &b"data"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn shelf(directory: &Path) -> (Hub, Shelf) {
    let hub = Hub::open(directory).unwrap();
    let shelf = Shelf::open(directory, hub.store().clone()).unwrap();
    (hub, shelf)
}

fn layer(shelf: &Shelf, name: &str) -> PreparedLayer {
    shelf.convert_layer(&archive(name)[..], None, &LayerLimits::default()).unwrap()
}

fn image(shelf: &Shelf, number: u8, layers: &[PreparedLayer], used: i64) -> PreparedImage {
    let image = PreparedImage {
        digest: Digest([number; 32]),
        reference: format!("docker://r/i:{number}"),
        architecture: None,
        layers: layers.to_vec(),
        config: protocol::application::ImageConfig::default(),
        prepared_unix_ns: gc::unix_ns(SystemTime::now()),
        used_unix_ns: used,
    };
    shelf.put(&image).unwrap();
    image
}

#[test]
fn a_layer_is_converted_once_and_found_again_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let one = layer(&shelf, "one");
    let again = Shelf::open(directory.path(), shelf.store().clone()).unwrap();
    assert_eq!(again.layer(&one.diff_id).unwrap(), Some(one.clone()));
    assert_eq!(layer(&shelf, "one"), one, "equal archives give equal files");
    let made = image(&shelf, 1, std::slice::from_ref(&one), 7);
    assert_eq!(again.get(&made.digest).unwrap(), Some(made.clone()));
    again.touch(&made.digest, 9).unwrap();
    assert_eq!(shelf.list().unwrap()[0].used_unix_ns, 9);

    shelf.store().remove(&one.squashfs.sha256).unwrap();
    assert_eq!(shelf.get(&made.digest).unwrap(), None, "complete or absent");
    assert_eq!(shelf.layer(&one.diff_id).unwrap(), None);
    assert!(shelf.put(&made).is_err());
}

#[test]
fn what_a_killed_run_began_to_write_is_gone_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let one = layer(&shelf, "one");
    for begun in ["layers/.new-abc", "prepared/.new-def"] {
        fs::write(directory.path().join(begun), "x").unwrap();
    }
    let again = Shelf::open(directory.path(), shelf.store().clone()).unwrap();
    assert_eq!(again.layers().unwrap(), [one]);
    let left = |name| fs::read_dir(directory.path().join(name)).unwrap().count();
    assert_eq!((left("layers"), left("prepared")), (2, 0), "index and layer");
}

#[test]
fn a_failed_conversion_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let archive = archive("x");
    let limits = LayerLimits::default();
    for (archive, stated) in [(&archive[..600], None), (&archive[..], Some(Digest([1; 32])))] {
        let error = shelf.convert_layer(archive, stated.as_ref(), &limits).unwrap_err();
        assert_eq!(error.blame, crate::Blame::User, "{error}");
    }
    assert_eq!(fs::read_dir(directory.path().join("layers")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(directory.path().join("artifacts")).unwrap().count(), 0);
}

#[test]
fn a_sweep_keeps_what_a_layer_refers_to() {
    let directory = tempfile::tempdir().unwrap();
    let (hub, shelf) = shelf(directory.path());
    let one = layer(&shelf, "one");
    assert_eq!(hub.sweep(&BTreeSet::new()).unwrap().0, 0);
    assert_eq!(shelf.artifacts().unwrap(), BTreeSet::from([one.squashfs.sha256]));
}

#[test]
fn images_go_by_age_and_size_and_shared_layers_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (hub, shelf) = shelf(directory.path());
    let [base, own, other] = ["base", "own", "other"].map(|name| layer(&shelf, name));
    let one = image(&shelf, 1, &[base.clone(), own.clone()], 10);
    let two = image(&shelf, 2, &[base.clone(), other.clone()], 20);
    let now = SystemTime::now();
    let none = BTreeSet::new();
    let limits = GcLimits { bytes_max: u64::MAX, age_max: Duration::MAX };
    assert_eq!(shelf.gc(&limits, &none, now).unwrap(), []);

    let all: u64 = [&base, &own, &other].iter().map(|layer| layer.squashfs.bytes).sum();
    let full = GcLimits { bytes_max: all - 1, ..limits };
    let removed = shelf.gc(&full, &BTreeSet::from([two.digest]), now).unwrap();
    assert_eq!(removed.len(), 1, "the one unused for longer goes, and that is enough");
    assert_eq!((removed[0].digest, removed[0].bytes), (one.digest, own.squashfs.bytes));
    assert_eq!(hub.sweep(&none).unwrap(), (1, own.squashfs.bytes));
    assert_eq!(shelf.get(&two.digest).unwrap(), Some(two.clone()));

    let old = GcLimits { age_max: Duration::ZERO, ..limits };
    assert!(shelf.gc(&old, &BTreeSet::from([two.digest]), now).unwrap().is_empty(), "in use");
    assert_eq!(shelf.gc(&old, &none, now).unwrap().len(), 1);
    assert_eq!(hub.sweep(&none).unwrap().0, 2);
    assert_eq!(shelf.layers().unwrap(), []);
}

#[test]
fn a_shared_layer_goes_with_the_last_image_whichever_came_first() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let base = layer(&shelf, "base");
    let first = image(&shelf, 1, std::slice::from_ref(&base), 10);
    let base = shelf.layer(&base.diff_id).unwrap().unwrap();
    let second = image(&shelf, 2, std::slice::from_ref(&base), 20);
    shelf.remove(&second.digest).unwrap();
    assert_eq!(shelf.layers().unwrap(), [base]);
    shelf.remove(&first.digest).unwrap();
    assert_eq!(shelf.layers().unwrap(), []);

    // Asked for after both, by an image on its way.
    let base = layer(&shelf, "base");
    let all = [1, 2].map(|number| image(&shelf, number, std::slice::from_ref(&base), 10));
    shelf.layer(&base.diff_id).unwrap().unwrap();
    all.iter().for_each(|image| drop(shelf.remove(&image.digest).unwrap()));
    assert_eq!(shelf.layers().unwrap(), [base]);
}

#[test]
fn a_layer_of_an_image_on_its_way_stays_for_a_day() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let one = layer(&shelf, "one");
    let limits = GcLimits { bytes_max: 0, age_max: Duration::ZERO };
    let now = SystemTime::now();
    let hours = |hours: u64| now + Duration::from_secs(hours * 3600);
    shelf.gc(&limits, &BTreeSet::new(), hours(24)).unwrap();
    assert!(shelf.layer(&one.diff_id).unwrap().is_some());
    shelf.gc(&limits, &BTreeSet::new(), hours(26)).unwrap();
    assert!(shelf.layer(&one.diff_id).unwrap().is_none());
}

#[test]
fn too_many_are_refused_where_they_are_added_and_removed_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let one = layer(&shelf, "one");
    let first = image(&shelf, 0, std::slice::from_ref(&one), 1);
    for number in 1..60 {
        let digest = Digest([number; 32]);
        let layer = PreparedLayer { diff_id: digest, ..one.clone() };
        shelf.write(&shelf.layer_file(&digest), &layer).unwrap();
        let image = PreparedImage { digest, ..first.clone() };
        shelf.write(&shelf.image_file(&digest), &image).unwrap();
    }
    let new = PreparedImage { digest: Digest([99; 32]), ..first.clone() };
    assert!(shelf.put(&new).unwrap_err().reason.contains("images already"));
    shelf.put(&first).unwrap();
    let error = shelf.convert_layer(&archive("two")[..], None, &LayerLimits::default());
    assert!(error.unwrap_err().reason.contains("layers already"));

    let limits = GcLimits { bytes_max: 0, age_max: Duration::ZERO };
    let later = SystemTime::now() + Duration::from_secs(26 * 3600);
    assert_eq!(shelf.gc(&limits, &BTreeSet::new(), later).unwrap().len(), 60);
    assert_eq!(shelf.layers().unwrap(), []);
}

#[test]
fn a_layer_is_hashed_before_the_lock_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let artifacts = directory.path().join("artifacts");
    let lock = shelf.lock().unwrap();
    let other = shelf.clone();
    let converting = std::thread::spawn(move || layer(&other, "one"));
    // The lock is waited for with the finished file open, read to its end.
    let sealed = || {
        let scratch = fs::read_dir(&artifacts).ok()?.next()?.ok()?.path().join("squashfs");
        let fds = fs::read_dir("/proc/self/fd").ok()?.flatten();
        let fd =
            fds.map(|fd| fd.path()).find(|fd| fs::read_link(fd).ok() == Some(scratch.clone()))?;
        let info = fs::read_to_string(Path::new("/proc/self/fdinfo").join(fd.file_name()?)).ok()?;
        let at: u64 = info.lines().next()?.strip_prefix("pos:")?.trim().parse().ok()?;
        (at > 0 && at == fs::metadata(&scratch).ok()?.len()).then_some(())
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while sealed().is_none() {
        assert!(std::time::Instant::now() < deadline, "it waits for the lock first");
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(lock);
    converting.join().unwrap();
}

#[test]
fn who_waits_for_the_lock_converts_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let (place, other) = (std::sync::Arc::new(()), shelf.clone());
    let lock = shelf.lock().unwrap();
    let taken = place.clone();
    let converting = std::thread::spawn(move || {
        let limits = LayerLimits::default();
        other.convert_layer_in(taken, &archive("one")[..], None, &limits).unwrap()
    });
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while std::sync::Arc::strong_count(&place) > 1 {
        assert!(std::time::Instant::now() < deadline, "it keeps its place");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(!converting.is_finished());
    drop(lock);
    converting.join().unwrap();
}

#[test]
fn layers_that_are_too_much_together_are_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let layers = ["one", "two", "three"].map(|name| layer(&shelf, name)).to_vec();
    for layer in &layers {
        fs::write(shelf.index_file(&layer.diff_id), "damaged").unwrap();
    }
    let limits = LayerLimits { entries_max: 1, ..LayerLimits::default() };
    let error = shelf.complete(layers, &limits).unwrap_err();
    assert!(error.reason.contains("more than 2 entries with those below it"), "{error}");

    let layers = ["four", "five", "six"].map(|name| layer(&shelf, name)).to_vec();
    fs::write(shelf.index_file(&layers[2].diff_id), "damaged").unwrap();
    let limits = LayerLimits { index_bytes_max: 100, ..LayerLimits::default() };
    let error = shelf.complete(layers, &limits).unwrap_err();
    assert!(error.reason.contains("more than 200 bytes of names"), "{error}");
}

#[test]
fn a_stack_is_corrected_once() {
    let directory = tempfile::tempdir().unwrap();
    let (_, shelf) = shelf(directory.path());
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    builder.append_link(&mut header, "two", "one").unwrap();
    let two = builder.into_inner().unwrap();
    let limits = LayerLimits::default();
    let layers = vec![layer(&shelf, "one"), shelf.convert_layer(&two[..], None, &limits).unwrap()];
    let whole = shelf.complete(layers.clone(), &limits).unwrap();
    assert_eq!(whole.len(), 3, "a hard link to a lower layer");
    assert_eq!(whole[2].entries, 3);
    assert_eq!(shelf.complete(layers.clone(), &limits).unwrap(), whole);
    assert_eq!(shelf.complete(layers[..1].to_vec(), &limits).unwrap().len(), 1);
}
