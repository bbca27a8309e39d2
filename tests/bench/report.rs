//! From boots to figures. Pure; goals are those of the issue, references those of the prototype.

use crate::boot::seconds;
use crate::figure::Figure;
use crate::least::Least;
use crate::ours::Boot;
use serde_json::Value;

/// The prototype's power on → registered on a quiet machine of two cores, by number of nodes that
/// boot at once, in seconds; one run each.
const PROTOTYPE: [(u8, f64); 3] = [(1, 8.7), (4, 15.3), (8, 31.7)];
/// Goal of one node alone, in seconds.
const ALONE_GOAL: f64 = 6.5;
/// Goal of ours over the least, as a ratio.
const LEAST_GOAL: f64 = 1.15;
const STARTED_GOAL: f64 = 0.2;
const ALLOCATABLE_GOAL: f64 = 1.0;

/// The stages of a job's energy record, in order of time.
const STAGES: [&str; 8] = [
    "firmware",
    "boot_loader",
    "kernel_and_initrd",
    "init",
    "wait_for_peers",
    "job",
    "shutdown",
    "settle",
];

/// A number of one boot, or why it has none.
type Number<T> = dyn Fn(&T) -> Result<f64, String>;

/// One repeat: the boot, or why there is none.
type Measured = Result<Boot, String>;

/// A number of each repeat.
fn each(
    boots: &[Measured],
    number: impl Fn(&Boot) -> Result<f64, String>,
) -> Vec<Result<f64, String>> {
    boots.iter().map(|boot| number(boot.as_ref().map_err(String::clone)?)).collect()
}

/// Power on → registered for so many nodes at once, absolute and against the prototype.
pub(crate) fn power_on(count: u8, boots: &[Measured]) -> Vec<Figure> {
    let taken = |boot: &Boot| {
        seconds(boot.power_on_unix_ns, boot.registered_unix_ns, "a node's start or registration")
    };
    let nodes = if count == 1 { "1 node".to_owned() } else { format!("{count} nodes at once") };
    let reference = PROTOTYPE.iter().find(|entry| entry.0 == count).map(|entry| entry.1);
    let goal = if count == 1 { Some(ALONE_GOAL) } else { reference };
    let name = format!("power on → registered, {nodes}");
    let mut figures = vec![Figure::new(name, "s", goal, each(boots, taken))];
    if let Some(reference) = reference {
        let name = format!("  against the prototype's {reference} s on a quiet machine");
        let goal = (count > 1).then_some(1.0);
        let ratios = each(boots, |boot| Ok(taken(boot)? / reference));
        figures.push(Figure::new(name, "", goal, ratios));
    }
    figures
}

/// Kernel → registered, ours against the least boot of the same repeat.
pub(crate) fn against_least(boots: &[Measured], least: &[Least]) -> Vec<Figure> {
    let ours =
        |boot: &Boot| seconds(boot.kernel_unix_ns, boot.registered_unix_ns, "our kernel's start");
    let theirs = |one: &Least| {
        seconds(one.kernel_unix_ns, one.registered_unix_ns, "the least boot's kernel start")
    };
    let zero = "the kernel's clock";
    let ours_by_clock =
        |boot: &Boot| seconds(boot.clock_zero_unix_ns, boot.registered_unix_ns, zero);
    let theirs_by_clock =
        |one: &Least| seconds(one.clock_zero_unix_ns, one.registered_unix_ns, zero);
    let ratio = |name, goal, ours: &Number<Boot>, theirs: &Number<Least>| {
        let values = boots
            .iter()
            .zip(least)
            .map(|(boot, one)| Ok(ours(boot.as_ref().map_err(String::clone)?)? / theirs(one)?));
        Figure::new(name, "", goal, values)
    };
    let all_least = |number: &Number<Least>| least.iter().map(number).collect::<Vec<_>>();
    let (our_cpu, their_cpu) = (|boot: &Boot| boot.cpu.seconds(), |one: &Least| one.cpu.seconds());
    vec![
        ratio(
            "kernel's first instruction → registered, against the least",
            Some(LEAST_GOAL),
            &ours,
            &theirs,
        ),
        Figure::new("  ours", "s", None, each(boots, ours)),
        Figure::new("  the least", "s", None, all_least(&theirs)),
        ratio(
            "  the ratio from the start of the kernel's clock",
            None,
            &ours_by_clock,
            &theirs_by_clock,
        ),
        ratio("  the ratio in QEMU's processor time", None, &our_cpu, &their_cpu),
        Figure::new("  QEMU's processor time, ours", "s", None, each(boots, our_cpu)),
        Figure::new("  QEMU's processor time, the least", "s", None, all_least(&their_cpu)),
    ]
}

/// What Slurm's users wait for besides the boot.
pub(crate) fn waits(boots: &[Measured]) -> Vec<Figure> {
    let started = each(boots, |boot| {
        let what = "slurmctld's line of the job's start";
        seconds(boot.registered_unix_ns, boot.job_started_unix_ns, what)
    });
    let allocatable = each(boots, |boot| {
        let what = "slurmctld's line of the node's return";
        seconds(boot.mark("power_off"), boot.allocatable_unix_ns, what)
    });
    vec![
        Figure::new("last slurmd registered → job started", "s", Some(STARTED_GOAL), started),
        Figure::new("power seen off → node allocatable", "s", Some(ALLOCATABLE_GOAL), allocatable),
    ]
}

/// Time of each stage, as the energy record has it.
pub(crate) fn stages(boots: &[Measured]) -> Vec<Figure> {
    let of = |boot: &Boot, wanted: &str| {
        let stages = boot.energy.pointer("/0/nodes/0/stages").and_then(Value::as_array);
        let is_it = |stage: &&Value| stage.get("stage").and_then(Value::as_str) == Some(wanted);
        let stage = stages.into_iter().flatten().find(is_it);
        let taken = stage.and_then(|stage| stage.get("duration_ns")?.as_i64());
        seconds(Some(0), taken, "the stage")
    };
    STAGES
        .iter()
        .map(|name| {
            let title = format!("stage {}", name.replace('_', " "));
            Figure::new(title, "s", None, each(boots, |boot| of(boot, name)))
        })
        .collect()
}

/// Each step of one node alone, in seconds since power on.
pub(crate) fn steps(boots: &[Measured]) -> Vec<Figure> {
    let first = boots.iter().flatten().next();
    let names = first.map(|boot| boot.steps.as_slice()).unwrap_or_default();
    let step = |index: usize| {
        each(boots, move |boot| {
            boot.steps.get(index).map_or_else(|| Err("not seen".to_owned()), |step| step.1.clone())
        })
    };
    let named = names.iter().enumerate();
    named.map(|(index, (name, _))| Figure::new(*name, "s", None, step(index))).collect()
}
