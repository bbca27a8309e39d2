//! Application images: which tries wait for one, and what they got.

use super::{Store, StoreError, Try, json};
use crate::application::{Prepared, Request};
use protocol::image_reference::ImageReference;
use protocol::names::Digest;
use rusqlite::params;
use std::collections::BTreeSet;

/// Most images that a user wants at a time without a job.
pub const PULLS_MAX: u32 = 32;

/// A try whose job is not over and has not failed, and whose image is not prepared. The deployments
/// that live are few, so the index on them is where to begin.
const WAITING: &str = "application IS NOT NULL AND application_image IS NULL AND ended IS NULL \
                       AND id IN (SELECT try FROM deployment WHERE state <> 'released') \
                       AND NOT EXISTS (SELECT 1 FROM deployment d \
                                       WHERE d.try = try.id AND d.reason IS NOT NULL) ORDER BY id";

/// A try with a node that it has not given back.
const LIVE: &str = "application IS NOT NULL \
                    AND id IN (SELECT try FROM deployment WHERE state <> 'released')";

impl Store {
    /// The tries that wait for their application image, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tries_waiting_for_image(&self) -> Result<Vec<Try>, StoreError> {
        self.readable_tries(WAITING, [])
    }

    /// Replaces what a try asks: its reference is pinned now.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_application(&self, try_id: i64, request: &Request) -> Result<(), StoreError> {
        let sql = "UPDATE try SET application = ? WHERE id = ?";
        self.lock().execute(sql, params![json(request)?, try_id])?;
        Ok(())
    }

    /// Notes that a try's image is prepared.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_application_image(&self, try_id: i64, image: &Prepared) -> Result<(), StoreError> {
        let sql = "UPDATE try SET application_image = ? WHERE id = ?";
        self.lock().execute(sql, params![json(image)?, try_id])?;
        Ok(())
    }

    /// The tries with an application image and a node that they have not given back.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tries_with_image(&self) -> Result<Vec<Try>, StoreError> {
        self.readable_tries(LIVE, [])
    }

    /// The digests of the images that jobs with a node have, and of their references.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn images_in_use(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let live = self.tries_with_image()?;
        let requests = live.iter().filter_map(|one| one.asked.application.as_ref());
        let pinned = requests.filter_map(|request| images::prepared::key(&request.reference));
        let images = live.iter().filter_map(|one| one.asked.application_image.as_ref());
        Ok(pinned.chain(images.map(|image| image.digest)).collect())
    }

    /// Notes that a user wants an image without a job; the first time counts. `false`: they want too
    /// many already.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn add_pull(&self, image: &ImageReference, uid: u32, now: i64) -> Result<bool, StoreError> {
        let connection = self.lock();
        let image = image.to_string();
        let sql = "SELECT count(*), coalesce(sum(reference = ?2), 0) FROM pull WHERE uid = ?1";
        let (count, known): (u32, bool) =
            connection.query_row(sql, params![uid, image], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if !known && count >= PULLS_MAX {
            return Ok(false);
        }
        let sql = "INSERT OR IGNORE INTO pull (reference, uid, created) VALUES (?, ?, ?)";
        connection.execute(sql, params![image, uid, now])?;
        Ok(true)
    }

    /// The images that are wanted without a job, and by whom.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pulls(&self) -> Result<Vec<(ImageReference, u32)>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT reference, uid FROM pull ORDER BY created")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        rows.filter_map(|row| {
            let image = row.map(|(reference, uid)| {
                Some((self.readable("pull", super::parse(&reference))?, uid))
            });
            image.map_err(StoreError::from).transpose()
        })
        .collect()
    }

    /// A user no longer wants what `test` says without a job; gives how many that were.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn end_pulls(
        &self,
        uid: u32,
        test: impl Fn(&ImageReference) -> bool,
    ) -> Result<usize, StoreError> {
        let mut pulls = self.pulls()?;
        pulls.retain(|(image, whose)| *whose == uid && test(image));
        for (image, _) in &pulls {
            let sql = "DELETE FROM pull WHERE uid = ? AND reference = ?";
            self.lock().execute(sql, params![uid, image.to_string()])?;
        }
        Ok(pulls.len())
    }

    /// Ends the pulls that were asked for before then; gives how many that were.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn end_old_pulls(&self, before: i64) -> Result<usize, StoreError> {
        Ok(self.lock().execute("DELETE FROM pull WHERE created < ?", [before])?)
    }

    /// A preparation begins; gives how often it has, and did not end.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn begin_preparation(&self, work: &str) -> Result<u32, StoreError> {
        let sql = "INSERT INTO preparation (work, starts) VALUES (?, 1) \
                   ON CONFLICT (work) DO UPDATE SET starts = starts + 1 RETURNING starts";
        Ok(self.lock().query_row(sql, [work], |row| row.get(0))?)
    }

    /// A preparation has ended, well or not.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn end_preparation(&self, work: &str) -> Result<(), StoreError> {
        self.lock().execute("DELETE FROM preparation WHERE work = ?", [work])?;
        Ok(())
    }

    /// Forgets the preparations that nobody wants any more.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn keep_preparations(&self, wanted: &BTreeSet<String>) -> Result<(), StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT work FROM preparation")?;
        let works = statement.query_map([], |row| row.get::<_, String>(0))?;
        for work in works.collect::<Result<Vec<_>, _>>()? {
            if !wanted.contains(&work) {
                connection.execute("DELETE FROM preparation WHERE work = ?", [work])?;
            }
        }
        Ok(())
    }

    /// This program ends in order: no preparation is to blame for that.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn end_preparations(&self) -> Result<(), StoreError> {
        self.lock().execute("DELETE FROM preparation", [])?;
        Ok(())
    }
}
