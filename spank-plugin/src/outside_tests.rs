//! A task whose job has an image never runs outside of it: each form in which an image is asked for, on
//! each kind of node. A task goes through the moments of slurmstepd here, in their order.

use crate::context::{After, Context, Source};
use crate::enter::Entry;
use crate::enter::tests::{node_of, on_a_node};
use crate::options::Given;
use crate::tests::Fake;
use crate::{init, option, post_option, task_init, task_init_privileged, user_init};
use protocol::application::{NODE_FILE, NODE_NO_IMAGE_FILE};
use protocol::job_options::OptionName;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How a task of the job with the id 7 comes to its node.
struct Form {
    name: &'static str,
    /// `--bmc-image` as slurmstepd hands it to the plugin.
    option: Option<&'static str>,
    variables: &'static [(&'static str, &'static str)],
    /// Whether the task must end where bootsrv has not booted the node.
    ends_where_nothing_is: bool,
    /// Whether it must end where bootsrv says that nothing is to be entered.
    ends_where_none_is: bool,
}

const IMAGE: &str = "docker://r.io/x:1";
const HOOK: &str = "SLURM_SPANK_BMC_IMAGE";

#[rustfmt::skip]
const FORMS: &[Form] = &[
    form("no image", None, &[], [false, false]),
    form("the option", Some(IMAGE), &[], [true, true]),
    form("a file", Some("sif:/home/a/x.sif"), &[], [true, true]),
    form("a name of the catalog", Some("pytorch"), &[], [true, false]),
    form("a form that only a newer plugin reads", Some("zip:x y"), &[], [true, true]),
    form("SBATCH_BMC_IMAGE", None, &[(HOOK, IMAGE)], [true, false]),
    form("SBATCH_BMC_IMAGE, a name", None, &[(HOOK, "pytorch")], [true, false]),
    form("SBATCH_BMC_IMAGE, of a newer plugin", None, &[(HOOK, "zip:x y")], [true, false]),
    form("a step in such a job", None, &[("BMC_IMAGE", IMAGE)], [true, false]),
    form("a step from inside", None, &[("BMC_IMAGE", IMAGE), ("BMC_INSIDE", "7")], [true, false]),
    form("a step that names it", Some(IMAGE), &[("BMC_INSIDE", "7")], [true, true]),
    form("srun --export=NONE --bmc-image", Some(IMAGE), &[], [true, true]),
    form("srun --export=NONE in a job", None, &[("SLURM_EXPORT_ENV", "NONE")], [false, false]),
    form("sbatch --export=PATH=/x", None, &[("PATH", "/x"), (HOOK, IMAGE)], [true, false]),
    form("left by a job around", None, &[("BMC_IMAGE", IMAGE), ("BMC_INSIDE", "6")], [false, false]),
    // It may have been typed for another component: srun has one value for all. bootsrv knows each.
    form("a component, typed", Some(IMAGE), &[("SLURM_HET_SIZE", "2")], [true, false]),
    form("another component's", None, &[("BMC_IMAGE", IMAGE), ("SLURM_HET_SIZE", "2")], [false, false]),
];

const fn form(
    name: &'static str,
    option: Option<&'static str>,
    variables: &'static [(&'static str, &'static str)],
    [ends_where_nothing_is, ends_where_none_is]: [bool; 2],
) -> Form {
    Form { name, option, variables, ends_where_nothing_is, ends_where_none_is }
}

/// The moments until the task has lost its rights.
fn start(form: &Form, root: &Path) -> (Fake, Given) {
    let (fake, mut given) = (Fake::with(form.variables), Given::default());
    init(Context::Remote, &[], &fake, &mut given);
    if let Some(text) = form.option {
        option(OptionName::Image, text, Source::Job, &fake, &mut given);
    }
    post_option(Context::Remote, &fake, &fake, &mut given);
    user_init(Context::Remote, &fake, &fake, &given);
    task_init_privileged(Context::Remote, &fake, root, &mut given);
    (fake, given)
}

fn ends(form: &Form, root: &Path) -> bool {
    let (fake, given) = start(form, root);
    match task_init(Context::Remote, &fake, &fake, &given) {
        After::EndTask(sentence) => {
            assert!(sentence.contains("and this node was"), "{}: {sentence}", form.name);
            true
        }
        After::Continue => false,
        other @ (After::Refuse(_) | After::Print(_)) => panic!("{other:?}"),
    }
}

#[test]
fn where_bootsrv_has_booted_nothing_no_form_is_overlooked() {
    for form in FORMS {
        let ended = ends(form, Path::new("/nonexistent"));
        assert_eq!(ended, form.ends_where_nothing_is, "{}", form.name);
    }
}

#[test]
fn where_bootsrv_says_none_what_was_typed_contradicts() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let node = node_of(root.path());
    fs::create_dir_all(&node).unwrap();
    fs::set_permissions(&node, PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(node.join(NODE_NO_IMAGE_FILE), "").unwrap();
    for form in FORMS {
        assert_eq!(ends(form, root.path()), form.ends_where_none_is, "{}", form.name);
    }
}

#[test]
fn where_there_is_an_image_every_task_is_in_it_whatever_its_form() {
    on_a_node(|root| {
        for form in FORMS {
            // Another thread, because each enters a mount namespace for good.
            std::thread::scope(|scope| {
                let task = scope.spawn(|| {
                    #[expect(deprecated, reason = "as in enter_tests.rs")]
                    rustix::thread::unshare(rustix::thread::UnshareFlags::FS).unwrap();
                    // The fake's user is the image's: 2001.
                    let (_, given) = start(form, root);
                    let is_inside = matches!(given.entry, Entry::Inside { .. });
                    assert!(is_inside && Path::new("/inside").exists(), "{}", form.name);
                });
                task.join().unwrap();
            });
        }
        // Half of what the agent leaves is no leave to run outside.
        fs::write(node_of(root).join(NODE_FILE), "").unwrap();
        for form in FORMS {
            let (_, given) = start(form, root);
            assert!(matches!(given.entry, Entry::Failed(_)), "{}: {:?}", form.name, given.entry);
        }
        assert!(!Path::new("/inside").exists());
    });
}

#[test]
fn a_task_for_which_nobody_has_looked_does_not_run() {
    let (fake, given) = (Fake::with(&[]), Given::default());
    let after = task_init(Context::Remote, &fake, &fake, &given);
    assert!(matches!(after, After::EndTask(_)), "{after:?}");
}
