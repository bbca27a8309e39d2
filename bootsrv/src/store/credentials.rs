//! Users' registry credentials, from the check of a job: of a pinned image until it is pulled, of one
//! that is not pinned until it is old. The store is readable by its owner only.

use super::{Store, StoreError, json, parse, parse_json};
use crate::application;
use protocol::api::RegistryCredential;
use protocol::image_reference::ImageReference;
use protocol::names::Digest;
use rusqlite::{OptionalExtension, params};

/// Most credentials that are kept of a user: of the images of jobs that have not started, pinned and
/// as they were typed.
const CREDENTIALS_MAX: u32 = 128;
/// Most admissions that are kept of a user: more images than anybody has jobs of in a month. Whose is
/// gone, the registry is asked again, or the file is sent again.
const ADMISSIONS_MAX: u32 = 1024;

impl Store {
    /// Keeps a user's credential for an image, and of each user the newest [`CREDENTIALS_MAX`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep_credential(
        &self,
        uid: u32,
        image: &ImageReference,
        login: &RegistryCredential,
        now: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO credential (uid, reference, login, created) \
                   VALUES (?, ?, ?, ?)";
        let connection = self.lock();
        connection.execute(sql, params![uid, image.to_string(), json(login)?, now])?;
        let sql = "DELETE FROM credential WHERE uid = ?1 AND reference NOT IN \
                   (SELECT reference FROM credential WHERE uid = ?1 ORDER BY created DESC LIMIT ?2)";
        connection.execute(sql, params![uid, CREDENTIALS_MAX])?;
        Ok(())
    }

    /// A user's credential for an image.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn credential(
        &self,
        uid: u32,
        image: &ImageReference,
    ) -> Result<Option<RegistryCredential>, StoreError> {
        let sql = "SELECT login FROM credential WHERE uid = ? AND reference = ?";
        let values = params![uid, image.to_string()];
        parse_json(self.lock().query_row(sql, values, |row| row.get(0)).optional()?)
    }

    /// Whether there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_credential(&self, uid: u32, image: &ImageReference) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM credential WHERE uid = ? AND reference = ?)";
        Ok(self.lock().query_row(sql, params![uid, image.to_string()], |row| row.get(0))?)
    }

    /// The image is pinned: its credential is that of the pinned reference too. It stays that of the
    /// other: tasks of the same array, and other jobs, come later with the text as it was typed.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn copy_credential(
        &self,
        uid: u32,
        image: &ImageReference,
        pinned: &ImageReference,
    ) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO credential (uid, reference, login, created) \
                   SELECT uid, ?, login, created FROM credential WHERE uid = ? AND reference = ?";
        self.lock().execute(sql, params![pinned.to_string(), uid, image.to_string()])?;
        Ok(())
    }

    /// Forgets a user's credentials for an image that is pulled, or cannot be: for all references of
    /// that [`application::key`], which for a pinned image are the pinned ones.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn forget_credentials(&self, uid: u32, image: &ImageReference) -> Result<(), StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT reference FROM credential WHERE uid = ?")?;
        let references = statement.query_map([uid], |row| row.get::<_, String>(0))?;
        for reference in references.collect::<Result<Vec<_>, _>>()? {
            // What cannot be read is of use to nobody.
            let kept = parse::<ImageReference>(&reference);
            if kept.is_ok_and(|kept| application::key(&kept) != application::key(image)) {
                continue;
            }
            let sql = "DELETE FROM credential WHERE uid = ? AND reference = ?";
            connection.execute(sql, params![uid, reference])?;
        }
        Ok(())
    }

    /// Notes that a registry has shown a user the image of that digest, or that they have sent the
    /// bytes of that digest; of each user the newest [`ADMISSIONS_MAX`] are kept.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn admit(&self, uid: u32, digest: &Digest, now: i64) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO admission (uid, digest, since) VALUES (?, ?, ?)";
        let connection = self.lock();
        connection.execute(sql, params![uid, digest.to_string(), now])?;
        let sql = "DELETE FROM admission WHERE uid = ?1 AND digest NOT IN \
                   (SELECT digest FROM admission WHERE uid = ?1 ORDER BY since DESC LIMIT ?2)";
        connection.execute(sql, params![uid, ADMISSIONS_MAX])?;
        Ok(())
    }

    /// Whether they may have what has that digest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_admitted(&self, uid: u32, digest: &Digest) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM admission WHERE uid = ? AND digest = ?)";
        Ok(self.lock().query_row(sql, params![uid, digest.to_string()], |row| row.get(0))?)
    }

    /// Forgets credentials whose jobs have not come since then, and who was shown what; returns how
    /// many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget_old_credentials(&self, before: i64) -> Result<usize, StoreError> {
        let connection = self.lock();
        let credentials =
            connection.execute("DELETE FROM credential WHERE created < ?", [before])?;
        let admissions = connection.execute("DELETE FROM admission WHERE since < ?", [before])?;
        Ok(credentials.saturating_add(admissions))
    }
}
