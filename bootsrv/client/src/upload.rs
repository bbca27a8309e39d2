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

/// An image of several GB over 1 Gbit/s, and bootsrv's work of unpacking it, fit several times.
pub(crate) const UPLOAD_LIMIT: Duration = Duration::from_secs(3600);
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
        let client = self.with_total(UPLOAD_LIMIT);
        let body = SendBody::from_reader(&mut content);
        let answer = client.send("PUT", path, &digest, UPLOAD, body)?;
        client.json("PUT", path, &answer)
    }
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
