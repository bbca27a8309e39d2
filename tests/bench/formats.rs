//! What a layer could be made into: time, size, and reading files here and there, for the formats that a
//! Debian kernel mounts. The tree is the same for all.

use crate::figure::Figure;
use crate::memory::run;
use anyhow::{Context, Result};
use std::path::Path;
use tests::cluster::Cluster;
use tests::product::check;

/// Name, program, options.
const FORMATS: [(&str, &str, &[&str]); 8] = [
    ("squashfs zstd 3 by tar2sqfs, as bootsrv does", OURS, &[]),
    ("squashfs zstd 1", SQUASHFS, &["-comp", "zstd", "-Xcompression-level", "1"]),
    ("squashfs zstd 3", SQUASHFS, &["-comp", "zstd", "-Xcompression-level", "3"]),
    ("squashfs zstd 9", SQUASHFS, &["-comp", "zstd", "-Xcompression-level", "9"]),
    ("squashfs lz4", SQUASHFS, &["-comp", "lz4"]),
    ("squashfs gzip", SQUASHFS, &["-comp", "gzip"]),
    ("erofs lz4", EROFS, &["-zlz4"]),
    ("erofs lz4hc", EROFS, &["-zlz4hc"]),
];
const SQUASHFS: &str = "mksquashfs";
const EROFS: &str = "mkfs.erofs";
const OURS: &str = "tar2sqfs";
/// From an archive, as layers come.
const PACK_LAYER: &str = "set -o pipefail; tar --create --numeric-owner --sort=name -C \"$0\" . |
    tar2sqfs --quiet --force --no-skip --compressor zstd --block-size 256K --comp-extra level=3 \
        --num-jobs \"$(nproc)\" \"$1\"";

/// Reads small files in an order that is no order, from a cold cache, as programs start and modules are
/// imported; prints the nanoseconds.
const READ: &str = "set -e; mount -t $2 -o ro,loop \"$0\" \"$1\"; trap 'umount \"$1\"' EXIT
    find \"$1\" -type f -size -256k -size +0 | LC_ALL=C sort |
        awk '{ print NR * 7919 % 10007, $0 }' | sort -n | cut -d' ' -f2- | head -n 2000 |
        tr '\\n' '\\0' >/run/bench-files
    echo 3 >/proc/sys/vm/drop_caches; start=$(date +%s%N)
    xargs -0 cat </run/bench-files >/dev/null
    echo $(($(date +%s%N) - start))";

/// All formats of one unpacked tree.
pub(crate) fn figures(cluster: &Cluster, tree: &Path, work: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let (file, tree) = (work.join("format").display().to_string(), tree.display().to_string());
    for (name, program, options) in FORMATS {
        check(cluster.run("root", &["rm", "-f", &file])?)?;
        let squashfs = [program, &tree, &file, "-b", "256K", "-quiet", "-no-progress"];
        let words = match program {
            OURS => ["bash", "-c", PACK_LAYER, &tree, &file].to_vec(),
            EROFS => [&[program, "--quiet"], options, &[&file, &tree]].concat(),
            _ => [&squashfs[..], options].concat(),
        };
        let kind = if program == EROFS { "erofs" } else { "squashfs" };
        let made = run(&mut cluster.command("root", &words)).with_context(|| name.to_owned())?;
        let bytes = std::fs::metadata(&file)?.len();
        let read = read(cluster, &file, work, kind).map_err(|error| format!("{error:#}"));
        let figure =
            |what: &str, unit, value| Figure::new(format!("{name}: {what}"), unit, None, [value]);
        #[expect(clippy::cast_precision_loss, reason = "a size for people")]
        let megabytes = bytes as f64 / 1e6;
        figures.push(figure("to make", "s", Ok(made.seconds)));
        figures.push(figure("size", "MB", Ok(megabytes)));
        figures.push(figure("2000 small files from a cold cache", "s", read));
    }
    Ok(figures)
}

fn read(cluster: &Cluster, file: &str, work: &Path, kind: &str) -> Result<f64> {
    let mounted = work.join("mounted");
    std::fs::create_dir_all(&mounted)?;
    let words = ["bash", "-c", READ, file, &mounted.display().to_string(), kind];
    let nanoseconds: f64 = check(cluster.run("root", &words)?)?.trim().parse()?;
    Ok(nanoseconds / 1e9)
}
