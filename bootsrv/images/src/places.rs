//! How many layers are fetched and converted at once, and how many of them for one user.

use crate::settings::Settings;
use crate::turns::{Slot, Slots};

/// Whom a place is counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The user who asks; none: nobody in particular, who is one owner, too.
    Owner(Option<u32>),
    /// The registry by its name. One server may have many: what it takes is its owner's, too.
    Registry(String),
}

/// All places; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) downloads: Slots<Kind>,
    conversions: Slots<Kind>,
    /// Those of `conversions` that layers on their way may have: not the last one, neither of all nor
    /// of an owner's.
    streams: Slots<Kind>,
}

/// Free again when it is dropped.
#[derive(Debug)]
pub(crate) struct ConversionSlot {
    _any: Slot,
    _stream: Option<Slot>,
}

impl Places {
    pub(crate) fn new(settings: &Settings) -> Self {
        let downloads = settings.parallel_downloads.max(1);
        let conversions = settings.parallel_conversions.max(1);
        let half = conversions.div_ceil(2);
        Self {
            downloads: Slots::new(downloads, downloads.div_ceil(2)),
            conversions: Slots::new(conversions, half),
            streams: Slots::new(conversions.saturating_sub(1), half.saturating_sub(1)),
        }
    }

    /// Waits for one.
    pub(crate) async fn conversion(&self, owner: &Kind) -> ConversionSlot {
        let _any = self.conversions.take(std::slice::from_ref(owner)).await;
        ConversionSlot { _any, _stream: None }
    }

    /// For a layer on its way, whose registry may keep it waiting: if one is free now.
    pub(crate) fn stream(&self, owner: &Kind) -> Option<ConversionSlot> {
        let owner = std::slice::from_ref(owner);
        let _stream = Some(self.streams.try_take(owner)?);
        Some(ConversionSlot { _any: self.conversions.try_take(owner)?, _stream })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn one_owner_converts_half_at_once_and_registries_hold_up_less() {
        let places = Places::new(&Settings { parallel_conversions: 4, ..Settings::default() });
        let [one, two] = [1, 2].map(|uid| Kind::Owner(Some(uid)));
        let stream = places.stream(&one).unwrap();
        assert!(places.stream(&one).is_none(), "one is left for what is here whole");
        let whole = places.conversion(&one).await;
        let third = tokio::time::timeout(Duration::from_millis(10), places.conversion(&one));
        assert!(third.await.is_err());
        let others = (places.stream(&two).unwrap(), places.conversion(&two).await);
        drop((stream, whole, others));
        assert!(places.stream(&one).is_some());
        let single = Places::new(&Settings { parallel_conversions: 1, ..Settings::default() });
        assert!(single.stream(&one).is_none());
        drop(single.conversion(&one).await);
    }
}
