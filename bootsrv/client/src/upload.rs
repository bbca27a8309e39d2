//! Sending a large file without holding it: hashed first, because the credential binds the body.

use crate::transport::UPLOAD;
use crate::{Client, ClientError};
use protocol::names::Digest;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::time::Duration;
use ureq::SendBody;

/// bootsrv's work after the last byte (it unpacks what it got), and a short file's whole way.
const UPLOAD_LIMIT: Duration = Duration::from_secs(3600);
/// Slowest average, in bytes a second; bootsrv refuses what is slower.
const UPLOAD_RATE: u64 = 1_000_000;
/// Read at a time, in bytes.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

impl Client {
    /// `PUT`s a file's bytes. A file that changes meanwhile no longer fits the hash and is refused.
    pub(crate) fn upload<A: DeserializeOwned>(
        &self,
        path: &str,
        file: &Path,
    ) -> Result<A, ClientError> {
        let failed = |source| ClientError::File { path: file.to_owned(), source };
        let mut content = File::open(file).map_err(failed)?;
        let digest = hash(&mut content).map_err(failed)?;
        content.rewind().map_err(failed)?;
        let bytes = content.metadata().map_err(failed)?.len();
        let client = self.with_total(upload_limit(bytes));
        let body = SendBody::from_reader(&mut content);
        let answer = client.send("PUT", path, &digest, UPLOAD, body)?;
        client.json("PUT", path, &answer)
    }
}

/// Longest time to send so many bytes and have the answer.
pub(crate) fn upload_limit(bytes: u64) -> Duration {
    UPLOAD_LIMIT + Duration::from_secs(bytes / UPLOAD_RATE)
}

fn hash(content: &mut File) -> std::io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let bytes = content.read(&mut chunk)?;
        if bytes == 0 {
            return Ok(Digest(hasher.finalize().into()));
        }
        hasher.update(chunk.get(..bytes).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_has_a_long_time() {
        assert_eq!(upload_limit(0), UPLOAD_LIMIT);
        assert_eq!(upload_limit(16_000_000_000), UPLOAD_LIMIT + Duration::from_secs(16_000));
        assert!(upload_limit(u64::MAX) > UPLOAD_LIMIT, "no overflow");
    }
}
