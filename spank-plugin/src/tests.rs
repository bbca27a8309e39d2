//! The plugin without Slurm: each context with a process and a job made of maps.

use crate::context::{After, Command, Context, Job, Process, Source};
use crate::enter::{Entry, TaskOf};
use crate::options::{Given, help};
use crate::{
    bootsrv, init, option, post_option, prefer, task_init, task_init_privileged, user_init,
};
use protocol::api::CatalogEntry;
use protocol::job_options::OptionName;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};

#[derive(Default)]
pub(crate) struct Fake {
    variables: RefCell<BTreeMap<String, String>>,
    hooks: RefCell<Vec<String>>,
    tasks: RefCell<Vec<String>>,
    notes: RefCell<Vec<String>>,
}

impl Fake {
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let fake = Self::default();
        // Nothing is there, so every check ends as an unchecked acceptance.
        fake.set_variable("BMC_CLIENT_CONFIG", Some("/nonexistent/client.toml"));
        variables.iter().for_each(|(name, value)| fake.set_variable(name, Some(value)));
        fake
    }
}

impl Process for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.borrow().get(name).cloned()
    }
    fn set_variable(&self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.variables.borrow_mut().insert(name.into(), value.into()),
            None => self.variables.borrow_mut().remove(name),
        };
    }
    fn directory(&self) -> Option<PathBuf> {
        Some("/start".into())
    }
    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }
    fn slurm_option(&self, name: &CStr) -> Option<String> {
        self.variable(&format!("--{}", name.to_str().unwrap()))
    }
    fn set_slurm_option(&self, name: &CStr, value: Option<&str>) -> bool {
        self.set_variable(&format!("--{}", name.to_str().unwrap()), value);
        true
    }
    fn warn(&self, text: &str) {
        self.note(text);
    }
    fn progress(&self, _: Option<&str>) {}
    fn note(&self, text: &str) {
        self.notes.borrow_mut().push(text.into());
    }
}

impl Job for Fake {
    fn set_for_hooks(&self, name: &str, value: Option<&str>) -> Result<(), String> {
        self.hooks.borrow_mut().push(format!("{name}={}", value.unwrap_or("(removed)")));
        Ok(())
    }
    fn set_for_tasks(&self, name: &str, value: &str) -> Result<(), String> {
        self.tasks.borrow_mut().push(format!("{name}={value}"));
        Ok(())
    }
    fn task_variable(&self, name: &str) -> Option<String> {
        self.variable(name)
    }
    fn prepend_command(&self, words: Vec<CString>) -> Result<(), String> {
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        self.tasks.borrow_mut().push(words.join(" "));
        Ok(())
    }
    fn tell(&self, text: &str) {
        self.note(text);
    }
    fn task_of(&self) -> Result<TaskOf, String> {
        Ok(TaskOf { job: 7, uid: 2001 })
    }
}

const SBATCH: Context = Context::Client(Command::Sbatch);
const SRUN: Context = Context::Client(Command::Srun);

fn given(kernel: &str) -> Given {
    let mut given = Given::default();
    given.take(OptionName::Kernel, kernel, None).unwrap();
    given
}

fn refusal(after: After) -> String {
    match after {
        After::Refuse(sentence) => sentence,
        other @ (After::Continue | After::Print(_) | After::EndTask(_)) => panic!("{other:?}"),
    }
}

#[test]
fn nothing_given_touches_nothing() {
    let fake = Fake::with(&[]);
    assert_eq!(post_option(SBATCH, &fake, &fake, &mut Given::default()), After::Continue);
    assert!(fake.hooks.borrow().is_empty() && fake.notes.borrow().is_empty());
}

#[test]
fn the_command_line_wins_over_the_commands_own_variable() {
    let fake = Fake::with(&[("SBATCH_BMC_KERNEL", "env"), ("SBATCH_BMC_IMAGE", "debian12")]);
    assert_eq!(post_option(SBATCH, &fake, &fake, &mut given("typed")), After::Continue);
    assert_eq!(*fake.hooks.borrow(), ["BMC_KERNEL=typed", "BMC_IMAGE=debian12"]);
    assert_eq!(fake.variable("BMC_KERNEL").as_deref(), Some("typed"));
    assert!(fake.notes.borrow()[0].contains("accepted without a check"), "{:?}", fake.notes);

    let fake = Fake::with(&[("SBATCH_BMC_KERNEL", "x"), ("SALLOC_BMC_KERNEL", "mine")]);
    post_option(Context::Client(Command::Salloc), &fake, &fake, &mut Given::default());
    assert_eq!(*fake.hooks.borrow(), ["BMC_KERNEL=mine"]);
}

#[test]
fn wrong_values_are_refused_with_their_source() {
    let mut nothing = Given::default();
    let fake = Fake::with(&[("SRUN_BMC_IMAGE", "http://x")]);
    let sentence =
        refusal(option(OptionName::Image, "docker://X", Source::Typed, &fake, &mut nothing));
    assert!(
        sentence.starts_with("[bare-metal container] --bmc-image: image reference \"X\" is not"),
        "{sentence}"
    );
    let sentence = refusal(post_option(SRUN, &fake, &fake, &mut nothing));
    assert!(sentence.starts_with("[bare-metal container] SRUN_BMC_IMAGE: "), "{sentence}");
    let sentence = refusal(option(OptionName::Kernel, "a b", Source::Typed, &fake, &mut nothing));
    assert!(sentence.contains("kernel name \"a b\" is not valid"), "{sentence}");
}

#[test]
fn a_later_value_replaces_an_earlier_one() {
    let (fake, mut given) = (Fake::with(&[]), given("first"));
    assert_eq!(
        option(OptionName::Kernel, "second", Source::Typed, &fake, &mut given),
        After::Continue
    );
    assert_eq!(given.options.kernel.unwrap().as_str(), "second");
}

#[test]
fn each_component_of_a_heterogeneous_job_chooses_for_itself() {
    let (fake, mut given) = (Fake::with(&[]), Given::default());
    let name = OptionName::Kernel;
    for (typed, handed_down) in
        [(Some("first"), None), (Some("second"), Some("first")), (None, Some("second"))]
    {
        for (text, source) in [(typed, Source::Typed), (handed_down, Source::ComponentBefore)] {
            if let Some(text) = text {
                assert_eq!(option(name, text, source, &fake, &mut given), After::Continue);
            }
        }
        assert_eq!(post_option(SBATCH, &fake, &fake, &mut given), After::Continue);
        assert_eq!(fake.variable("BMC_KERNEL").as_deref(), typed);
    }
    let hooks = fake.hooks.borrow();
    let kernels: Vec<&String> =
        hooks.iter().filter(|text| text.starts_with("BMC_KERNEL")).collect();
    assert_eq!(kernels, ["BMC_KERNEL=first", "BMC_KERNEL=second", "BMC_KERNEL=(removed)"]);
    let removed = hooks.iter().filter(|text| *text == "BMC_IMAGE=(removed)").count();
    assert_eq!(removed, 2, "{hooks:?}");
}

#[test]
fn a_job_inside_a_job_chooses_anew() {
    let fake = Fake::with(&[
        ("SLURM_JOB_ID", "7"),
        ("BMC_KERNEL", "outer"),
        ("SLURM_SPANK__SLURM_SPANK_OPTION_bmc_bmc_kernel", "outer"),
        ("SLURM_SPANK_BMC_KERNEL", "outer"),
    ]);
    let mut given = Given::default();
    assert_eq!(init(SBATCH, &[], &fake, &mut given), (true, After::Continue));
    assert_eq!(post_option(SBATCH, &fake, &fake, &mut given), After::Continue);
    assert!(fake.hooks.borrow().is_empty());
    let left: Vec<String> = fake.variables.borrow().keys().cloned().collect();
    assert_eq!(left, ["BMC_CLIENT_CONFIG", "SLURM_JOB_ID"]);
}

#[test]
fn a_step_may_name_its_jobs_kernel_and_no_other() {
    let fake = Fake::with(&[("SLURM_JOB_ID", "7"), ("BMC_KERNEL", "a"), ("SRUN_BMC_KERNEL", "b")]);
    assert_eq!(post_option(SRUN, &fake, &fake, &mut Given::default()), After::Continue);
    assert_eq!(post_option(SRUN, &fake, &fake, &mut given("a")), After::Continue);
    let sentence = refusal(post_option(SRUN, &fake, &fake, &mut given("b")));
    assert!(
        sentence.contains("--bmc-kernel=b") && sentence.contains("started with a"),
        "{sentence}"
    );
    let fake = Fake::with(&[("SLURM_JOB_ID", "7")]);
    assert!(refusal(post_option(SRUN, &fake, &fake, &mut given("b"))).contains("named none"));
    assert!(fake.hooks.borrow().is_empty());
}

#[test]
fn on_the_node_nothing_fails_and_only_tasks_are_told() {
    let (fake, mut given) = (Fake::with(&[]), Given::default());
    let first = init(Context::Remote, &["typo"], &fake, &mut given);
    assert_eq!(first, (true, After::Continue));
    for text in ["help", "a b", "thp-off"] {
        assert_eq!(
            option(OptionName::Kernel, text, Source::Job, &fake, &mut given),
            After::Continue
        );
    }
    assert_eq!(post_option(Context::Remote, &fake, &fake, &mut given), After::Continue);
    assert_eq!(user_init(Context::Remote, &fake, &fake, &given), After::Continue);
    assert!(fake.hooks.borrow().is_empty());
    assert_eq!(*fake.tasks.borrow(), ["BMC_KERNEL=thp-off"]);
    assert_eq!(init(Context::Other, &[], &fake, &mut given), (false, After::Continue));
}

#[test]
fn tasks_are_told_what_the_hooks_were() {
    let pinned = "docker://r.io/x:1@sha256:0";
    let fake = Fake::with(&[("SLURM_SPANK_BMC_IMAGE", pinned), ("BMC_ROOT", "nfs")]);
    let mut given = given("6.1");
    for (name, text) in [(OptionName::Image, "docker://r.io/x:1"), (OptionName::Root, "ram")] {
        option(name, text, Source::Job, &fake, &mut given);
    }
    user_init(Context::Remote, &fake, &fake, &given);
    assert_eq!(*fake.tasks.borrow(), ["BMC_KERNEL=6.1", &*format!("BMC_IMAGE={pinned}")]);
}

#[test]
fn sbatch_lists_before_it_wants_a_script() {
    use crate::submit::list_asked_for;
    let asked = |command, line: &str| {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        list_asked_for(command, &arguments)
    };
    for line in ["sbatch --bmc-kernel=help", "sbatch -p bmc -N 2 --bmc-kernel list"] {
        assert_eq!(asked(Command::Sbatch, line), Some(OptionName::Kernel), "{line}");
    }
    assert_eq!(asked(Command::Sbatch, "sbatch --bmc-image=help"), Some(OptionName::Image));
    // /bin/true stands for the script: what follows is its own.
    for line in
        ["sbatch /bin/true --bmc-kernel=help", "sbatch --bmc-kernel=6.1", "sbatch --bmc-kernel"]
    {
        assert_eq!(asked(Command::Sbatch, line), None, "{line}");
    }
    // srun and salloc come to the option callback in time.
    assert_eq!(asked(Command::Srun, "srun --bmc-kernel=help"), None);
}

#[test]
fn help_texts_say_whose_they_are() {
    for name in OptionName::ALL {
        let crate::options::Help { text, placeholder, optional } = help(name);
        assert!(!placeholder.is_empty() && optional == (name == OptionName::Entrypoint));
        assert!(text.starts_with("[bare-metal container] "));
        assert_eq!(text.contains(&format!("--{}=help", name.long())), bootsrv::has_list(name));
    }
}

#[test]
fn options_of_an_image_need_one() {
    for (name, value) in
        [(OptionName::Mounts, "/a:/b"), (OptionName::Root, "nfs"), (OptionName::Entrypoint, "")]
    {
        let (fake, mut given) = (Fake::with(&[]), Given::default());
        assert_eq!(option(name, value, Source::Typed, &fake, &mut given), After::Continue);
        let sentence = refusal(post_option(SBATCH, &fake, &fake, &mut given));
        let expected = format!("--{} is about a container image, and none was", name.long());
        assert!(sentence.contains(&expected), "{sentence}");
    }
}

#[test]
fn a_no_on_the_command_line_wins_over_a_yes_in_the_environment() {
    let fake = Fake::with(&[("SBATCH_BMC_ENTRYPOINT", "yes"), ("SBATCH_BMC_IMAGE", "docker://x")]);
    for (typed, expected) in [(None, Some("yes")), (Some("no"), None)] {
        let mut given = Given::default();
        if let Some(typed) = typed {
            option(OptionName::Entrypoint, typed, Source::Typed, &fake, &mut given);
        }
        assert_eq!(post_option(SBATCH, &fake, &fake, &mut given), After::Continue);
        assert_eq!(fake.variable("BMC_ENTRYPOINT").as_deref(), expected);
    }
}

#[test]
fn a_step_may_repeat_what_was_typed_before_it_was_pinned() {
    let pinned = format!("docker://docker.io/library/ubuntu:24.04@sha256:{}", "ab".repeat(32));
    let fake = Fake::with(&[
        ("SLURM_JOB_ID", "7"),
        ("BMC_IMAGE", &pinned),
        ("BMC_MOUNTS", "/start/data:/data"),
    ]);
    let step = |name, text: &str| {
        let mut given = Given::default();
        assert_eq!(option(name, text, Source::Typed, &fake, &mut given), After::Continue);
        post_option(SRUN, &fake, &fake, &mut given)
    };
    assert_eq!(step(OptionName::Image, "docker://ubuntu:24.04"), After::Continue);
    assert_eq!(step(OptionName::Image, &pinned), After::Continue);
    assert_eq!(step(OptionName::Mounts, "data:/data"), After::Continue);
    assert_eq!(step(OptionName::Entrypoint, "no"), After::Continue);
    assert!(refusal(step(OptionName::Image, "docker://ubuntu:22.04")).contains("was started with"));
    assert!(refusal(step(OptionName::Entrypoint, "")).contains("--bmc-entrypoint=yes"));
    assert!(refusal(step(OptionName::Root, "nfs")).contains("named none"));
}

#[test]
fn a_task_that_could_not_enter_ends_with_the_reason() {
    let fake = Fake::with(&[]);
    let given = Given { entry: Entry::Failed("no".into()), ..Given::default() };
    let after = task_init(Context::Remote, &fake, &fake, &given);
    assert_eq!(after, After::EndTask("no".into()));
    let mut given = Given::default();
    task_init_privileged(Context::Remote, &fake, Path::new("/nonexistent"), &mut given);
    assert_eq!(task_init(Context::Remote, &fake, &fake, &given), After::Continue);
    assert!(fake.tasks.borrow().is_empty());
}

#[test]
fn a_new_job_is_inside_of_no_other() {
    let fake = Fake::with(&[("BMC_INSIDE", "6"), ("SBATCH_BMC_IMAGE", "debian12")]);
    assert_eq!(post_option(SBATCH, &fake, &fake, &mut Given::default()), After::Continue);
    assert_eq!(fake.variable("BMC_INSIDE"), None);
}

#[test]
fn plugstack_has_one_option() {
    let (fake, mut given) = (Fake::with(&[]), Given::default());
    init(SRUN, &["config=/etc/x.toml"], &fake, &mut given);
    assert_eq!(given.config.as_deref(), Some(Path::new("/etc/x.toml")));
    for bad in ["confg=/x", "config", "config=relative"] {
        let (register, after) = init(SRUN, &[bad], &fake, &mut given);
        assert!(!register && refusal(after).contains(bad));
    }
}

#[test]
fn the_list_is_a_table_with_the_default_marked() {
    let entry = |name: &str, default, description: &str| CatalogEntry {
        name: name.into(),
        description: description.into(),
        default,
    };
    let table = bootsrv::table(
        "KERNEL",
        &[entry("6.1-cloud", true, "Debian's\x1b[31m"), entry("thp-off", false, "")],
    );
    assert_eq!(
        table,
        "  KERNEL     DESCRIPTION (* is booted when a job names none)\n\
         * 6.1-cloud  Debian's[31m\n\
         \x20 thp-off\n"
    );
}

#[test]
fn a_component_does_not_inherit_the_preference_of_the_one_before() {
    let features = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
    let fake = Fake::with(&[("--constraint", "gpu")]);
    let first = prefer::prefer(&fake, &features(&["bmc_1"]), None);
    assert_eq!(first.as_deref(), Some("gpu&(bmc_1)"));
    // Slurm hands both on; this one has another constraint, and nothing to prefer.
    fake.set_variable("--constraint", Some("ib|gpu"));
    assert_eq!(prefer::prefer(&fake, &[], first.as_deref()), None);
    assert_eq!(fake.variable("--prefer"), None);

    for options in [
        [("--nodes", "2"), ("--ntasks", "2")],
        [("--nodes", "1-0"), ("--ntasks", "4")],
        [("--nodes", "1"), ("--nodelist", "n1")],
        [("--nodes", "1"), ("--reservation", "r")],
    ] {
        let preferred = prefer::prefer(&Fake::with(&options), &features(&["bmc_1"]), None);
        assert_eq!(preferred, None, "{options:?}: Slurm might hold it");
    }
    for options in [[("--nodes", "1-0"), ("--ntasks", "1")], [("--nodes", "1"), ("--ntasks", "4")]]
    {
        let preferred = prefer::prefer(&Fake::with(&options), &features(&["bmc_1"]), None);
        assert_eq!(preferred.as_deref(), Some("bmc_1"), "{options:?}");
    }
    let fake = Fake::with(&[("--prefer", "mine")]);
    assert_eq!(prefer::prefer(&fake, &features(&["bmc_1"]), None), None);
    assert_eq!(fake.variable("--prefer").as_deref(), Some("mine"), "the user's own stays");
}
