//! What a job's options mean for its two images: the one its nodes boot, and the one its tasks enter.

use super::settings::Site;
use super::{Prepared, Request, policy};
use crate::catalog;
use crate::clock::now_unix_ns;
use crate::config::{Config, Partition};
use crate::hub::Hub;
use artifacts::Image;
use protocol::api::ImageKind;
use protocol::error::{ApiError, ErrorKind};
use protocol::image_reference::{ImageChoice, ImageReference};
use protocol::job_options::JobOptions;
use protocol::names::ImageName;
use protocol::profile::Asker;

/// The two images of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The node image the user named; none: the partition's default.
    pub node: Option<ImageName>,
    /// The application image.
    pub application: Option<Application>,
}

/// The application image of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// What is kept of it.
    pub request: Request,
    /// It is prepared: a name of the catalog.
    pub prepared: Option<Prepared>,
}

/// Decides what the options mean, and whether they may.
///
/// # Errors
/// When a name is unknown or of the wrong kind, or the site does not allow something.
pub fn images(
    config: &Config,
    hub: &Hub,
    options: &JobOptions,
    partition: Option<&Partition>,
    asker: Asker<'_>,
) -> Result<Images, ApiError> {
    if let Some(name) = &options.node_image {
        node_image(config, hub, name)?;
    }
    let node = options.node_image.clone();
    let Some(choice) = &options.image else {
        policy::none(options)?;
        return Ok(Images { node, application: None });
    };
    let (reference, prepared) = match choice {
        ImageChoice::Reference(reference) => (reference.clone(), None),
        ImageChoice::Catalog(name) => {
            let image = catalog::image(hub, name)?;
            match image.kind {
                ImageKind::Node => {
                    one_node_image(name, options.node_image.as_ref())?;
                    policy::none(options)?;
                    fits(config, &image)?;
                    return Ok(Images { node: Some(name.clone()), application: None });
                }
                ImageKind::Application => {
                    fits(config, &image)?;
                    named(image)?
                }
            }
        }
    };
    let site = &config.application_images.site;
    // The site's own names are the site's own choice.
    if prepared.is_none() {
        policy::reference(site, &reference, asker)?;
    }
    let request = request(site, choice.clone(), reference, options, partition)?;
    Ok(Images { node, application: Some(Application { request, prepared }) })
}

fn request(
    site: &Site,
    choice: ImageChoice,
    reference: ImageReference,
    options: &JobOptions,
    partition: Option<&Partition>,
) -> Result<Request, ApiError> {
    Ok(Request {
        choice,
        reference,
        root: policy::root(site, partition.and_then(|one| one.root), options.root)?,
        mounts: policy::mounts(site, &options.mounts)?,
        use_entrypoint: options.entrypoint,
    })
}

/// The image of that name, if nodes can boot it.
///
/// # Errors
/// When there is none, it is an application image, or it is for other machines.
pub fn node_image(config: &Config, hub: &Hub, name: &ImageName) -> Result<Image, ApiError> {
    let image = catalog::image(hub, name)?;
    match image.kind {
        ImageKind::Node => fits(config, &image).map(|()| image),
        ImageKind::Application => {
            let text = format!("image {name} is an application image: nodes cannot boot it");
            Err(ApiError::new(ErrorKind::User, text)
                .hint(format!("Jobs enter it with --bmc-image={name}.")))
        }
    }
}

fn one_node_image(name: &ImageName, other: Option<&ImageName>) -> Result<(), ApiError> {
    match other {
        Some(other) if other != name => {
            let text = format!(
                "--bmc-image={name} and --bmc-node-image={other} are both node images, and a node boots one"
            );
            Err(ApiError::new(ErrorKind::User, text).hint("Name one of them."))
        }
        _ => Ok(()),
    }
}

/// The kernels of the hub are for one architecture.
fn fits(config: &Config, image: &Image) -> Result<(), ApiError> {
    let nodes = &config.application_images.pull.architecture;
    match &image.architecture {
        Some(own) if own != nodes => {
            let text =
                format!("image {} is for {own}, and this site's nodes are {nodes}", image.name);
            Err(ApiError::new(ErrorKind::User, text))
        }
        _ => Ok(()),
    }
}

/// A name of the catalog is pinned, and its layers stay as long as the name does.
fn named(image: Image) -> Result<(ImageReference, Option<Prepared>), ApiError> {
    let damaged = || {
        let text = format!("image {} of the catalog has no pinned reference", image.name);
        ApiError::new(ErrorKind::Site, text).hint("Import it anew with bmc image import.")
    };
    let reference = image.reference.clone().ok_or_else(damaged)?;
    let digest = images::prepared::key(&reference).ok_or_else(damaged)?;
    let since_unix_ns = now_unix_ns();
    let prepared = Prepared { digest, layers: image.layers, config: image.config, since_unix_ns };
    Ok((reference, Some(prepared)))
}

impl Application {
    /// What a requeued job keeps of its last try: the pin, and the image while its layers are here.
    #[must_use]
    pub fn requeued(
        self,
        last: Option<(&Request, Option<&Prepared>)>,
        is_here: impl Fn(&Prepared) -> bool,
    ) -> Self {
        let Some((last_request, last_image)) = last else { return self };
        let own = self.request.reference.clone();
        let request = self.request.keeping_pin_of(last_request);
        let kept = request.reference == last_request.reference;
        let image = last_image.filter(|image| kept && is_here(image)).cloned();
        let fresh = self.prepared.filter(|_| request.reference == own);
        let since_unix_ns = now_unix_ns();
        let prepared = fresh.or_else(|| image.map(|image| Prepared { since_unix_ns, ..image }));
        Self { request, prepared }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::request::tests::{example, prepared};
    use protocol::boot::ArtifactRef;
    use protocol::names::Digest;

    const CONFIG: &str = r#"
        state_dir = "STATE"
        profiles_dir = "/p"
        listen = { http = "127.0.0.1:1", https = "127.0.0.1:2" }
        url = { http = "http://a", https = "https://a" }
        slurm = { user = "slurm", conf_server = "a:1" }
        [application_images]
        architecture = "amd64"
        mounts = ["/home"]
        rule = [{ partitions = ["gpu"], deny = ["*"] }]
        [[partition]]
        name = "bmc"
        default_kernel = "k"
        default_image = "node"
    "#;

    struct Site {
        _directory: tempfile::TempDir,
        config: Config,
        hub: Hub,
    }

    /// A hub with a node image, an application image, and one of each for other machines.
    fn site() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let text = CONFIG.replace("STATE", &directory.path().to_string_lossy());
        let config: Config = toml::from_str(&text).unwrap();
        let hub = Hub::open(&config, "/none".as_ref()).unwrap();
        let artifact = hub.path(&Digest([1; 32]));
        std::fs::write(artifact, "x").unwrap();
        let squashfs = ArtifactRef { sha256: Digest([1; 32]), bytes: 1 };
        for (name, kind, architecture) in [
            ("node", ImageKind::Node, None),
            ("node-arm", ImageKind::Node, Some("arm64")),
            ("tools", ImageKind::Application, Some("amd64")),
            ("tools-arm", ImageKind::Application, Some("arm64")),
        ] {
            let plain = Image::node(name.parse().unwrap(), squashfs.clone(), vec![]);
            let reference = example().reference.pinned(Digest([9; 32]));
            let architecture = architecture.map(str::to_owned);
            let image = Image { kind, architecture, reference: Some(reference), ..plain };
            hub.put_image(&image).unwrap();
        }
        Site { _directory: directory, config, hub }
    }

    impl Site {
        fn decide(&self, options: &str, partition: &str) -> Result<Images, String> {
            let options: JobOptions = serde_json::from_str(options).unwrap();
            let asker = Asker { user: None, account: None, partition: Some(partition) };
            images(&self.config, &self.hub, &options, self.config.partition("bmc"), asker)
                .map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_name_is_booted_or_entered_as_its_kind_says() {
        let site = site();
        let node = site.decide(r#"{"image":"node"}"#, "bmc").unwrap();
        assert_eq!((node.node.unwrap().as_str(), node.application), ("node", None));
        let tools = site.decide(r#"{"image":"tools","node_image":"node"}"#, "gpu").unwrap();
        let application = tools.application.unwrap();
        assert_eq!(application.prepared.unwrap().digest, Digest([9; 32]));
        assert_eq!(application.request.mounts.len(), 1);
        let pulled = site.decide(r#"{"image":"docker://r.io/x:1"}"#, "bmc").unwrap();
        assert_eq!(pulled.application.unwrap().prepared, None);
        assert_eq!(site.decide("{}", "bmc").unwrap(), Images { node: None, application: None });
    }

    #[test]
    fn wrong_combinations_are_refused_with_what_is_wrong() {
        let site = site();
        for (options, expected) in [
            (r#"{"node_image":"tools"}"#, "image tools is an application image"),
            (r#"{"image":"node-arm"}"#, "for arm64, and this site's nodes are amd64"),
            (r#"{"image":"tools-arm"}"#, "for arm64"),
            (r#"{"image":"node","node_image":"node-arm"}"#, "for arm64"),
            (r#"{"image":"tool"}"#, "Did you mean tools"),
            (r#"{"image":"node","entrypoint":true}"#, "--bmc-entrypoint is for application images"),
            (r#"{"root":"ram"}"#, "--bmc-root"),
            (r#"{"image":"tools","root":"nfs"}"#, "no NFS export"),
            (r#"{"image":"tools","mounts":["/etc:/x"]}"#, "mount /etc:/x is not allowed"),
        ] {
            let refused = site.decide(options, "bmc").unwrap_err();
            assert!(refused.contains(expected), "{options}: {refused}");
        }
        let refused = site.decide(r#"{"image":"docker://r.io/x:1"}"#, "gpu").unwrap_err();
        assert!(refused.contains("in partition gpu: the site denies *"), "{refused}");
    }

    #[test]
    fn a_requeued_job_runs_the_same_bytes() {
        let last = Request { reference: example().reference.pinned(Digest([1; 32])), ..example() };
        let again = || Application { request: example(), prepared: None };
        let image = prepared(1);
        let kept = again().requeued(Some((&last, Some(&image))), |_| true);
        assert_eq!(kept.request.reference, last.reference);
        assert_eq!(kept.prepared.unwrap().layers, image.layers);
        let swept = again().requeued(Some((&last, Some(&image))), |_| false);
        assert_eq!((swept.request, swept.prepared), (last.clone(), None));
        assert_eq!(again().requeued(None, |_| true), again());
        // A name whose image was imported anew meanwhile.
        let choice: ImageChoice = "tools".parse().unwrap();
        let last = Request { choice: choice.clone(), ..last };
        let reference = example().reference.pinned(Digest([2; 32]));
        let now = Request { choice, reference, ..example() };
        let imported = Application { request: now, prepared: Some(prepared(2)) };
        let kept = imported.requeued(Some((&last, Some(&image))), |_| true);
        assert_eq!(kept.prepared.unwrap().digest, image.digest);
    }
}
