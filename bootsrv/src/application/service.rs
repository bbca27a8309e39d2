//! Prepares what tries and `bmc image pull` wait for: one work per image, however many wait. What is
//! wanted stands in the store, so that a restart takes it up again.

use super::{Prepared, key};
use crate::clock::{SECOND_NS, now_unix_ns};
use crate::deployment::engine::Engine;
use crate::deployment::transition::Event;
use crate::deployment::{Blame, Failure};
use crate::hub::Hub;
use crate::store::{StoreError, Try};
use images::{Credential, Images, PrepareError, PreparedImage};
use protocol::image_reference::{ImageChoice, ImageReference};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest sleep when nothing changes.
const TICK: Duration = Duration::from_millis(500);
/// Before the second try of an image; doubled before each further one.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Starts the service; it runs for ever.
pub fn start(engine: Arc<Engine>, hub: Arc<Hub>) {
    crate::essential::spawn("the preparation of images", run(Service { engine, hub }));
}

#[derive(Debug, Clone)]
struct Service {
    engine: Arc<Engine>,
    hub: Arc<Hub>,
}

/// Who wants an image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    reference: ImageReference,
    uid: u32,
    /// The user may have exactly this content, as far as we know.
    admitted: bool,
    /// The user has sent a credential for it.
    has_credential: bool,
}

impl Wish {
    /// Wishes of the same key are one work. What the registry has to say is one user's.
    fn key(&self) -> String {
        let uid = self.uid;
        if self.admitted { key(&self.reference) } else { format!("{uid} {}", self.reference) }
    }
}

/// One work of all wishes for the same; who has sent a credential asks for all of them.
fn works(wishes: Vec<Wish>) -> BTreeMap<String, Wish> {
    let mut works: BTreeMap<String, Wish> = BTreeMap::new();
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

async fn run(service: Service) {
    let mut at_work: HashMap<String, (ImageReference, JoinHandle<()>)> = HashMap::new();
    loop {
        match service.wishes() {
            Ok(wishes) => service.balance(wishes, &mut at_work),
            Err(error) => log::error!("preparing images: {}", crate::chain(&error)),
        }
        // Woken early by what is new; a timeout is the normal case.
        drop(timeout(TICK, service.engine.image_wanted.notified()).await);
    }
}

impl Service {
    /// What is wanted now. Tries that have waited for too long are failed on the way.
    fn wishes(&self) -> Result<Vec<Wish>, StoreError> {
        let (store, mut wishes) = (&self.engine.store, Vec::new());
        for one in store.tries_waiting_for_image()? {
            let Some(request) = &one.asked.application else { continue };
            let (reference, uid) = (request.reference.clone(), one.asked.uid);
            let seconds = self.engine.config.application_images.site.prepare_seconds;
            if now_unix_ns() - one.created_unix_ns > i64::from(seconds) * SECOND_NS {
                self.fail_late(&one, &reference, seconds)?;
                continue;
            }
            let named = matches!(request.choice, ImageChoice::Catalog(_));
            let admitted = named || self.is_admitted(&reference, uid)?;
            let has_credential = store.credential(uid, &reference)?.is_some();
            wishes.push(Wish { reference, uid, admitted, has_credential });
        }
        for (reference, uid) in store.pulls()? {
            // Whoever asked for the pull was let in then.
            let has_credential = store.credential(uid, &reference)?.is_some();
            wishes.push(Wish { reference, uid, admitted: true, has_credential });
        }
        Ok(wishes)
    }

    /// Whether the user may have this content: they have sent these bytes themselves, or the registry
    /// has shown them the image. Who only knows a digest may not.
    fn is_admitted(&self, image: &ImageReference, uid: u32) -> Result<bool, StoreError> {
        let content = super::admission(image);
        content.map_or(Ok(false), |content| self.engine.store.is_admitted(uid, &content))
    }

    /// The nodes are not kept longer; the pull goes on, for the job's next start.
    fn fail_late(&self, one: &Try, image: &ImageReference, seconds: u32) -> Result<(), StoreError> {
        let view = self.engine.images.view(image);
        let at = view.map_or_else(String::new, |view| {
            let detail = view.detail.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            format!(", {}{detail}", super::preparation::line(&view))
        });
        let mut then = "";
        if self.is_admitted(image, one.asked.uid)? {
            self.engine.store.add_pull(image, one.asked.uid, now_unix_ns())?;
            then = "; it goes on: release the job later";
        }
        self.fail(one, &format!("image {image} is not ready after {seconds} s{at}{then}"))
    }

    /// Starts what is wanted and not at work, ends what is at work and not wanted.
    fn balance(
        &self,
        wishes: Vec<Wish>,
        at_work: &mut HashMap<String, (ImageReference, JoinHandle<()>)>,
    ) {
        let wanted = works(wishes);
        at_work.retain(|key, (image, task)| {
            if !task.is_finished() && !wanted.contains_key(key) {
                task.abort();
                self.engine.images.forget(image);
                log::info!("image {image}: nobody waits for it any more");
            }
            !task.is_finished() && wanted.contains_key(key)
        });
        for (key, wish) in wanted {
            at_work.entry(key).or_insert_with(|| {
                let (image, service) = (wish.reference.clone(), self.clone());
                (image, tokio::spawn(async move { service.work(&wish).await }))
            });
        }
    }

    async fn work(&self, wish: &Wish) {
        let done = if wish.admitted {
            match self.prepare(wish).await {
                Ok(image) => self.prepared(&wish.reference, &image),
                Err(error) => self.refused(wish, &error),
            }
        } else {
            match self.resolve(wish).await {
                Ok(digest) => self.pin(wish, digest),
                Err(error) => self.refused(wish, &error),
            }
        };
        if let Err(error) = done {
            log::error!("image {}: {}", wish.reference, crate::chain(&error));
            // Taken up again by the next round: not at once, if the store fails.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        self.engine.image_wanted.notify_one();
        self.engine.changed.notify_one();
    }

    async fn resolve(&self, wish: &Wish) -> Result<protocol::names::Digest, PrepareError> {
        let ImageReference::Docker(docker) = &wish.reference else {
            let text = format!("image {} was not sent to bootsrv by its user", wish.reference);
            return Err(PrepareError::user(text));
        };
        self.show(wish, |board, image| board.resolving(image, None));
        let credential = self.credential(wish);
        let images = self.hub.application();
        self.repeatedly(
            || images.resolve(docker, credential.as_ref()),
            |why| self.show(wish, |board, image| board.resolving(image, Some(why))),
        )
        .await
    }

    /// What one user asks about a content that others may have is not shown to those.
    fn show(&self, wish: &Wish, show: impl FnOnce(&super::Board, &ImageReference)) {
        if wish.admitted || wish.reference.digest().is_none() {
            show(&self.engine.images, &wish.reference);
        }
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
                let work = images.start(images::Request { reference, uploaded, credential });
                self.engine.images.working(image, work.clone());
                async move { work.finished().await }
            },
            |why| self.engine.images.again(image, why),
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

    /// The user's own; of several who wait for the same content, anybody's that was let in.
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
        store.admit(wish.uid, &digest, now_unix_ns())?;
        store.repin_credential(wish.uid, &wish.reference, &pinned)?;
        for one in self.waiting(|_, reference| reference == &wish.reference)? {
            let Some(request) = one.asked.application.filter(|_| one.asked.uid == wish.uid) else {
                continue;
            };
            let request = super::Request { reference: pinned.clone(), ..request };
            store.set_application(one.id, &request)?;
        }
        self.engine.images.forget(&wish.reference);
        Ok(())
    }

    fn prepared(
        &self,
        reference: &ImageReference,
        image: &PreparedImage,
    ) -> Result<(), StoreError> {
        let store = &self.engine.store;
        let nodes = &self.engine.config.application_images.pull.architecture;
        if let Some(own) = image.architecture.as_ref().filter(|own| *own != nodes) {
            let text = format!("image {reference} is for {own}, and this site's nodes are {nodes}");
            return self.failed(reference, PrepareError::user(text));
        }
        let kept = self.hub.keep();
        if !image.layers.iter().all(|layer| self.hub.path(&layer.squashfs.sha256).exists()) {
            // Collected in this very moment: the next round prepares it again.
            return Ok(());
        }
        let ready = Prepared {
            digest: image.digest,
            layers: image.layers.iter().map(|layer| layer.squashfs.clone()).collect(),
            config: image.config.clone(),
            since_unix_ns: now_unix_ns(),
        };
        for one in self.waiting_for(reference)? {
            store.set_application_image(one.id, &ready)?;
        }
        drop(kept);
        self.engine.images.over(reference, None);
        self.forget(reference)
    }

    fn may_have(&self, request: &super::Request, uid: u32) -> Result<bool, StoreError> {
        let named = matches!(request.choice, ImageChoice::Catalog(_));
        Ok(named || self.is_admitted(&request.reference, uid)?)
    }

    /// The image cannot be had: whoever waits for it is told why.
    fn refused(&self, wish: &Wish, error: &PrepareError) -> Result<(), StoreError> {
        if wish.admitted {
            return self.failed(&wish.reference, error.clone());
        }
        self.show(wish, |board, image| board.over(image, Some(error.clone())));
        for one in self.waiting(|uid, reference| uid == wish.uid && reference == &wish.reference)? {
            self.fail(&one, &error.reason)?;
        }
        self.engine.store.forget_credential_of(wish.uid, &wish.reference)
    }

    fn failed(&self, reference: &ImageReference, error: PrepareError) -> Result<(), StoreError> {
        for one in self.waiting_for(reference)? {
            self.fail(&one, &error.reason)?;
        }
        self.engine.images.over(reference, Some(error));
        self.forget(reference)
    }

    /// The tries that wait for that content and may have it.
    fn waiting_for(&self, reference: &ImageReference) -> Result<Vec<Try>, StoreError> {
        let mut tries = Vec::new();
        for one in self.waiting(|_, waits| key(waits) == key(reference))? {
            if let Some(request) = &one.asked.application
                && self.may_have(request, one.asked.uid)?
            {
                tries.push(one);
            }
        }
        Ok(tries)
    }

    /// No user's credential is kept longer than it is needed.
    fn forget(&self, reference: &ImageReference) -> Result<(), StoreError> {
        self.engine.store.end_pulls(&key(reference))?;
        self.engine.store.forget_credentials(reference)
    }

    fn waiting(&self, test: impl Fn(u32, &ImageReference) -> bool) -> Result<Vec<Try>, StoreError> {
        let mut tries = self.engine.store.tries_waiting_for_image()?;
        tries.retain(|one| {
            let request = one.asked.application.as_ref();
            request.is_some_and(|request| test(one.asked.uid, &request.reference))
        });
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
mod tests {
    use super::*;

    #[test]
    fn many_wishes_for_one_content_are_one_work() {
        let digest = "ab".repeat(32);
        let wish = |text: &str, uid, admitted, has_credential| Wish {
            reference: text.parse().unwrap(),
            uid,
            admitted,
            has_credential,
        };
        let pinned = format!("docker://r.io/x@sha256:{digest}");
        let works = works(vec![
            wish(&pinned, 1, true, false),
            wish(&format!("docker://r.io/x:1@sha256:{digest}"), 2, true, true),
            wish(&pinned, 3, true, false),
            wish(&pinned, 4, false, true),
            wish("docker://r.io/x", 1, false, false),
            wish("docker://r.io/x", 1, false, false),
        ]);
        let uids: Vec<u32> = works.values().map(|wish| wish.uid).collect();
        assert_eq!(works.len(), 3, "{works:?}");
        assert_eq!(works.get(&digest).unwrap().uid, 2, "{uids:?}: the credential counts");
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod work_tests;
