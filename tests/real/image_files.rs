//! Images that are files where the command is typed.

use crate::case::{BOOT_SECONDS, Case, ensure_contains, ensure_refused};
use crate::images::{layout, pushed};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;
use tests::product::check;

/// One job for each form of reference, out of a directory that only its owner may enter.
pub(crate) fn each_kind_of_file_runs(case: &Case<'_>) -> Result<()> {
    pushed(case, "musl")?;
    let place = case.cluster.dir().join("home/alice/private");
    fs::create_dir_all(&place)?;
    make(&place)?;
    let owned = Command::new("chown").args(["-R", "2001:2001"]).arg(&place).output()?;
    check(owned)?;
    check(Command::new("chmod").arg("0700").arg(&place).output()?)?;
    let mut jobs = Vec::new();
    for reference in [
        "oci:/home/alice/private/layout:musl",
        "oci-archive:/home/alice/private/oci.tar",
        "docker-archive:/home/alice/private/docker.tar",
        "squashfs:/home/alice/private/root.squashfs",
        "sif:/home/alice/private/image.sif",
        "dir:/home/alice/private/root",
    ] {
        let image = format!("--bmc-image={reference}");
        let script = "cat /etc/os-release; names head; echo $BMC_IMAGE";
        let job = case.submit(&[&image], script).with_context(|| reference.to_owned())?;
        jobs.push((reference, job));
    }
    let mut of_alice = Vec::new();
    for (reference, job) in jobs {
        case.wait(job, "COMPLETED", 2 * BOOT_SECONDS).with_context(|| reference.to_owned())?;
        let printed = case.output(job);
        let pinned = format!("{reference}@sha256:");
        for expected in ["ID=musl", "user alice home /home/alice", &pinned] {
            ensure_contains(&printed, expected).with_context(|| reference.to_owned())?;
        }
        of_alice.extend(printed.lines().find(|line| line.starts_with(&pinned)).map(str::to_owned));
    }
    nobody_else_has_them(case, &of_alice)?;
    Ok(fs::remove_dir_all(place)?)
}

/// bob knows the digests of alice's files, and gets none of their images by them.
fn nobody_else_has_them(case: &Case<'_>, pinned: &[String]) -> Result<()> {
    let bob = |words: &[&str]| case.cluster.run("bob", words);
    for image in pinned {
        let option = format!("--bmc-image={image}");
        let sbatch = ["sbatch", "--chdir=/", "--output=/dev/null", &option, "--wrap=true"];
        ensure_refused(&bob(&sbatch)?, &[]).with_context(|| image.clone())?;
        ensure_refused(&bob(&["bmc", "image", "pull", image])?, &[])?;
        ensure_refused(&bob(&["bmc", "image", "show", image])?, &["is not prepared"])?;
    }
    let list = ["bmc", "image", "list"];
    ensure_contains(&check(case.alice(&list)?)?, "/home/alice/private/")?;
    let listed = check(bob(&list)?)?;
    ensure!(!listed.contains("/home/alice/"), "{listed}");
    Ok(())
}

/// The image in each form, made by the programs people use.
fn make(place: &Path) -> Result<()> {
    let layout = layout();
    let path = |name: &str| place.join(name).display().to_string();
    let from = format!("oci:{}:musl", layout.display());
    let copy = |to: String| {
        let words = ["--insecure-policy", "copy", "--quiet", &from, &to];
        check(Command::new("skopeo").args(words).output()?).with_context(|| to.clone())
    };
    copy(format!("oci:{}:musl", path("layout")))?;
    copy(format!("oci-archive:{}:musl", path("oci.tar")))?;
    copy(format!("docker-archive:{}:test/musl:1", path("docker.tar")))?;
    let image = format!("{}:musl", layout.display());
    let unpack = ["unpack", "--image", &image, &path("bundle")];
    check(Command::new("umoci").args(unpack).output()?).context("umoci unpack")?;
    fs::rename(place.join("bundle/rootfs"), place.join("root"))?;
    fs::remove_dir_all(place.join("bundle"))?;
    let pack = [&path("root"), &path("root.squashfs"), "-quiet", "-no-progress", "-all-root"];
    check(Command::new("mksquashfs").args(pack).output()?).context("mksquashfs")?;
    let squashfs = fs::read(place.join("root.squashfs"))?;
    fs::write(place.join("image.sif"), sif(&squashfs)?)?;
    Ok(())
}

/// A Singularity image file with one partition, laid out as Singularity does: a header of 128 bytes, room
/// for 48 descriptors of 585 bytes from the second page on, then the data (the SIF format, version 1:
/// little-endian, not aligned).
fn sif(squashfs: &[u8]) -> Result<Vec<u8>> {
    const DESCRIPTORS: (usize, usize) = (4096, 48 * 585);
    const DATA: usize = DESCRIPTORS.0 + DESCRIPTORS.1;
    /// The next page.
    const PARTITION: usize = 32768;
    let number = |value: usize| i64::try_from(value).map(i64::to_le_bytes);
    let padded = |text: &[u8], length: usize| {
        let mut bytes = text.to_vec();
        bytes.resize(length, 0);
        bytes
    };
    let mut file = padded(b"#!/usr/bin/env run-singularity\n", 32);
    file.extend(padded(b"SIF_MAGIC", 10));
    file.extend(padded(b"01", 3));
    file.extend(padded(b"02", 3)); // amd64
    file.extend([7; 16]); // its own id
    let data = PARTITION - DATA + squashfs.len();
    // Made, changed; descriptors free and in all; where and how long the descriptors and the data are.
    for value in [0, 0, 47, 48, DESCRIPTORS.0, DESCRIPTORS.1, DATA, data] {
        file.extend(number(value)?);
    }
    file.resize(DESCRIPTORS.0, 0);
    file.extend(0x4004_i32.to_le_bytes()); // a partition
    file.push(1); // in use
    for value in [1_u32, 0xf000_0001, 0] {
        file.extend(value.to_le_bytes()); // id, group, link
    }
    // Where, how long, with padding; made, changed, user, group.
    for value in [PARTITION, squashfs.len(), data, 0, 0, 0, 0] {
        file.extend(number(value)?);
    }
    file.extend(padded(b"root", 128));
    file.extend(1_i32.to_le_bytes()); // squashfs
    file.extend(2_i32.to_le_bytes()); // primary system partition
    file.extend(padded(b"02", 3));
    file.resize(PARTITION, 0);
    file.extend(squashfs);
    Ok(file)
}
