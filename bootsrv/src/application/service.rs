//! Prepares what tries and `bmc image pull` wait for: one work per image, however many wait. What is
//! wanted stands in the store, so that a restart takes it up again.

use super::waits::Waits;
use super::{Prepared, key};
use crate::clock::now_unix_ns;
use crate::deployment::engine::Engine;
use crate::deployment::transition::Event;
use crate::deployment::{Blame, Failure};
use crate::hub::Hub;
use crate::store::{StoreError, Try};
use images::{Credential, Images, PrepareError, PreparedImage};
use protocol::image_reference::{ImageChoice, ImageReference};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest sleep when nobody says that something is wanted: for what nobody wants any more.
const TICK: Duration = Duration::from_secs(10);
/// Before the second try of an image; doubled before each further one.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How often a work begins that did not end before: this program was killed, perhaps for its memory.
const STARTS_MAX: u32 = 3;

/// Starts the service; it runs for ever.
pub fn start(engine: Arc<Engine>, hub: Arc<Hub>) {
    crate::essential::spawn(
        "the preparation of images",
        run(Service { engine, hub, waits: Waits::default() }),
    );
}

#[derive(Debug, Clone)]
struct Service {
    engine: Arc<Engine>,
    hub: Arc<Hub>,
    waits: Waits,
}

/// Who wants an image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    uid: u32,
    /// The user may have exactly this content, as far as we know.
    admitted: bool,
    /// The user has sent a credential for it.
    has_credential: bool,
    reference: ImageReference,
}

/// Wishes of the same key are one work. Each user has works of their own: nobody waits for, or fails of,
/// what another's registry or credential has to say. What is fetched and converted is shared all the
/// same, by the crate that does that.
type Key = (u32, bool, String);

impl Wish {
    fn key(&self) -> Key {
        (self.uid, self.admitted, key(&self.reference))
    }

    /// The same for the store.
    fn name(&self) -> String {
        let (uid, admitted, key) = self.key();
        format!("{uid} {} {key}", if admitted { "prepare" } else { "resolve" })
    }
}

/// Said of what has ended this program again and again: everything else must go on.
fn too_often(wish: &Wish) -> PrepareError {
    PrepareError::site(format!(
        "image {}: bootsrv was killed {STARTS_MAX} times while it prepared it, and does not begin again by \
         itself: look into its log before you release the job",
        wish.reference
    ))
}

/// One work of all wishes for the same, by a reference with a credential if there is one.
fn works(wishes: Vec<Wish>) -> BTreeMap<Key, Wish> {
    let mut works: BTreeMap<Key, Wish> = BTreeMap::new();
    for wish in wishes {
        let key = wish.key();
        let known =
            works.get(&key).is_some_and(|known| known.has_credential >= wish.has_credential);
        if !known {
            works.insert(key, wish);
        }
    }
    works
}

/// What is wanted now.
#[derive(Debug)]
struct Wanted {
    wishes: Vec<Wish>,
    /// Until the first of the tries has waited for too long.
    rest: Duration,
}

/// A work on its way.
#[derive(Debug)]
struct AtWork {
    wish: Wish,
    task: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
}

async fn run(service: Service) {
    let mut at_work = HashMap::new();
    if let Err(error) = service.clean(now_unix_ns()) {
        log::error!("preparing images: {}", crate::chain(&error));
    }
    loop {
        let mut rest = TICK;
        match service.wanted(now_unix_ns()) {
            Ok(wanted) => {
                rest = rest.min(wanted.rest);
                service.balance(wanted.wishes, &mut at_work);
            }
            Err(error) => log::error!("preparing images: {}", crate::chain(&error)),
        }
        // Woken early by what is new; a timeout is the normal case.
        drop(timeout(rest, service.engine.image_wanted.notified()).await);
    }
}

impl Service {
    /// Forgets what began before a restart and is no longer wanted.
    fn clean(&self, now: i64) -> Result<(), StoreError> {
        let wishes = self.wanted(now)?.wishes;
        self.engine.store.keep_preparations(&wishes.iter().map(Wish::name).collect())
    }

    /// What is wanted now. Tries that have waited for too long are failed on the way.
    fn wanted(&self, now: i64) -> Result<Wanted, StoreError> {
        let store = &self.engine.store;
        let seconds = self.engine.config.application_images.site.prepare_seconds;
        let most = Duration::from_secs(seconds.into());
        let mut rest = Duration::MAX;
        // The tasks of an array ask for the same: the store is asked once.
        let mut asked = HashSet::new();
        let tries = store.tries_waiting_for_image()?;
        for (one, waited) in tries.iter().zip(self.waits.of(&tries, now)) {
            let Some(request) = &one.asked.application else { continue };
            if waited > most {
                if let Err(error) = self.fail_late(one, &request.reference, seconds) {
                    log::error!("image {}: {}", request.reference, crate::chain(&error));
                }
                continue;
            }
            rest = rest.min(most.saturating_sub(waited) + Duration::from_nanos(1));
            let named = matches!(request.choice, ImageChoice::Catalog(_));
            asked.insert((one.asked.uid, named, request.reference.clone()));
        }
        // Whoever asked for a pull was let in then.
        asked.extend(store.pulls()?.into_iter().map(|(reference, uid)| (uid, true, reference)));
        let wishes = asked.into_iter().map(|(uid, let_in, reference)| {
            let admitted = let_in || self.is_admitted(&reference, uid)?;
            let has_credential = store.has_credential(uid, &reference)?;
            Ok(Wish { uid, admitted, has_credential, reference })
        });
        let wishes = wishes.collect::<Result<_, StoreError>>()?;
        Ok(Wanted { wishes, rest })
    }

    /// Whether the user may have this content: they have sent these bytes themselves, or the registry
    /// has shown them the image. Who only knows a digest may not.
    fn is_admitted(&self, image: &ImageReference, uid: u32) -> Result<bool, StoreError> {
        let content = super::admission(image);
        content.map_or(Ok(false), |content| self.engine.store.is_admitted(uid, &content))
    }

    /// The nodes are not kept longer; the pull goes on, for the job's next start.
    fn fail_late(&self, one: &Try, image: &ImageReference, seconds: u32) -> Result<(), StoreError> {
        let view = self.engine.images.view(one.asked.uid, image);
        let at = view.map_or_else(String::new, |view| {
            let detail = view.detail.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            format!(", {}{detail}", super::preparation::line(&view))
        });
        let mut then = "";
        if self.is_admitted(image, one.asked.uid)?
            && self.engine.store.add_pull(image, one.asked.uid, now_unix_ns())?
        {
            then = "; it goes on: release the job later";
        }
        self.fail(one, &format!("image {image} is not ready after {seconds} s{at}{then}"))
    }

    /// Starts what is wanted and not at work, ends what is at work and not wanted.
    fn balance(&self, wishes: Vec<Wish>, at_work: &mut HashMap<Key, AtWork>) {
        let wanted = works(wishes);
        at_work.retain(|key, AtWork { wish, task, is_over }| {
            let goes_on = !task.is_finished() && !is_over.load(Ordering::Acquire);
            if goes_on && !wanted.contains_key(key) {
                task.abort();
                self.ended(wish);
                self.engine.images.forget(wish.uid, &wish.reference);
                log::info!("image {}: nobody waits for it any more", wish.reference);
            }
            goes_on && wanted.contains_key(key)
        });
        for (key, wish) in wanted {
            at_work.entry(key).or_insert_with(|| self.begin(wish));
        }
    }

    fn begin(&self, wish: Wish) -> AtWork {
        let is_over = Arc::<AtomicBool>::default();
        let (service, of_task, over) = (self.clone(), wish.clone(), is_over.clone());
        let task = tokio::spawn(async move {
            service.work(&of_task).await;
            // Before the next look: somebody may have come too late for this work.
            over.store(true, Ordering::Release);
            service.engine.image_wanted.notify_one();
            service.engine.changed.notify_one();
        });
        AtWork { wish, task, is_over }
    }

    async fn work(&self, wish: &Wish) {
        let done = match self.engine.store.begin_preparation(&wish.name()) {
            Ok(starts) if starts > STARTS_MAX => self.refused(wish, &too_often(wish)),
            Ok(_) => self.work_now(wish).await,
            Err(error) => Err(error),
        };
        self.ended(wish);
        if let Err(error) = done {
            log::error!("image {}: {}", wish.reference, crate::chain(&error));
            // Taken up again by the next round: not at once, if the store fails.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn work_now(&self, wish: &Wish) -> Result<(), StoreError> {
        if wish.admitted {
            match self.prepare(wish).await {
                Ok(image) => self.prepared(wish, &image).await,
                Err(error) => self.refused(wish, &error),
            }
        } else {
            match self.resolve(wish).await {
                Ok(digest) => self.pin(wish, digest),
                Err(error) => self.refused(wish, &error),
            }
        }
    }

    fn ended(&self, wish: &Wish) {
        if let Err(error) = self.engine.store.end_preparation(&wish.name()) {
            log::error!("image {}: {}", wish.reference, crate::chain(&error));
        }
    }

    async fn resolve(&self, wish: &Wish) -> Result<protocol::names::Digest, PrepareError> {
        let ImageReference::Docker(docker) = &wish.reference else {
            let text = format!("image {} was not sent to bootsrv by its user", wish.reference);
            return Err(PrepareError::user(text));
        };
        let show = |why| self.engine.images.resolving(wish.uid, &wish.reference, why);
        show(None);
        let credential = self.credential(wish);
        let images = self.hub.application();
        self.repeatedly(|| images.resolve(docker, credential.as_ref()), |why| show(Some(why))).await
    }

    async fn prepare(&self, wish: &Wish) -> Result<PreparedImage, PrepareError> {
        let image = &wish.reference;
        let credential = self.credential(wish);
        let images: &Images = self.hub.application();
        self.repeatedly(
            || {
                let uploaded = match image {
                    ImageReference::File(file) => {
                        file.digest.as_ref().and_then(|digest| self.engine.uploaded(digest))
                    }
                    ImageReference::Docker(_) => None,
                };
                let (reference, credential) = (image.clone(), credential.clone());
                let work = images.start(images::Request {
                    reference,
                    uploaded,
                    credential,
                    uid: Some(wish.uid),
                });
                self.engine.images.working(wish.uid, image, work.clone());
                async move { work.finished().await }
            },
            |why| self.engine.images.again(wish.uid, image, why),
        )
        .await
    }

    /// What a registry or this site fails to give is tried as often as the site wants.
    async fn repeatedly<T, F: Future<Output = Result<T, PrepareError>>>(
        &self,
        attempt: impl Fn() -> F,
        again: impl Fn(String),
    ) -> Result<T, PrepareError> {
        let tries = self.engine.config.application_images.site.tries;
        let mut pause = AGAIN_AFTER;
        for _ in 1..tries {
            match attempt().await {
                Err(error) if error.blame == images::Blame::Site => {
                    log::warn!("{error}; trying again in {} s", pause.as_secs());
                    again(error.to_string());
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
                done => return done,
            }
        }
        attempt().await
    }

    /// The user's own.
    fn credential(&self, wish: &Wish) -> Option<Credential> {
        let ImageReference::Docker(docker) = &wish.reference else { return None };
        match self.engine.store.credential(wish.uid, &wish.reference) {
            // It is for one registry only, whatever it was sent with.
            Ok(found) => found.filter(|own| own.registry == docker.registry).map(|own| own.login),
            Err(error) => {
                log::error!("image {}: {}", wish.reference, crate::chain(&error));
                None
            }
        }
    }

    /// The registry has shown the image to the user: it is pinned to what it meant now.
    fn pin(&self, wish: &Wish, digest: protocol::names::Digest) -> Result<(), StoreError> {
        let store = &self.engine.store;
        let pinned = wish.reference.clone().pinned(digest);
        if let Some(content) = super::admission(&pinned) {
            store.admit(wish.uid, &content, now_unix_ns())?;
        }
        store.copy_credential(wish.uid, &wish.reference, &pinned)?;
        for (one, request) in self.waiting(wish)? {
            if request.reference == wish.reference {
                let request = super::Request { reference: pinned.clone(), ..request };
                store.set_application(one.id, &request)?;
            }
        }
        self.engine.images.resolved(wish.uid, &wish.reference, None);
        Ok(())
    }

    async fn prepared(&self, wish: &Wish, image: &PreparedImage) -> Result<(), StoreError> {
        let reference = &wish.reference;
        let nodes = &self.engine.config.application_images.pull.architecture;
        if let Some(own) = image.architecture.as_ref().filter(|own| *own != nodes) {
            let text = format!("image {reference} is for {own}, and this site's nodes are {nodes}");
            return self.refused(wish, &PrepareError::user(text));
        }
        let ready = Prepared {
            digest: image.digest,
            layers: image.layers.iter().map(|layer| layer.squashfs.clone()).collect(),
            config: image.config.clone(),
            since_unix_ns: now_unix_ns(),
        };
        if !self.give(wish, ready).await? {
            // Collected in this very moment: the next round prepares it again.
            return Ok(());
        }
        self.engine.images.over(wish.uid, reference, None);
        self.engine.store.forget_credentials(wish.uid, reference)?;
        self.end_pulls(wish)
    }

    /// Writes what the tries of a wish get; `false`: the artifacts are not there. Waits for whoever
    /// deletes artifacts now, which may take long: not on a thread that others need.
    async fn give(&self, wish: &Wish, ready: Prepared) -> Result<bool, StoreError> {
        let (service, wish) = (self.clone(), wish.clone());
        let giving = tokio::task::spawn_blocking(move || {
            let _kept = service.hub.keep();
            if !ready.layers.iter().all(|layer| service.hub.path(&layer.sha256).exists()) {
                return Ok(false);
            }
            for (one, _) in service.waiting(&wish)? {
                service.engine.store.set_application_image(one.id, &ready)?;
            }
            Ok(true)
        });
        match giving.await {
            Ok(given) => given,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Ok(false),
            },
        }
    }

    fn may_have(&self, request: &super::Request, uid: u32) -> Result<bool, StoreError> {
        let named = matches!(request.choice, ImageChoice::Catalog(_));
        Ok(named || self.is_admitted(&request.reference, uid)?)
    }

    /// The image cannot be had: the user's jobs that wait for it are told why, and nobody else's.
    fn refused(&self, wish: &Wish, error: &PrepareError) -> Result<(), StoreError> {
        for (one, _) in self.waiting(wish)? {
            self.fail(&one, &error.reason)?;
        }
        let (images, failure) = (&self.engine.images, Some(error.clone()));
        if wish.admitted {
            images.over(wish.uid, &wish.reference, failure);
            self.end_pulls(wish)?;
        } else {
            images.resolved(wish.uid, &wish.reference, failure);
        }
        // A registry that is down today has no need of another submission tomorrow.
        if error.blame == images::Blame::User {
            self.engine.store.forget_credentials(wish.uid, &wish.reference)?;
        }
        Ok(())
    }

    fn end_pulls(&self, wish: &Wish) -> Result<(), StoreError> {
        let same = |image: &ImageReference| key(image) == key(&wish.reference);
        self.engine.store.end_pulls(wish.uid, same).map(drop)
    }

    /// The tries that a wish stands for.
    fn waiting(&self, wish: &Wish) -> Result<Vec<(Try, super::Request)>, StoreError> {
        let mut tries = Vec::new();
        for one in self.engine.store.tries_waiting_for_image()? {
            let Some(request) = one.asked.application.clone() else { continue };
            if one.asked.uid == wish.uid
                && key(&request.reference) == key(&wish.reference)
                && self.may_have(&request, wish.uid)? == wish.admitted
            {
                tries.push((one, request));
            }
        }
        Ok(tries)
    }

    /// Holds the job; the nodes are spared, whoever is to blame.
    fn fail(&self, one: &Try, reason: &str) -> Result<(), StoreError> {
        let failure = Failure { blame: Blame::Job, reason: reason.to_owned() };
        for deployment in self.engine.store.deployments_of_try(one.id)? {
            self.engine.apply(deployment.id, &Event::Failed(failure.clone()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
