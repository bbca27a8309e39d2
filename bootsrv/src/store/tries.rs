//! Tries: what a job asked, once for each time it was (re)started.

use super::{Store, StoreError, parse, parse_json};
use crate::application::{Prepared, Request};
use crate::deployment::Blame;
use protocol::names::{ImageName, JobId, JobReference, KernelName};
use rusqlite::{OptionalExtension, Row, params};

/// A try to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTry {
    /// The job.
    pub job: JobId,
    /// The job as Slurm's commands name it.
    pub reference: JobReference,
    /// How often it was requeued before.
    pub restart_count: u32,
    /// User name.
    pub user: String,
    /// User id.
    pub uid: u32,
    /// Account.
    pub account: Option<String>,
    /// Partition.
    pub partition: String,
    /// The kernel, after defaults.
    pub kernel: KernelName,
    /// The node image, after defaults.
    pub image: ImageName,
    /// Nodes power off after the job.
    pub power_off_after: bool,
    /// The application image.
    pub application: Option<Request>,
    /// What it is, once it is prepared.
    pub application_image: Option<Prepared>,
}

/// A try in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// Key.
    pub id: i64,
    /// What was asked.
    pub asked: NewTry,
    /// When it was written, nanoseconds since 1970.
    pub created_unix_ns: i64,
    /// The job is over.
    pub ended: bool,
}

const COLUMNS: &str = "id, job, restart_count, user, uid, account, partition, kernel, image, \
                       power_off_after, created, ended IS NOT NULL, reference, application, \
                       application_image";

// The store has every try there ever was: none of these may look at all of them.
pub(super) const LATEST_OF_ID: &str = "job = ? ORDER BY id DESC LIMIT 1";
pub(super) const LATEST_OF_PART: &str = "reference = ? ORDER BY id DESC LIMIT 1";
pub(super) const ALL_OF_PART: &str = "reference = ?";
/// The id itself, and the ranges of text that begin with it and `+` or `_`: the sign after `+` is
/// `,`, the one after `_` is a backquote.
pub(super) const ALL_OF_ID: &str = "job = ?1 OR reference >= ?1 || '+' AND reference < ?1 || ',' \
                                    OR reference >= ?1 || '_' AND reference < ?1 || '`'";

const NEWEST: &str = "true ORDER BY id DESC LIMIT ?";
pub(super) const NEWEST_LIVE: &str = "id IN (SELECT try FROM deployment WHERE state <> 'released') \
                                      ORDER BY id DESC LIMIT ?";

pub(super) fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM try WHERE {rest}")
}

impl Store {
    /// The latest try of a job.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn latest_try(&self, job: JobId) -> Result<Option<Try>, StoreError> {
        self.first(LATEST_OF_ID, [job.0])
    }

    /// The latest try of exactly this job, task or component: not of the parts that a plain id
    /// stands for in [`Self::tries_of`]. One indexed row, for what is asked often.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn latest_try_of(&self, job: JobReference) -> Result<Option<Try>, StoreError> {
        match job {
            JobReference::Job(id) => self.latest_try(id),
            JobReference::ArrayTask(..) | JobReference::Component(..) => {
                self.first(LATEST_OF_PART, [job.to_string()])
            }
        }
    }

    /// The try with that key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn one_try(&self, id: i64) -> Result<Option<Try>, StoreError> {
        self.first("id = ?", [id])
    }

    pub(super) fn first(
        &self,
        rest: &str,
        values: impl rusqlite::Params,
    ) -> Result<Option<Try>, StoreError> {
        let sql = select(rest);
        let connection = self.lock();
        let found = connection.prepare_cached(&sql)?.query_row(values, read).optional()?;
        found.transpose()
    }

    /// All tries of a job, oldest first. A plain id stands for the tasks of that array and the
    /// components of that heterogeneous job too: these in the order of their numbers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tries_of(&self, job: JobReference) -> Result<Vec<Try>, StoreError> {
        let mut tries = match job {
            JobReference::Job(id) => self.all(ALL_OF_ID, [id.0]),
            JobReference::ArrayTask(..) | JobReference::Component(..) => {
                self.all(ALL_OF_PART, [job.to_string()])
            }
        }?;
        tries.sort_by_key(|one| (one.asked.reference.part(), one.id));
        Ok(tries)
    }

    pub(super) fn all(
        &self,
        rest: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<Try>, StoreError> {
        let sql = select(rest);
        self.lock().prepare_cached(&sql)?.query_map(values, read)?.map(|row| row?).collect()
    }

    /// The same of all jobs' tries: without those that cannot be read.
    pub(super) fn readable_tries(
        &self,
        rest: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<Try>, StoreError> {
        let sql = select(rest);
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(values, read)?;
        rows.filter_map(|row| row.map(|row| self.readable("try", row)).transpose())
            .map(|row| Ok(row?))
            .collect()
    }

    /// How many tries of a job, up to the given one and with it, a fault that was not its own has ended.
    ///
    /// A number is used anew some day: slurmctld counts a job's starts from 0, so the tries before
    /// one that did not count on are an older job's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn failed_tries(&self, job: JobId, up_to: i64) -> Result<u32, StoreError> {
        let sql = "SELECT restart_count, EXISTS (SELECT 1 FROM deployment d \
                   WHERE d.try = try.id AND d.blame != ?) \
                   FROM try WHERE job = ? AND id <= ? ORDER BY id DESC";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![Blame::Job.name(), job.0, up_to])?;
        let (mut failed, mut later) = (0, None);
        while let Some(row) = rows.next()? {
            let restart_count: u32 = row.get(0)?;
            if later.is_some_and(|later| restart_count >= later) {
                break;
            }
            later = Some(restart_count);
            failed += u32::from(row.get::<_, bool>(1)?);
        }
        Ok(failed)
    }

    /// The newest tries, newest first: those with a node not released yet, or the last `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn recent_tries(&self, all: bool, limit: u32) -> Result<Vec<Try>, StoreError> {
        self.readable_tries(if all { NEWEST } else { NEWEST_LIVE }, [limit])
    }

    /// Notes that a job's try is over; the first time counts.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn end_try(&self, id: i64, now_unix_ns: i64) -> Result<(), StoreError> {
        self.lock().execute(
            "UPDATE try SET ended = ? WHERE id = ? AND ended IS NULL",
            [now_unix_ns, id],
        )?;
        Ok(())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<Try, StoreError>> {
    let (kernel, image): (String, String) = (row.get(7)?, row.get(8)?);
    let reference: String = row.get(12)?;
    let (application, application_image) =
        match (parse_json(row.get(13)?), parse_json(row.get(14)?)) {
            (Ok(application), Ok(image)) => (application, image),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
    let (kernel, image, reference) = match (parse(&kernel), parse(&image), parse(&reference)) {
        (Ok(kernel), Ok(image), Ok(reference)) => (kernel, image, reference),
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return Ok(Err(error)),
    };
    Ok(Ok(Try {
        id: row.get(0)?,
        asked: NewTry {
            job: JobId(row.get(1)?),
            reference,
            restart_count: row.get(2)?,
            user: row.get(3)?,
            uid: row.get(4)?,
            account: row.get(5)?,
            partition: row.get(6)?,
            kernel,
            image,
            power_off_after: row.get(9)?,
            application,
            application_image,
        },
        created_unix_ns: row.get(10)?,
        ended: row.get(11)?,
    }))
}
