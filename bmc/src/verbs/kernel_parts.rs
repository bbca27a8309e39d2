//! A kernel that was built by hand, put into a Debian package: the server knows one form only.
//!
//! Knows the package format (deb(5): an `ar` archive of two tar archives), not the server.

use crate::failure::refused;
use anyhow::Context;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// Largest tree of modules, in bytes. Debian's largest is about 500 MB.
const BYTES_MAX: u64 = 8 << 30;
/// Most files in it.
const FILES_MAX: usize = 100_000;
/// Length of a member's header in an `ar` archive.
const HEADER_BYTES: u64 = 60;

/// Packs a kernel and its modules. `modules` is named as the kernel's release.
pub(crate) fn package(vmlinuz: &Path, modules: &Path) -> anyhow::Result<NamedTempFile> {
    let release = release(modules)?;
    let mut package = NamedTempFile::with_suffix(".deb").context("cannot make a temporary file")?;
    write(package.as_file_mut(), vmlinuz, modules, &release)
        .with_context(|| format!("cannot pack {} and {}", vmlinuz.display(), modules.display()))?;
    Ok(package)
}

fn release(modules: &Path) -> anyhow::Result<String> {
    let real =
        modules.canonicalize().with_context(|| format!("cannot read {}", modules.display()))?;
    let name = real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let starts_as_release = name.starts_with(|c: char| c.is_ascii_digit());
    if !starts_as_release || !real.is_dir() || name.contains(char::is_whitespace) {
        return Err(refused(
            format!("{} is not a directory named as a kernel's release", modules.display()),
            "Give the directory below lib/modules that `make modules_install` made, e.g. \
             lib/modules/6.12.5-rt3.",
        ));
    }
    Ok(name.to_owned())
}

fn write(file: &mut File, vmlinuz: &Path, modules: &Path, release: &str) -> anyhow::Result<()> {
    file.write_all(b"!<arch>\n")?;
    member(file, "debian-binary", |file| Ok(file.write_all(b"2.0\n")?))?;
    member(file, "control.tar", |file| control(file, release))?;
    member(file, "data.tar", |file| data(file, vmlinuz, modules, release))
}

/// Writes a member whose length is known only afterwards.
fn member(
    file: &mut File,
    name: &str,
    content: impl FnOnce(&mut File) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let at = file.stream_position()?;
    file.write_all(header(name, 0).as_bytes())?;
    content(file)?;
    let end = file.seek(SeekFrom::End(0))?;
    let length = end.saturating_sub(at).saturating_sub(HEADER_BYTES);
    file.seek(SeekFrom::Start(at))?;
    file.write_all(header(name, length).as_bytes())?;
    file.seek(SeekFrom::End(0))?;
    if length % 2 == 1 {
        file.write_all(b"\n")?;
    }
    Ok(())
}

fn header(name: &str, length: u64) -> String {
    format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{length:<10}`\n", 0, 0, 0, "100644")
}

fn control(file: &mut File, release: &str) -> anyhow::Result<()> {
    let text = format!(
        "Package: linux-image-{release}\nVersion: {release}\nArchitecture: amd64\n\
         Maintainer: nobody <nobody@localhost>\nDescription: kernel {release}, packed by bmc\n"
    );
    let mut tar = tar::Builder::new(file);
    append(&mut tar, "./control", u64::try_from(text.len())?, text.as_bytes())?;
    Ok(tar.finish()?)
}

fn data(file: &mut File, vmlinuz: &Path, modules: &Path, release: &str) -> anyhow::Result<()> {
    let mut tar = tar::Builder::new(file);
    append_file(&mut tar, &format!("./boot/vmlinuz-{release}"), vmlinuz)?;
    let (mut files, mut bytes) = (0_usize, 0_u64);
    let mut directories = vec![(modules.to_owned(), format!("./lib/modules/{release}"))];
    while let Some((directory, inside)) = directories.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().context("a file's name is not UTF-8")?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push((entry.path(), format!("{inside}/{name}")));
            } else if kind.is_file() {
                (files, bytes) = (files + 1, bytes.saturating_add(entry.metadata()?.len()));
                anyhow::ensure!(files <= FILES_MAX && bytes <= BYTES_MAX, "too many modules");
                append_file(&mut tar, &format!("{inside}/{name}"), &entry.path())?;
            }
            // What is left are the links `build` and `source`, which lead out of the tree.
        }
    }
    anyhow::ensure!(files > 0, "{} holds no files", modules.display());
    Ok(tar.finish()?)
}

fn append_file(tar: &mut tar::Builder<&mut File>, inside: &str, path: &Path) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let length = file.metadata()?.len();
    append(tar, inside, length, file)
}

fn append(
    tar: &mut tar::Builder<&mut File>,
    inside: &str,
    length: u64,
    content: impl std::io::Read,
) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(length);
    header.set_mode(0o644);
    Ok(tar.append_data(&mut header, inside, content)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_an_archive_of_archives_with_true_lengths() {
        let directory = tempfile::tempdir().unwrap();
        let modules = directory.path().join("6.12.5-rt3");
        std::fs::create_dir_all(modules.join("kernel/fs")).unwrap();
        std::fs::write(modules.join("kernel/fs/x.ko"), "module").unwrap();
        std::fs::write(modules.join("modules.order"), "kernel/fs/x.ko\n").unwrap();
        std::os::unix::fs::symlink("/usr/src", modules.join("build")).unwrap();
        let vmlinuz = directory.path().join("bzImage");
        std::fs::write(&vmlinuz, "kernel").unwrap();

        let package = package(&vmlinuz, &modules).unwrap();
        let bytes = std::fs::read(package.path()).unwrap();
        assert_eq!(&bytes[..8], b"!<arch>\n");
        let (mut at, mut names) = (8, Vec::new());
        while at < bytes.len() {
            let header = std::str::from_utf8(&bytes[at..at + 60]).unwrap();
            assert!(header.ends_with("`\n"));
            let length: usize = header[48..58].trim().parse().unwrap();
            let content = &bytes[at + 60..at + 60 + length];
            let name = header[..16].trim().to_owned();
            if name.ends_with(".tar") {
                for entry in tar::Archive::new(content).entries().unwrap() {
                    names.push(entry.unwrap().path().unwrap().display().to_string());
                }
            }
            at += 60 + length + length % 2;
        }
        names.sort();
        let expected = [
            "./boot/vmlinuz-6.12.5-rt3",
            "./control",
            "./lib/modules/6.12.5-rt3/kernel/fs/x.ko",
            "./lib/modules/6.12.5-rt3/modules.order",
        ];
        let plain = |name: &str| name.trim_start_matches("./").to_owned();
        assert_eq!(
            names.iter().map(|n| plain(n)).collect::<Vec<_>>(),
            expected.iter().map(|n| plain(n)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_directory_with_another_name_is_refused_with_an_example() {
        let directory = tempfile::tempdir().unwrap();
        let error = package(directory.path(), directory.path()).unwrap_err();
        assert!(error.to_string().contains("lib/modules/6.12.5-rt3"), "{error}");
    }
}
