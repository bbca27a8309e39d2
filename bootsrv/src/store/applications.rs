//! Application images: which tries wait for one, and what they got.

use super::{Store, StoreError, Try, json};
use crate::application::{self, Prepared, Request};
use protocol::image_reference::ImageReference;
use protocol::names::Digest;
use rusqlite::params;
use std::collections::BTreeSet;

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
        self.all(WAITING, [])
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
        self.all(LIVE, [])
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

    /// Notes that an image is wanted without a job; the first to ask counts.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add_pull(&self, image: &ImageReference, uid: u32, now: i64) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO pull (reference, uid, created) VALUES (?, ?, ?)";
        self.lock().execute(sql, params![image.to_string(), uid, now])?;
        Ok(())
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
        rows.map(|row| {
            let (reference, uid) = row?;
            Ok((super::parse(&reference)?, uid))
        })
        .collect()
    }

    /// An image is no longer wanted without a job: all references of that [`application::key`].
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn end_pulls(&self, key: &str) -> Result<(), StoreError> {
        for (reference, _) in self.pulls()? {
            if application::key(&reference) == key {
                let sql = "DELETE FROM pull WHERE reference = ?";
                self.lock().execute(sql, [reference.to_string()])?;
            }
        }
        Ok(())
    }
}
