//! From a registry to an image that nodes can have: ours against the tools that people use today, in
//! turns, on the same machine and from the same registry.

use crate::figure::Figure;
use crate::memory::{Needed, Watch, run};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tests::cluster::Cluster;
use tests::cluster::holder::Holder;
use tests::cluster::layout::RunDir;
use tests::process;
use tests::product::{bmc, check, registry};

/// Ours over theirs, the same image.
const FIRST_GOAL: f64 = 0.5;
/// Ours over theirs, an image whose base is there already.
const SECOND_GOAL: f64 = 0.2;
/// bootsrv and all it starts, in MiB.
const MEMORY_GOAL: f64 = 300.0;
/// Ours, as bootsrv has it (level, bytes of a block).
const COMPRESSION: [&str; 5] = ["zstd", "-Xcompression-level", "3", "-b", "256K"];

/// Tags of the layout that `tests/images/bench` makes.
pub(crate) const SIZES: [&str; 2] = ["small", "large"];
/// [`SIZES`]`[0]` and a layer more.
pub(crate) const DERIVED: &str = "derived";

/// The measured times and sizes of one repeat, of one image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeat {
    ours: Needed,
    copy: Needed,
    unpack: Needed,
    squashfs: Needed,
    erofs: Needed,
}

impl Repeat {
    fn theirs(self) -> Needed {
        self.copy.then(self.unpack).then(self.squashfs)
    }

    fn theirs_with_erofs(self) -> Needed {
        self.copy.then(self.unpack).then(self.erofs)
    }
}

/// The images in the cluster's registry, and where to work.
pub(crate) struct Bench<'a> {
    pub(crate) cluster: &'a Cluster,
    work: PathBuf,
}

impl<'a> Bench<'a> {
    /// Pushes the images.
    pub(crate) fn start(cluster: &'a Cluster, layout: &Path, sizes: &[String]) -> Result<Self> {
        let work = cluster.dir().join("bench");
        std::fs::create_dir_all(&work)?;
        for image in sizes.iter().map(String::as_str).chain([SIZES[0], DERIVED]) {
            registry::push(cluster, layout, image, registry::TAG)?;
        }
        Ok(Self { cluster, work })
    }

    /// One image, ours and theirs, from nothing; for [`DERIVED`] its base is pulled first.
    pub(crate) fn measure(&self, image: &str) -> Result<Repeat> {
        self.forget()?;
        if image == DERIVED {
            self.pull(SIZES[0])?;
        }
        let ours = self.pull(image)?;
        self.compare(image, ours)
    }

    pub(crate) fn reference(image: &str) -> String {
        registry::reference(tests::cluster::on_demand::REGISTRY, image, registry::TAG)
    }

    /// Removes every prepared image with its layers, and what bootsrv holds of them.
    pub(crate) fn forget(&self) -> Result<()> {
        check(bmc(self.cluster, &["image", "gc", "--older-than", "0"])?)
            .context("removing prepared images")?;
        Ok(())
    }

    fn pull(&self, image: &str) -> Result<Needed> {
        let reference = Self::reference(image);
        let watch = Watch::start(bootsrv(self.cluster)?);
        let start = Instant::now();
        let pulled = check(bmc(self.cluster, &["image", "pull", &reference])?);
        let seconds = start.elapsed().as_secs_f64();
        let mebibytes = watch.end();
        pulled.with_context(|| format!("pulling {reference}"))?;
        Ok(Needed { seconds, mebibytes })
    }

    fn compare(&self, image: &str, ours: Needed) -> Result<Repeat> {
        for left in ["layout", "bundle", "squashfs", "erofs"] {
            check(self.cluster.run("root", &["rm", "-rf", &self.path(left)])?)?;
        }
        let reference = Self::reference(image);
        let layout = format!("oci:{}:{image}", self.path("layout"));
        let (bundle, source) = (self.path("bundle"), format!("{}:{image}", self.path("layout")));
        let (squashfs, erofs) = (self.path("squashfs"), self.path("erofs"));
        let root = format!("{bundle}/rootfs");
        let timed = |words: &[&str]| run(&mut self.cluster.command("root", words));
        let copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"];
        let pack = ["mksquashfs", &root, &squashfs, "-quiet", "-no-progress", "-comp"];
        let repeat = Repeat {
            ours,
            copy: timed(&[&copy[..], &[&reference, &layout]].concat())?,
            unpack: timed(&["umoci", "unpack", "--image", &source, &bundle])?,
            squashfs: timed(&[&pack[..], &COMPRESSION].concat())?,
            erofs: timed(&["mkfs.erofs", "-zlz4hc", "--quiet", &erofs, &root])?,
        };
        Ok(repeat)
    }

    /// What else could be made of the image measured last.
    pub(crate) fn formats(&self) -> Result<Vec<Figure>> {
        let tree = self.work.join("bundle/rootfs");
        crate::formats::figures(self.cluster, &tree, &self.work)
    }

    fn path(&self, name: &str) -> String {
        self.work.join(name).display().to_string()
    }
}

/// bootsrv's process, by its id out here.
pub(crate) fn bootsrv(cluster: &Cluster) -> Result<u32> {
    let holder = Holder::find(&RunDir::new(cluster.dir())?).context("the cluster is down")?;
    let is_bootsrv = |pid: &u32| {
        process::arguments(*pid).first().is_some_and(|program| program.ends_with("/bootsrv"))
    };
    // A child of it has its name until it becomes another program.
    holder.members().into_iter().filter(is_bootsrv).min().context("bootsrv does not run")
}

/// The figures of one image.
pub(crate) fn figures(image: &str, repeats: &[Result<Repeat, String>]) -> Vec<Figure> {
    let derived = image == DERIVED;
    let goal = if derived { SECOND_GOAL } else { FIRST_GOAL };
    let what = match image {
        DERIVED => "small with a layer more, whose base is there".to_owned(),
        other => other.to_owned(),
    };
    let each = |value: &dyn Fn(&Repeat) -> f64| -> Vec<Result<f64, String>> {
        repeats.iter().map(|one| one.as_ref().map(value).map_err(String::clone)).collect()
    };
    let seconds = |name: &str, value: &dyn Fn(&Repeat) -> f64| {
        Figure::new(format!("  {name}"), "s", None, each(value))
    };
    let memory = |name: &str, goal, value: &dyn Fn(&Repeat) -> f64| {
        Figure::new(format!("  most memory at once, {name}"), "MiB", goal, each(value))
    };
    vec![
        Figure::new(
            format!("{what}: ours over skopeo + umoci + mksquashfs"),
            "",
            Some(goal),
            each(&|one| one.ours.seconds / one.theirs().seconds),
        ),
        Figure::new(
            "  over skopeo + umoci + mkfs.erofs (lz4hc)",
            "",
            None,
            each(&|one| one.ours.seconds / one.theirs_with_erofs().seconds),
        ),
        seconds("ours, from the registry to layers that nodes can have", &|one| one.ours.seconds),
        seconds("skopeo copy", &|one| one.copy.seconds),
        seconds("umoci unpack", &|one| one.unpack.seconds),
        seconds("mksquashfs, the same compression", &|one| one.squashfs.seconds),
        seconds("mkfs.erofs", &|one| one.erofs.seconds),
        memory("bootsrv and all it starts", Some(MEMORY_GOAL), &|one| one.ours.mebibytes),
        memory("skopeo, umoci, mksquashfs", None, &|one| one.theirs().mebibytes),
    ]
}
