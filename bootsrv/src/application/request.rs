//! What a job asks of an application image, as its try keeps it.

use protocol::application::{ApplicationPlan, BindMount, ImageConfig, LayerSource, RootMode};
use protocol::boot::ArtifactRef;
use protocol::image_reference::{ImageChoice, ImageReference};
use protocol::names::{Digest, JobId};
use serde::{Deserialize, Serialize};

/// The application image of a try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The user's word, by which a requeued job finds the pin of its last try.
    pub choice: ImageChoice,
    /// The image; pinned, or pinned as soon as its registry has answered.
    pub reference: ImageReference,
    /// How nodes get at its layers.
    pub root: RootMode,
    /// The node's directories inside: the site's, then the user's.
    pub mounts: Vec<BindMount>,
    /// Its entry point goes before the command.
    pub use_entrypoint: bool,
}

impl Request {
    /// What a requeued job keeps of its last try: the pin, if it still asks for the same.
    #[must_use]
    pub fn keeping_pin_of(self, last: &Self) -> Self {
        if self.choice == last.choice && last.reference.digest().is_some() {
            return Self { reference: last.reference.clone(), ..self };
        }
        self
    }
}

/// What nodes need of an image that is prepared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepared {
    /// What it is kept by.
    pub digest: Digest,
    /// squashfs files, the lowest first.
    pub layers: Vec<ArtifactRef>,
    /// How it is run.
    pub config: ImageConfig,
    /// Since when this try has it, nanoseconds since 1970: no node can have had it before.
    pub since_unix_ns: i64,
}

/// The job of a plan.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Its number.
    pub job: JobId,
    /// Its user's name.
    pub user: &'a str,
    /// Its user's id.
    pub uid: u32,
}

/// What a node is told.
#[must_use]
pub fn plan(
    owner: Owner<'_>,
    request: &Request,
    image: &Prepared,
    nfs: Option<LayerSource>,
) -> ApplicationPlan {
    // An export that the site has taken back since: from memory it works all the same.
    let source = match request.root {
        RootMode::Ram => LayerSource::Ram,
        RootMode::Nfs => nfs.unwrap_or(LayerSource::Ram),
    };
    ApplicationPlan {
        job: owner.job,
        user: owner.user.to_owned(),
        uid: owner.uid,
        reference: request.reference.to_string(),
        digest: image.digest,
        layers: image.layers.clone(),
        source,
        mounts: request.mounts.clone(),
        config: image.config.clone(),
        use_entrypoint: request.use_entrypoint,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request for `docker://r.io/x:1`.
    pub(crate) fn example() -> Request {
        let choice: ImageChoice = "docker://r.io/x:1".parse().unwrap();
        let ImageChoice::Reference(reference) = choice.clone() else { panic!("a reference") };
        Request { choice, reference, root: RootMode::Ram, mounts: vec![], use_entrypoint: false }
    }

    /// An image of one layer, of this byte.
    pub(crate) fn prepared(byte: u8) -> Prepared {
        let digest = Digest([byte; 32]);
        Prepared {
            digest,
            layers: vec![ArtifactRef { sha256: digest, bytes: 1 }],
            config: ImageConfig::default(),
            since_unix_ns: 1,
        }
    }

    #[test]
    fn a_requeued_job_keeps_its_pin_unless_it_asks_for_something_else() {
        let digest = Digest([7; 32]);
        let last = Request { reference: example().reference.pinned(digest), ..example() };
        assert_eq!(example().keeping_pin_of(&last).reference.digest(), Some(&digest));
        assert_eq!(example().keeping_pin_of(&example()), example(), "it had none");
        let other = Request { choice: "docker://r.io/x:2".parse().unwrap(), ..example() };
        assert_eq!(other.clone().keeping_pin_of(&last), other);
    }

    #[test]
    fn the_plan_names_the_export_only_for_a_root_on_nfs() {
        let owner = Owner { job: JobId(7), user: "alice", uid: 2001 };
        let export = LayerSource::Nfs { source: "a:/b".into(), options: "ro".into() };
        let source = |root, export: Option<LayerSource>| {
            plan(owner, &Request { root, ..example() }, &prepared(1), export).source
        };
        assert_eq!(source(RootMode::Ram, Some(export.clone())), LayerSource::Ram);
        assert_eq!(source(RootMode::Nfs, Some(export.clone())), export);
        assert_eq!(source(RootMode::Nfs, None), LayerSource::Ram);
    }
}
