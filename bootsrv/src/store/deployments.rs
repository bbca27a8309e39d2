//! Deployments and their marks.

use super::quarantine::{forget_strikes, note_failure};
use super::{NewTry, Store, StoreError, json, parse};
use crate::application::Prepared;
use crate::clock::SECOND_NS;
use crate::deployment::{Application, Blame, Deployment, DeploymentId, Failure, Mark, State, Way};
use crate::pin::Pin;
use protocol::boot::{AppliedSetting, SECRETS_AGAIN_SECONDS};
use protocol::energy::NodeEnergy;
use protocol::names::{Digest, ImageName, JobId, KernelName, NodeName, Secret};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;

/// A deployment to be written, in state [`State::Waiting`].
#[derive(Debug, Clone)]
pub struct NewDeployment {
    /// The node.
    pub node: NodeName,
    /// The kernel's name.
    pub kernel: KernelName,
    /// The image's name.
    pub image: ImageName,
    /// What both names mean now.
    pub pin: Pin,
    /// The node stays on after the job.
    pub stays_on: bool,
    /// The boot token.
    pub token: Secret,
    /// Its SHA-256, by which the agent is found.
    pub token_sha256: Digest,
}

/// How long after the first time the secrets go out again to the same boot: a restart of ours.
const SECRETS_AGAIN_NS: i64 = SECRETS_AGAIN_SECONDS as i64 * SECOND_NS;

const COLUMNS: &str = "id, try, job, node, kernel, image, state, since, blame, reason, \
                       scripts_served, token IS NULL, boot_id, applied, application, \
                       way, taken_from, stays_on";

/// The plus keeps SQLite from going through the whole table in the order of its keys.
pub(super) const LIVE: &str = "state <> 'released' ORDER BY +id";
pub(super) const LIVE_OF_NODE: &str = "node = ? AND state <> 'released' ORDER BY id";
pub(super) const OF_TRY: &str = "try = ? ORDER BY id";
pub(super) const BY_TOKEN: &str = "token_sha256 = ?";
pub(super) const CURRENT: &str = "id = coalesce(\
     (SELECT max(id) FROM deployment WHERE node = ?1 AND state <> 'released'), \
     (SELECT max(id) FROM deployment WHERE node = ?1))";

pub(super) fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM deployment WHERE {rest}")
}

impl Store {
    /// Writes a job's try and its deployments, all or none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add_try(
        &self,
        asked: &NewTry,
        nodes: &[NewDeployment],
        now: i64,
    ) -> Result<i64, StoreError> {
        let application = asked.application.as_ref().map(json).transpose()?;
        let image = asked.application_image.as_ref().map(json).transpose()?;
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT INTO try (job, reference, restart_count, user, uid, account, partition, kernel, \
             image, power_off_after, created, application, application_image) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                asked.job.0,
                asked.reference.to_string(),
                asked.restart_count,
                asked.user,
                asked.uid,
                asked.account,
                asked.partition,
                asked.kernel.as_str(),
                asked.image.as_str(),
                asked.power_off_after,
                now,
                application,
                image
            ],
        )?;
        let id = transaction.last_insert_rowid();
        let awaits = match asked.application {
            Some(_) => Application::Awaited,
            None => Application::None,
        };
        for node in nodes {
            insert(&transaction, Some((id, asked.job)), node, awaits, now)?;
        }
        transaction.commit()?;
        Ok(id)
    }

    /// Writes a deployment that belongs to no job.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn add_jobless(&self, node: &NewDeployment, now: i64) -> Result<DeploymentId, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let id = insert(&transaction, None, node, Application::None, now)?;
        transaction.commit()?;
        Ok(id)
    }

    /// Every deployment that is not released and can be read, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn live_deployments(&self) -> Result<Vec<Deployment>, StoreError> {
        let sql = select(LIVE);
        let connection = self.lock();
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map([], read)?;
        rows.filter_map(|row| row.map(|row| self.readable("deployment", row)).transpose())
            .map(|row| Ok(row?))
            .collect()
    }

    /// Those of one node, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn live_deployments_of(&self, node: &NodeName) -> Result<Vec<Deployment>, StoreError> {
        self.select(LIVE_OF_NODE, params![node.as_str()])
    }

    /// A try's deployments, in node order as written.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn deployments_of_try(&self, try_id: i64) -> Result<Vec<Deployment>, StoreError> {
        self.select(OF_TRY, params![try_id])
    }

    /// The deployment with that key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn deployment(&self, id: DeploymentId) -> Result<Option<Deployment>, StoreError> {
        Ok(self.select("id = ?", params![id])?.pop())
    }

    /// The deployment that what happens to a node is about: the newest that is not released, or else
    /// the newest.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn current_on(&self, node: &NodeName) -> Result<Option<Deployment>, StoreError> {
        Ok(self.select(CURRENT, params![node.as_str()])?.pop())
    }

    /// The deployment whose boot token has that SHA-256.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn by_token(&self, token_sha256: &Digest) -> Result<Option<Deployment>, StoreError> {
        Ok(self.select(BY_TOKEN, params![token_sha256.to_string()])?.pop())
    }

    /// What a deployment boots.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pin(&self, id: DeploymentId) -> Result<Pin, StoreError> {
        let sql = "SELECT pin FROM deployment WHERE id = ?";
        let text: String = self.lock().prepare_cached(sql)?.query_row([id], |row| row.get(0))?;
        serde_json::from_str(&text).map_err(|e| StoreError::Row(e.to_string()))
    }

    /// The artifacts of every deployment that is not released, those of its application image too.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn pinned(&self) -> Result<BTreeSet<Digest>, StoreError> {
        let sql = "SELECT DISTINCT pin FROM deployment WHERE state <> 'released'";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let mut artifacts = BTreeSet::new();
        for text in statement.query_map([], |row| row.get::<_, String>(0))? {
            let pin: Pin =
                serde_json::from_str(&text?).map_err(|e| StoreError::Row(e.to_string()))?;
            artifacts.extend(pin.artifacts());
        }
        let sql = "SELECT DISTINCT application_image FROM try WHERE application_image IS NOT NULL \
                   AND id IN (SELECT try FROM deployment WHERE state <> 'released')";
        let mut statement = connection.prepare_cached(sql)?;
        for text in statement.query_map([], |row| row.get::<_, String>(0))? {
            let image: Prepared =
                serde_json::from_str(&text?).map_err(|e| StoreError::Row(e.to_string()))?;
            artifacts.extend(image.layers.iter().map(|layer| layer.sha256));
        }
        Ok(artifacts)
    }

    fn select(
        &self,
        rest: &str,
        values: impl rusqlite::Params,
    ) -> Result<Vec<Deployment>, StoreError> {
        let sql = select(rest);
        self.lock().prepare_cached(&sql)?.query_map(values, read)?.map(|row| row?).collect()
    }

    /// Writes what an event made of a deployment: state, failure (the first counts) and marks (the
    /// first of each counts), all or none. Gives the reason for Slurm if the node is to blame for the
    /// failure, and it is the first.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn change(
        &self,
        id: DeploymentId,
        state: Option<State>,
        failure: Option<&Failure>,
        marks: &[(Mark, i64)],
        now: i64,
    ) -> Result<Option<String>, StoreError> {
        self.change_way(id, state, None, failure, marks, now)
    }

    /// As [`Self::change`], with the way in which the node comes to the deployment.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn change_way(
        &self,
        id: DeploymentId,
        state: Option<State>,
        way: Option<Way>,
        failure: Option<&Failure>,
        marks: &[(Mark, i64)],
        now: i64,
    ) -> Result<Option<String>, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let mut reason_for_slurm = None;
        if let Some(state) = state {
            let sql = "UPDATE deployment SET state = ?, since = ? WHERE id = ?";
            transaction.prepare_cached(sql)?.execute(params![state.name(), now, id])?;
        }
        if let Some(way) = way {
            let sql = "UPDATE deployment SET way = ? WHERE id = ?";
            transaction.execute(sql, params![way.name(), id])?;
        }
        if let Some(failure) = failure {
            let is_first = transaction.execute(
                "UPDATE deployment SET blame = ?, reason = ? WHERE id = ? AND reason IS NULL",
                params![failure.blame.name(), failure.reason, id],
            )? == 1;
            if is_first {
                reason_for_slurm = note_failure(&transaction, id, failure, now)?;
            }
        }
        forget_strikes(&transaction, id, state)?;
        for (mark, at) in marks {
            let sql = "INSERT OR IGNORE INTO mark (deployment, mark, at) VALUES (?, ?, ?)";
            transaction.prepare_cached(sql)?.execute(params![id, mark.name(), at])?;
        }
        transaction.commit()?;
        Ok(reason_for_slurm)
    }

    /// Says more about a failure that is noted already.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn explain_failure(&self, id: DeploymentId, reason: &str) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let sql = "UPDATE deployment SET reason = ? WHERE id = ? AND reason IS NOT NULL";
        transaction.execute(sql, params![reason, id])?;
        let sql = "UPDATE node SET last_failure = ? WHERE name = (SELECT node FROM deployment WHERE id = ?)";
        transaction.execute(sql, params![reason, id])?;
        transaction.commit()?;
        Ok(())
    }

    /// Counts a served boot script.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn count_script(&self, id: DeploymentId) -> Result<(), StoreError> {
        let sql = "UPDATE deployment SET scripts_served = scripts_served + 1 WHERE id = ?";
        self.lock().prepare_cached(sql)?.execute([id])?;
        Ok(())
    }

    /// Hands the boot token out, once: afterwards the store has only its SHA-256.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn take_token(&self, id: DeploymentId) -> Result<Option<Secret>, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let token: Option<String> =
            transaction
                .query_row("SELECT token FROM deployment WHERE id = ?", [id], |r| r.get(0))?;
        transaction.execute("UPDATE deployment SET token = NULL WHERE id = ?", [id])?;
        transaction.commit()?;
        Ok(token.map(Secret::new))
    }

    /// Notes that the secrets go out; `false`: they had gone out before. To the same boot they go
    /// out again for [`SECRETS_AGAIN_NS`], because an answer may be lost with us after this is written.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn take_secrets(
        &self,
        id: DeploymentId,
        boot_id: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE deployment SET secrets_at = coalesce(secrets_at, ?3), secrets_to = ?2 \
                   WHERE id = ?1 AND (boot_id IS NULL OR boot_id = ?2) AND (secrets_at IS NULL \
                   OR (secrets_to = ?2 AND ?3 - secrets_at BETWEEN 0 AND ?4))";
        Ok(self.lock().execute(sql, params![id, boot_id, now, SECRETS_AGAIN_NS])? == 1)
    }

    /// Notes what the agent's report says of the running kernel; its token has arrived then. A report
    /// that says the same again, as most do, writes nothing.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_agent(
        &self,
        id: DeploymentId,
        boot_id: &str,
        applied: &[AppliedSetting],
    ) -> Result<(), StoreError> {
        let applied = json(&applied)?;
        let sql = "UPDATE deployment SET boot_id = ?1, applied = ?2, token = NULL WHERE id = ?3 \
                   AND (boot_id IS NOT ?1 OR applied IS NOT ?2 OR token IS NOT NULL)";
        self.lock().prepare_cached(sql)?.execute(params![boot_id, applied, id])?;
        Ok(())
    }

    /// Notes that the node has its job's application image.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn note_application_ready(&self, id: DeploymentId) -> Result<(), StoreError> {
        let sql = "UPDATE deployment SET application = ? WHERE id = ?";
        self.lock().execute(sql, params![Application::Ready.name(), id])?;
        Ok(())
    }

    /// A deployment's marks, in the order of time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn marks(&self, id: DeploymentId) -> Result<Vec<(Mark, i64)>, StoreError> {
        let sql = "SELECT mark, at FROM mark WHERE deployment = ? ORDER BY at";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([id], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let mut marks = Vec::new();
        for row in rows {
            let (name, at) = row?;
            let mark =
                Mark::from_name(&name).ok_or_else(|| StoreError::Row(format!("mark {name}")))?;
            marks.push((mark, at));
        }
        Ok(marks)
    }

    /// Keeps a released deployment's energy record.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn keep_energy(&self, id: DeploymentId, record: &NodeEnergy) -> Result<(), StoreError> {
        let text = json(record)?;
        self.lock().execute("UPDATE deployment SET energy = ? WHERE id = ?", params![text, id])?;
        Ok(())
    }

    /// A released deployment's energy record.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn kept_energy(&self, id: DeploymentId) -> Result<Option<NodeEnergy>, StoreError> {
        let sql = "SELECT energy FROM deployment WHERE id = ?";
        let text: Option<Option<String>> =
            self.lock().query_row(sql, [id], |row| row.get(0)).optional()?;
        text.flatten()
            .map(|text| serde_json::from_str(&text).map_err(|e| StoreError::Row(e.to_string())))
            .transpose()
    }
}

fn insert(
    connection: &Connection,
    job: Option<(i64, JobId)>,
    new: &NewDeployment,
    application: Application,
    now: i64,
) -> Result<DeploymentId, StoreError> {
    let pin = json(&new.pin)?;
    connection.execute(
        "INSERT INTO deployment (try, job, node, kernel, image, pin, state, since, token, \
         token_sha256, application, stays_on) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            job.map(|(id, _)| id),
            job.map(|(_, job)| job.0),
            new.node.as_str(),
            new.kernel.as_str(),
            new.image.as_str(),
            pin,
            State::Waiting.name(),
            now,
            new.token.expose(),
            new.token_sha256.to_string(),
            application.name(),
            new.stays_on
        ],
    )?;
    let id = connection.last_insert_rowid();
    let sql = "INSERT INTO mark (deployment, mark, at) VALUES (?, ?, ?)";
    connection.execute(sql, params![id, Mark::Requested.name(), now])?;
    connection
        .execute("UPDATE node SET wanted_since = NULL WHERE name = ?", [new.node.as_str()])?;
    Ok(id)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Result<Deployment, StoreError>> {
    let texts: [String; 4] = [row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?];
    let applied: String = row.get(13)?;
    let (blame, reason): (Option<String>, Option<String>) = (row.get(8)?, row.get(9)?);
    let word: Option<String> = row.get(14)?;
    let Some(application) = Application::from_name(word.as_deref()) else {
        return Ok(Err(StoreError::Row(format!("application {word:?}"))));
    };
    let word: Option<String> = row.get(15)?;
    let Some(way) = Way::from_name(word.as_deref()) else {
        return Ok(Err(StoreError::Row(format!("way {word:?}"))));
    };
    let rest = Deployment {
        id: row.get(0)?,
        try_id: row.get(1)?,
        job: row.get::<_, Option<u32>>(2)?.map(JobId),
        since_unix_ns: row.get(7)?,
        application,
        scripts_served: row.get(10)?,
        token_served: row.get(11)?,
        boot_id: row.get(12)?,
        way,
        taken_from: row.get(16)?,
        stays_on: row.get(17)?,
        ..match blank(&texts) {
            Ok(blank) => blank,
            Err(error) => return Ok(Err(error)),
        }
    };
    Ok((|| {
        let applied = serde_json::from_str(&applied).map_err(|e| StoreError::Row(e.to_string()))?;
        let failure = match (blame.as_deref().and_then(Blame::from_name), reason) {
            (Some(blame), Some(reason)) => Some(Failure { blame, reason }),
            _ => None,
        };
        Ok(Deployment { applied, failure, ..rest })
    })())
}

/// The names of a row, parsed; everything else still empty.
fn blank([node, kernel, image, state]: &[String; 4]) -> Result<Deployment, StoreError> {
    Ok(Deployment {
        id: 0,
        try_id: None,
        job: None,
        node: parse(node)?,
        kernel: parse(kernel)?,
        image: parse(image)?,
        state: State::from_name(state).ok_or_else(|| StoreError::Row(format!("state {state}")))?,
        since_unix_ns: 0,
        application: Application::None,
        failure: None,
        scripts_served: 0,
        token_served: false,
        boot_id: None,
        applied: Vec::new(),
        way: Way::Boot,
        taken_from: None,
        stays_on: false,
    })
}
