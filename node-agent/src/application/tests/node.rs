//! What the tests need of a node, in a mount namespace of the test's own: a home, a spool directory,
//! data to mount; and images made of a tree with one static program.

use crate::sys;
use protocol::application::{
    ApplicationPlan, ImageConfig, LayerSource, NODE_DIRECTORY, NODE_NAMESPACE,
};
use protocol::boot::ArtifactRef;
use protocol::names::{Digest, JobId};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, openat};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{
    CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_getcpu, sched_setaffinity,
};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const ALICE: u32 = 2001;
const PROGRAM: &str = include_str!("program.c");

/// A layer as bootsrv would have it.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) artifact: ArtifactRef,
    pub(crate) file: PathBuf,
    _directory: Arc<tempfile::TempDir>,
}

/// Does the test where nothing it mounts is seen by others. Without root there is no such place.
pub(crate) fn on_a_node(test: impl FnOnce() + Send) {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        return println!("skipped: this test needs root");
    }
    let node = || {
        // Linux 6.18 numbers namespaces for each processor on its own, and pins only one with a higher
        // number than that of the namespace it is pinned in. A real node's is the first of all.
        let mut one = CpuSet::new();
        one.set(sched_getcpu());
        sched_setaffinity(None, &one).unwrap();
        sys::own_mounts().unwrap();
        let all = MountPropagationFlags::REC;
        mount_change("/", MountPropagationFlags::PRIVATE | all).unwrap();
        for place in ["/run", "/home", "/mnt"] {
            mount("node", place, "tmpfs", MountFlags::empty(), c"mode=0755").unwrap();
        }
        // As systemd has it.
        mount_change("/", MountPropagationFlags::SHARED | all).unwrap();
        for directory in ["/home/alice", "/mnt/spool", "/mnt/data", "/mnt/closed/in"] {
            fs::create_dir_all(directory).unwrap();
            chown(directory, Some(ALICE), Some(ALICE)).unwrap();
        }
        fs::set_permissions("/mnt/closed", Permissions::from_mode(0o700)).unwrap();
        fs::write("/mnt/spool/script", "").unwrap();
        fs::write("/mnt/data/of-data", "data").unwrap();
        fs::set_permissions("/mnt/data/of-data", Permissions::from_mode(0o666)).unwrap();
        program(Path::new("/mnt/data/set-uid"), 0o6755);
        let null = rustix::fs::makedev(1, 3);
        let mode = Mode::from_raw_mode(0o666);
        mknodat(CWD, "/mnt/data/null", FileType::CharacterDevice, mode, null).unwrap();
        fs::set_permissions("/mnt/data/null", Permissions::from_mode(0o666)).unwrap();
        test();
    };
    thread::scope(|scope| {
        if let Err(panic) = scope.spawn(node).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Writes the program, which is compiled once.
fn program(at: &Path, mode: u32) {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    let content = MADE.get_or_init(|| {
        let directory = tempfile::tempdir_in("/var/tmp").unwrap();
        let [source, program] = ["program.c", "app"].map(|name| directory.path().join(name));
        fs::write(&source, PROGRAM).unwrap();
        let done = Command::new("cc").args(["-static", "-o"]).arg(&program).arg(&source).status();
        assert!(done.unwrap().success());
        fs::read(program).unwrap()
    });
    fs::write(at, content).unwrap();
    fs::set_permissions(at, Permissions::from_mode(mode)).unwrap();
}

/// A layer with `/app` and whatever `place` adds.
pub(crate) fn layer(name: &str, place: impl FnOnce(&Path)) -> Layer {
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    let root = directory.path().join("root");
    fs::create_dir(&root).unwrap();
    program(&root.join("app"), 0o755);
    place(&root);
    let file = directory.path().join("squashfs");
    let options = ["-quiet", "-no-progress", "-noD", "-noF", "-noI", "-processors", "1"];
    let made = Command::new("mksquashfs").arg(&root).arg(&file).args(options).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let bytes = fs::metadata(&file).unwrap().len();
    let artifact = ArtifactRef { sha256: Digest(hash.as_ref().try_into().unwrap()), bytes };
    Layer { artifact, file, _directory: Arc::new(directory) }
}

pub(crate) fn plan(layers: &[Layer], mounts: &[&str]) -> ApplicationPlan {
    ApplicationPlan {
        job: JobId(42),
        user: "alice".into(),
        uid: ALICE,
        reference: "docker://example.org/x".into(),
        digest: Digest([0; 32]),
        layers: layers.iter().map(|layer| layer.artifact.clone()).collect(),
        source: LayerSource::Ram,
        mounts: mounts.iter().map(|mount| mount.parse().unwrap()).collect(),
        config: ImageConfig::default(),
        use_entrypoint: false,
    }
}

/// Does something inside, as slurmstepd enters.
pub(crate) fn enter(namespace: &OwnedFd, act: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            sys::own_mounts().unwrap();
            let kind = Some(LinkNameSpaceType::Mount);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            act();
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// How long the plugin's way in takes, on average: open what is pinned, and enter.
pub(crate) fn time_to_enter(times: u32) -> Duration {
    // Here, because a copy of the mounts lacks the pin.
    let directory = File::open(NODE_DIRECTORY).unwrap();
    let measure = || {
        sys::own_mounts().unwrap();
        let begin = Instant::now();
        for _ in 0..times {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let pinned = openat(&directory, NODE_NAMESPACE, flags, Mode::empty()).unwrap();
            let kind = Some(LinkNameSpaceType::Mount);
            move_into_link_name_space(pinned.as_fd(), kind).unwrap();
        }
        begin.elapsed() / times
    };
    thread::scope(|scope| scope.spawn(measure).join().unwrap())
}

/// Runs the image's program as the job's user; gives what it prints.
pub(crate) fn run(arguments: &[&str]) -> String {
    let output = Command::new("/app").args(arguments).uid(ALICE).gid(ALICE).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Loop devices that show the file of a layer.
pub(crate) fn loops_of(digest: &str) -> Vec<PathBuf> {
    let devices = Path::new("/sys/block").read_dir().unwrap().map(|entry| entry.unwrap().path());
    devices
        .filter(|device| {
            let file = fs::read_to_string(device.join("loop/backing_file"));
            file.is_ok_and(|file| file.contains(digest))
        })
        .collect()
}
