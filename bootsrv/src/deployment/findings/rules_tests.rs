//! Each rule with what it says, and what it keeps quiet about.

use super::*;
use FindingKind::*;

fn shown(flags: &str, reason: Option<&str>) -> SlurmNode {
    SlurmNode {
        flags: flags.split('+').map(String::from).collect(),
        reason: reason.map(|reason| format!("{reason} [slurm@1795246000]")),
        ..SlurmNode::default()
    }
}

fn sides<'a>(row: &'a NodeRow, slurm: Slurm<'a>, power: SeenPower) -> Sides<'a> {
    Sides {
        row,
        slurm,
        live: None,
        power,
        is_held: false,
        is_by_hand: false,
        is_wanted: false,
        now_unix_ns: 10_000 * SECOND_NS,
    }
}

/// Kind, who mends it after a long time, and what is so.
fn look(sides: Sides<'_>) -> Vec<(FindingKind, MendedBy, String)> {
    let found = of_node(&sides, &Limits::default());
    found.into_iter().map(|one| (one.kind, one.mended_by, one.what)).collect()
}

fn kinds(sides: Sides<'_>) -> Vec<FindingKind> {
    look(sides).into_iter().map(|(kind, ..)| kind).collect()
}

#[test]
fn a_node_at_rest_and_one_with_its_job_are_no_finding() {
    let row = NodeRow::example("n1");
    let off = shown("IDLE+POWERED_DOWN", None);
    assert_eq!(kinds(sides(&row, Slurm::Shows(&off), SeenPower::Off)), []);
    let up = shown("ALLOCATED", None);
    let one = Deployment { state: State::Ready, ..Deployment::example() };
    let running = Sides { live: Some(&one), ..sides(&row, Slurm::Shows(&up), SeenPower::On) };
    assert_eq!(kinds(running), []);
    assert_eq!(kinds(sides(&row, Slurm::Silent, SeenPower::Unknown)), [], "not known is no fault");
}

#[test]
fn whose_drain_it_is_decides_who_ends_it() {
    let text = |text: &str| Some(text.to_owned());
    let ours = "stays off (strike 2)";
    let plain = || NodeRow::example("n1");
    let own = || NodeRow { own_drain: text(ours), strikes: 2, ..plain() };
    let kept = NodeRow { kept_drain: text(ours), ..own() };
    let ending = NodeRow { ending_drain: text(ours), ..plain() };
    let service =
        NodeRow { maintenance: text("fan"), own_drain: text("maintenance: fan"), ..plain() };
    let (drained, well) = ("IDLE+DRAIN+POWERED_DOWN", "IDLE+POWERED_DOWN");
    let (admin, nobody) = (MendedBy::Admin, MendedBy::Nobody);
    for (row, flags, reason, expected) in [
        (own(), drained, Some(ours), vec![(OwnDrain, admin, "drained: stays off (strike 2)")]),
        (own(), "DOWN", Some(ours), vec![(OwnDrain, admin, "DOWN in Slurm: stays off (strike 2)")]),
        (own(), drained, Some("fan"), vec![(AdminDrain, nobody, "drained: fan")]),
        (own(), well, None, vec![]),
        (kept.clone(), well, None, vec![(KeptDrain, admin, "drained: stays off (strike 2)")]),
        (ending, drained, Some(ours), vec![(DrainEnds, admin, "drained: stays off (strike 2)")]),
        (
            plain(),
            drained,
            Some("Kill task failed"),
            vec![(SlurmDown, admin, "drained: Kill task failed")],
        ),
        (
            plain(),
            "DOWN",
            Some("Not responding"),
            vec![(SlurmDown, admin, "DOWN in Slurm: Not responding")],
        ),
        (
            service.clone(),
            drained,
            Some("maintenance: fan"),
            vec![(Maintenance, nobody, "in maintenance: fan")],
        ),
        (
            service,
            well,
            None,
            vec![(Maintenance, admin, "in maintenance: fan, but not drained in Slurm")],
        ),
        (plain(), "ALLOCATED+DRAIN", Some("POWER_DOWN_ASAP"), vec![]),
    ] {
        let seen = shown(flags, reason);
        let found = look(sides(&row, Slurm::Shows(&seen), SeenPower::Unknown));
        let found: Vec<_> =
            found.iter().map(|(kind, by, what)| (*kind, *by, what.as_str())).collect();
        assert_eq!(found, expected, "{flags} {reason:?}");
    }
    let one = Deployment { state: State::PoweringOff, ..Deployment::example() };
    let off = shown(well, None);
    let going = sides(&kept, Slurm::Shows(&off), SeenPower::Unknown);
    let live = Deployment { since_unix_ns: going.now_unix_ns, ..one };
    let found = look(Sides { live: Some(&live), ..going });
    assert_eq!(
        (found[0].0, found[0].1),
        (KeptDrain, MendedBy::Itself),
        "made again when it is off"
    );
}

#[test]
fn a_node_is_on_for_a_deployment_or_for_somebody() {
    let row = NodeRow::example("n1");
    let off = shown("IDLE+POWERED_DOWN", None);
    let on = sides(&row, Slurm::Shows(&off), SeenPower::On);
    assert_eq!(kinds(on), [OnForNobody]);
    assert_eq!(kinds(Sides { is_held: true, ..on }), [OnForNobody]);
    assert_eq!(kinds(Sides { is_by_hand: true, ..on }), [OnByHand]);
    assert_eq!(kinds(Sides { is_wanted: true, ..on }), []);
    let one = Deployment::example();
    let live = Deployment { since_unix_ns: on.now_unix_ns, ..one };
    assert_eq!(kinds(Sides { live: Some(&live), ..on }), []);
    let service = NodeRow { maintenance: Some("fan".into()), ..NodeRow::example("n1") };
    let drained = shown("IDLE+DRAIN", Some("maintenance: fan"));
    let served = Sides { row: &service, slurm: Slurm::Shows(&drained), ..on };
    assert_eq!(kinds(served), [Maintenance]);
}

#[test]
fn a_node_is_off_under_slurm_only_where_it_should_be_on() {
    let row = NodeRow::example("n1");
    for (flags, state, expected) in [
        ("ALLOCATED", Some(State::Ready), vec![OffUnderSlurm]),
        ("IDLE", Some(State::Kept), vec![OffUnderSlurm]),
        ("IDLE", None, vec![OffUnderSlurm]),
        ("ALLOCATED", Some(State::PoweringOff), vec![]),
        ("ALLOCATED+POWERING_UP", Some(State::PoweringOn), vec![]),
        ("IDLE+POWERING_DOWN", None, vec![]),
        ("IDLE+NOT_RESPONDING", None, vec![]),
    ] {
        let seen = shown(flags, None);
        let now = 10_000 * SECOND_NS;
        let one =
            state.map(|state| Deployment { state, since_unix_ns: now, ..Deployment::example() });
        let off = sides(&row, Slurm::Shows(&seen), SeenPower::Off);
        assert_eq!(kinds(Sides { live: one.as_ref(), ..off }), expected, "{flags} {state:?}");
    }
}

#[test]
fn what_one_side_does_not_know_is_told() {
    let row = NodeRow::example("n1");
    let unknown = sides(&row, Slurm::Unknown, SeenPower::NoAnswer);
    let what = "its controller (ipmi 10.77.1.11) does not answer";
    let found = look(unknown);
    assert_eq!(found[0].0, NotInSlurm);
    assert_eq!(found[1], (ControllerSilent, MendedBy::Admin, what.into()));
}

#[test]
fn a_controller_that_the_node_contradicts_is_told() {
    let row = NodeRow::example("n1");
    let on = shown("ALLOCATED", None);
    let found = look(sides(&row, Slurm::Shows(&on), SeenPower::Contradicted));
    let what = "its controller (ipmi 10.77.1.11) says off, and the node reports";
    assert_eq!(found, [(ControllerLies, MendedBy::Admin, what.into())]);
}

#[test]
fn a_state_that_nobody_ends_is_told() {
    let row = NodeRow::example("n1");
    let off = shown("ALLOCATED+POWERING_UP", None);
    let now = 10_000 * SECOND_NS;
    for (state, seconds, expected) in [
        (State::Booting, 200, vec![]),
        (State::Booting, 400, vec![StateTooLong]),
        (State::FetchingImage, 9_000, vec![]),
        (State::Ready, 9_000, vec![]),
    ] {
        let since_unix_ns = now - seconds * SECOND_NS;
        let one = Deployment { state, since_unix_ns, ..Deployment::example() };
        let on = sides(&row, Slurm::Shows(&off), SeenPower::On);
        assert_eq!(kinds(Sides { live: Some(&one), ..on }), expected, "{state:?}");
    }
}
