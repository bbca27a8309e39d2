//! Users' registry credentials, from the check of a job until its image is pulled. The store is
//! readable by its owner only.

use super::{Store, StoreError, json, parse, parse_json};
use crate::application;
use protocol::api::RegistryCredential;
use protocol::image_reference::ImageReference;
use protocol::names::Digest;
use rusqlite::{OptionalExtension, params};

/// Most credentials that are kept of a user: of the images of jobs that have not started.
const CREDENTIALS_MAX: u32 = 64;

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

    /// The image is pinned: the credential goes with it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn repin_credential(
        &self,
        uid: u32,
        image: &ImageReference,
        pinned: &ImageReference,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE OR REPLACE credential SET reference = ? WHERE uid = ? AND reference = ?";
        self.lock().execute(sql, params![pinned.to_string(), uid, image.to_string()])?;
        Ok(())
    }

    /// Forgets a user's credentials for an image that is pulled, or cannot be: for all references of
    /// that [`application::key`].
    ///
    /// # Errors
    /// When the store cannot be used.
    pub fn forget_credentials(&self, uid: u32, image: &ImageReference) -> Result<(), StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT reference FROM credential WHERE uid = ?")?;
        let references = statement.query_map([uid], |row| row.get::<_, String>(0))?;
        for reference in references.collect::<Result<Vec<_>, _>>()? {
            let kept: ImageReference = parse(&reference)?;
            if application::key(&kept) == application::key(image) {
                let sql = "DELETE FROM credential WHERE uid = ? AND reference = ?";
                connection.execute(sql, params![uid, reference])?;
            }
        }
        Ok(())
    }

    /// Notes that a registry has shown a user the image of that digest, or that they have sent the
    /// bytes of that digest.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn admit(&self, uid: u32, digest: &Digest, now: i64) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO admission (uid, digest, since) VALUES (?, ?, ?)";
        self.lock().execute(sql, params![uid, digest.to_string(), now])?;
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
