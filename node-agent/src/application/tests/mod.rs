//! Images set up for real, as root, each in a mount namespace that stands in for a node.

pub(crate) mod node;

use super::blame::spares_node;
use super::namespace::{build, declare_none, pin, tear_down};
use super::user::User;
use super::{NodeFacts, clear, commands, for_plugin, in_turn, is_over, pause, turn, wait_for_plan};
use crate::server::Application;
use node::{ALICE, Layer, enter, layer, loops_of, on_a_node, plan, run, time_to_enter};
use protocol::application::{
    ApplicationPlan, ImageConfig, LayerSource, NODE_DIRECTORY, NODE_FILE, NODE_NO_IMAGE_FILE,
    NODE_ROOT_DIRECTORY, NodeApplication, SLURM_COMMANDS_DIRECTORY,
};
use protocol::boot::ArtifactRef;
use protocol::names::JobId;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::mount::{MountFlags, mount};
use std::fs::{self, File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::slice;
use std::time::{Duration, Instant};

fn user() -> User {
    User {
        name: "alice".into(),
        uid: ALICE,
        gid: ALICE,
        full_name: "A".into(),
        home: "/home/alice".into(),
        shell: "/bin/zsh".into(),
        groups: vec![("staff".into(), ALICE)],
    }
}

fn facts() -> NodeFacts {
    NodeFacts { user: Some(user()), spool_directory: "/mnt/spool".into(), slurm_commands: None }
}

/// Sets an image up; gives what went wrong with the whole chain, and whether the job is to blame.
fn set_up(layers: &[Layer], mounts: &[&str]) -> Result<OwnedFd, (String, bool)> {
    set_up_with(layers, mounts, facts())
}

fn set_up_with(
    layers: &[Layer],
    mounts: &[&str],
    facts: NodeFacts,
) -> Result<OwnedFd, (String, bool)> {
    let store = |wanted: &ArtifactRef, to: &Path| {
        let layer = layers.iter().find(|layer| layer.artifact == *wanted).unwrap();
        fs::copy(&layer.file, to)?;
        Ok(())
    };
    build(&plan(layers, mounts), &store, || Ok(facts)).map_err(blamed)
}

fn blamed(error: anyhow::Error) -> (String, bool) {
    (format!("{error:#}"), spares_node(&error))
}

#[test]
fn bootsrv_is_asked_until_it_has_an_answer() {
    let mut answers = vec![
        Ok(Application::Plan(Box::new(plan(&[], &[])))),
        Err(anyhow::anyhow!("connection refused")),
        Ok(Application::NotYet),
    ];
    let found = wait_for_plan(|| answers.pop().unwrap()).unwrap().unwrap();
    assert_eq!(found.job, JobId(42));
    assert!(wait_for_plan(|| Ok(Application::None)).unwrap().is_none());
}

#[test]
fn bootsrv_may_be_away_once_it_has_answered() {
    let away = anyhow::anyhow!("connection refused");
    let [minute, hour] = [60, 3600].map(Duration::from_secs);
    assert!(!is_over(&away, false, minute.saturating_sub(Duration::from_secs(1))));
    assert!(is_over(&away, false, minute));
    assert!(!is_over(&away, true, hour));
}

#[test]
fn who_waits_long_asks_seldom() {
    for (waited, least, most) in [(0, 200, 400), (16, 1000, 2000), (600, 3000, 6000)] {
        let of = |chance| pause(Duration::from_secs(waited), chance).as_millis();
        assert_eq!(of(0), least);
        assert!((most - 10..=most).contains(&of(999)), "{waited} s: {}", of(999));
    }
}

#[test]
fn the_image_of_a_job_that_is_over_is_not_left_for_the_plugin() {
    on_a_node(|| {
        let mine = *turn();
        let mut count = 0;
        in_turn(mine, || {
            count += 1;
            Ok(())
        })
        .unwrap();
        clear().unwrap();
        in_turn(mine, || panic!("another job has the node")).unwrap();
        assert_eq!(count, 1);
    });
}

#[test]
fn one_static_program_is_image_enough() {
    on_a_node(|| {
        let namespace = set_up(&[layer("bare", |_| {})], &[]).unwrap();
        enter(&namespace, || {
            let names = fs::read_dir("/").unwrap().map(|e| e.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            assert_eq!(names, ["app", "dev", "etc", "home", "mnt", "proc", "sys", "tmp", "var"]);
            let hosts = fs::read_to_string("/etc/hosts").unwrap();
            assert!(hosts.contains("localhost"), "{hosts}");
            let passwd = fs::read_to_string("/etc/passwd").unwrap();
            assert_eq!(passwd, "alice:x:2001:2001:A:/home/alice:/bin/sh\n");
            assert_eq!(fs::read_to_string("/etc/group").unwrap(), "staff:x:2001:alice\n");
            assert!(fs::read_to_string("/etc/nsswitch.conf").unwrap().contains("hosts: files dns"));
            assert!(fs::read_to_string("/proc/self/status").unwrap().contains("Name:"));
            assert!(Path::new("/sys/kernel").is_dir() && Path::new("/mnt/spool/script").is_file());
            File::options().write(true).open("/dev/null").unwrap().write_all(b"x").unwrap();
            let mut random = [0; 4];
            File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
            assert_eq!(run(&["uid"]), "2001 2001");
            assert_eq!(run(&["write", "/home/alice/made"]), "ok");
            assert_eq!(run(&["write", "/tmp/node-agent-test"]), "ok");
            assert_eq!(run(&["write", "/etc/passwd"]), "Permission denied");
        });
        assert_eq!(fs::metadata("/home/alice/made").unwrap().uid(), ALICE);
        fs::remove_file("/tmp/node-agent-test").unwrap();
        // Mounted on the node afterwards.
        fs::create_dir("/home/alice/late").unwrap();
        mount("late", "/home/alice/late", "tmpfs", MountFlags::empty(), None).unwrap();
        fs::write("/home/alice/late/file", "").unwrap();
        enter(&namespace, || assert!(Path::new("/home/alice/late/file").is_file()));
    });
}

#[test]
fn the_pin_holds_the_namespace_and_a_tear_down_leaves_nothing() {
    on_a_node(|| {
        let layer = layer("pinned", |_| {});
        let digest = layer.artifact.sha256.to_string();
        let application = NodeApplication {
            job: JobId(42),
            uid: ALICE,
            reference: "docker://x".into(),
            config: ImageConfig::default(),
        };
        let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let before = mounts();
        let set_up = || set_up(slice::from_ref(&layer), &[]).unwrap();
        pin(&set_up(), &application).unwrap();
        assert_eq!(mounts().lines().count(), before.lines().count() + 2, "{}", mounts());
        // A second job of the same boot.
        pin(&set_up(), &application).unwrap();
        assert_eq!(mounts().lines().count(), before.lines().count() + 2);

        let directory = Path::new(NODE_DIRECTORY);
        let file = directory.join(NODE_FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
        let read: NodeApplication = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(read, application);
        let each = time_to_enter(100);
        println!("entering takes {each:?}");
        assert!(each < Duration::from_millis(5));

        assert!(!loops_of(&digest).is_empty());
        tear_down().unwrap();
        tear_down().unwrap();
        assert_eq!(mounts(), before);
        assert!(!file.exists());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !loops_of(&digest).is_empty() {
            assert!(Instant::now() < deadline, "loop devices are left");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn set_user_id_programs_and_device_files_of_the_image_are_harmless() {
    on_a_node(|| {
        let image = layer("rights", |root| {
            fs::create_dir(root.join("etc")).unwrap();
            let other_root = "alice:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n";
            fs::write(root.join("etc/passwd"), other_root).unwrap();
            fs::set_permissions(root.join("app"), Permissions::from_mode(0o6755)).unwrap();
            let null = rustix::fs::makedev(1, 3);
            let mode = Mode::from_raw_mode(0o666);
            mknodat(CWD, root.join("null"), FileType::CharacterDevice, mode, null).unwrap();
        });
        let namespace = set_up(&[image], &[]).unwrap();
        enter(&namespace, || {
            assert_eq!(fs::metadata("/app").unwrap().mode() & 0o7777, 0o6755);
            let passwd = fs::read_to_string("/etc/passwd").unwrap();
            assert!(passwd.starts_with("alice:x:2001:2001:"), "{passwd}");
            assert_eq!(run(&["uid"]), "2001 2001");
            assert_eq!(run(&["write", "/null"]), "Permission denied");
            assert_eq!(run(&["write", "/dev/null"]), "ok");
        });
    });
}

#[test]
fn links_and_pipes_of_the_image_lead_nowhere() {
    on_a_node(|| {
        let outside = tempfile::tempdir_in("/mnt").unwrap();
        let secret = outside.path().join("secret");
        fs::write(&secret, "eve:x:2001:0::/:/bin/sh\n").unwrap();
        let place = |root: &Path| {
            for directory in ["etc", "var", "srv"] {
                fs::create_dir(root.join(directory)).unwrap();
            }
            let up = format!("../../../../../../../..{}", secret.display());
            symlink(&up, root.join("etc/passwd")).unwrap();
            symlink(&secret, root.join("etc/hosts")).unwrap();
            symlink("/proc/1/environ", root.join("etc/resolv.conf")).unwrap();
            symlink("/proc/self/fd/0", root.join("etc/hostname")).unwrap();
            let mode = Mode::from_raw_mode(0o666);
            mknodat(CWD, root.join("etc/group"), FileType::Fifo, mode, 0).unwrap();
            mknodat(CWD, root.join("etc/nsswitch.conf"), FileType::Fifo, mode, 0).unwrap();
            symlink("etc", root.join("proc")).unwrap();
            symlink(outside.path(), root.join("sys")).unwrap();
            symlink("/proc/self/root/tmp", root.join("dev")).unwrap();
            fs::write(root.join("tmp"), "a file").unwrap();
            symlink("/tmp", root.join("var/tmp")).unwrap();
            symlink("../../srv", root.join("home")).unwrap();
            symlink(outside.path(), root.join("srv/alice")).unwrap();
            symlink("/", root.join("run")).unwrap();
            symlink(outside.path(), root.join("data")).unwrap();
        };
        let namespace = set_up(&[layer("links", place)], &["/mnt/data:/data"]).unwrap();
        enter(&namespace, || {
            let passwd = fs::read_to_string("/etc/passwd").unwrap();
            assert_eq!(passwd, "alice:x:2001:2001:A:/home/alice:/bin/sh\n");
            assert_eq!(fs::read_to_string("/etc/group").unwrap(), "staff:x:2001:alice\n");
            for name in ["passwd", "group", "hosts", "resolv.conf", "nsswitch.conf"] {
                let found = Path::new("/etc").join(name).symlink_metadata();
                assert!(found.is_ok_and(|found| found.is_file()), "{name}");
            }
            for name in ["/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/data", "/srv/alice"] {
                assert!(Path::new(name).symlink_metadata().unwrap().is_dir(), "{name}");
            }
            assert!(Path::new("/proc/self/status").is_file());
            assert!(Path::new("/data/of-data").is_file());
            assert_eq!(run(&["write", "/home/alice/made"]), "ok");
        });
        let left: Vec<_> =
            fs::read_dir(outside.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(left, [secret]);
    });
}

#[test]
fn what_cannot_be_set_up_is_the_jobs_fault_and_leaves_nothing() {
    on_a_node(|| {
        let check = |name: &str, place: &dyn Fn(&Path), mounts: &[&str], expected: &str| {
            let (text, of_job) = set_up(&[layer(name, place)], mounts).unwrap_err();
            assert!(of_job && text.contains(expected), "{name}: {of_job} {text}");
        };
        let before = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let none = |_: &Path| {};
        check("etc-is-a-file", &|r| fs::write(r.join("etc"), "").unwrap(), &[], "/etc");
        check("etc-leads-nowhere", &|r| symlink("/x", r.join("etc")).unwrap(), &[], "/etc");
        let full = |root: &Path| fs::create_dir_all(root.join("etc/hosts/full")).unwrap();
        check("hosts-is-full", &full, &[], "/etc/hosts");
        let dev = |root: &Path| {
            fs::create_dir(root.join("dev")).unwrap();
            symlink("dev", root.join("home")).unwrap();
        };
        // The home would have to be made in the node's /dev.
        check("home-is-dev", &dev, &[], "nothing is made for a mount");
        check("no-source", &none, &["/mnt/missing:/x"], "the node has no /mnt/missing");
        // It would be a descriptor of the agent's own.
        check("magic", &none, &["/proc/self/cwd:/x"], "/proc/self/cwd of the node");
        check("closed", &none, &["/mnt/closed/in:/x"], "may not enter /mnt/closed/in");
        // Links that only the kernel can follow, and that would lead out of the image.
        let link = |to: &'static str, name: &'static str| {
            move |root: &Path| symlink(to, root.join(name)).unwrap()
        };
        check("magic-home", &link("/proc/1/root/home", "home"), &[], "no place for /home/alice");
        check("magic-var", &link("/proc/self/root/var", "var"), &[], "no place for /var/tmp");
        check(
            "magic-place",
            &link("/proc/self/cwd", "d"),
            &["/mnt/data:/d/x"],
            "no place for /d/x",
        );
        check("in-home", &none, &["/mnt/data:/home/alice/x/y"], "/home/alice/x");
        assert!(!Path::new("/home/alice/x").exists());
        assert_eq!(fs::read_to_string("/proc/thread-self/mountinfo").unwrap(), before);
    });
}

#[test]
fn a_server_that_is_down_and_layers_that_cannot_be_mounted_spare_the_node() {
    on_a_node(|| {
        let never = |_: &ArtifactRef, _: &Path| -> anyhow::Result<()> { panic!("asked for") };
        let no_node = || -> anyhow::Result<NodeFacts> { panic!("asked for") };
        let one = layer("spared", |_| {});
        let on_server = |source: &str| {
            let source = LayerSource::Nfs { source: source.into(), options: String::new() };
            let plan = ApplicationPlan { source, ..plan(slice::from_ref(&one), &[]) };
            blamed(build(&plan, &never, no_node).unwrap_err())
        };
        for source in ["no-such-server.invalid:/images", "127.0.0.1:/images"] {
            let (text, spares) = on_server(source);
            println!("{text}");
            assert!(spares && text.contains(source), "{text}");
        }
        let broken = layer("broken", |_| {});
        fs::write(&broken.file, vec![0; 1 << 16]).unwrap();
        let (text, spares) = set_up(&[broken], &[]).unwrap_err();
        assert!(spares && text.contains("layer 1 of 1"), "{text}");
        let (text, spares) = set_up(&vec![one; 491], &[]).unwrap_err();
        assert!(spares && text.contains("490 are the limit"), "{text}");
        // The memory of this node is too small, or broken.
        let full = |_: &ArtifactRef, _: &Path| Err(std::io::Error::from_raw_os_error(28).into());
        let one = plan(&[layer("full", |_| {})], &[]);
        let (text, spares) = blamed(build(&one, &full, no_node).unwrap_err());
        assert!(!spares, "{text}");
    });
}

#[test]
fn huge_tables_of_the_image_count_as_none() {
    on_a_node(|| {
        let huge = |root: &Path| {
            fs::create_dir(root.join("etc")).unwrap();
            for name in ["passwd", "group", "nsswitch.conf"] {
                // Without a byte in it; 1 MiB is the limit.
                let file = File::create(root.join("etc").join(name)).unwrap();
                file.set_len(1 << 26).unwrap();
            }
        };
        let namespace = set_up(&[layer("huge", huge)], &[]).unwrap();
        enter(&namespace, || {
            let passwd = fs::read_to_string("/etc/passwd").unwrap();
            assert_eq!(passwd, "alice:x:2001:2001:A:/home/alice:/bin/sh\n");
            assert_eq!(fs::read_to_string("/etc/group").unwrap(), "staff:x:2001:alice\n");
        });
    });
}

#[test]
fn what_the_plugin_reads_for_each_task_is_short() {
    let with = |environment: Vec<String>| {
        let config = ImageConfig { environment, ..ImageConfig::default() };
        for_plugin(&ApplicationPlan { config, ..plan(&[], &[]) })
    };
    assert_eq!(with(vec!["A=1".into(); 1024]).unwrap().config.environment.len(), 1024);
    for environment in [vec!["A=1".into(); 1025], vec!["x".repeat(1 << 20)]] {
        let error = with(environment).unwrap_err();
        assert!(spares_node(&error) && error.to_string().contains("the limit"), "{error}");
    }
}

#[test]
fn no_image_is_said_until_there_is_one() {
    on_a_node(|| {
        let none = Path::new(NODE_DIRECTORY).join(NODE_NO_IMAGE_FILE);
        declare_none().unwrap();
        declare_none().unwrap();
        assert!(none.is_file());
        assert_eq!(fs::metadata(NODE_DIRECTORY).unwrap().permissions().mode() & 0o777, 0o700);
        let namespace = set_up(&[layer("after-none", |_| {})], &[]).unwrap();
        pin(&namespace, &for_plugin(&plan(&[], &[])).unwrap()).unwrap();
        assert!(!none.exists());
        declare_none().unwrap();
        assert!(none.is_file() && !Path::new(NODE_DIRECTORY).join(NODE_FILE).exists());
        tear_down().unwrap();
        assert!(!none.exists());
    });
}

#[test]
fn asked_mounts_are_there_as_asked() {
    on_a_node(|| {
        let image = layer("mounts", |root| {
            fs::create_dir_all(root.join("opt/real")).unwrap();
            symlink("/opt/real", root.join("opt/way")).unwrap();
            fs::write(root.join("opt/file"), "of the image").unwrap();
        });
        let mounts = [
            "/mnt/data:/data",
            "/mnt/data:/opt/way/below/deep:ro",
            "/mnt/data/of-data:/opt/file:ro",
            "/mnt/data:/home/alice/there",
            "/:/host:ro",
        ];
        fs::create_dir("/home/alice/there").unwrap();
        let namespace = set_up(&[image], &mounts).unwrap();
        enter(&namespace, || {
            for path in ["/data", "/opt/real/below/deep", "/home/alice/there"] {
                assert!(Path::new(path).join("of-data").is_file(), "{path}");
            }
            assert_eq!(fs::read_to_string("/opt/file").unwrap(), "data");
            assert!(Path::new("/host/mnt/data/of-data").is_file());
            let stage = fs::read_dir("/host/run/bare-metal-container/stage").unwrap();
            assert_eq!(stage.count(), 0);
            assert_eq!(run(&["write", "/data/new"]), "ok");
            assert_eq!(run(&["write", "/opt/way/below/deep/x"]), "Read-only file system");
            assert_eq!(run(&["write", "/opt/file"]), "Read-only file system");
            // Set-user-id programs of the node are none here either.
            assert_eq!(run(&["then", "/data/set-uid", "uid"]), "2001 2001");
            assert_eq!(run(&["write", "/data/null"]), "Permission denied");
        });
    });
}

#[test]
fn a_hundred_and_thirty_layers_are_one_root() {
    on_a_node(|| {
        let count = 130;
        let one = |index: usize| {
            layer(&format!("many-{index}"), |root| {
                fs::write(root.join(format!("f{index}")), index.to_string()).unwrap();
                fs::write(root.join("same"), index.to_string()).unwrap();
                if index == count - 1 {
                    // A whiteout, as our conversion writes it.
                    let mode = Mode::empty();
                    mknodat(CWD, root.join("f0"), FileType::CharacterDevice, mode, 0).unwrap();
                }
            })
        };
        let mut layers: Vec<_> = (0..count).map(one).collect();
        layers.push(layers[1].clone());
        let begin = Instant::now();
        let namespace = set_up(&layers, &[]).unwrap();
        println!("{} layers are set up in {:?}", layers.len(), begin.elapsed());
        enter(&namespace, || {
            assert_eq!(fs::read_to_string("/same").unwrap(), "1", "the uppermost counts");
            assert!(!Path::new("/f0").exists());
            for index in 1..count {
                assert_eq!(fs::read_to_string(format!("/f{index}")).unwrap(), index.to_string());
            }
        });
    });
}

#[test]
fn the_nodes_commands_and_root_can_be_reached_from_inside() {
    on_a_node(|| {
        let of_node = Path::new("/mnt/of-node");
        fs::create_dir(of_node).unwrap();
        fs::write(of_node.join("srun"), "").unwrap();
        for _ in 0..2 {
            commands::offer(of_node, Path::new("/proc/self/exe")).unwrap();
        }
        let facts = NodeFacts { slurm_commands: Some(of_node.to_owned()), ..facts() };
        let namespace = set_up_with(&[layer("plain", |_| {})], &[], facts).unwrap();
        enter(&namespace, || {
            let commands = Path::new(SLURM_COMMANDS_DIRECTORY);
            assert_eq!(fs::read_link(commands.join("of-node")).unwrap(), of_node);
            assert!(commands.join("srun").is_file() && !commands.join("sinfo").exists());
            assert_eq!(
                run(&["write", &format!("{SLURM_COMMANDS_DIRECTORY}/x")]),
                "Read-only file system"
            );
            let node = Path::new(NODE_ROOT_DIRECTORY);
            assert!(node.join("mnt/of-node/srun").is_file() && node.join("proc/self").is_dir());
            let stage = node.join("run/bare-metal-container/stage");
            assert_eq!(fs::read_dir(stage).unwrap().count(), 0);
            assert!(fs::create_dir(node.join("new")).is_err(), "read-only");
            let write = |path: &str| run(&["write", &format!("{NODE_ROOT_DIRECTORY}{path}")]);
            assert_eq!(write("/home/alice/made"), "ok");
            assert_eq!(write("/dev/null"), "ok");
            let set_uid = format!("{NODE_ROOT_DIRECTORY}/mnt/data/set-uid");
            assert_eq!(run(&["then", &set_uid, "uid"]), "2001 2001");
            assert_eq!(run(&["chroot", NODE_ROOT_DIRECTORY]), "ok");
        });
    });
}
