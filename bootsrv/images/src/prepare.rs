//! Images prepared for nodes: each at most once at a time, whoever asks for it.

use crate::credentials::Credential;
use crate::error::PrepareError;
use crate::prepare_file;
use crate::prepare_layer::Workshop;
use crate::prepare_registry;
use crate::prepare_room::{Budget, Disk};
use crate::prepared::{PreparedImage, key};
use crate::progress::Progress;
use crate::registry::{Pace, Registries};
use crate::settings::Settings;
use crate::shelf::Shelf;
use crate::unfinished;
use artifacts::store::Store;
use jiff::Timestamp;
use protocol::image_reference::{DockerReference, ImageReference};
use protocol::names::Digest;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What is to be prepared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// The image, pinned ([`ImageReference::pinned`]).
    pub reference: ImageReference,
    /// Where the bytes of a file reference are; they may be deleted when the preparation is over.
    pub uploaded: Option<PathBuf>,
    /// The user's; none: the site's, if it has one for that registry.
    pub credential: Option<Credential>,
    /// The user's number: at most half of the layers fetched or converted at once are one user's. None:
    /// nobody's in particular, who are one user together.
    pub uid: Option<u32>,
}

/// Everything about application images; clones share it.
#[derive(Debug, Clone)]
pub struct Images {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registries: Registries,
    workshop: Workshop,
    running: Mutex<HashMap<Request, Weak<Running>>>,
}

/// A preparation that is under way or over.
#[derive(Debug)]
struct Running {
    progress: Arc<Progress>,
    result: watch::Receiver<Option<Result<PreparedImage, PrepareError>>>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One who waits for an image; dropped by the last one, the work ends, and what was fetched so far is
/// kept for the next try.
#[derive(Debug, Clone)]
pub struct Preparation {
    running: Arc<Running>,
}

impl Images {
    /// Opens or makes what it keeps below `state_dir`, and removes what is of no use any more.
    ///
    /// # Errors
    /// When a file of the settings or a directory cannot be used.
    pub fn open(
        state_dir: &Path,
        artifacts: Store,
        settings: Settings,
    ) -> Result<Self, PrepareError> {
        if let Some(fault) = settings.fault() {
            return Err(PrepareError::site(format!("[application_images] {fault}")));
        }
        let pace = Pace::new(&settings);
        Self::open_with(state_dir, artifacts, settings, pace)
    }

    pub(crate) fn open_with(
        state_dir: &Path,
        artifacts: Store,
        settings: Settings,
        pace: Pace,
    ) -> Result<Self, PrepareError> {
        let registries = Registries::open(&settings, pace)?;
        let workshop = Workshop::open(state_dir, Shelf::open(state_dir, artifacts)?, settings)?;
        let inner = Inner { registries, workshop, running: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The disk that everything here is on.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.inner.workshop.disk
    }

    /// Has `make_room` called, on a thread that may wait, with the bytes that are missing on the disk
    /// before anything is refused for it. The first call counts.
    pub fn on_full_disk(&self, make_room: impl Fn(u64) + Send + Sync + 'static) {
        self.inner.workshop.disk.on_full(Box::new(make_room));
    }

    /// Removes unfinished blobs that nobody came back for; gives their bytes.
    ///
    /// # Errors
    /// When their directory or a file cannot be used.
    pub fn remove_unfinished(&self) -> std::io::Result<u64> {
        self.inner.workshop.unfinished.clean(unfinished::AGE_MAX, SystemTime::now())
    }

    /// What is prepared.
    #[must_use]
    pub fn shelf(&self) -> &Shelf {
        &self.inner.workshop.shelf
    }

    /// Asks the registry what a reference means now, and whether this credential may have it: the
    /// digest to pin to, as the registry has it for that name (of an index, where it has one for
    /// several architectures). A reference with a digest is asked for as well: this is where it is
    /// found out whether somebody may have an image that is prepared already.
    ///
    /// # Errors
    /// When the registry refuses, or cannot be asked.
    pub async fn resolve(
        &self,
        image: &DockerReference,
        credential: Option<&Credential>,
    ) -> Result<Digest, PrepareError> {
        let ask = async {
            let session = self.inner.registries.session(image, credential, Arc::default())?;
            Ok(session.digest(image).await?)
        };
        ask.await.map_err(|error: PrepareError| error.about(&format_args!("docker://{image}")))
    }

    /// Begins to prepare an image, or joins those of the same user who wait for the same with the
    /// same credential.
    /// Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(&self, request: Request) -> Preparation {
        let mut running = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, one| one.strong_count() > 0);
        let alive = running.get(&request).and_then(Weak::upgrade);
        if let Some(alive) = alive.filter(|alive| alive.result.borrow().is_none()) {
            return Preparation { running: alive };
        }
        let progress = Arc::new(Progress::default());
        let (sender, result) = watch::channel(None);
        let (inner, key, told) = (self.inner.clone(), request.clone(), progress.clone());
        let task = tokio::spawn(async move {
            let done = inner.prepare_in_time(&request, told).await;
            drop(sender.send(Some(done.map_err(|error| error.about(&request.reference)))));
        });
        let one = Arc::new(Running { progress, result, task: task.abort_handle() });
        running.insert(key, Arc::downgrade(&one));
        Preparation { running: one }
    }
}

impl Inner {
    /// Nobody's image keeps what others need for ever, however slowly its registry sends it.
    async fn prepare_in_time(
        &self,
        request: &Request,
        progress: Arc<Progress>,
    ) -> Result<PreparedImage, PrepareError> {
        let seconds = self.workshop.settings.pull_seconds;
        let limit = Duration::from_secs(seconds.into());
        tokio::time::timeout(limit, self.prepare(request, progress)).await.unwrap_or_else(|_| {
            Err(PrepareError::site(format!(
                "it takes longer than {seconds} s (pull_seconds); what was fetched is kept for the next \
                 try"
            )))
        })
    }

    async fn prepare(
        &self,
        request: &Request,
        progress: Arc<Progress>,
    ) -> Result<PreparedImage, PrepareError> {
        let Some(digest) = key(&request.reference) else {
            return Err(PrepareError::site("it is not pinned to a content"));
        };
        let ready = self.workshop.ready(request.reference.clone(), digest, now_unix_ns());
        if let Some(ready) = ready.await? {
            return Ok(ready);
        }
        let budget = Budget::new(&self.workshop.settings, request.uid);
        let parts = match &request.reference {
            ImageReference::Docker(image) => {
                let credential = request.credential.as_ref();
                let session = self.registries.session(image, credential, progress.clone())?;
                prepare_registry::prepare(&self.workshop, session, image, (progress, budget))
                    .await?
            }
            ImageReference::File(file) => {
                let uploaded = request.uploaded.as_deref();
                prepare_file::prepare(&self.workshop, file, uploaded, (progress, budget)).await?
            }
        };
        // Not before its layers are there: the shelf tells by this who was the last to ask for them.
        let now = now_unix_ns();
        let image = PreparedImage {
            digest,
            reference: request.reference.to_string(),
            architecture: parts.architecture,
            layers: parts.layers,
            config: parts.config,
            prepared_unix_ns: now,
            used_unix_ns: now,
        };
        self.workshop.keep(image).await
    }
}

fn now_unix_ns() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

impl Preparation {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.running.progress
    }

    /// The end, if it is there.
    #[must_use]
    pub fn result(&self) -> Option<Result<PreparedImage, PrepareError>> {
        self.running.result.borrow().clone()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why it cannot be had; everyone who waits gets the same.
    pub async fn finished(&self) -> Result<PreparedImage, PrepareError> {
        let mut result = self.running.result.clone();
        let ended = result.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|ended| ended.clone());
        ended.unwrap_or_else(|| Err(PrepareError::site("the preparation of an image broke off")))
    }
}
