//! Running nodes that go from one deployment to the next.

use super::{Store, StoreError};
use crate::deployment::{Application, DeploymentId, State};
use crate::token::Token;
use protocol::names::Secret;
use rusqlite::{OptionalExtension, params};

impl Store {
    /// Notes that a deployment takes the node over from another one, by kexec with its memory cleared
    /// if it says so. Whether it succeeds is not known yet.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_take_over(
        &self,
        id: DeploymentId,
        from: DeploymentId,
        clears_memory: bool,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE deployment SET taken_from = ?, clears_memory = ? WHERE id = ?";
        self.lock().execute(sql, params![from, clears_memory, id])?;
        Ok(())
    }

    /// Forgets what an attempt to take a running node over has left, and gives the deployment another
    /// token: it boots instead.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn begin_anew(&self, id: DeploymentId, token: &Token) -> Result<(), StoreError> {
        let sql = "UPDATE deployment SET token = ?, token_sha256 = ?, secrets_at = NULL, \
                   secrets_to = NULL, boot_id = NULL, applied = '[]', clears_memory = 0, \
                   scripts_served = 0, \
                   application = iif(application IS NULL, NULL, ?) WHERE id = ?";
        let awaited = Application::Awaited.name();
        let values = params![token.secret.expose(), token.sha256.to_string(), awaited, id];
        self.lock().execute(sql, values)?;
        Ok(())
    }

    /// Whether a deployment's kernel has to clear the memory.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn clears_memory(&self, id: DeploymentId) -> Result<bool, StoreError> {
        let sql = "SELECT clears_memory FROM deployment WHERE id = ?";
        Ok(self.lock().query_row(sql, [id], |row| row.get(0))?)
    }

    /// The token of a deployment that is taking a running node over. Unlike a boot loader's it goes
    /// out again when an answer was lost, over a connection that proves itself; the first report that
    /// uses it ends that ([`Self::note_agent`]).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn token_for_take_over(&self, id: DeploymentId) -> Result<Option<Secret>, StoreError> {
        let sql = "SELECT token FROM deployment WHERE id = ? AND state = ?";
        let values = params![id, State::TakingOver.name()];
        let found: Option<Option<String>> =
            self.lock().query_row(sql, values, |row| row.get(0)).optional()?;
        Ok(found.flatten().map(Secret::new))
    }
}
