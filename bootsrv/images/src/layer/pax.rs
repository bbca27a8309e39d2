//! Records of an extended header (POSIX pax): `LENGTH KEY=VALUE\n`, where a value may be any bytes.

use super::error::LayerError;

/// Key and value.
type Record = (Vec<u8>, Vec<u8>);
/// In the header's order.
pub(super) type Records = Vec<Record>;

pub(super) fn parse(mut data: &[u8]) -> Result<Records, LayerError> {
    let mut records = Vec::new();
    while !data.is_empty() && data.first() != Some(&0) {
        let (record, rest) = split(data)
            .ok_or_else(|| LayerError::damaged("an extended header is not as POSIX says"))?;
        records.push(record);
        data = rest;
    }
    Ok(records)
}

/// The first record and what follows it.
fn split(data: &[u8]) -> Option<(Record, &[u8])> {
    let space = data.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(data.get(..space)?).ok()?.parse().ok()?;
    let record = data.get(space + 1..length.checked_sub(1)?)?;
    if data.get(length - 1) != Some(&b'\n') {
        return None;
    }
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let pair = (record.get(..equals)?.to_vec(), record.get(equals + 1..)?.to_vec());
    Some((pair, data.get(length..)?))
}

/// The value of the last record of that key: it counts.
pub(super) fn value<'a>(records: &'a Records, key: &str) -> Option<&'a [u8]> {
    let found = records.iter().rev().find(|(name, _)| name == key.as_bytes());
    found.map(|(_, value)| &**value)
}

/// A number; a fraction, which times have, is cut off.
pub(super) fn number(records: &Records, key: &str) -> Result<Option<i64>, LayerError> {
    let Some(value) = value(records, key) else { return Ok(None) };
    let text = std::str::from_utf8(value).ok().map(|text| text.split('.').next().unwrap_or(text));
    match text.and_then(|text| text.parse().ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(LayerError::damaged(format!("{key} in an extended header is no number"))),
    }
}

/// Appends a record.
pub(super) fn append(data: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    data.extend_from_slice(length.to_string().as_bytes());
    data.push(b' ');
    data.extend_from_slice(key);
    data.push(b'=');
    data.extend_from_slice(value);
    data.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_any_bytes() {
        for length in [0, 1, 3, 4, 5, 90, 91, 92, 93, 994, 1000] {
            let value = [b"\n=\0 ".as_slice(), &vec![b'x'; length]].concat();
            let mut data = Vec::new();
            append(&mut data, b"a", &value);
            append(&mut data, b"mtime", b"12.5");
            let records = parse(&data).unwrap();
            assert_eq!(records.len(), 2);
            assert_eq!(super::value(&records, "a").unwrap(), value);
            assert_eq!(number(&records, "mtime").unwrap(), Some(12));
        }
        let hostile: [&[u8]; 6] = [b"x", b"5 a", b"0 a=b\n", b"1 a=b\n", b"99 a=b\n", b"6 a=bc"];
        for bad in hostile {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
