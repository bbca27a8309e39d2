//! Where a boot's part of its node's console begins, and what it had last.

use super::{Store, StoreError, json, parse_json};
use crate::clock::SECOND_NS;
use crate::console::Begin;
use crate::deployment::DeploymentId;
use rusqlite::{OptionalExtension, params};

/// How long what a boot's console showed is kept after the node was released.
const KEEP_NS: i64 = 30 * 24 * 3600 * SECOND_NS;

impl Store {
    /// Notes that a deployment's boot begins, or begins anew, and where in its console.
    ///
    /// # Errors
    /// When the store cannot be written, or the file's name is no text.
    pub fn note_console_begin(&self, id: DeploymentId, begin: &Begin) -> Result<(), StoreError> {
        let no_text = || StoreError::Row(format!("{} is not UTF-8", begin.path.display()));
        let path = begin.path.to_str().ok_or_else(no_text)?;
        let length = i64::try_from(begin.length).unwrap_or(i64::MAX);
        // A session that captures it goes on.
        let sql = "INSERT INTO console (deployment, path, file, length) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (deployment) \
                   DO UPDATE SET path = ?2, file = ?3, length = ?4, lines = NULL";
        self.lock().execute(sql, params![id, path, begin.file, length])?;
        Ok(())
    }

    /// Forgets where a boot's console begins: it is not known.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn forget_console_begin(&self, id: DeploymentId) -> Result<(), StoreError> {
        self.lock().execute("DELETE FROM console WHERE deployment = ?", [id])?;
        Ok(())
    }

    /// Where a boot's part of the console begins; `None`: not known.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn console_begin(&self, id: DeploymentId) -> Result<Option<Begin>, StoreError> {
        let sql = "SELECT path, file, length FROM console WHERE deployment = ?";
        let read = |row: &rusqlite::Row<'_>| {
            let (path, length): (String, i64) = (row.get(0)?, row.get(2)?);
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            Ok(Begin { path: path.into(), file: row.get(1)?, length })
        };
        Ok(self.lock().query_row(sql, [id], read).optional()?)
    }

    /// Notes the session that captures a boot's console, as the controller names it: after a restart of
    /// this program it is dead, and may still have the console.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_console_session(&self, id: DeploymentId, session: u32) -> Result<(), StoreError> {
        let sql = "UPDATE console SET session = ? WHERE deployment = ?";
        self.lock().execute(sql, params![session, id])?;
        Ok(())
    }

    /// The session that captured a boot's console last.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn console_session(&self, id: DeploymentId) -> Result<Option<u32>, StoreError> {
        let sql = "SELECT session FROM console WHERE deployment = ?";
        let found = self.lock().query_row(sql, [id], |row| row.get(0)).optional()?;
        Ok(found.flatten())
    }

    /// Keeps the last lines of a boot that has failed.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep_console_lines(&self, id: DeploymentId, lines: &[String]) -> Result<(), StoreError> {
        let sql = "UPDATE console SET lines = ? WHERE deployment = ?";
        self.lock().execute(sql, params![json(&lines)?, id])?;
        Ok(())
    }

    /// Drops what consoles of boots showed that are long over: it can be secret, and helps nobody any more.
    /// Gives of how many boots.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn drop_old_consoles(&self, now: i64) -> Result<usize, StoreError> {
        let sql = "DELETE FROM console WHERE deployment IN \
                   (SELECT id FROM deployment WHERE state = 'released' AND since < ?)";
        Ok(self.lock().execute(sql, [now.saturating_sub(KEEP_NS)])?)
    }

    /// The last lines of a boot that failed, oldest first; empty: none are known.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn console_lines(&self, id: DeploymentId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT lines FROM console WHERE deployment = ?";
        let found: Option<Option<String>> =
            self.lock().query_row(sql, [id], |row| row.get(0)).optional()?;
        Ok(parse_json(found.flatten())?.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::State;
    use crate::pin::Pin;
    use crate::token;

    #[test]
    fn a_boot_that_begins_anew_has_lost_what_was_before() {
        let store = Store::in_memory().unwrap();
        let (name, kernel, image) = ("n1".parse(), "k".parse(), "i".parse());
        let new = token::new_deployment(
            name.unwrap(),
            kernel.unwrap(),
            image.unwrap(),
            Pin::of_nothing(),
        );
        let id = store.add_jobless(&new, 1).unwrap();
        assert_eq!(store.console_begin(id).unwrap(), None);
        let first = Begin { path: "/c".into(), file: Some("1:2".into()), length: 7 };
        store.note_console_begin(id, &first).unwrap();
        store.note_console_session(id, u32::MAX).unwrap();
        store.keep_console_lines(id, &["a".into(), "b".into()]).unwrap();
        assert_eq!(store.console_begin(id).unwrap(), Some(first));
        assert_eq!(store.console_session(id).unwrap(), Some(u32::MAX));
        assert_eq!(store.console_lines(id).unwrap(), ["a", "b"]);
        let again = Begin { path: "/c".into(), file: None, length: 0 };
        store.note_console_begin(id, &again).unwrap();
        assert_eq!(store.console_begin(id).unwrap(), Some(again));
        assert_eq!(store.console_session(id).unwrap(), Some(u32::MAX), "it goes on");
        assert!(store.console_lines(id).unwrap().is_empty());
        store.forget_console_begin(id).unwrap();
        assert_eq!(store.console_begin(id).unwrap(), None);
        store.note_console_begin(id, &Begin { path: "/c".into(), file: None, length: 0 }).unwrap();
        assert_eq!(store.drop_old_consoles(10 * KEEP_NS).unwrap(), 0, "it is not over");
        store.change(id, Some(State::Released), None, &[], 7).unwrap();
        assert_eq!(store.drop_old_consoles(7 + KEEP_NS).unwrap(), 0);
        assert_eq!(store.drop_old_consoles(8 + KEEP_NS).unwrap(), 1);
        assert_eq!(store.console_begin(id).unwrap(), None);
    }
}
