//! Fetches an artifact into a file and proves it, byte for byte, on the way.
//!
//! A broken connection is taken up where it ended; a wrong byte is not tried again.

use crate::server::Server;
use anyhow::{Context as _, Result, bail};
use protocol::boot::ArtifactRef;
use protocol::names::Digest;
use ring::digest::{Context as Hash, SHA256};
use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Attempts in a row that brought no byte.
const FRUITLESS_MAX: u32 = 5;
const RETRY: Duration = Duration::from_millis(500);
const CHUNK_BYTES: usize = 64 << 10;

/// Writes the artifact to `path`; returns only if length and SHA-256 are right.
pub(crate) fn fetch(server: &Server, artifact: &ArtifactRef, path: &Path) -> Result<()> {
    let mut target = Verified { file: File::create(path)?, hash: Hash::new(&SHA256), bytes: 0 };
    let mut fruitless = 0;
    while target.bytes < artifact.bytes {
        let before = target.bytes;
        let attempt = server
            .artifact(&artifact.sha256, target.bytes)
            .and_then(|content| target.take(content, artifact.bytes));
        fruitless = if target.bytes > before { 0 } else { fruitless + 1 };
        if let Err(error) = attempt {
            if fruitless >= FRUITLESS_MAX || error.is::<TooLong>() || error.is::<WriteFailed>() {
                return Err(error)
                    .with_context(|| format!("fetching artifact {}", artifact.sha256));
            }
            sleep(RETRY);
        } else if fruitless >= FRUITLESS_MAX {
            bail!("artifact {} ends after {before} bytes", artifact.sha256);
        }
    }
    let found = target.digest()?;
    if found != artifact.sha256 {
        bail!("artifact {} has the wrong content: its sha256 is {found}", artifact.sha256);
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("it is longer than the {0} bytes of the plan")]
struct TooLong(u64);

#[derive(Debug, thiserror::Error)]
#[error("writing it")]
struct WriteFailed(#[source] std::io::Error);

struct Verified {
    file: File,
    hash: Hash,
    bytes: u64,
}

impl Verified {
    fn digest(self) -> Result<Digest> {
        Ok(Digest(self.hash.finish().as_ref().try_into()?))
    }

    fn take(&mut self, mut content: impl Read, bytes_max: u64) -> Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = match content.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let part = chunk.get(..length).unwrap_or_default();
            let bytes = self.bytes + part.len() as u64;
            if bytes > bytes_max {
                return Err(TooLong(bytes_max).into());
            }
            self.file.write_all(part).map_err(WriteFailed)?;
            self.hash.update(part);
            self.bytes = bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Verified {
        Verified { file: tempfile::tempfile().unwrap(), hash: Hash::new(&SHA256), bytes: 0 }
    }

    #[test]
    fn what_comes_in_two_parts_is_hashed_as_one() {
        let mut target = target();
        target.take(&b"ab"[..], 3).unwrap();
        target.take(&b"c"[..], 3).unwrap();
        assert_eq!(target.bytes, 3);
        assert!(target.digest().unwrap().to_string().starts_with("ba7816bf8f01cfea"));
    }

    #[test]
    fn more_than_announced_is_refused() {
        let error = target().take(&b"abcd"[..], 3).unwrap_err();
        assert!(error.is::<TooLong>());
    }
}
