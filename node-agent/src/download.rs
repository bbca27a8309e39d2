//! Fetches an artifact into a file and proves it, byte for byte, on the way.
//!
//! A broken connection is taken up where it ended; a wrong content is fetched once more, to see whose it is.

use crate::console::say;
use crate::server::{Server, is_refused};
use anyhow::{Context as _, Result, bail};
use protocol::boot::ArtifactRef;
use protocol::names::Digest;
use ring::digest::{Context as Hash, SHA256};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const CHUNK_BYTES: usize = 64 << 10;
/// Connections at a time: hashing takes a core each, and a server has many nodes.
const PARALLEL_MAX: usize = 4;

/// How a server that gives nothing is waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Longest time without a new byte.
    total: Duration,
    /// Between two attempts.
    pause: Duration,
}

/// A minute: bootsrv, or the cache before it, is restarted, and a switch learns its ports.
const PATIENCE: Patience =
    Patience { total: Duration::from_secs(60), pause: Duration::from_millis(500) };

/// Brings an artifact to a path, whole and proved, or says why not.
pub(crate) type Fetch<'a> = dyn Fn(&ArtifactRef, &Path) -> Result<()> + Sync + 'a;

/// Fetches all the files, some at a time, the largest first; ends with the first failure.
pub(crate) fn fetch_all(
    fetch: &Fetch<'_>,
    mut files: Vec<(ArtifactRef, PathBuf)>,
    what: &'static str,
) -> Result<()> {
    let begin = Instant::now();
    let kib = files.iter().map(|(artifact, _)| artifact.bytes).sum::<u64>() / 1024;
    files.sort_by_key(|(artifact, _)| artifact.bytes);
    let workers = files.len().min(PARALLEL_MAX);
    let left = Mutex::new(files);
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || -> Result<()> {
        while let Some((artifact, file)) = next() {
            fetch(&artifact, &file).inspect_err(|_| {
                left.lock().unwrap_or_else(PoisonError::into_inner).clear();
            })?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker.join().map_err(|_| anyhow::anyhow!("a download ended unexpectedly"))?
        })
    })
    .context(what)?;
    say(format_args!("fetched the {what}: {kib} KiB in {} ms", begin.elapsed().as_millis()));
    Ok(())
}

/// Writes the artifact to `path`; returns only if length and SHA-256 are right.
pub(crate) fn fetch(server: &Server, artifact: &ArtifactRef, path: &Path) -> Result<()> {
    proved(|| {
        let file = File::create(path)?;
        fetch_from(|offset| server.artifact(&artifact.sha256, offset), artifact, file, PATIENCE)
    })
}

/// The artifact, into memory; else as [`fetch`].
pub(crate) fn fetch_to_memory(server: &Server, artifact: &ArtifactRef) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    proved(|| {
        content.clear();
        content.try_reserve_exact(usize::try_from(artifact.bytes)?).context("memory for it")?;
        let open = |offset| server.artifact(&artifact.sha256, offset);
        fetch_from(open, artifact, &mut content, PATIENCE)
    })?;
    Ok(content)
}

/// What is wrong twice in the same way came so from the server, or a cache before it; what is wrong in
/// another way each time was spoilt here.
fn proved(mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    let wrong =
        |result: &Result<()>| result.as_ref().err()?.downcast_ref::<WrongContent>().copied();
    let first = attempt();
    let Some(before) = wrong(&first) else { return first };
    say(format_args!("{before}; it is fetched again"));
    let second = attempt();
    if wrong(&second) == Some(before) { Err(SameTwice(before).into()) } else { second }
}

fn fetch_from<R: Read>(
    mut open: impl FnMut(u64) -> Result<R>,
    artifact: &ArtifactRef,
    file: impl Write,
    patience: Patience,
) -> Result<()> {
    let mut target = Verified { file, hash: Hash::new(&SHA256), bytes: 0 };
    let mut last_byte = Instant::now();
    while target.bytes < artifact.bytes {
        let before = target.bytes;
        let attempt = open(target.bytes).and_then(|content| target.take(content, artifact.bytes));
        if target.bytes > before {
            last_byte = Instant::now();
        }
        let is_over = last_byte.elapsed() >= patience.total;
        match attempt {
            Err(error) if is_over || is_final(&error) => {
                return Err(error).context(Fetching(artifact.sha256));
            }
            Ok(()) if is_over => {
                let error = anyhow::anyhow!("it ends after {before} bytes");
                return Err(error.context(Fetching(artifact.sha256)));
            }
            Ok(()) if target.bytes > before => {}
            _ => sleep(patience.pause),
        }
    }
    let found = target.digest()?;
    if found != artifact.sha256 {
        bail!(WrongContent { wanted: artifact.sha256, found });
    }
    Ok(())
}

fn is_final(error: &anyhow::Error) -> bool {
    error.is::<TooLong>() || error.is::<WriteFailed>() || is_refused(error)
}

/// Whether the server did not give the artifact. This node can be at fault too, but then nobody hears
/// of it: what reports the failure goes the same way.
pub(crate) fn is_of_server(error: &anyhow::Error) -> bool {
    (error.is::<Fetching>() && !error.is::<WriteFailed>()) || error.is::<SameTwice>()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("artifact {wanted} has the wrong content: its sha256 is {found}")]
struct WrongContent {
    wanted: Digest,
    found: Digest,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SameTwice(WrongContent);

#[derive(Debug, thiserror::Error)]
#[error("fetching artifact {0}")]
struct Fetching(Digest);

#[derive(Debug, thiserror::Error)]
#[error("it is longer than the {0} bytes of the plan")]
struct TooLong(u64);

#[derive(Debug, thiserror::Error)]
#[error("writing it")]
struct WriteFailed(#[source] std::io::Error);

struct Verified<W> {
    file: W,
    hash: Hash,
    bytes: u64,
}

impl<W: Write> Verified<W> {
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

    fn target() -> Verified<File> {
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

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn fetch_abc<R: Read>(open: impl FnMut(u64) -> Result<R>, total: Duration) -> Result<()> {
        let artifact = ArtifactRef { sha256: ABC.parse().unwrap(), bytes: 3 };
        let patience = Patience { total, pause: Duration::from_millis(1) };
        fetch_from(open, &artifact, tempfile::tempfile().unwrap(), patience)
    }

    #[test]
    fn of_many_files_each_is_fetched_once_and_a_failure_ends_all() {
        let files = |count: u8| -> Vec<_> {
            let artifact = |n| ArtifactRef { sha256: Digest([n; 32]), bytes: u64::from(n) };
            (0..count).map(|n| (artifact(n), PathBuf::from(n.to_string()))).collect()
        };
        let seen = Mutex::new(Vec::new());
        let fetch = |artifact: &ArtifactRef, _: &Path| {
            seen.lock().unwrap().push(artifact.bytes);
            if artifact.bytes == 199 {
                bail!("gone");
            }
            sleep(Duration::from_micros(100));
            Ok(())
        };
        fetch_all(&fetch, files(100), "files").unwrap();
        seen.lock().unwrap().sort_unstable();
        assert_eq!(*seen.lock().unwrap(), (0..100).collect::<Vec<u64>>());
        let error = fetch_all(&fetch, files(200), "files").unwrap_err();
        assert_eq!(format!("{error:#}"), "files: gone");
        assert!(seen.lock().unwrap().len() < 300);
        fetch_all(&fetch, Vec::new(), "files").unwrap();
    }

    #[test]
    fn an_outage_is_waited_out_and_the_rest_is_asked_for() {
        let mut attempt = 0;
        let open = |offset: u64| {
            attempt += 1;
            match attempt {
                1 => Ok(&b"ab"[..]),
                2..=40 => bail!("connection refused"),
                _ => Ok(&b"abc"[usize::try_from(offset).unwrap()..]),
            }
        };
        fetch_abc(open, Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn silence_ends_at_the_limit() {
        let total = Duration::from_millis(50);
        let error = fetch_abc(|_| -> Result<&[u8]> { bail!("refused") }, total).unwrap_err();
        assert_eq!(format!("{error:#}"), format!("fetching artifact {ABC}: refused"));
        let error = fetch_abc(|_| Ok(&b""[..]), total).unwrap_err();
        let expected = format!("fetching artifact {ABC}: it ends after 0 bytes");
        assert_eq!(format!("{error:#}"), expected);
        assert!(is_of_server(&error));
    }

    #[test]
    fn memory_that_is_full_and_wrong_bytes_are_not_the_servers() {
        let artifact = ArtifactRef { sha256: ABC.parse().unwrap(), bytes: 3 };
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = fetch_from(|_| Ok(&b"abc"[..]), &artifact, full, PATIENCE).unwrap_err();
        assert!(error.is::<WriteFailed>() && !is_of_server(&error), "{error:#}");
        let error = fetch_abc(|_| Ok(&b"abd"[..]), PATIENCE.total).unwrap_err();
        assert!(format!("{error}").contains("wrong content") && !is_of_server(&error));
    }

    #[test]
    fn the_same_wrong_content_twice_is_the_servers() {
        let of_server = |contents: &[&'static [u8]]| {
            let mut contents = contents.iter();
            let mut next = || *contents.next().unwrap();
            proved(|| {
                let content = next();
                fetch_abc(|_| Ok(content), PATIENCE.total)
            })
            .map_err(|error| is_of_server(&error))
        };
        assert_eq!(of_server(&[b"abc"]), Ok(()));
        assert_eq!(of_server(&[b"abd", b"abc"]), Ok(()));
        assert_eq!(of_server(&[b"abd", b"abd"]), Err(true));
        assert_eq!(of_server(&[b"abd", b"abe"]), Err(false));
    }

    #[test]
    fn more_than_announced_is_refused() {
        let error = target().take(&b"abcd"[..], 3).unwrap_err();
        assert!(error.is::<TooLong>());
    }
}
