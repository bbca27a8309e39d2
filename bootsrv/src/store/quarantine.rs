//! What is held against nodes: their last failure, strikes, and the drains that we made for it.

use super::{Store, StoreError};
use crate::deployment::{Blame, DeploymentId, Failure, State, quarantine};
use protocol::names::NodeName;
use rusqlite::{Connection, OptionalExtension, params};

/// Moves a node's own drain to those that slurmctld has to hear are over; one that is kept for after
/// the power-down is not made again.
const END_OWN_DRAIN: &str = "ending_drain = coalesce(own_drain, ending_drain), \
     kept_drain = CASE WHEN kept_drain = own_drain THEN NULL ELSE kept_drain END, own_drain = NULL";

impl Store {
    /// Notes the reason of a drain, or DOWN, that we make now, as [`quarantine::line`] has it;
    /// `kept`: slurmctld forgets it when it powers the node down, so that it has to be made again.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_own_drain(
        &self,
        name: &NodeName,
        reason: &str,
        kept: bool,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE node SET own_drain = ?2, ending_drain = NULL, \
                   kept_drain = CASE WHEN ?3 THEN ?2 ELSE kept_drain END WHERE name = ?1";
        self.lock().execute(sql, params![name.as_str(), reason, kept])?;
        Ok(())
    }

    /// An admin has looked at these nodes: their failures are forgotten and our drains are over, but
    /// for those of a maintenance. All or none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn clear_nodes(&self, names: &[NodeName]) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let forget = "UPDATE node SET strikes = 0, last_failure = NULL, last_failure_at = NULL \
                      WHERE name = ?";
        let end = format!("UPDATE node SET {END_OWN_DRAIN} WHERE name = ? AND maintenance IS NULL");
        for name in names {
            transaction.execute(forget, [name.as_str()])?;
            transaction.execute(&end, [name.as_str()])?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// An admin takes a node out of use.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn begin_maintenance(&self, name: &NodeName, reason: &str) -> Result<(), StoreError> {
        let sql = "UPDATE node SET maintenance = ? WHERE name = ?";
        self.lock().execute(sql, params![reason, name.as_str()])?;
        Ok(())
    }

    /// The node's maintenance is over: its drain is, too, and no other.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn end_maintenance(&self, name: &NodeName) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let own: Option<Option<String>> = transaction
            .query_row("SELECT own_drain FROM node WHERE name = ?", [name.as_str()], |row| {
                row.get(0)
            })
            .optional()?;
        if own.flatten().is_some_and(|own| own.starts_with(crate::slurm_queue::MAINTENANCE)) {
            let sql = format!("UPDATE node SET {END_OWN_DRAIN} WHERE name = ?");
            transaction.execute(&sql, [name.as_str()])?;
        }
        let sql = "UPDATE node SET maintenance = NULL WHERE name = ?";
        transaction.execute(sql, [name.as_str()])?;
        transaction.commit()?;
        Ok(())
    }

    /// The reason of our drain that an admin has taken back, and slurmctld has not heard yet.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn ending_drain(&self, name: &NodeName) -> Result<Option<String>, StoreError> {
        let sql = "SELECT ending_drain FROM node WHERE name = ?";
        let found = self.lock().query_row(sql, [name.as_str()], |row| row.get(0)).optional()?;
        Ok(found.flatten())
    }

    /// slurmctld has heard that our drain with this reason is over.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn drain_has_ended(&self, name: &NodeName, reason: &str) -> Result<(), StoreError> {
        let sql = "UPDATE node SET ending_drain = NULL WHERE name = ? AND ending_drain = ?";
        self.lock().execute(sql, params![name.as_str(), reason])?;
        Ok(())
    }
}

/// Notes at its node what went wrong with a deployment, and counts it if the node is to blame. Gives
/// the reason for Slurm then.
pub(super) fn note_failure(
    connection: &Connection,
    id: DeploymentId,
    failure: &Failure,
    now: i64,
) -> Result<Option<String>, StoreError> {
    let counts = failure.blame == Blame::Node;
    let strikes = connection
        .query_row(
            "UPDATE node SET last_failure = ?2, last_failure_at = ?3, strikes = strikes + ?4 \
             WHERE name = (SELECT node FROM deployment WHERE id = ?1) RETURNING strikes",
            params![id, failure.reason, now, counts],
            |row| row.get(0),
        )
        .optional()?;
    Ok(strikes.filter(|_| counts).map(|strikes| quarantine::reason(&failure.reason, strikes)))
}

/// A node that got ready has done what was held against it well.
pub(super) fn forget_strikes(
    connection: &Connection,
    id: DeploymentId,
    state: Option<State>,
) -> Result<(), StoreError> {
    if state == Some(State::Ready) {
        let sql =
            "UPDATE node SET strikes = 0 WHERE name = (SELECT node FROM deployment WHERE id = ?)";
        connection.execute(sql, [id])?;
    }
    Ok(())
}
