//! Nodes as the site defined them.

use super::{Store, StoreError, parse};
use protocol::api::NodeDefinition;
use protocol::names::{MacAddress, NodeName};
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
    /// Why it failed last.
    pub last_failure: Option<String>,
    /// When that was, nanoseconds since 1970.
    pub last_failure_unix_ns: Option<i64>,
    /// Failures by its own fault since a boot of it was last ready.
    pub strikes: u32,
    /// A drain that slurmctld forgets at power-down, and that is made again.
    pub kept_drain: Option<String>,
    /// The reason of the last drain, or DOWN, that we made and did not take back.
    pub own_drain: Option<String>,
    /// The reason of one of ours that an admin has taken back, until slurmctld has heard it.
    pub ending_drain: Option<String>,
}

#[cfg(test)]
impl NodeRow {
    /// A node of that name with nothing held against it.
    pub(crate) fn example(name: &str) -> Self {
        let text = format!(
            r#"{{"name":"{name}","mac":"52:54:00:00:00:01","address":"10.77.0.11/24","cpus":1,
            "power":{{"method":"ipmi","address":"10.77.1.11","user":"u","password":"p"}}}}"#
        );
        Self {
            definition: serde_json::from_str(&text).unwrap(),
            maintenance: None,
            wanted_since_unix_ns: None,
            last_failure: None,
            last_failure_unix_ns: None,
            strikes: 0,
            kept_drain: None,
            own_drain: None,
            ending_drain: None,
        }
    }
}

const COLUMNS: &str = "definition, maintenance, wanted_since, last_failure, last_failure_at, \
                       strikes, kept_drain, own_drain, ending_drain";

/// How a booting node is found: by its address, or by that of its network card.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_address: HashMap<IpAddr, Vec<NodeName>>,
    by_mac: HashMap<MacAddress, NodeName>,
}

impl Index {
    fn of(rows: Vec<NodeRow>) -> Self {
        let mut index = Self::default();
        for NodeRow { definition, .. } in rows {
            if let Some(own) = definition.ip() {
                index.by_address.entry(own).or_default().push(definition.name.clone());
            }
            index.by_mac.entry(definition.mac).or_insert(definition.name);
        }
        index
    }
}

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
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// The nodes that have this address: one, unless two were defined with the same.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn nodes_at(&self, from: IpAddr) -> Result<Vec<NodeName>, StoreError> {
        let found = self.indexed(|index| index.by_address.get(&from.to_canonical()).cloned())?;
        Ok(found.unwrap_or_default())
    }

    /// The node with that network card.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn node_with(&self, mac: MacAddress) -> Result<Option<NodeRow>, StoreError> {
        let name = self.indexed(|index| index.by_mac.get(&mac).cloned())?;
        let row = name.map(|name| self.node(&name)).transpose()?.flatten();
        Ok(row.filter(|row| row.definition.mac == mac))
    }

    fn indexed<T>(&self, look: impl FnOnce(&Index) -> T) -> Result<T, StoreError> {
        let mut known = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match &mut *known {
            Some(index) => index,
            unread @ None => unread.insert(Index::of(self.nodes()?)),
        };
        Ok(look(index))
    }

    /// The names of all nodes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn node_names(&self) -> Result<Vec<NodeName>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached("SELECT name FROM node ORDER BY name")?;
        let names = statement.query_map([], |row| row.get::<_, String>(0))?;
        names.map(|name| parse(&name?)).collect()
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
        self.lock().prepare_cached(sql)?.execute(params![since, name.as_str()])?;
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
        last_failure_unix_ns: row.get(4)?,
        strikes: row.get(5)?,
        kept_drain: row.get(6)?,
        own_drain: row.get(7)?,
        ending_drain: row.get(8)?,
    }))
}
