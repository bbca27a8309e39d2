//! A root file system without layers: a directory's tar archive, or a squashfs file.

use super::section::Section;
use super::{FileImage, Source};
use crate::error::PrepareError;
use artifacts::program::Running;
use artifacts::squashfs;
use std::io::{self, Read};
use std::process::ChildStdout;

/// Beginning of a squashfs file.
const MAGIC: &[u8] = b"hsqs";

pub(super) fn directory(section: &Section) -> Result<FileImage, PrepareError> {
    Ok(FileImage::single(None, Source::Archive(section.clone()), section.bytes))
}

pub(super) fn squashfs(section: &Section) -> Result<FileImage, PrepareError> {
    if !section.start(4)?.starts_with(MAGIC) {
        return Err(PrepareError::user("the file is no squashfs file system"));
    }
    Ok(FileImage::single(None, Source::Squashfs(section.clone()), section.bytes))
}

/// The tar archive of a squashfs file system that a user made: a program that is confined to it reads
/// it ([`squashfs::to_tar`]), no kernel. It cannot read from an offset, so a part of a file is copied.
pub(super) fn archive_of(section: &Section) -> Result<SquashfsReader, PrepareError> {
    let site = |error: &dyn std::fmt::Display| {
        PrepareError::site(format!("cannot read the image's squashfs file system: {error}"))
    };
    let mut running = squashfs::to_tar(section.alone()?).map_err(|error| site(&error))?;
    let output = running.output().ok_or_else(|| site(&"no output"))?;
    Ok(SquashfsReader { running: Some(running), output })
}

/// The archive while the program writes it.
#[derive(Debug)]
pub(super) struct SquashfsReader {
    running: Option<Running>,
    output: ChildStdout,
}

impl Read for SquashfsReader {
    /// The end is an error where the program failed.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.output.read(buffer)?;
        if length == 0
            && !buffer.is_empty()
            && let Some(running) = self.running.take()
        {
            let damaged = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            running.finish().map_err(damaged)?;
        }
        Ok(length)
    }
}
