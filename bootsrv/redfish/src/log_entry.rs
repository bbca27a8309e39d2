//! The newest entries of a system's logs: why it died (LogService and LogEntry, DSP0268).

use crate::Error;
use crate::client::Client;
use crate::document::{link, name, text};
use crate::refusal::one_line;
use jiff::Timestamp;
use serde_json::Value;

/// Most log services that are read.
const SERVICES_MAX: usize = 6;
/// Most entries that a call gives.
const ENTRIES_MAX: usize = 32;

/// One entry of a log. Properties that the service does not give are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Which log, e.g. `Sel`.
    pub log: String,
    /// When it was made, by the service's clock.
    pub created: Option<Timestamp>,
    /// `OK`, `Warning` or `Critical`.
    pub severity: Option<String>,
    /// Which message of a registry.
    pub message_id: Option<String>,
    /// For people, in one line.
    pub message: Option<String>,
}

impl LogEntry {
    fn of(log: &str, entry: &Value) -> Self {
        let line = |pointer| text(entry, pointer).map(one_line);
        Self {
            log: one_line(log),
            created: text(entry, "/Created").and_then(|text| text.parse().ok()),
            severity: line("/Severity"),
            message_id: line("/MessageId"),
            message: line("/Message"),
        }
    }
}

/// Whether a member is the entry itself, and not a link to it.
fn is_whole(member: &Value) -> bool {
    member.pointer("/Created").is_some() || member.pointer("/Message").is_some()
}

/// The newest entries of all, the newest first; those without a time last.
fn newest(mut entries: Vec<LogEntry>, count: usize) -> Vec<LogEntry> {
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.created));
    entries.truncate(count);
    entries
}

impl Client {
    /// The newest entries of the system's logs, or, where it has none, of its managers', the newest
    /// first; at most `count`, and 32. Empty: there are no logs, or nothing is in them.
    ///
    /// # Errors
    /// Every kind.
    pub async fn log_entries(&self, count: usize) -> Result<Vec<LogEntry>, Error> {
        self.within("LogServices", async {
            let count = count.min(ENTRIES_MAX);
            let place = self.place().await?;
            let mut entries = self.entries_below(place.logs.as_deref(), count).await?;
            for manager in &place.managers {
                if !entries.is_empty() {
                    break;
                }
                let Some(manager) = self.get_if_there(manager).await? else { continue };
                let logs = link(&manager.value, "/LogServices");
                entries = self.entries_below(logs.as_deref(), count).await?;
            }
            Ok(newest(entries, count))
        })
        .await
    }

    async fn entries_below(
        &self,
        logs: Option<&str>,
        count: usize,
    ) -> Result<Vec<LogEntry>, Error> {
        let mut found = Vec::new();
        let Some(logs) = logs else { return Ok(found) };
        if self.get_if_there(logs).await?.is_none() {
            return Ok(found);
        }
        let services = self.members(logs).await?;
        for path in services.iter().filter_map(|member| link(member, "")).take(SERVICES_MAX) {
            let Some(service) = self.get_if_there(&path).await? else { continue };
            let Some(entries) = link(&service.value, "/Entries") else { continue };
            found.append(&mut self.newest_of(name(&path), &entries, count).await?);
        }
        Ok(found)
    }

    /// The newest of one log. Services list the newest first or last, whole or as links, on one page
    /// or on several.
    async fn newest_of(
        &self,
        log: &str,
        entries: &str,
        count: usize,
    ) -> Result<Vec<LogEntry>, Error> {
        let Some(first) = self.get_if_there(entries).await? else { return Ok(Vec::new()) };
        let mut members = list(&first.value);
        if text(&first.value, "/Members@odata.nextLink").is_some()
            && let Some(last) = self.last_page(entries, &first.value, count).await?
        {
            // Where `$skip` was not heard, it is the first page again.
            let known: Vec<Option<String>> = members.iter().map(|one| link(one, "")).collect();
            members.extend(last.into_iter().filter(|one| !known.contains(&link(one, ""))));
        }
        if members.iter().all(is_whole) {
            let whole = members.iter().map(|entry| LogEntry::of(log, entry)).collect();
            return Ok(newest(whole, count));
        }
        let paths: Vec<String> = members.iter().filter_map(|member| link(member, "")).collect();
        self.newest_of_links(log, &paths, count).await
    }

    /// The end of a log of several pages (DSP0266, "Query parameters": `$skip`). Where the service
    /// does not know that, the first page has to do.
    async fn last_page(
        &self,
        entries: &str,
        first: &Value,
        count: usize,
    ) -> Result<Option<Vec<Value>>, Error> {
        let total = first.pointer("/Members@odata.count").and_then(Value::as_u64);
        let Some(total) = total.and_then(|total| usize::try_from(total).ok()) else {
            return Ok(None);
        };
        // A page of it, as long as the first one and not what that has shown.
        let page = list(first).len();
        let skip = total.saturating_sub(count.min(page)).max(page);
        let joint = if entries.contains('?') { '&' } else { '?' };
        let last = self.get(&format!("{entries}{joint}$skip={skip}")).await;
        Ok(last.ok().map(|page| list(&page.value)))
    }

    /// Reads the entries at that end of the list where the newer ones are.
    async fn newest_of_links(
        &self,
        log: &str,
        paths: &[String],
        count: usize,
    ) -> Result<Vec<LogEntry>, Error> {
        let (Some(first), Some(last)) = (paths.first(), paths.last()) else {
            return Ok(Vec::new());
        };
        let mut read = Vec::new();
        let (first, last) = (self.entry(log, first).await?, self.entry(log, last).await?);
        let created = |entry: &Option<LogEntry>| entry.as_ref().and_then(|entry| entry.created);
        let is_newest_first = created(&first) > created(&last);
        let middle = paths.get(1..paths.len().saturating_sub(1)).unwrap_or_default();
        let rest = count.saturating_sub(1).min(middle.len());
        let nearest: Vec<&String> = match is_newest_first {
            true => middle.iter().take(rest).collect(),
            false => middle.iter().rev().take(rest).collect(),
        };
        read.extend(first);
        if paths.len() > 1 {
            read.extend(last);
        }
        for path in nearest {
            read.extend(self.entry(log, path).await?);
        }
        Ok(newest(read, count))
    }

    /// An entry; `None`: it has been cleared since it was listed.
    async fn entry(&self, log: &str, path: &str) -> Result<Option<LogEntry>, Error> {
        let entry = self.get_if_there(path).await?;
        Ok(entry.map(|entry| LogEntry::of(log, &entry.value)))
    }
}

fn list(page: &Value) -> Vec<Value> {
    let members = page.pointer("/Members").and_then(Value::as_array);
    members.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_come_first_and_those_without_a_time_last() {
        let entry =
            |created: Value| LogEntry::of("Sel", &json!({"Created": created, "Message": "m"}));
        let entries = vec![
            entry(json!("2026-01-01T00:00:00Z")),
            entry(json!("no time")),
            entry(json!("2026-01-03T00:00:00+05:00")),
        ];
        let sorted = newest(entries.clone(), 3);
        assert_eq!(sorted, [entries[2].clone(), entries[0].clone(), entries[1].clone()]);
        assert_eq!(newest(entries, 1).len(), 1);
    }
}
