//! Nodes as the site defined them.

use super::{Store, StoreError, parse};
use protocol::api::NodeDefinition;
use protocol::names::NodeName;
use rusqlite::{OptionalExtension, Row, params};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::PoisonError;

/// A node in the store.
#[derive(Debug, Clone)]
pub struct NodeRow {
    /// Where it boots from and how its power is switched.
    pub definition: NodeDefinition,
    /// Why an admin keeps it out of use.
    pub maintenance: Option<String>,
    /// ResumeProgram wants it and no deployment has taken it yet, since (nanoseconds since 1970).
    pub wanted_since_unix_ns: Option<i64>,
    /// Why its last failed boot failed.
    pub last_failure: Option<String>,
}

const COLUMNS: &str = "definition, maintenance, wanted_since, last_failure";

impl Store {
    /// Adds or replaces nodes, all or none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn put_nodes(&self, nodes: &[NodeDefinition]) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for node in nodes {
            let text = serde_json::to_string(node).map_err(|e| StoreError::Row(e.to_string()))?;
            transaction.execute(
                "INSERT INTO node (name, definition) VALUES (?1, ?2) \
                 ON CONFLICT (name) DO UPDATE SET definition = ?2",
                params![node.name.as_str(), text],
            )?;
        }
        transaction.commit()?;
        drop(connection);
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The nodes that have this address: one, unless two were defined with the same.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn nodes_at(&self, from: IpAddr) -> Result<Vec<NodeName>, StoreError> {
        let mut known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let addresses = match &mut *known {
            Some(addresses) => addresses,
            unread @ None => {
                let mut addresses: HashMap<IpAddr, Vec<NodeName>> = HashMap::new();
                for row in self.nodes()? {
                    if let Some(own) = row.definition.ip() {
                        addresses.entry(own).or_default().push(row.definition.name);
                    }
                }
                unread.insert(addresses)
            }
        };
        Ok(addresses.get(&from.to_canonical()).cloned().unwrap_or_default())
    }

    /// All nodes, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM node ORDER BY name");
        self.lock().prepare_cached(&sql)?.query_map([], read)?.map(|row| row?).collect()
    }

    /// One node.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn node(&self, name: &NodeName) -> Result<Option<NodeRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM node WHERE name = ?");
        let connection = self.lock();
        let row = connection.prepare_cached(&sql)?.query_row([name.as_str()], read).optional()?;
        row.transpose()
    }

    /// Notes since when Slurm wants a node that no deployment has taken; `None` ends it.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_wanted(&self, name: &NodeName, since: Option<i64>) -> Result<(), StoreError> {
        let sql = "UPDATE node SET wanted_since = ? WHERE name = ?";
        self.lock().execute(sql, params![since, name.as_str()])?;
        Ok(())
    }

    /// Remembers, or forgets, the reason of a drain: slurmctld loses it when it powers the node down.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_kept_drain(&self, name: &NodeName, reason: Option<&str>) -> Result<(), StoreError> {
        let sql = "UPDATE node SET kept_drain = ? WHERE name = ?";
        self.lock().execute(sql, params![reason, name.as_str()])?;
        Ok(())
    }

    /// The remembered reason of a drain.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn kept_drain(&self, name: &NodeName) -> Result<Option<String>, StoreError> {
        let sql = "SELECT kept_drain FROM node WHERE name = ?";
        let found = self.lock().query_row(sql, [name.as_str()], |row| row.get(0)).optional()?;
        Ok(found.flatten())
    }

    /// All remembered drains.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn kept_drains(&self) -> Result<Vec<(NodeName, String)>, StoreError> {
        let sql = "SELECT name, kept_drain FROM node WHERE kept_drain IS NOT NULL";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        rows.map(|row| row.map_err(StoreError::from).and_then(|(n, r)| Ok((parse(&n)?, r))))
            .collect()
    }

    /// Sets or ends an admin's maintenance; `false`: there is no such node.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn set_maintenance(
        &self,
        name: &NodeName,
        reason: Option<&str>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE node SET maintenance = ? WHERE name = ?";
        Ok(self.lock().execute(sql, params![reason, name.as_str()])? == 1)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<NodeRow, StoreError>> {
    let text: String = row.get(0)?;
    let definition = match serde_json::from_str(&text) {
        Ok(definition) => definition,
        Err(error) => return Ok(Err(StoreError::Row(error.to_string()))),
    };
    Ok(Ok(NodeRow {
        definition,
        maintenance: row.get(1)?,
        wanted_since_unix_ns: row.get(2)?,
        last_failure: row.get(3)?,
    }))
}
