//! Single questions, and reports that are repeated until they are heard.

use super::{Agent, End, Step};
use crate::simulated::wire::{ANSWER_MAX, WireError};
use bytes::Bytes;
use hyper::Method;
use protocol::boot::{
    AgentStage, ArtifactRef, BOOT_ID_HEADER, BootFailure, HEARTBEAT_PATH, Heartbeat,
    HeartbeatReply, TOKEN_HEADER,
};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Between two attempts at a report, and at a download (node-agent: `report.rs`, `download.rs`).
const RETRY: Duration = Duration::from_millis(500);
/// Between two attempts at plan and secrets, and how long both are asked for (`boot.rs`).
const ASK_AGAIN: Duration = Duration::from_millis(200);
const ASKED_FOR: Duration = Duration::from_secs(60);
/// Longest time without a new byte (`download.rs`).
const DOWNLOAD_PATIENCE: Duration = Duration::from_secs(60);

impl Agent<'_> {
    async fn ask<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        content: Bytes,
    ) -> Result<T, WireError> {
        self.node.around.tally.count(&format!("requests: {path}"));
        let url = format!("{}{path}", self.server);
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.wire.connect(&url).await?,
        };
        let headers = [
            (TOKEN_HEADER, self.token.expose()),
            (BOOT_ID_HEADER, self.boot_id.as_str()),
            ("content-type", "application/json"),
        ];
        let asked = Instant::now();
        let answer = line.ask(method, &url, &headers, content, ANSWER_MAX).await;
        self.node.around.tally.took(path, asked.elapsed());
        if !matches!(answer, Err(WireError::Away(_))) {
            self.line = Some(line);
        }
        serde_json::from_slice(&answer?).map_err(|error| WireError::Away(error.to_string()))
    }

    /// Asks until it is answered; a boot without an answer ends.
    pub(super) async fn insist<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        may_be_refused: bool,
    ) -> Step<T> {
        let deadline = Instant::now() + ASKED_FOR;
        loop {
            match self.ask(method.clone(), path, Bytes::new()).await {
                Ok(answer) => return Ok(answer),
                Err(error) if Instant::now() > deadline || may_be_refused && error.is_final() => {
                    self.note(&format!("{path}: {error}"));
                    return self.fail(false, "asked in vain").await;
                }
                Err(_) => sleep(ASK_AGAIN).await,
            }
        }
    }

    /// Reports until it is heard; the end, where bootsrv does not want this boot any more.
    pub(super) async fn report(&mut self) -> Step<()> {
        let wanted = loop {
            match self.tell(None).await {
                Ok(reply) => break reply.wanted,
                Err(_) => sleep(RETRY).await,
            }
        };
        if wanted { Ok(()) } else { self.shut_down("not wanted any more").await }
    }

    /// One attempt.
    pub(super) async fn tell(
        &mut self,
        failure: Option<BootFailure>,
    ) -> Result<HeartbeatReply, WireError> {
        let report = Heartbeat {
            boot_id: self.boot_id.clone(),
            kernel_release: self.release.clone(),
            uptime_ns: self.uptime_ns(),
            stages: self.stages.clone(),
            cpus_online: self.cpus_online,
            memory_kib: 1 << 20,
            applied: Vec::new(),
            failure,
            memory_cleared: self.memory_cleared,
        };
        let text =
            serde_json::to_vec(&report).map_err(|error| WireError::Away(error.to_string()))?;
        self.ask(Method::POST, HEARTBEAT_PATH, text.into()).await
    }

    /// Reports a failure for 10 s at most, and ends.
    pub(super) async fn fail<T>(&mut self, setting: bool, reason: &str) -> Step<T> {
        let failure = BootFailure { setting, reason: format!("simulated: {reason}") };
        self.fail_with(failure).await
    }

    pub(super) async fn fail_with<T>(&mut self, failure: BootFailure) -> Step<T> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.tell(Some(failure.clone())).await.is_err() && Instant::now() < deadline {
            sleep(RETRY).await;
        }
        Err(End::Off)
    }

    /// The image's init is asked, where it runs already.
    pub(super) async fn shut_down<T>(&mut self, why: &str) -> Step<T> {
        self.note(&format!("shuts down: {why}"));
        if self.stages.iter().any(|known| known.stage == AgentStage::InitStarted) {
            self.reach(AgentStage::ShuttingDown);
            drop(self.tell(None).await);
            self.node.rest(0.3, 1.5).await;
        }
        Err(End::Off)
    }

    /// An artifact, whole and proved; a broken connection is taken up where it ended.
    pub(super) async fn fetch(&mut self, artifact: &ArtifactRef) -> Step<Vec<u8>> {
        let url = format!("{}/artifacts/{}", self.artifacts, artifact.sha256);
        let (mut content, mut last_byte) = (Vec::new(), Instant::now());
        while (content.len() as u64) < artifact.bytes {
            self.node.around.tally.count("requests: artifact");
            let cut = self.node.cut(self.node.around.odds.cut);
            match self.wire.download(&url, content.len() as u64, cut).await {
                Ok(rest) => content.extend(rest),
                Err(WireError::Cut(part)) => {
                    self.node.around.tally.count("downloads cut or failed: artifact");
                    content.extend(part);
                    last_byte = Instant::now();
                    sleep(RETRY).await;
                }
                Err(error) if error.is_final() || last_byte.elapsed() > DOWNLOAD_PATIENCE => {
                    return self.fail(false, &format!("fetching: {error}")).await;
                }
                Err(_) => sleep(RETRY).await,
            }
        }
        if Sha256::digest(&content).as_slice() != artifact.sha256.0 {
            self.node
                .around
                .slurmctld
                .broken(&format!("artifact {} has another content", artifact.sha256));
            return self.fail(false, "wrong content").await;
        }
        Ok(content)
    }

    pub(super) fn note(&self, what: &str) {
        self.node.around.slurmctld.note(self.node.index, what);
    }
}
