//! Files with holes, as GNU tar writes them: in the old header, and in three versions of extended
//! headers (GNU tar manual, "Storing Sparse Files").

use super::error::LayerError;
use super::pax::{self, Records};
use std::io::{self, Read};

/// Most pieces of one file.
const PIECES_MAX: usize = 100_000;
const BLOCK: usize = 512;

/// Where the data of a file lies: offset and length, ascending.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) pieces: Vec<(u64, u64)>,
    /// Bytes of the whole file.
    pub(super) bytes: u64,
}

impl Map {
    /// Refuses pieces that overlap or do not have `stored` bytes together.
    pub(super) fn checked(self, stored: u64) -> Result<Self, LayerError> {
        let (mut end, mut sum) = (0_u64, 0_u64);
        for (offset, length) in &self.pieces {
            let next = offset.checked_add(*length).filter(|_| *offset >= end);
            end = next.ok_or_else(damaged)?;
            sum = sum.checked_add(*length).ok_or_else(damaged)?;
        }
        if end > self.bytes || sum != stored || self.pieces.len() > PIECES_MAX {
            return Err(damaged());
        }
        Ok(self)
    }
}

fn damaged() -> LayerError {
    LayerError::damaged("the map of a file with holes is wrong")
}

/// From the old GNU header; further blocks of the map are read from `next`.
pub(super) fn from_gnu(
    header: &tar::GnuHeader,
    mut next: impl FnMut() -> Result<[u8; BLOCK], LayerError>,
) -> Result<Map, LayerError> {
    let bytes = header.real_size().map_err(|_| damaged())?;
    let mut map = Map { pieces: Vec::new(), bytes };
    let mut add = |list: &[tar::GnuSparseHeader]| {
        for piece in list.iter().filter(|piece| !piece.is_empty()) {
            let piece = (piece.offset(), piece.length());
            let (Ok(offset), Ok(length)) = piece else { return Err(damaged()) };
            map.pieces.push((offset, length));
        }
        if map.pieces.len() > PIECES_MAX { Err(damaged()) } else { Ok(()) }
    };
    add(&header.sparse)?;
    let mut more = header.is_extended();
    while more {
        let mut extended = tar::GnuExtSparseHeader::new();
        extended.as_mut_bytes().copy_from_slice(&next()?);
        add(extended.sparse())?;
        more = extended.is_extended();
    }
    Ok(map)
}

/// From an extended header of versions 0.0 and 0.1; `None`: it has no map.
pub(super) fn from_pax(records: &Records) -> Result<Option<Map>, LayerError> {
    let Some(bytes) = size(records)? else { return Ok(None) };
    let numbers = match pax::value(records, "GNU.sparse.map") {
        Some(map) => map.split(|byte| *byte == b',').map(decimal).collect::<Result<Vec<_>, _>>()?,
        None => {
            let keys: [&[u8]; 2] = [b"GNU.sparse.offset", b"GNU.sparse.numbytes"];
            let listed = records.iter().filter(|(key, _)| keys.contains(&&**key));
            listed.map(|(_, value)| decimal(value)).collect::<Result<Vec<_>, _>>()?
        }
    };
    Ok(Some(Map { pieces: pairs(&numbers), bytes }))
}

/// Whether the map stands before the data (version 1.0).
pub(super) fn is_in_data(records: &Records) -> bool {
    pax::value(records, "GNU.sparse.major") == Some(b"1")
}

/// From the start of the data, in version 1.0; gives the bytes it took as well.
pub(super) fn from_data(records: &Records, mut data: impl Read) -> Result<(Map, u64), LayerError> {
    let bytes = size(records)?.ok_or_else(damaged)?;
    let mut taken = 0;
    let mut block = [0; BLOCK];
    let mut numbers: Vec<u64> = Vec::new();
    let mut digits = Vec::new();
    loop {
        data.read_exact(&mut block).map_err(LayerError::from_read)?;
        taken += 512;
        for byte in block {
            if byte != b'\n' {
                digits.push(byte);
                continue;
            }
            numbers.push(decimal(&digits)?);
            digits.clear();
            let count = numbers.first().copied().unwrap_or(0);
            let count = usize::try_from(count).ok().filter(|count| *count <= PIECES_MAX);
            let wanted = count.ok_or_else(damaged)? * 2 + 1;
            if numbers.len() == wanted {
                let pieces = pairs(numbers.get(1..).unwrap_or_default());
                return Ok((Map { pieces, bytes }, taken));
            }
        }
        if digits.len() > BLOCK {
            return Err(damaged());
        }
    }
}

fn size(records: &Records) -> Result<Option<u64>, LayerError> {
    let size = match pax::number(records, "GNU.sparse.realsize")? {
        Some(size) => Some(size),
        None => pax::number(records, "GNU.sparse.size")?,
    };
    size.map(|size| u64::try_from(size).map_err(|_| damaged())).transpose()
}

fn decimal(text: &[u8]) -> Result<u64, LayerError> {
    let text = std::str::from_utf8(text).map_err(|_| damaged())?;
    text.parse().map_err(|_| damaged())
}

fn pairs(numbers: &[u64]) -> Vec<(u64, u64)> {
    let mut numbers = numbers.iter().copied();
    std::iter::from_fn(|| Some((numbers.next()?, numbers.next()?))).collect()
}

/// The whole file, its holes as zeros.
#[derive(Debug)]
pub(super) struct Filled<R> {
    data: R,
    map: Map,
    piece: usize,
    at: u64,
}

impl<R: Read> Filled<R> {
    pub(super) fn new(data: R, map: Map) -> Self {
        Self { data, map, piece: 0, at: 0 }
    }
}

impl<R: Read> Read for Filled<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let part = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let (length, data) = loop {
            match self.map.pieces.get(self.piece) {
                Some((offset, _)) if self.at < *offset => break (part(offset - self.at), false),
                Some((offset, length)) if self.at < offset + length => {
                    break (part(offset + length - self.at), true);
                }
                Some(_) => self.piece += 1,
                None => break (part(self.map.bytes - self.at), false),
            }
        };
        let Some(buffer) = buffer.get_mut(..length) else { return Ok(0) };
        let length = if data {
            self.data.read(buffer)?
        } else {
            buffer.fill(0);
            length
        };
        self.at += u64::try_from(length).unwrap_or(u64::MAX);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_zeros() {
        let map = Map { pieces: vec![(2, 3), (7, 0), (7, 1)], bytes: 10 }.checked(4).unwrap();
        let mut out = Vec::new();
        Filled::new(&b"abcd"[..], map).read_to_end(&mut out).unwrap();
        assert_eq!(out, b"\0\0abc\0\0d\0\0");
        for (pieces, bytes) in [(vec![(2, 3), (4, 1)], 10), (vec![(9, 4)], 10), (vec![(0, 3)], 10)]
        {
            assert!(Map { pieces, bytes }.checked(4).is_err());
        }
    }
}
