//! Entering for real: a mount namespace with a root of its own, pinned as the node agent pins one.
//! Needs root; a namespace belongs to a thread here, as it belongs to a task's process there.

use super::*;
use protocol::application::ImageConfig;
use protocol::names::JobId;
use rustix::thread::{CpuSet, UnshareFlags, no_new_privs};
use std::fs::{create_dir, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TASK: TaskOf = TaskOf { job: 7, uid: 2001 };

/// Runs in a thread with a mount namespace of its own; `node`: a node's directory with an image.
fn on_a_node(test: impl FnOnce(&Path) + Send + 'static) {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        eprintln!("skipped: needs root to make mount namespaces");
        return;
    }
    let test = move || {
        let folder = tempfile::tempdir().unwrap();
        let (node, image) = (folder.path().join("node"), folder.path().join("image"));
        for directory in [&node, &image, &image.join("old")] {
            create_dir(directory).unwrap();
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
        test(&node);
        // The folder's path has no meaning inside; the host's temporary directory is swept by others.
        drop(folder);
    };
    std::thread::spawn(test).join().unwrap();
}

fn run(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success(), "{script}");
}

fn failure(entry: Entry) -> String {
    match entry {
        Entry::Failed(sentence) => sentence,
        other @ (Entry::None | Entry::Inside { .. }) => panic!("{other:?}"),
    }
}

#[test]
fn a_task_is_inside_and_cannot_gain_rights() {
    on_a_node(|node| {
        assert!(!Path::new("/inside").exists());
        std::env::set_current_dir("/usr").unwrap();
        let started = Instant::now();
        let entry = enter(node, &Given::default(), || Ok(TASK));
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
    on_a_node(|node| {
        let other = enter(node, &Given::default(), || Ok(TaskOf { job: 8, ..TASK }));
        let expected = "cannot enter docker://r.io/x:1: it is job 7's, and this is job 8";
        assert_eq!(failure(other), format!("{PREFIX} {expected}"));
        let other = enter(node, &Given::default(), || Ok(TaskOf { uid: 0, ..TASK }));
        assert!(failure(other).contains("it is user 2001's, and this is user 0"));
        assert!(!Path::new("/inside").exists());
    });
}

#[test]
fn what_others_could_have_written_is_not_believed() {
    on_a_node(|node| {
        let refused = |file: &Path, mode| {
            let before = std::fs::metadata(file).unwrap().permissions();
            set_permissions(file, PermissionsExt::from_mode(mode)).unwrap();
            let sentence = failure(enter(node, &Given::default(), || Ok(TASK)));
            set_permissions(file, before).unwrap();
            assert!(sentence.contains("not root's alone"), "{sentence}");
        };
        refused(node, 0o777);
        refused(&node.join(NODE_FILE), 0o622);
        run(&format!("chown 1:1 {}/{NODE_FILE}", node.display()));
        assert!(failure(enter(node, &Given::default(), || Ok(TASK))).contains("not root's alone"));
        run(&format!("cd {} && mv {NODE_FILE} x && ln -s x {NODE_FILE}", node.display()));
        failure(enter(node, &Given::default(), || Ok(TASK)));
        run(&format!("cd {0} && rm {1} && echo '{{' >{1}", node.display(), NODE_FILE));
        failure(enter(node, &Given::default(), || Ok(TASK)));
        assert!(!Path::new("/inside").exists());
    });
}

#[test]
fn a_namespace_that_is_none_fails_the_task() {
    on_a_node(|node| {
        run(&format!("umount {0}/{1} && echo x >{0}/{1}", node.display(), NODE_NAMESPACE));
        assert!(failure(enter(node, &Given::default(), || Ok(TASK))).contains("setns: "));
    });
}

#[test]
fn no_image_costs_one_look() {
    let nowhere = Path::new("/nonexistent/application");
    let unasked = || -> Result<TaskOf, String> { panic!("asked for nothing") };
    assert_eq!(enter(nowhere, &Given::default(), unasked), Entry::None);
    let started = Instant::now();
    for _ in 0..1000 {
        enter(nowhere, &Given::default(), unasked);
    }
    let one = started.elapsed() / 1000;
    assert!(one < Duration::from_micros(50), "{one:?}");
}

#[test]
fn a_job_with_an_image_does_not_run_outside_of_it() {
    let mut given = Given::default();
    given.take(protocol::job_options::OptionName::Image, "docker://ubuntu", None).unwrap();
    let sentence = failure(enter(Path::new("/nonexistent"), &given, || Ok(TASK)));
    assert!(sentence.contains("this node was not given it"), "{sentence}");
    // A name of the catalog may be the node's own image.
    let mut given = Given::default();
    given.take(protocol::job_options::OptionName::Image, "debian12", None).unwrap();
    assert_eq!(enter(Path::new("/nonexistent"), &given, || Ok(TASK)), Entry::None);
}
