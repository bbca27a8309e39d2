//! A tar archive for `tar2sqfs`: every number, name and attribute that does not fit a plain header
//! goes into an extended one.

use super::error::LayerError;
use super::index::{Attribute, Metadata};
use super::pax;
use std::io::{self, Read, Write};
use tar::{EntryType, Header};

const BLOCK_BYTES: u64 = 512;
/// Longest name and link target of a plain header.
const NAME_BYTES: usize = 100;
/// Largest owner and size of a plain header (octal digits).
const ID_MAX: u32 = 0o777_7777;
const SIZE_MAX: u64 = 0o777_7777_7777;
/// What a directory has that hides the layers below (Linux: filesystems/overlayfs).
const OPAQUE: (&[u8], &[u8]) = (b"SCHILY.xattr.trusted.overlay.opaque", b"y");
const COPY_BYTES: usize = 64 << 10;

/// What to write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item<'a> {
    File(u64),
    Directory { opaque: bool },
    Symlink(&'a [u8]),
    HardLink(&'a [u8]),
    Fifo,
    Whiteout,
}

/// Writes members.
#[derive(Debug)]
pub(super) struct Writer<W> {
    output: W,
    /// For contents; of the writer, because most files are much smaller than it.
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, buffer: vec![0; COPY_BYTES] }
    }

    /// Writes a member; a file's content follows with [`Self::content`].
    pub(super) fn member(
        &mut self,
        path: &[u8],
        item: Item<'_>,
        metadata: &Metadata,
        attributes: &[Attribute],
    ) -> Result<(), LayerError> {
        let name = if path.is_empty() { b"./" } else { path };
        let mut records = Vec::new();
        let (kind, link, size) = match item {
            Item::File(size) => (EntryType::Regular, &b""[..], size),
            Item::Directory { .. } => (EntryType::Directory, &b""[..], 0),
            Item::Symlink(target) => (EntryType::Symlink, target, 0),
            Item::HardLink(target) => (EntryType::Link, target, 0),
            Item::Fifo => (EntryType::Fifo, &b""[..], 0),
            Item::Whiteout => (EntryType::Char, &b""[..], 0),
        };
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(metadata.mode);
        header.set_mtime(metadata.mtime.into());
        let mut id = |key: &[u8], id: u32| {
            if id > ID_MAX {
                pax::append(&mut records, key, id.to_string().as_bytes());
            }
            u64::from(id.min(ID_MAX))
        };
        header.set_uid(id(b"uid", metadata.uid));
        header.set_gid(id(b"gid", metadata.gid));
        if size > SIZE_MAX {
            pax::append(&mut records, b"size", size.to_string().as_bytes());
        }
        header.set_size(size.min(SIZE_MAX));
        let old = header.as_old_mut();
        for (field, text, key) in
            [(&mut old.name, name, &b"path"[..]), (&mut old.linkname, link, &b"linkpath"[..])]
        {
            if text.len() > NAME_BYTES {
                pax::append(&mut records, key, text);
            }
            field.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        }
        if matches!(item, Item::Whiteout) {
            header.set_device_major(0).and_then(|()| header.set_device_minor(0)).map_err(write)?;
        }
        if matches!(item, Item::Directory { opaque: true }) {
            pax::append(&mut records, OPAQUE.0, OPAQUE.1);
        }
        for (key, value) in attributes {
            pax::append(&mut records, &[b"SCHILY.xattr.", &**key].concat(), value);
        }
        self.extended(&records)?;
        header.set_cksum();
        self.output.write_all(header.as_bytes()).map_err(write)
    }

    /// Copies exactly so many bytes as the content of the file written last.
    pub(super) fn content(&mut self, content: &mut dyn Read, size: u64) -> Result<(), LayerError> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(COPY_BYTES);
            let part = self.buffer.get_mut(..most).unwrap_or_default();
            let length = match content.read(part) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result,
            };
            let length = length.map_err(LayerError::from_read)?;
            self.output.write_all(part.get(..length).unwrap_or_default()).map_err(write)?;
            left -= u64::try_from(length).unwrap_or(u64::MAX);
        }
        self.pad(size)
    }

    /// Writes the end mark.
    pub(super) fn finish(&mut self) -> Result<(), LayerError> {
        self.output.write_all(&[0; 1024]).map_err(write)
    }

    pub(super) fn into_inner(self) -> W {
        self.output
    }

    fn extended(&mut self, records: &[u8]) -> Result<(), LayerError> {
        if records.is_empty() {
            return Ok(());
        }
        let size = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.as_old_mut().name.iter_mut().zip(b"pax").for_each(|(to, from)| *to = *from);
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        self.output.write_all(header.as_bytes()).map_err(write)?;
        self.output.write_all(records).map_err(write)?;
        self.pad(size)
    }

    fn pad(&mut self, size: u64) -> Result<(), LayerError> {
        let padding = usize::try_from(size.wrapping_neg() % BLOCK_BYTES).unwrap_or(0);
        self.output.write_all([0; 512].get(..padding).unwrap_or_default()).map_err(write)
    }
}

fn write(error: io::Error) -> LayerError {
    LayerError::Write(error)
}
