//! The files users send for references to files: kept by digest, for a while, within limits.

use super::settings::Site;
use crate::clock::SECOND_NS;
use crate::config::Config;
use crate::store::{Store, StoreError, Upload};
use protocol::error::{ApiError, ErrorKind};
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Seconds of a day.
const DAY_SECONDS: i64 = 86_400;

/// Where uploads are.
#[must_use]
pub fn directory(config: &Config) -> PathBuf {
    config.state_dir.join("uploads")
}

/// Where the bytes of that digest are, or would be.
#[must_use]
pub fn path(config: &Config, sha256: &Digest) -> PathBuf {
    directory(config).join(sha256.to_string())
}

/// What the store knows by that somebody has sent the bytes of that digest.
#[must_use]
pub fn admission(sha256: &Digest) -> Digest {
    Digest(Sha256::digest(format!("upload {sha256}")).into())
}

/// Who is sending a file now: one at a time of a user, and a few of all.
#[derive(Debug)]
pub struct Senders {
    now: Mutex<BTreeSet<u32>>,
    most: usize,
}

/// A file on its way; over when it is dropped.
#[derive(Debug)]
pub struct Sending<'a> {
    senders: &'a Senders,
    uid: u32,
}

impl Senders {
    /// At most so many at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { now: Mutex::default(), most }
    }

    /// A user begins to send.
    ///
    /// # Errors
    /// When they are sending already, or too many others are.
    pub fn begin(&self, uid: u32) -> Result<Sending<'_>, ApiError> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = |text: &str, hint: &str| Err(ApiError::new(ErrorKind::Busy, text).hint(hint));
        if now.contains(&uid) {
            return busy(
                "another image of yours is on its way to the boot server",
                "Try again when it has arrived.",
            );
        }
        if now.len() >= self.most {
            return busy(
                "the boot server is receiving as many images as it takes at once",
                "Try again in some minutes.",
            );
        }
        now.insert(uid);
        Ok(Sending { senders: self, uid })
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.senders.now.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.uid);
    }
}

/// The digests whose bytes a job or a pull still waits for.
///
/// # Errors
/// When the store cannot be read.
pub fn needed(store: &Store) -> Result<BTreeSet<Digest>, StoreError> {
    let tries = store.tries_waiting_for_image()?;
    let asked = tries.iter().filter_map(|one| one.asked.application.as_ref());
    let pulls = store.pulls()?;
    let references = asked.map(|one| &one.reference).chain(pulls.iter().map(|(image, _)| image));
    Ok(references.filter_map(|image| image.digest().copied()).collect())
}

/// Which uploads go because nobody has used them for long.
#[must_use]
pub fn stale(all: &[Upload], needed: &BTreeSet<Digest>, site: &Site, now: i64) -> Vec<Digest> {
    let keep = i64::from(site.upload_days).saturating_mul(DAY_SECONDS).saturating_mul(SECOND_NS);
    all.iter()
        .filter(|one| now.saturating_sub(one.used_unix_ns) > keep)
        .map(|one| one.sha256)
        .filter(|sha256| !needed.contains(sha256))
        .collect()
}

/// Which of a user's uploads make room for one of so many bytes, the longest unused first; `None`:
/// what is still needed leaves no room. `all` comes in the order of their last use.
#[must_use]
pub fn make_room(
    all: &[Upload],
    needed: &BTreeSet<Digest>,
    site: &Site,
    uid: u32,
    bytes: u64,
) -> Option<Vec<Digest>> {
    let own = || all.iter().filter(|one| one.uid == uid);
    let mut total = own().map(|one| one.bytes).sum::<u64>().saturating_add(bytes);
    let mut gone = Vec::new();
    for one in own().filter(|one| !needed.contains(&one.sha256)) {
        if total <= site.upload_bytes_per_user {
            break;
        }
        total = total.saturating_sub(one.bytes);
        gone.push(one.sha256);
    }
    (total <= site.upload_bytes_per_user).then_some(gone)
}

/// Deletes uploads. A file that cannot be deleted is told and found again by the next sweep.
///
/// # Errors
/// When the store cannot be written.
pub fn delete(config: &Config, store: &Store, digests: &[Digest]) -> Result<(), StoreError> {
    for sha256 in digests {
        match std::fs::remove_file(path(config, sha256)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                log::error!("deleting upload {sha256}: {error}");
            }
            _ => store.remove_upload(sha256)?,
        }
    }
    Ok(())
}

/// Deletes what a killed bootsrv left: files that the store does not know, and rows without a file,
/// which would count as their senders'.
///
/// # Errors
/// When the store or the directory cannot be read.
pub fn clean(directory: &Path, store: &Store) -> anyhow::Result<()> {
    let mut known: BTreeMap<String, Digest> =
        store.uploads()?.into_iter().map(|one| (one.sha256.to_string(), one.sha256)).collect();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|name| known.remove(name).is_none()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(known.values().try_for_each(|gone| store.remove_upload(gone))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(byte: u8, uid: u32, bytes: u64, used_unix_ns: i64) -> Upload {
        Upload { sha256: Digest([byte; 32]), uid, bytes, used_unix_ns }
    }

    #[test]
    fn files_and_rows_without_each_other_go() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::in_memory().unwrap();
        let file = |byte: u8| directory.path().join(Digest([byte; 32]).to_string());
        [1, 2].iter().for_each(|byte| std::fs::write(file(*byte), "x").unwrap());
        [2, 3].iter().for_each(|byte| store.add_upload(&upload(*byte, 7, 1, 1)).unwrap());
        clean(directory.path(), &store).unwrap();
        assert_eq!(store.uploads().unwrap(), [upload(2, 7, 1, 1)]);
        assert!(!file(1).exists() && file(2).exists());
    }

    #[test]
    fn a_user_sends_one_file_at_a_time_and_few_send_at_once() {
        let senders = Senders::new(2);
        let first = senders.begin(1).unwrap();
        let refused = senders.begin(1).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Busy);
        assert!(refused.to_string().contains("another image of yours"), "{refused}");
        let second = senders.begin(2).unwrap();
        let refused = senders.begin(3).unwrap_err();
        assert!(refused.to_string().contains("as many images as it takes"), "{refused}");
        drop(first);
        senders.begin(3).unwrap();
        drop(second);
    }

    #[test]
    fn only_what_nobody_waits_for_gets_stale() {
        let day = DAY_SECONDS * SECOND_NS;
        let all = [upload(1, 1, 1, 0), upload(2, 1, 1, 0), upload(3, 1, 1, 8 * day)];
        let needed = BTreeSet::from([Digest([2; 32])]);
        let site = Site::default();
        assert_eq!(stale(&all, &needed, &site, 9 * day), [Digest([1; 32])]);
        assert!(stale(&all, &needed, &site, 7 * day).is_empty());
    }

    #[test]
    fn a_users_oldest_make_room_and_others_do_not() {
        let site = Site { upload_bytes_per_user: 100, ..Site::default() };
        let all = [upload(1, 7, 40, 1), upload(2, 8, 90, 2), upload(3, 7, 40, 3)];
        let room = |needed: &[u8], bytes| {
            let needed = needed.iter().map(|byte| Digest([*byte; 32])).collect();
            make_room(&all, &needed, &site, 7, bytes)
        };
        assert_eq!(room(&[], 20).unwrap(), []);
        assert_eq!(room(&[], 50).unwrap(), [Digest([1; 32])]);
        assert_eq!(room(&[1], 50).unwrap(), [Digest([3; 32])], "the first is waited for");
        assert_eq!(room(&[1, 3], 50), None);
        assert_eq!(room(&[], 101), None);
    }
}
