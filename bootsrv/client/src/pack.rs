//! References to files: their bytes are hashed, and sent to bootsrv if it does not have them. A
//! directory is sent as the tar archive of its content, made twice from the same rules (for the
//! digest, and for the way) rather than kept: nothing is written, and little is held in memory.

use crate::transport::UPLOAD;
use crate::upload::{CHUNK_BYTES, upload_limit};
use crate::{Client, ClientError};
use protocol::api::{UPLOADS, UploadView};
use protocol::image_reference::FileReference;
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::{File, Metadata, read_dir, read_link, symlink_metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tar::{Builder, EntryType, Header};

/// Most entries of a directory that is sent; images have some 100,000.
const ENTRIES_MAX: u64 = 4_000_000;
/// Chunks under way between the packer and the connection.
const CHUNKS_WAITING: usize = 4;

/// How far a file is, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileProgress {
    /// So many bytes are hashed.
    Hashing(u64),
    /// So many bytes are sent, of all.
    Sending(u64, u64),
}

impl Client {
    /// Makes bootsrv have the bytes of a reference's file, and says their digest: the reference's
    /// pin. A reference that is pinned already is hashed only if bootsrv does not have its bytes.
    ///
    /// # Errors
    /// When the file cannot be read, has changed since it was pinned, or bootsrv does not take it.
    pub fn send_file(
        &self,
        file: &FileReference,
        progress: &mut dyn FnMut(FileProgress),
    ) -> Result<Digest, ClientError> {
        let path = Path::new(&file.path);
        let failed = |source| ClientError::File { path: path.to_owned(), source };
        if let Some(digest) = &file.digest
            && self.has_upload(digest)?
        {
            return Ok(*digest);
        }
        let mut hasher = Sha256::new();
        let mut bytes = 0;
        copy(path, file.format.is_directory(), &mut |chunk| {
            hasher.update(chunk);
            bytes += chunk.len() as u64;
            progress(FileProgress::Hashing(bytes));
            Ok(())
        })
        .map_err(failed)?;
        let digest = Digest(hasher.finalize().into());
        if file.digest.as_ref().is_some_and(|pinned| *pinned != digest) {
            return Err(failed(io::Error::other(format!(
                "its content is @sha256:{digest} and not what the reference names"
            ))));
        }
        if !self.has_upload(&digest)? {
            self.put_upload(file, &digest, bytes, &mut |sent| {
                progress(FileProgress::Sending(sent, bytes));
            })?;
        }
        Ok(digest)
    }

    fn has_upload(&self, digest: &Digest) -> Result<bool, ClientError> {
        self.get::<Option<UploadView>>(&format!("{UPLOADS}/{digest}")).map(|view| view.is_some())
    }

    fn put_upload(
        &self,
        file: &FileReference,
        digest: &Digest,
        bytes: u64,
        sent: &mut dyn FnMut(u64),
    ) -> Result<UploadView, ClientError> {
        let path = PathBuf::from(&file.path);
        let directory = file.format.is_directory();
        let (sender, receiver) = sync_channel(CHUNKS_WAITING);
        let url = format!("{UPLOADS}/{digest}");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let end = copy(&path, directory, &mut |chunk| {
                    // The connection has ended: the other side of this knows why.
                    sender.send(Ok(chunk.to_vec())).map_err(|_| io::ErrorKind::BrokenPipe.into())
                });
                if let Err(error) = end {
                    drop(SyncSender::send(&sender, Err(error)));
                }
            });
            let mut body = Chunks { receiver, rest: Vec::new(), at: 0, sent: 0, told: sent };
            let client = self.with_total(upload_limit(bytes));
            let body = ureq::SendBody::from_reader(&mut body);
            let answer = client.send("PUT", &url, digest, UPLOAD, body)?;
            client.json("PUT", &url, &answer)
        })
    }
}

/// What the packer's thread makes, read by the connection. A channel and no pipe: a broken pipe's
/// signal would end the command this runs in.
struct Chunks<'a> {
    receiver: Receiver<io::Result<Vec<u8>>>,
    rest: Vec<u8>,
    at: usize,
    sent: u64,
    told: &'a mut dyn FnMut(u64),
}

impl Read for Chunks<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.rest.len() {
            match self.receiver.recv() {
                Ok(chunk) => (self.rest, self.at) = (chunk?, 0),
                Err(_) => return Ok(0),
            }
        }
        let bytes = self.rest.get(self.at..).unwrap_or_default().read(out)?;
        self.at += bytes;
        self.sent += bytes as u64;
        (self.told)(self.sent);
        Ok(bytes)
    }
}

/// The bytes that are sent, in chunks.
fn copy(
    path: &Path,
    directory: bool,
    to: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(CHUNK_BYTES, Sink(to));
    if directory {
        pack(path, &mut out)?;
    } else {
        io::copy(&mut open_file(path)?, &mut out)?;
    }
    out.flush()
}

/// A directory, a device or a pipe behind the name would be read for ever, or not at all.
fn open_file(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(path)
}

struct Sink<'a>(&'a mut dyn FnMut(&[u8]) -> io::Result<()>);

impl Write for Sink<'_> {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        (self.0)(chunk)?;
        Ok(chunk.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a directory's content as a tar archive: names in byte order below `./`, owners as numbers,
/// whole seconds, hard links. The same content gives the same bytes. Without extended attributes, and
/// without sockets, which are nothing outside of their processes.
///
/// # Errors
/// When something in it cannot be read, or changes meanwhile; the error names it.
pub fn pack(directory: &Path, out: &mut dyn Write) -> io::Result<()> {
    if !std::fs::metadata(directory)?.is_dir() {
        return Err(io::Error::other("it is not a directory"));
    }
    let mut builder = Builder::new(out);
    let mut links = HashMap::new();
    let mut waiting = vec![PathBuf::new()];
    let mut entries = 0;
    while let Some(name) = waiting.pop() {
        let path = directory.join(&name);
        entries += 1;
        if entries > ENTRIES_MAX {
            return Err(io::Error::other(format!("it has more than {ENTRIES_MAX} entries")));
        }
        let found = append(&mut builder, &path, &name, &mut links).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        waiting.extend(found.into_iter().map(|child| name.join(child)));
    }
    builder.into_inner()?.flush()
}

/// Writes one entry, and says what is in it, the first last.
fn append(
    builder: &mut Builder<&mut dyn Write>,
    path: &Path,
    name: &Path,
    links: &mut HashMap<(u64, u64), PathBuf>,
) -> io::Result<Vec<std::ffi::OsString>> {
    // The directory itself may be named by a link.
    let root = name.as_os_str().is_empty();
    let metadata = if root { std::fs::metadata(path)? } else { symlink_metadata(path)? };
    let shown = Path::new(".").join(name);
    let mut header = header(&metadata);
    let kind = metadata.file_type();
    if kind.is_dir() {
        header.set_entry_type(EntryType::Directory);
        builder.append_data(&mut header, &shown, io::empty())?;
        let mut children =
            read_dir(path)?.map(|child| Ok(child?.file_name())).collect::<io::Result<Vec<_>>>()?;
        children.sort_unstable_by(|a, b| b.cmp(a));
        return Ok(children);
    }
    if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        builder.append_link(&mut header, &shown, read_link(path)?)?;
        return Ok(Vec::new());
    }
    if metadata.nlink() > 1 {
        let key = (metadata.dev(), metadata.ino());
        if let Some(first) = links.get(&key) {
            header.set_entry_type(EntryType::Link);
            builder.append_link(&mut header, &shown, first)?;
            return Ok(Vec::new());
        }
        links.insert(key, shown.clone());
    }
    if kind.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        let mut content = Exact { file: open_file(path)?, left: metadata.len() };
        builder.append_data(&mut header, &shown, &mut content)?;
        return Ok(Vec::new());
    }
    let mode = metadata.mode() & 0o170_000;
    let entry_type = match mode {
        0o020_000 => EntryType::Char,
        0o060_000 => EntryType::Block,
        0o010_000 => EntryType::Fifo,
        _ => return Ok(Vec::new()),
    };
    header.set_entry_type(entry_type);
    if entry_type != EntryType::Fifo {
        // glibc's encoding of a device number in 64 bits.
        let device = metadata.rdev();
        let major = ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000);
        let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
        header.set_device_major(u32::try_from(major).unwrap_or(u32::MAX))?;
        header.set_device_minor(u32::try_from(minor).unwrap_or(u32::MAX))?;
    }
    builder.append_data(&mut header, &shown, io::empty())?;
    Ok(Vec::new())
}

fn header(metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

/// A file's content at the length its header says: neither more nor less.
struct Exact {
    file: File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = Read::by_ref(&mut self.file).take(self.left).read(out)?;
        if bytes == 0 && self.left > 0 && !out.is_empty() {
            return Err(io::Error::other("it became shorter while it was read"));
        }
        self.left = self.left.saturating_sub(bytes as u64);
        Ok(bytes)
    }
}

#[cfg(test)]
#[path = "pack_tests.rs"]
mod tests;
