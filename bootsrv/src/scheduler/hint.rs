//! What a job is to prefer: the features of the nodes that it can have as they are.

use super::features::{self, Domain};
use crate::application::choice;
use crate::catalog::{self, Choice};
use crate::clock::{SECOND_NS, now_unix_ns};
use crate::config::{AfterJob, Partition};
use crate::deployment::engine::Engine;
use crate::deployment::take_over::Owner;
use crate::hub::Hub;
use crate::pin::Pin;
use artifacts::Image;
use protocol::error::ApiError;
use protocol::names::{Digest, ImageName, KernelName};
use protocol::profile::Asker;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// What somebody submits.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Who.
    pub uid: u32,
    /// The kernel; none: the default.
    pub kernel: Option<&'a KernelName>,
    /// The node image; none: the default.
    pub image: Option<&'a ImageName>,
}

/// The features to prefer, any of them; none where slurmctld would refuse the job for them, or where
/// nothing would come of it. It is a courtesy: what fails here is no reason to refuse a job.
#[must_use]
pub fn features(engine: &Engine, hub: &Hub, wish: Wish<'_>, asker: Asker<'_>) -> Vec<String> {
    if engine.config.partitions.iter().any(|partition| partition.preboot) {
        engine.warmth.wishes.note(now_unix_ns() / SECOND_NS, wish);
    }
    if !super::is_wanted(&engine.config) || !engine.warmth.forgives.load(Ordering::Relaxed) {
        return Vec::new();
    }
    find(engine, hub, wish, asker).unwrap_or_else(|error| {
        log::warn!("no preference for uid {}: {error}", wish.uid);
        Vec::new()
    })
}

fn find(
    engine: &Engine,
    hub: &Hub,
    wish: Wish<'_>,
    asker: Asker<'_>,
) -> Result<Vec<String>, ApiError> {
    let warm = engine.warmth.warm(&engine.store);
    let warm = warm.map_err(|error| {
        ApiError::new(protocol::error::ErrorKind::Internal, crate::chain(&error))
    })?;
    let mut found = BTreeSet::new();
    for partition in partitions(engine, asker.partition) {
        let runs = runs(engine, hub, wish, partition, asker)?;
        // A user's default account is not known yet: that of their jobs that are there will do.
        let own = warm.iter().filter_map(|(_, boot)| boot.owner());
        let own = own.filter(|owner| owner.uid == wish.uid).filter_map(|owner| owner.account);
        let accounts: BTreeSet<&str> = match asker.account {
            Some(account) => BTreeSet::from([account]),
            None => own.collect(),
        };
        let shown: BTreeSet<String> =
            warm.iter().filter_map(|(_, boot)| boot.feature(partition.share_with)).collect();
        let names = names(&runs, wish.uid, &accounts, partition);
        found.extend(names.into_iter().filter(|name| shown.contains(name)));
    }
    Ok(found.into_iter().collect())
}

/// Those that stay on: the one that was named, or any.
fn partitions<'a>(
    engine: &'a Engine,
    named: Option<&'a str>,
) -> impl Iterator<Item = &'a Partition> {
    let is_named =
        move |name: &str| named.is_none_or(|list| list.split(',').any(|one| one == name));
    let all = engine.config.partitions.iter();
    all.filter(move |one| one.after_job == AfterJob::StayOn && is_named(&one.name))
}

fn runs(
    engine: &Engine,
    hub: &Hub,
    wish: Wish<'_>,
    partition: &Partition,
    asker: Asker<'_>,
) -> Result<Digest, ApiError> {
    let config = &engine.config;
    let kernel = wish.kernel.unwrap_or(&partition.default_kernel);
    let image = wish.image.unwrap_or(&partition.default_image);
    let choice = catalog::find(config, hub, kernel, asker)?;
    Ok(what(choice, choice::node_image(config, hub, image)?))
}

fn what(choice: Choice, image: Image) -> Digest {
    // What the site adds is not part of it: any digest will do.
    features::boot(&Pin::new(choice, image, Digest([0; 32])))
}

/// The features that stand for nodes of the partition that run this and that such a user may have as
/// they are.
pub(super) fn names(
    runs: &Digest,
    uid: u32,
    accounts: &BTreeSet<&str>,
    partition: &Partition,
) -> BTreeSet<String> {
    let owners = [None].into_iter().chain(accounts.iter().copied().map(Some));
    let owners = owners.map(|account| Some(Owner { uid, account })).chain([None]);
    let domains = owners.filter_map(|owner| Domain::of(owner, partition.share_with));
    domains.map(|domain| features::name(runs, domain)).collect()
}
