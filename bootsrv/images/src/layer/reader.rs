//! The members of a tar archive one after the other: ustar, GNU and pax with their long names, large
//! numbers and holes. It must not know what layers are.
//!
//! Not the tar crate's own iterator: that one takes an extended header of any size into memory, and
//! ends a value at its first line feed, which capabilities and other attributes may contain.

use super::error::LayerError;
use super::limits::{EXTENSION_BYTES_MAX, EXTENSIONS_BYTES_MAX};
use super::pax::{self, Records};
use super::sparse::{self, Filled, Map};
use std::io::{self, Read};
use tar::{EntryType, Header};

const BLOCK: usize = 512;
const BLOCK_BYTES: u64 = 512;

/// A file, directory or link of the archive.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) header: Header,
    pub(crate) kind: EntryType,
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(super) records: Records,
    /// Bytes of the whole file, holes included; 0 for everything else.
    pub(crate) bytes: u64,
    map: Option<Map>,
}

/// What is read from the start, and may have a faster way over what nobody needs.
pub(crate) trait Skip: Read + Sized {
    /// Leaves out so many bytes; gives how many there were.
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.by_ref().take(bytes), &mut io::sink())
    }
}

/// Reads members; the content of one must be read before the next.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    input: R,
    /// An archive may end without its mark: umoci writes such, and the layer's digest says whether it
    /// is whole.
    may_end: bool,
    /// Of the current member's data.
    left: u64,
    padding: u64,
    /// Bytes of all extended headers so far.
    extended: u64,
}

/// What stood before a member about it.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Records,
}

impl<R: Skip> Reader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, may_end: false, left: 0, padding: 0, extended: 0 }
    }

    /// Takes an archive without an end mark.
    pub(crate) fn may_end(self) -> Self {
        Self { may_end: true, ..self }
    }

    /// What it reads from.
    pub(crate) fn input(&self) -> &R {
        &self.input
    }

    /// The next member; `None`: the archive's end mark.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, LayerError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let bytes = match is_blank(&header.as_old().size) {
                true => 0,
                false => header.entry_size().map_err(|_| bad("size"))?,
            };
            let bytes = match pax::number(&extensions.records, "size")? {
                Some(size) => u64::try_from(size).map_err(|_| bad("size"))?,
                None => bytes,
            };
            if kind.is_pax_local_extensions() {
                extensions.records = pax::parse(&self.extension(bytes)?)?;
            } else if kind.is_gnu_longname() {
                extensions.name = Some(self.text(bytes)?);
            } else if kind.is_gnu_longlink() {
                extensions.link = Some(self.text(bytes)?);
            } else if kind.is_pax_global_extensions() {
                // It says nothing about files in any archive that is made today.
                self.extension(bytes)?;
            } else {
                return self.member(header, kind, bytes, extensions).map(Some);
            }
        }
    }

    /// The content of the member that came last, holes as zeros.
    pub(super) fn content<'a>(&'a mut self, member: &mut Member) -> Box<dyn Read + 'a> {
        let data = Data { reader: self };
        match member.map.take() {
            Some(map) => Box::new(Filled::new(data, map)),
            None => Box::new(data),
        }
    }

    fn member(
        &mut self,
        header: Header,
        kind: EntryType,
        stored: u64,
        extensions: Extensions,
    ) -> Result<Member, LayerError> {
        let Extensions { name, link, records } = extensions;
        let of_pax = |key| pax::value(&records, key).map(<[u8]>::to_vec);
        let name = of_pax("GNU.sparse.name")
            .or_else(|| of_pax("path"))
            .or(name)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = of_pax("linkpath")
            .or(link)
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
            .unwrap_or_default();
        // Archives from before POSIX mark a directory by a slash.
        let old_directory = kind.is_file() && name.ends_with(b"/");
        let kind = if old_directory { EntryType::Directory } else { kind };
        let is_file = kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse();
        // Other members have no data, whatever their headers say (as Go's archive/tar has it).
        let mut stored = if is_file { stored } else { 0 };
        self.expect(stored);
        let mut map = None;
        if kind.is_gnu_sparse() {
            let gnu = header.as_gnu().ok_or_else(|| bad("map of holes"))?;
            map = Some(sparse::from_gnu(gnu, || read_block(&mut self.input))?);
        } else if is_file && sparse::is_in_data(&records) {
            let (found, taken) = sparse::from_data(&records, Data { reader: self })?;
            stored = stored.checked_sub(taken).ok_or_else(|| bad("map of holes"))?;
            map = Some(found);
        } else if is_file {
            map = sparse::from_pax(&records)?;
        }
        let map = map.map(|map| map.checked(stored)).transpose()?;
        let bytes = map.as_ref().map_or(stored, |map| map.bytes);
        Ok(Member { header, kind, name, link, records, bytes, map })
    }

    /// The next header; `None`: the end mark.
    fn header(&mut self) -> Result<Option<Header>, LayerError> {
        let mut block = [0; BLOCK];
        let first = self.input.read(block.get_mut(..1).unwrap_or_default());
        match first.map_err(LayerError::from_read)? {
            0 if self.may_end => return Ok(None),
            _ => {
                let rest = block.get_mut(1..).unwrap_or_default();
                self.input.read_exact(rest).map_err(LayerError::from_read)?;
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        let mut computed = header.clone();
        computed.set_cksum();
        let same = header.cksum().ok().filter(|stated| computed.cksum().ok() == Some(*stated));
        if same.is_none() {
            return Err(LayerError::damaged("it is no tar archive, or a header is damaged"));
        }
        Ok(Some(header))
    }

    fn expect(&mut self, bytes: u64) {
        self.left = bytes;
        self.padding = bytes.wrapping_neg() % BLOCK_BYTES;
    }

    fn extension(&mut self, bytes: u64) -> Result<Vec<u8>, LayerError> {
        if bytes > EXTENSION_BYTES_MAX {
            return Err(LayerError::damaged(format!(
                "an extended header has more than {EXTENSION_BYTES_MAX} bytes"
            )));
        }
        self.extended += bytes + BLOCK_BYTES;
        if self.extended > EXTENSIONS_BYTES_MAX {
            let max = EXTENSIONS_BYTES_MAX;
            return Err(LayerError::too_much(format!("more than {max} bytes of extended headers")));
        }
        self.expect(bytes);
        let mut data = Vec::new();
        Data { reader: self }.read_to_end(&mut data).map_err(LayerError::from_read)?;
        Ok(data)
    }

    fn text(&mut self, bytes: u64) -> Result<Vec<u8>, LayerError> {
        let mut text = self.extension(bytes)?;
        text.truncate(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
        Ok(text)
    }

    fn skip(&mut self) -> Result<(), LayerError> {
        let (left, bytes) = (self.left, self.left.saturating_add(self.padding));
        (self.left, self.padding) = (0, 0);
        match self.input.skip(bytes).map_err(LayerError::from_read)? {
            skipped if skipped == bytes || self.may_end && skipped >= left => Ok(()),
            _ => Err(LayerError::from_read(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// The rest of a member's data; its end is an error where the archive's comes first.
struct Data<'a, R> {
    reader: &'a mut Reader<R>,
}

impl<R: Skip> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.reader.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let length = self.reader.input.read(buffer)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.reader.left -= u64::try_from(length).unwrap_or(u64::MAX);
        Ok(length)
    }
}

/// Whether a number is left out, which means 0.
pub(super) fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

fn bad(field: &str) -> LayerError {
    LayerError::damaged(format!("a header has no valid {field}"))
}

fn read_block(input: &mut impl Read) -> Result<[u8; BLOCK], LayerError> {
    let mut block = [0; BLOCK];
    input.read_exact(&mut block).map_err(LayerError::from_read)?;
    Ok(block)
}
