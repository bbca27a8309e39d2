//! How far each image is: written by the service, shown by whoever asks. In memory only: after a
//! restart the service begins anew with what the store says is wanted.

use images::{Blame, Preparation, PrepareError, Progress};
use protocol::application::{PreparationState, PreparationView};
use protocol::error::ErrorKind;
use protocol::image_reference::ImageReference;
use protocol::names::Digest;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most preparations that are over and still shown.
const OVER_MAX: usize = 256;
/// How long an admin is shown that a preparation failed: nobody says when its cause is mended.
const FAILURE_SHOWN: Duration = Duration::from_secs(3600);
/// The rate is over so long.
const RATE_OVER: Duration = Duration::from_secs(5);

/// All preparations, by user and [`super::key`]: what one user's registry or file has to say is for
/// nobody else.
#[derive(Debug, Default)]
pub struct Board(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    /// Keys of those that are over, the oldest first.
    over: VecDeque<Key>,
}

/// The user's id, and [`super::key`].
type Key = (u32, String);

fn key(uid: u32, image: &ImageReference) -> Key {
    (uid, super::key(image))
}

#[derive(Debug)]
struct Entry {
    reference: ImageReference,
    stage: Stage,
    rate: Rate,
    since: Instant,
}

#[derive(Debug)]
enum Stage {
    /// The registry is asked; why it has to be asked again.
    Resolving(Option<String>),
    /// At work.
    Working(Preparation),
    /// Failed, and tried again soon.
    Again(String),
    /// Over, with the reason if it failed.
    Over(Option<PrepareError>),
}

impl Board {
    /// A user wants an image; one who asked before sees how far that is.
    pub fn wanted(&self, uid: u32, image: &ImageReference) {
        let begins = |entry: &Entry| matches!(entry.stage, Stage::Over(_));
        self.set_if(uid, image, begins, Stage::Resolving(None));
    }

    /// The registry is asked what the reference means; `why`: again, and what it said.
    pub fn resolving(&self, uid: u32, image: &ImageReference, why: Option<String>) {
        self.set_if(uid, image, |entry| !entry.is_at_work(), Stage::Resolving(why));
    }

    /// The registry has answered what the reference means, or said why not.
    pub fn resolved(&self, uid: u32, image: &ImageReference, refused: Option<PrepareError>) {
        if self.lock().entries.get(&key(uid, image)).is_some_and(Entry::is_at_work) {
            return;
        }
        match refused {
            Some(refused) => self.over(uid, image, Some(refused)),
            None => self.forget(uid, image),
        }
    }

    /// The image is being prepared.
    pub fn working(&self, uid: u32, image: &ImageReference, work: Preparation) {
        self.set_if(uid, image, |_| true, Stage::Working(work));
    }

    /// It failed, and will be tried again.
    pub fn again(&self, uid: u32, image: &ImageReference, why: String) {
        self.set_if(uid, image, |_| true, Stage::Again(why));
    }

    /// It is over: ready, or failed with a reason.
    pub fn over(&self, uid: u32, image: &ImageReference, failure: Option<PrepareError>) {
        self.set_if(uid, image, |_| true, Stage::Over(failure));
        let mut inner = self.lock();
        inner.over.push_back(key(uid, image));
        while inner.over.len() > OVER_MAX {
            if let Some(oldest) = inner.over.pop_front() {
                inner.entries.remove(&oldest);
            }
        }
    }

    /// Nobody waits for it any more.
    pub fn forget(&self, uid: u32, image: &ImageReference) {
        let mut inner = self.lock();
        let key = key(uid, image);
        inner.over.retain(|known| known != &key);
        inner.entries.remove(&key);
    }

    /// How far a user's image is; `None`: nothing is known of it.
    pub fn view(&self, uid: u32, image: &ImageReference) -> Option<PreparationView> {
        self.lock().entries.get_mut(&key(uid, image)).map(|entry| entry.view(Instant::now()))
    }

    /// How far the image of that digest is: the user's own, or where there is none and they may see
    /// everybody's, anybody's.
    pub fn view_of(&self, digest: &Digest, uid: u32, all: bool) -> Option<PreparationView> {
        let mut inner = self.lock();
        let mut pinned: Vec<_> = inner
            .entries
            .iter_mut()
            .filter(|((whose, _), _)| *whose == uid || all)
            .filter(|(_, entry)| images::prepared::key(&entry.reference) == Some(*digest))
            .collect();
        pinned.sort_by_key(|((whose, _), entry)| (*whose != uid, !entry.is_at_work()));
        pinned.into_iter().next().map(|(_, entry)| entry.view(Instant::now()))
    }

    /// The images whose last preparation failed within the last hour, by no fault of their users', each
    /// with its reason.
    pub fn site_failures(&self, now: Instant) -> Vec<String> {
        let inner = self.lock();
        let recent = |entry: &&Entry| now.duration_since(entry.since) < FAILURE_SHOWN;
        let entries = inner.entries.values().filter(recent);
        let failed = entries.filter_map(|entry| match &entry.stage {
            Stage::Over(Some(failure)) if failure.blame == Blame::Site => {
                Some(format!("image {} cannot be prepared: {}", entry.reference, failure.reason))
            }
            Stage::Over(_) | Stage::Resolving(_) | Stage::Working(_) | Stage::Again(_) => None,
        });
        let mut failed: Vec<String> = failed.collect();
        failed.sort();
        failed.dedup();
        failed
    }

    fn set_if(
        &self,
        uid: u32,
        image: &ImageReference,
        test: impl FnOnce(&Entry) -> bool,
        stage: Stage,
    ) {
        let mut inner = self.lock();
        let key = key(uid, image);
        if inner.entries.get(&key).is_some_and(|known| !test(known)) {
            return;
        }
        inner.over.retain(|known| known != &key);
        let since = Instant::now();
        let entry = Entry { reference: image.clone(), stage, rate: Rate::default(), since };
        inner.entries.insert(key, entry);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Its bytes are on their way, or will be again soon.
    fn is_at_work(&self) -> bool {
        matches!(self.stage, Stage::Working(_) | Stage::Again(_))
    }

    fn view(&mut self, now: Instant) -> PreparationView {
        let still = PreparationView {
            reference: self.reference.to_string(),
            digest: images::prepared::key(&self.reference),
            ..nothing(PreparationState::Resolving)
        };
        match &self.stage {
            Stage::Resolving(why) => PreparationView { detail: why.clone(), ..still },
            Stage::Working(work) => {
                let progress = work.progress();
                let rate = self.rate.at(now, progress.bytes_done());
                PreparationView {
                    reference: still.reference,
                    digest: still.digest,
                    ..of_progress(progress, rate)
                }
            }
            Stage::Again(why) => PreparationView {
                state: PreparationState::Pulling,
                detail: Some(format!("{why}; it is tried again")),
                ..still
            },
            Stage::Over(None) => PreparationView { state: PreparationState::Ready, ..still },
            Stage::Over(Some(failure)) => PreparationView {
                state: PreparationState::Failed,
                detail: Some(failure.reason.clone()),
                blame: Some(kind(failure.blame)),
                ..still
            },
        }
    }
}

/// A view without figures.
#[must_use]
pub fn nothing(state: PreparationState) -> PreparationView {
    PreparationView {
        reference: String::new(),
        digest: None,
        state,
        bytes_done: 0,
        bytes_total: None,
        bytes_per_second: None,
        layers_done: 0,
        layers_total: None,
        detail: None,
        blame: None,
    }
}

/// Whose fault it is, as the API says it.
#[must_use]
pub fn kind(blame: Blame) -> ErrorKind {
    match blame {
        Blame::User => ErrorKind::User,
        Blame::Site => ErrorKind::Site,
    }
}

fn of_progress(progress: &Progress, bytes_per_second: Option<u64>) -> PreparationView {
    let (bytes_done, bytes_total) = (progress.bytes_done(), progress.bytes_total());
    let fetched = bytes_total.is_some_and(|total| bytes_done >= total);
    PreparationView {
        bytes_done,
        bytes_total,
        bytes_per_second: bytes_per_second.filter(|_| !fetched),
        layers_done: progress.layers_done(),
        layers_total: progress.layers_total(),
        detail: progress.waiting_for(),
        ..nothing(if fetched { PreparationState::Converting } else { PreparationState::Pulling })
    }
}

/// One line for people: `pulling the image 12 of 80 MB, 3 of 5 layers converted`.
#[must_use]
pub fn line(view: &PreparationView) -> String {
    let megabytes = |bytes: u64| bytes / 1_000_000;
    let bytes = match view.bytes_total {
        Some(total) => format!(" {} of {} MB", megabytes(view.bytes_done), megabytes(total)),
        None => String::new(),
    };
    let layers = match view.layers_total {
        Some(total) => format!(", {} of {total} layers converted", view.layers_done),
        None => String::new(),
    };
    match view.state {
        PreparationState::Resolving => "asking the registry for the image".to_owned(),
        PreparationState::Pulling => format!("pulling the image{bytes}{layers}"),
        PreparationState::Converting => format!("converting the image{layers}"),
        PreparationState::Ready => "image ready".to_owned(),
        PreparationState::Failed => "image failed".to_owned(),
    }
}

/// Bytes a second between two looks at least [`RATE_OVER`] apart, or since the first.
#[derive(Debug, Default)]
struct Rate {
    older: Option<(Instant, u64)>,
    newer: Option<(Instant, u64)>,
}

impl Rate {
    fn at(&mut self, now: Instant, bytes: u64) -> Option<u64> {
        let newer = *self.newer.get_or_insert((now, bytes));
        if now.duration_since(newer.0) >= RATE_OVER {
            self.older = Some(newer);
            self.newer = Some((now, bytes));
        }
        let (since, before) = self.older.unwrap_or(newer);
        let milliseconds = now.duration_since(since).as_millis();
        let grown = u128::from(bytes.saturating_sub(before)).saturating_mul(1_000);
        u64::try_from(grown.checked_div(milliseconds)?).ok()
    }
}

/// What is known of the image of a try.
#[derive(Debug)]
pub struct Known<'a> {
    /// Whose try it is.
    pub uid: u32,
    /// What was asked.
    pub request: &'a super::Request,
    /// What nodes get, once it is prepared.
    pub image: Option<&'a super::Prepared>,
    /// The job is not over and has not failed.
    pub waits: bool,
}

impl Known<'_> {
    /// The view of a job's image; `None`: it was never prepared for this try, and is not now.
    #[must_use]
    pub fn view(&self, board: &Board) -> Option<PreparationView> {
        let reference = self.request.reference.to_string();
        let digest = images::prepared::key(&self.request.reference);
        if let Some(image) = self.image {
            let bytes = image.layers.iter().map(|layer| layer.bytes).sum();
            let layers = u32::try_from(image.layers.len()).unwrap_or(u32::MAX);
            return Some(PreparationView {
                reference,
                digest,
                bytes_done: bytes,
                bytes_total: Some(bytes),
                layers_done: layers,
                layers_total: Some(layers),
                ..nothing(PreparationState::Ready)
            });
        }
        let begins = PreparationView { reference, digest, ..nothing(PreparationState::Resolving) };
        board.view(self.uid, &self.request.reference).or_else(|| self.waits.then_some(begins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> ImageReference {
        text.parse().unwrap()
    }

    #[test]
    fn a_rate_is_of_the_last_seconds() {
        let mut rate = Rate::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rate.at(at(0), 0), None, "no time has passed");
        assert_eq!(rate.at(at(2), 20), Some(10));
        assert_eq!(rate.at(at(5), 50), Some(10));
        assert_eq!(rate.at(at(10), 550), Some(100), "the first five seconds no longer count");
        assert_eq!(rate.at(at(12), 550), Some(500 / 7));
    }

    #[test]
    fn progress_is_shown_as_it_is() {
        let progress = Progress::default();
        assert_eq!(line(&of_progress(&progress, None)), "pulling the image");
        progress.announce(80_000_000, 5);
        progress.fetched(12_000_000);
        progress.layer_done();
        let view = of_progress(&progress, Some(7));
        assert_eq!((view.state, view.bytes_per_second), (PreparationState::Pulling, Some(7)));
        assert_eq!(line(&view), "pulling the image 12 of 80 MB, 1 of 5 layers converted");
        progress.fetched(68_000_000);
        let view = of_progress(&progress, Some(7));
        assert_eq!((view.state, view.bytes_per_second), (PreparationState::Converting, None));
        assert_eq!(line(&view), "converting the image, 1 of 5 layers converted");
    }

    #[test]
    fn what_is_over_is_shown_for_a_while() {
        let board = Board::default();
        let numbered = |number: usize| image(&format!("docker://r.io/x:{number}"));
        for number in 0..=OVER_MAX {
            board.over(7, &numbered(number), Some(PrepareError::user("denied")));
        }
        assert!(board.view(7, &numbered(0)).is_none(), "the oldest went");
        let view = board.view(7, &numbered(1)).unwrap();
        assert_eq!(
            (view.state, view.detail.as_deref(), view.blame),
            (PreparationState::Failed, Some("denied"), Some(ErrorKind::User))
        );
        board.wanted(7, &numbered(1));
        let view = board.view(7, &numbered(1)).unwrap();
        assert_eq!(view.state, PreparationState::Resolving, "asked for anew");
    }

    #[test]
    fn an_admin_is_shown_what_no_user_can_mend_for_an_hour() {
        let board = Board::default();
        board.over(7, &image("docker://r.io/a:1"), Some(PrepareError::user("denied")));
        board.over(7, &image("docker://r.io/b:1"), Some(PrepareError::site("r.io is down")));
        board.over(7, &image("docker://r.io/c:1"), None);
        let shown = ["image docker://r.io/b:1 cannot be prepared: r.io is down"];
        assert_eq!(board.site_failures(Instant::now()), shown);
        assert!(board.site_failures(Instant::now() + FAILURE_SHOWN).is_empty());
    }

    #[test]
    fn what_is_at_work_is_shown_whoever_asks_for_it_again() {
        let board = Board::default();
        let pinned = image(&format!("docker://r.io/x@sha256:{}", Digest([5; 32])));
        let state = |uid| board.view(uid, &pinned).map(|view| view.state);
        board.again(7, &pinned, "r.io is down".into());
        board.wanted(7, &pinned);
        board.resolving(7, &pinned, None);
        board.resolved(7, &pinned, Some(PrepareError::user("denied")));
        board.resolved(7, &pinned, None);
        assert_eq!(state(7), Some(PreparationState::Pulling));
        // Another user's registry says no.
        board.resolving(8, &pinned, None);
        board.resolved(8, &pinned, Some(PrepareError::user("denied")));
        assert_eq!(state(7), Some(PreparationState::Pulling));
        assert_eq!(state(8), Some(PreparationState::Failed));
        let of = |uid, all| board.view_of(&Digest([5; 32]), uid, all).map(|view| view.state);
        assert_eq!(of(8, false), Some(PreparationState::Failed));
        assert_eq!(of(9, false), None);
        assert_eq!(of(0, true), Some(PreparationState::Pulling));
    }
}
