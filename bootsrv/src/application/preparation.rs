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
/// The rate is over so long.
const RATE_OVER: Duration = Duration::from_secs(5);

/// All preparations, by [`super::key`].
#[derive(Debug, Default)]
pub struct Board(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<String, Entry>,
    /// Keys of those that are over, the oldest first.
    over: VecDeque<String>,
}

#[derive(Debug)]
struct Entry {
    reference: ImageReference,
    stage: Stage,
    rate: Rate,
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
    /// The registry is asked what the reference means; `why`: again, and what it said.
    pub fn resolving(&self, image: &ImageReference, why: Option<String>) {
        self.set(image, Stage::Resolving(why));
    }

    /// The image is being prepared.
    pub fn working(&self, image: &ImageReference, work: Preparation) {
        self.set(image, Stage::Working(work));
    }

    /// It failed, and will be tried again.
    pub fn again(&self, image: &ImageReference, why: String) {
        self.set(image, Stage::Again(why));
    }

    /// It is over: ready, or failed with a reason.
    pub fn over(&self, image: &ImageReference, failure: Option<PrepareError>) {
        self.set(image, Stage::Over(failure));
        let mut inner = self.lock();
        let key = super::key(image);
        inner.over.retain(|known| known != &key);
        inner.over.push_back(key);
        while inner.over.len() > OVER_MAX {
            if let Some(oldest) = inner.over.pop_front() {
                inner.entries.remove(&oldest);
            }
        }
    }

    /// Nobody waits for it any more.
    pub fn forget(&self, image: &ImageReference) {
        self.lock().entries.remove(&super::key(image));
    }

    /// How far an image is; `None`: nothing is known of it.
    pub fn view(&self, image: &ImageReference) -> Option<PreparationView> {
        self.lock().entries.get_mut(&super::key(image)).map(|entry| entry.view(Instant::now()))
    }

    /// How far the image of that digest is.
    pub fn view_of(&self, digest: &Digest) -> Option<PreparationView> {
        let mut inner = self.lock();
        let pinned = |entry: &&mut Entry| images::prepared::key(&entry.reference) == Some(*digest);
        inner.entries.values_mut().find(pinned).map(|entry| entry.view(Instant::now()))
    }

    fn set(&self, image: &ImageReference, stage: Stage) {
        let mut inner = self.lock();
        let key = super::key(image);
        inner.over.retain(|known| known != &key);
        let entry = Entry { reference: image.clone(), stage, rate: Rate::default() };
        inner.entries.insert(key, entry);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
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
        board.view(&self.request.reference).or_else(|| self.waits.then_some(begins))
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
        for number in 0..=OVER_MAX {
            let denied = PrepareError::user("denied");
            board.over(&image(&format!("docker://r.io/x:{number}")), Some(denied));
        }
        assert!(board.view(&image("docker://r.io/x:0")).is_none(), "the oldest went");
        let view = board.view(&image("docker://r.io/x:1")).unwrap();
        assert_eq!(
            (view.state, view.detail.as_deref(), view.blame),
            (PreparationState::Failed, Some("denied"), Some(ErrorKind::User))
        );
        board.resolving(&image("docker://r.io/x:1"), None);
        let view = board.view(&image("docker://r.io/x:1")).unwrap();
        assert_eq!(view.state, PreparationState::Resolving, "asked for anew");
    }
}
