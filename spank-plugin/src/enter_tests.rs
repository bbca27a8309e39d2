//! Entering for real: a mount namespace with a root of its own, pinned as the node agent pins one.
//! Needs root; a namespace belongs to a thread here, as it belongs to a task's process there.

use super::*;
use protocol::application::ImageConfig;
use protocol::job_options::OptionName;
use protocol::names::JobId;
use rustix::thread::{CpuSet, UnshareFlags, no_new_privs};
use std::fs::{create_dir_all, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TASK: TaskOf = TaskOf { job: 7, uid: 2001 };
const UBUNTU: &str = "docker://docker.io/library/ubuntu:latest";

/// A task whose environment names an image, or none.
struct Fake(Option<TaskOf>, Option<&'static str>);

impl Task for Fake {
    fn of(&self) -> Result<TaskOf, String> {
        Ok(self.0.expect("asked although there is nothing to enter"))
    }
    fn is_component(&self) -> bool {
        false
    }
    fn image_of_variables(&self) -> Option<String> {
        self.1.map(str::to_owned)
    }
}

fn enter_as(root: &Path, task: TaskOf) -> Entry {
    enter(root, &Given::default(), &Fake(Some(task), None))
}

pub(crate) fn node_of(root: &Path) -> PathBuf {
    root.join(NODE_DIRECTORY.trim_start_matches('/'))
}

/// Runs in a thread with a mount namespace of its own, with a root that has a node's directory with an
/// image in it.
pub(crate) fn on_a_node(test: impl FnOnce(&Path) + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        eprintln!("skipped: needs root to make mount namespaces");
        return;
    }
    // Of the thread outside: the path has no meaning inside the image, where the other one ends.
    let folder = tempfile::tempdir().unwrap();
    let (root, image) = (folder.path().join("root"), folder.path().join("image"));
    let test = move || {
        let node = node_of(&root);
        for directory in [&node, &image.join("old")] {
            create_dir_all(directory).unwrap();
        }
        write(image.join("inside"), "").unwrap();
        // Kernels since 6.18 number namespaces in batches of a CPU, and pin one only from an older one.
        let mut one = CpuSet::new();
        one.set(rustix::thread::sched_getcpu());
        rustix::thread::sched_setaffinity(None, &one).unwrap();
        #[expect(
            deprecated,
            reason = "its successor is the same, for those who unshare descriptors"
        )]
        rustix::thread::unshare(UnshareFlags::FS | UnshareFlags::NEWNS).unwrap();
        run(&format!(
            "mount --make-rprivate / && mount -t tmpfs -o mode=700 none {}",
            node.display()
        ));
        write(node.join(NODE_NAMESPACE), "").unwrap();
        let image = image.display();
        let mut owner = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-ec"])
            .arg(format!(
                "mount --bind {image} {image}; cd {image}; pivot_root . old; echo; read _"
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        owner.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let pinned = node.join(NODE_NAMESPACE);
        run(&format!("mount --bind /proc/{}/ns/mnt {}", owner.id(), pinned.display()));
        owner.kill().unwrap();
        owner.wait().unwrap();
        let application = NodeApplication {
            job: JobId(7),
            uid: 2001,
            reference: "docker://r.io/x:1".into(),
            config: ImageConfig::default(),
        };
        write(node.join(NODE_FILE), serde_json::to_vec(&application).unwrap()).unwrap();
        test(&root);
    };
    std::thread::spawn(test).join().unwrap();
}

fn run(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success(), "{script}");
}

fn failure(entry: Entry) -> String {
    match entry {
        Entry::Failed(sentence) => sentence,
        other @ (Entry::Unknown | Entry::None | Entry::Inside { .. }) => panic!("{other:?}"),
    }
}

#[test]
fn a_task_is_inside_and_cannot_gain_rights() {
    on_a_node(|root| {
        assert!(!Path::new("/inside").exists());
        std::env::set_current_dir("/usr").unwrap();
        let started = Instant::now();
        let entry = enter_as(root, TASK);
        let took = started.elapsed();
        let Entry::Inside { application, directory } = entry else { panic!("{entry:?}") };
        assert_eq!(application.reference, "docker://r.io/x:1");
        assert_eq!(directory.as_deref(), Some(Path::new("/usr")));
        assert!(Path::new("/inside").exists() && !Path::new("/usr").exists());
        assert_eq!(std::env::current_dir().unwrap(), Path::new("/"));
        assert!(no_new_privs().unwrap());
        assert!(took < Duration::from_millis(5), "{took:?}");
    });
}

#[test]
fn another_jobs_image_is_not_entered() {
    on_a_node(|root| {
        let other = enter_as(root, TaskOf { job: 8, ..TASK });
        let expected = "cannot enter docker://r.io/x:1: it is job 7's, and this is job 8";
        assert_eq!(failure(other), format!("{PREFIX} {expected}"));
        let other = enter_as(root, TaskOf { uid: 0, ..TASK });
        assert!(failure(other).contains("it is user 2001's, and this is user 0"));
        assert!(!Path::new("/inside").exists());
    });
}

#[test]
fn what_others_could_have_written_is_not_believed() {
    on_a_node(|root| {
        let node = &node_of(root);
        let refused = |file: &Path, mode| {
            let before = std::fs::metadata(file).unwrap().permissions();
            set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
            let sentence = failure(enter_as(root, TASK));
            set_permissions(file, before).unwrap();
            assert!(sentence.contains("not root's alone"), "{sentence}");
        };
        refused(node, 0o777);
        refused(&node.join(NODE_FILE), 0o622);
        run(&format!("chown 1:1 {}/{NODE_FILE}", node.display()));
        assert!(failure(enter_as(root, TASK)).contains("not root's alone"));
        run(&format!("cd {} && mv {NODE_FILE} x && ln -s x {NODE_FILE}", node.display()));
        failure(enter_as(root, TASK));
        run(&format!("cd {0} && rm {1} && echo '{{' >{1}", node.display(), NODE_FILE));
        failure(enter_as(root, TASK));
        assert!(!Path::new("/inside").exists());
    });
}

#[test]
fn a_namespace_that_is_none_fails_the_task() {
    on_a_node(|root| {
        let node = &node_of(root);
        run(&format!("umount {0}/{1} && echo x >{0}/{1}", node.display(), NODE_NAMESPACE));
        assert!(failure(enter_as(root, TASK)).contains("setns: "));
    });
}

#[test]
fn a_private_copy_of_the_mounts_enters_by_the_root_of_another_process() {
    on_a_node(|root| {
        // This thread stands in for the node's first process, and its root for /proc/1/root.
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let seen = format!("/proc/{}/task/{thread}/root", std::process::id());
        let seen = Path::new(&seen).join(root.strip_prefix("/").unwrap());
        let root = root.to_owned();
        std::thread::spawn(move || {
            #[expect(deprecated, reason = "as above")]
            rustix::thread::unshare(UnshareFlags::FS | UnshareFlags::NEWNS).unwrap();
            assert!(failure(enter_as(&root, TASK)).contains("setns: "), "a copy has no pin");
            let entry = enter_as(&seen, TASK);
            assert!(matches!(entry, Entry::Inside { .. }), "{entry:?}");
            assert!(Path::new("/inside").exists());
        })
        .join()
        .unwrap();
        assert!(!Path::new("/inside").exists());
    });
}

#[test]
fn no_image_costs_one_look() {
    let nowhere = Path::new("/nonexistent");
    let started = Instant::now();
    for _ in 0..1000 {
        assert_eq!(enter(nowhere, &Given::default(), &Fake(None, None)), Entry::None);
    }
    let one = started.elapsed() / 1000;
    assert!(one < Duration::from_micros(50), "{one:?}");
}

#[test]
fn a_job_with_an_image_does_not_run_outside_of_it() {
    let nowhere = Path::new("/nonexistent");
    let mut given = Given::default();
    given.take(OptionName::Image, "docker://ubuntu", None).unwrap();
    let typed = failure(enter(nowhere, &given, &Fake(None, None)));
    assert!(typed.ends_with("library/ubuntu:latest, and this node was not given it"), "{typed}");
    let of_variable = failure(enter(nowhere, &Given::default(), &Fake(None, Some(UBUNTU))));
    assert_eq!(of_variable, typed);
    // bootsrv has not booted this node, so it has no image at all of the catalog.
    given.take(OptionName::Image, "debian12", None).unwrap();
    let name = failure(enter(nowhere, &given, &Fake(None, None)));
    assert!(name.ends_with("the image debian12, and this node was not given it"), "{name}");
}

#[test]
fn where_bootsrv_says_that_there_is_none_only_what_was_typed_contradicts() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let node = node_of(root.path());
    create_dir_all(&node).unwrap();
    set_permissions(&node, PermissionsExt::from_mode(0o700)).unwrap();
    let mut given = Given::default();
    let enter = |given: &Given| enter(root.path(), given, &Fake(Some(TASK), Some(UBUNTU)));
    assert!(failure(enter(&given)).contains("was not given it"));
    write(node.join(NODE_NO_IMAGE_FILE), "").unwrap();
    assert_eq!(enter(&given), Entry::None);
    given.take(OptionName::Image, "docker://ubuntu", None).unwrap();
    assert!(failure(enter(&given)).contains("was booted without it"));
    set_permissions(&node, PermissionsExt::from_mode(0o777)).unwrap();
    assert!(failure(enter(&Given::default())).contains("not root's alone"));
}
