//! Puts generated files on disk: all or none, and nothing that somebody changed is lost unasked.

use crate::generate::GeneratedFile;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    New,
    /// It is there with the same content.
    Same,
    /// It is there with another content.
    Different,
}

/// A file and what happens to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned<'a> {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub file: &'a GeneratedFile,
    /// How it differs from what is there.
    pub change: Change,
}

/// Why nothing was written, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Files with another content are there.
    #[error("there already with other content: {} (--force overwrites)", list(.0))]
    Exists(Vec<PathBuf>),
    /// A file or the directory could not be read or written.
    #[error("writing {}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Compares the files with what is in the directory.
///
/// # Errors
/// When something of that name is there and cannot be read.
pub fn plan<'a>(
    directory: &Path,
    files: &'a [GeneratedFile],
) -> Result<Vec<Planned<'a>>, WriteError> {
    let planned = |file: &'a GeneratedFile| {
        let path = directory.join(file.name);
        let change = match fs::read(&path) {
            Ok(content) if content == file.content.as_bytes() => Change::Same,
            Ok(_) => Change::Different,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Change::New,
            Err(source) => return Err(WriteError::Io { path, source }),
        };
        Ok(Planned { path, file, change })
    };
    files.iter().map(planned).collect()
}

/// Writes what is not there yet, and with `force` what is different. Refuses before the first file
/// when it would have to overwrite one.
///
/// # Errors
/// When a different file is in the way, or one cannot be written.
pub fn write(directory: &Path, planned: &[Planned<'_>], force: bool) -> Result<(), WriteError> {
    let in_the_way: Vec<PathBuf> = planned
        .iter()
        .filter(|planned| planned.change == Change::Different && !force)
        .map(|planned| planned.path.clone())
        .collect();
    if !in_the_way.is_empty() {
        return Err(WriteError::Exists(in_the_way));
    }
    fs::create_dir_all(directory)
        .map_err(|source| WriteError::Io { path: directory.to_owned(), source })?;
    for planned in planned.iter().filter(|planned| planned.change != Change::Same) {
        replace(&planned.path, planned.file.content.as_bytes())
            .map_err(|source| WriteError::Io { path: planned.path.clone(), source })?;
    }
    Ok(())
}

/// The file is there whole or as it was before: slurmctld may read it at any moment.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mut file = fs::File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changed_by_hand_is_lost_unasked() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name, content: &str| GeneratedFile { name, content: content.to_owned() };
        let files = [file("a", "one\n"), file("b", "two\n")];
        write(directory.path(), &plan(directory.path(), &files).unwrap(), false).unwrap();
        let again = plan(directory.path(), &files).unwrap();
        assert!(again.iter().all(|planned| planned.change == Change::Same));

        fs::write(directory.path().join("b"), "by hand\n").unwrap();
        fs::remove_file(directory.path().join("a")).unwrap();
        let planned = plan(directory.path(), &files).unwrap();
        let refused = write(directory.path(), &planned, false).unwrap_err();
        assert!(refused.to_string().contains("/b (--force"), "{refused}");
        assert!(!directory.path().join("a").exists(), "none is written when one is in the way");
        write(directory.path(), &planned, true).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("b")).unwrap(), "two\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
