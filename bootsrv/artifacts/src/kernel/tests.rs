//! Imports of packages made here, with the real depmod and squashfs-tools: both are part of every
//! bootsrv's machine.

use super::*;
use crate::hub::Hub;
use crate::unpack::ArchiveError;
use std::collections::BTreeSet;
use std::fs;
use tar::{Builder, EntryType, Header};

const RELEASE: &str = "6.1.0-1-test";

struct Site {
    directory: tempfile::TempDir,
    hub: Hub,
    options: ImportOptions,
}

fn site() -> Site {
    let directory = tempfile::tempdir().unwrap();
    let agent = directory.path().join("agent");
    let mut elf = vec![0; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    fs::write(&agent, elf).unwrap();
    let options = ImportOptions {
        agent,
        certificate_pem: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".into(),
        initrd_modules: ["loop", "virtio-net", "absent"].map(String::from).into(),
        left_out: vec!["kernel/sound".into()],
    };
    let hub = Hub::open(directory.path().join("state")).unwrap();
    Site { directory, hub, options }
}

impl Site {
    fn import(&self, package: &[u8]) -> Result<Kernel, KernelError> {
        import_package(&self.hub, "test".parse().unwrap(), package, &self.options)
    }

    fn initrd(&self, kernel: &Kernel) -> String {
        let file = fs::File::open(self.hub.store().path(&kernel.initrd.sha256)).unwrap();
        String::from_utf8_lossy(&zstd::decode_all(file).unwrap()).into_owned()
    }
}

/// An object file with nothing in it: enough for depmod.
fn module(name: &str) -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
    elf[16] = 1;
    elf[18] = 62;
    elf[20] = 1;
    elf[52] = 64;
    elf[58] = 64;
    // One empty section and the table of section names, which follow the header.
    elf[40] = 64;
    elf[60] = 2;
    elf[62] = 1;
    let mut sections = vec![0; 128];
    sections[64] = 0;
    sections[68] = 3;
    sections[64 + 24] = 192;
    sections[64 + 32] = 1;
    [elf, sections, vec![0], name.as_bytes().to_vec()].concat()
}

fn xz(data: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

type Content = Vec<(String, EntryType, Vec<u8>)>;

fn content() -> Content {
    let tree = format!("./lib/modules/{RELEASE}");
    let file = |path: String, data: Vec<u8>| (path, EntryType::Regular, data);
    vec![
        ("./boot/".into(), EntryType::Directory, vec![]),
        file(format!("./boot/vmlinuz-{RELEASE}"), vmlinuz::synthetic(RELEASE)),
        file(format!("{tree}/modules.builtin"), b"kernel/drivers/block/loop.ko\n".to_vec()),
        file(format!("{tree}/kernel/drivers/net/virtio_net.ko.xz"), xz(&module("net"))),
        file(format!("{tree}/kernel/sound/soundcore.ko"), module("sound")),
        (format!("{tree}/build"), EntryType::Symlink, vec![]),
        file("./etc/ignored".into(), b"x".to_vec()),
    ]
}

fn package(content: &Content) -> Vec<u8> {
    let mut data = Builder::new(Vec::new());
    for (path, kind, bytes) in content {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        data.append(&header, &bytes[..]).unwrap();
    }
    outer(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", &xz(&[0; 1024])),
        ("data.tar.xz", &xz(&data.into_inner().unwrap())),
    ])
}

fn outer(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ar::Builder::new(Vec::new());
    for (name, data) in members {
        let header = ar::Header::new(name.as_bytes().to_vec(), data.len() as u64);
        archive.append(&header, *data).unwrap();
    }
    archive.into_inner().unwrap()
}

#[test]
fn a_package_becomes_three_artifacts_and_is_reproducible() {
    let site = site();
    let kernel = site.import(&package(&content())).unwrap();
    assert_eq!(kernel.release, RELEASE);
    assert_eq!(kernel.initrd_modules, ["virtio_net"]);
    assert_eq!(kernel.initrd_builtin, ["loop"]);
    assert_eq!(kernel.initrd_missing, ["absent"]);
    let initrd = site.initrd(&kernel);
    for part in ["init\0", "bootsrv.pem\0", "dev/console\0", "/modules/virtio_net.ko\n"] {
        assert!(initrd.contains(part), "{part}");
    }
    assert_eq!(site.hub.kernel(&kernel.name).unwrap().unwrap(), kernel);

    let tree = site.directory.path().join("unpacked");
    crate::squashfs::unpack(&site.hub.store().path(&kernel.modules.sha256), &tree).unwrap();
    let modules = tree.join("usr/lib/modules").join(RELEASE);
    let net = fs::read(modules.join("kernel/drivers/net/virtio_net.ko")).unwrap();
    assert_eq!(net, module("net"), "uncompressed");
    assert!(modules.join("modules.dep.bin").exists());
    for absent in ["build", "kernel/sound", "kernel/drivers/net/virtio_net.ko.xz"] {
        assert!(!modules.join(absent).exists(), "{absent}");
    }
    assert_eq!(site.import(&package(&content())).unwrap(), kernel, "the same bytes again");
}

#[test]
fn a_new_certificate_makes_a_new_initrd_and_nothing_else() {
    let mut site = site();
    let old = site.import(&package(&content())).unwrap();
    assert_eq!(rebuild_initrd(&site.hub, &old, &site.options).unwrap(), None);
    site.options.certificate_pem.push_str("renewed\n");
    let new = rebuild_initrd(&site.hub, &old, &site.options).unwrap().unwrap();
    assert_eq!((&new.vmlinuz, &new.modules), (&old.vmlinuz, &old.modules));
    assert_eq!(new.initrd_modules, old.initrd_modules);
    assert!(site.initrd(&new).contains("renewed"));
    assert!(site.hub.store().contains(&old.initrd.sha256), "a node may be fetching it");
    assert_eq!(site.hub.sweep(&BTreeSet::new()).unwrap(), (1, old.initrd.bytes));
    site.hub.remove_kernel(&new.name, &BTreeSet::new()).unwrap().unwrap();
    assert!(site.hub.store().list().unwrap().is_empty());
}

#[test]
fn modules_of_another_kernel_are_refused_whatever_their_directory_is_called() {
    let site = site();
    let with = |release: &str| {
        let mut content = content();
        let text = format!("\0license=GPL\0vermagic={release} SMP mod_unload \0");
        let module = [module("net"), text.into_bytes()].concat();
        content[3].2 = xz(&module);
        package(&content)
    };
    site.import(&with(RELEASE)).unwrap();
    let error = site.import(&with("6.12.0-9-other")).unwrap_err().to_string();
    let expected = "the kernel file is release 6.1.0-1-test, its module \
                    kernel/drivers/net/virtio_net.ko was built for 6.12.0-9-other";
    assert_eq!(error, expected);
}

#[test]
fn refused_packages_leave_nothing() {
    let site = site();
    let refused = |change: &dyn Fn(&mut Content)| {
        let mut content = content();
        change(&mut content);
        let error = site.import(&package(&content)).unwrap_err();
        assert!(site.hub.kernels().unwrap().is_empty());
        assert_eq!(fs::read_dir(site.directory.path().join("state/artifacts")).unwrap().count(), 0);
        error
    };
    for path in ["../../etc/cron.d/x", "/etc/cron.d/x", "./lib/modules/../../../x"] {
        let error = refused(&|content| content.push((path.into(), EntryType::Regular, vec![])));
        let archive = matches!(
            error,
            KernelError::Package(PackageError::Archive(ArchiveError::Escape { .. }))
        );
        assert!(archive, "{path}: {error:?}");
    }
    let link = format!("lib/modules/{RELEASE}/kernel");
    let error = refused(&|content| content.insert(2, (link.clone(), EntryType::Symlink, vec![])));
    assert!(matches!(error, KernelError::Package(PackageError::NotAFile { .. })), "{error:?}");
    let error = refused(&|content| {
        content.push(("lib/modules/6.9/x.ko".into(), EntryType::Regular, vec![]));
    });
    assert!(matches!(error, KernelError::Package(PackageError::Ambiguous { .. })), "{error:?}");
    let error = refused(&|content| content[1].2 = vmlinuz::synthetic("6.1.0-2-test"));
    assert!(matches!(error, KernelError::ReleaseMismatch { .. }), "{error:?}");
    let error = refused(&|content| drop(content.remove(1)));
    assert!(matches!(error, KernelError::Package(PackageError::Lacks { .. })), "{error:?}");
    let error = refused(&|content| content[1].2 = b"MZ".to_vec());
    assert!(matches!(error, KernelError::NotBzImage), "{error:?}");
}

#[test]
fn what_is_no_package_or_too_large_is_refused() {
    let site = site();
    let package = package(&content());
    let data_only = outer(&[("data.tar.xz", b"x")]);
    for bad in [&b""[..], b"#!/bin/sh", &[0; 4096], &data_only] {
        let error = site.import(bad).unwrap_err();
        assert!(matches!(error, KernelError::Package(PackageError::NotAPackage)), "{error:?}");
    }
    for cut in [1, 30, 200] {
        let error = site.import(&package[..package.len() - cut]).unwrap_err();
        assert!(matches!(error, KernelError::Package(_)), "{error:?}");
    }

    // A module of 300 MB that is a few kB long in the package.
    let mut content = content();
    content[3].0 = content[3].0.replace(".xz", ".zst");
    content[3].2 = zstd::encode_all(&vec![0; 300 << 20][..], 1).unwrap();
    let error = site.import(&self::package(&content)).unwrap_err();
    let source = std::error::Error::source(&error).and_then(std::error::Error::source);
    assert!(format!("{source:?}").contains("TooMuch"), "{error:?}");
}
