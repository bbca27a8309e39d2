//! Packing and sending, against a server that remembers.

use super::*;
use crate::test_server::{Seen, TestServer};
use crate::{ClientConfig, Timeouts};
use protocol::image_reference::{ImageChoice, ImageReference};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn tree() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("b")).unwrap();
    std::fs::write(path("b/one"), "1").unwrap();
    std::fs::write(path("b.x"), "2".repeat(3_000_000)).unwrap();
    std::fs::hard_link(path("b/one"), path("c")).unwrap();
    symlink("/nowhere", path("a")).unwrap();
    std::fs::create_dir(path(&"d".repeat(200))).unwrap();
    std::fs::set_permissions(path("b/one"), PermissionsExt::from_mode(0o4755)).unwrap();
    folder
}

fn packed(directory: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    pack(directory, &mut out).unwrap();
    out
}

#[test]
fn the_same_directory_is_the_same_archive_and_comes_out_again() {
    let folder = tree();
    let bytes = packed(folder.path());
    assert_eq!(bytes, packed(folder.path()));
    let mut archive = tar::Archive::new(bytes.as_slice());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            format!(
                "{} {name} {:o}",
                entry.header().entry_type().as_byte() as char,
                entry.header().mode().unwrap()
            )
        })
        .collect();
    let long = "d".repeat(200);
    let names: Vec<&str> = names.iter().map(|name| name.trim_end_matches('/')).collect();
    assert!(names[0].starts_with("5 ."), "{names:?}");
    assert_eq!(names[1], "2 a 777");
    assert!(names[2].starts_with("5 b"), "{names:?}");
    assert!(names[3].starts_with("0 b/one 4755") && names[4].starts_with("0 b.x"), "{names:?}");
    assert!(names[5].starts_with("1 c") && names[6].contains(&long), "{names:?}");

    let out = tempfile::tempdir().unwrap();
    tar::Archive::new(bytes.as_slice()).unpack(out.path()).unwrap();
    assert_eq!(std::fs::read(out.path().join("c")).unwrap(), b"1");
    assert_eq!(std::fs::metadata(out.path().join("b/one")).unwrap().nlink(), 2);
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tree();
    let error = pack(&folder.path().join("c"), &mut io::sink()).unwrap_err();
    assert!(error.to_string().contains("not a directory"), "{error}");
    let error = open_file(folder.path()).unwrap_err();
    assert!(error.to_string().contains("not a regular file"));
    let mut short = Exact { file: File::open(folder.path().join("c")).unwrap(), left: 2 };
    assert!(short.read_to_end(&mut Vec::new()).is_err());
}

fn reference(text: &str) -> FileReference {
    match text.parse() {
        Ok(ImageChoice::Reference(ImageReference::File(file))) => file,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_go_once_and_a_pin_is_kept() {
    let has = AtomicBool::new(false);
    let answer = move |seen: &Seen| {
        let digest = seen.path.rsplit('/').next().unwrap();
        let view = format!(r#"{{"sha256":"{digest}","bytes":1}}"#);
        let known = if seen.method == "PUT" {
            has.swap(true, Ordering::SeqCst)
        } else {
            has.load(Ordering::SeqCst)
        };
        (200, if known || seen.method == "PUT" { view } else { "null".into() })
    };
    let Some(server) = TestServer::start(answer).unwrap() else { return };
    let config = ClientConfig::parse(&server.client_toml(), Path::new("client.toml")).unwrap();
    let client = Client::new(&config, Timeouts::total(Duration::from_secs(5)));
    let folder = tree();
    let directory = reference(&format!("dir:{}", folder.path().display()));
    let mut last = FileProgress::Hashing(0);
    let digest = client.send_file(&directory, &mut |progress| last = progress).unwrap();
    let bytes = packed(folder.path());
    assert_eq!(last, FileProgress::Sending(bytes.len() as u64, bytes.len() as u64));
    let seen = server.seen();
    assert_eq!((seen.len(), &seen[1].body), (2, &bytes));
    assert_eq!(seen[1].path, format!("/v1/uploads/{digest}"));

    assert_eq!(client.send_file(&directory, &mut |_| ()).unwrap(), digest);
    assert_eq!(server.seen().len(), 3, "nothing is sent a second time");

    // A pinned one is known without a look at the file.
    let gone = reference(&format!("sif:/nonexistent/x.sif@sha256:{digest}"));
    assert_eq!(client.send_file(&gone, &mut |_| ()).unwrap(), digest);
}

#[test]
fn a_file_that_is_not_what_was_pinned_is_not_sent() {
    let Some(server) = TestServer::start(|_| (200, "null".into())).unwrap() else { return };
    let config = ClientConfig::parse(&server.client_toml(), Path::new("client.toml")).unwrap();
    let client = Client::new(&config, Timeouts::total(Duration::from_secs(5)));
    let folder = tree();
    let text = format!("sif:{}@sha256:{}", folder.path().join("c").display(), "00".repeat(32));
    let error = client.send_file(&reference(&text), &mut |_| ()).unwrap_err();
    assert!(error.chain().contains("not what the reference names"), "{}", error.chain());
    assert!(server.seen().iter().all(|seen| seen.method == "GET"));
}
