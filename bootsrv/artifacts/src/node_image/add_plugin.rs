//! Copies an image's archive and puts the plugin into it, in the place of an older one.
//!
//! Entries are copied as they are, byte by byte: owners, capabilities and extended attributes stay
//! without any right on this machine.

use super::plugin::{PLUGIN_BYTES_MAX, Plugin, SlurmVersion};
use crate::compression;
use crate::unpack::ArchiveError;
use std::io::{self, Read, Write};
use tar::{Entry, EntryType, Header};

/// The plugin's name where Slurm looks for it.
const PLUGIN_NAME: &str = "spank_bmc.so";
/// Nodes log in to slurmctld with it: wherever it lies, slurmd looks for plugins.
const NEIGHBOUR: &str = "auth_munge.so";
/// Longest extension of an entry (a long name, attributes), in bytes.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Archives consist of blocks of so many bytes.
const BLOCK: usize = 512;

/// Why the plugin cannot be added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddPluginError {
    /// The archive is damaged, or the new one cannot be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It is something else.
    #[error("this is no tar archive")]
    NotATar,
    /// There is no Slurm in the image.
    #[error("the image has no {NEIGHBOUR}: slurmd is not installed in it")]
    NoSlurm,
    /// slurmd would not load it.
    #[error(
        "the plugin was built for Slurm {plugin}, the image has Slurm {image}: slurmd would not load it"
    )]
    Version {
        /// The plugin's Slurm.
        plugin: SlurmVersion,
        /// The image's Slurm.
        image: SlurmVersion,
    },
    /// A kind of entry that cannot be copied as it is.
    #[error("the archive has a sparse file, {path:?}: make it without tar's --sparse")]
    Sparse {
        /// The entry.
        path: String,
    },
}

impl From<io::Error> for AddPluginError {
    fn from(error: io::Error) -> Self {
        Self::Archive(error.into())
    }
}

/// Writes the archive `base` (plain, gzip, xz or zstd) to `output` as a plain tar, with the plugin
/// where the image's Slurm looks for plugins. Gives that path.
///
/// # Errors
/// When an archive cannot be read or written, or the image has no Slurm that loads the plugin;
/// `output` is then incomplete.
pub fn add_plugin(
    base: impl Read,
    plugin: &Plugin,
    mut output: impl Write,
) -> Result<String, AddPluginError> {
    let mut archive = tar::Archive::new(compression::plain(base)?);
    // Where plugins are, and whose.
    let mut found: Option<(String, SlurmVersion)> = None;
    // Extensions (a long name, attributes) stand before the entry they belong to.
    let mut extensions = Vec::new();
    for (index, entry) in archive.entries()?.raw(true).enumerate() {
        let mut entry = entry.map_err(|error| match index {
            0 => AddPluginError::NotATar,
            _ => error.into(),
        })?;
        let kind = entry.header().entry_type();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if kind.is_gnu_sparse() {
            return Err(AddPluginError::Sparse { path });
        }
        if is_extension(kind) {
            if entry.header().entry_size()? > EXTENSION_BYTES_MAX {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
            copy(&mut entry, &mut extensions)?;
            continue;
        }
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == PLUGIN_NAME && kind.is_file() {
            extensions.clear();
            continue;
        }
        output.write_all(&extensions)?;
        extensions.clear();
        let is_neighbour =
            name == NEIGHBOUR && kind.is_file() && entry.header().entry_size()? <= PLUGIN_BYTES_MAX;
        if !is_neighbour {
            copy(&mut entry, &mut output)?;
            continue;
        }
        let mut copied = Vec::new();
        copy(&mut entry, &mut copied)?;
        output.write_all(&copied)?;
        let version = SlurmVersion::of(copied.get(BLOCK..).unwrap_or_default());
        found = version.map(|version| (directory.to_owned(), version)).or(found);
    }
    let (directory, version) = found.ok_or(AddPluginError::NoSlurm)?;
    if !plugin.version.fits(version) {
        return Err(AddPluginError::Version { plugin: plugin.version, image: version });
    }
    let path = format!("{directory}/{PLUGIN_NAME}");
    append(&path, &plugin.bytes, output)?;
    Ok(path)
}

fn is_extension(kind: EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

/// An entry as it is: header, content, and what fills the last block.
fn copy(entry: &mut Entry<'_, impl Read>, output: &mut impl Write) -> io::Result<()> {
    output.write_all(entry.header().as_bytes())?;
    let bytes = io::copy(entry, output)?;
    fill(bytes, output)
}

fn fill(bytes: u64, output: &mut impl Write) -> io::Result<()> {
    let beyond = usize::try_from(bytes % BLOCK as u64).unwrap_or(0);
    let missing = (BLOCK - beyond) % BLOCK;
    output.write_all([0; BLOCK].get(..missing).unwrap_or_default())
}

/// The plugin's own entry, and the archive's end.
fn append(path: &str, content: &[u8], output: impl Write) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(output);
    builder.append_data(&mut header, path, content)?;
    builder.into_inner()?.flush()
}

#[cfg(test)]
mod tests {
    use super::super::plugin::MUNGE_PLUGIN;
    use super::*;
    use std::fs;
    use std::path::Path;

    const WHERE: &str = "./usr/lib/slurm/spank_bmc.so";

    /// An archive as GNU tar makes it, of these files.
    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = directory.path().join("root").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let file = directory.path().join("out.tar");
        super::super::pack(&directory.path().join("root"), &file).unwrap();
        fs::read(file).unwrap()
    }

    fn add(base: &[u8], plugin: &Plugin) -> Result<Vec<(String, Vec<u8>)>, AddPluginError> {
        let mut output = Vec::new();
        assert_eq!(add_plugin(base, plugin, &mut output)?, WHERE);
        let mut archive = tar::Archive::new(&output[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        });
        Ok(entries.filter(|entry| !entry.0.ends_with('/')).collect())
    }

    #[test]
    fn the_plugin_lies_beside_slurms_own_and_replaces_an_older_one() {
        let munge = fs::read(MUNGE_PLUGIN).unwrap();
        let mut plugin = Plugin::read(Path::new(MUNGE_PLUGIN)).unwrap();
        plugin.bytes = b"new".to_vec();
        let long = format!("etc/{}/{}", "a".repeat(90), "b".repeat(90));
        let base = archive(&[
            ("usr/lib/slurm/auth_munge.so", &munge),
            ("usr/lib/slurm/spank_bmc.so", b"old"),
            (&long, b"long"),
        ]);
        let entries = add(&base, &plugin).unwrap();
        let content = |name: &str| {
            let mut found = entries.iter().filter(|entry| entry.0.ends_with(name));
            let content = found.next().unwrap().1.clone();
            assert!(found.next().is_none(), "{name} stands twice");
            content
        };
        assert_eq!(content("spank_bmc.so"), b"new");
        assert_eq!(content("auth_munge.so"), munge);
        assert_eq!(content(&long), b"long");
    }

    #[test]
    fn an_image_without_slurm_or_with_another_is_refused() {
        let munge = fs::read(MUNGE_PLUGIN).unwrap();
        let mut plugin = Plugin::read(Path::new(MUNGE_PLUGIN)).unwrap();
        let error = add(&archive(&[("etc/hosts", b"")]), &plugin).unwrap_err().to_string();
        assert!(error.contains("slurmd is not installed"), "{error}");
        assert!(matches!(add(&[7; 5000], &plugin), Err(AddPluginError::NotATar)));
        plugin.version = SlurmVersion::new(23, 2, 8);
        let base = archive(&[("usr/lib/slurm/auth_munge.so", &munge)]);
        let error = add(&base, &plugin).unwrap_err().to_string();
        assert!(error.contains("built for Slurm 23.02.8, the image has Slurm 22.05."), "{error}");
    }
}
