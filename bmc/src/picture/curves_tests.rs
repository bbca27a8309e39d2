//! Where curves are cut, and that the energy so far is the record's.

use super::*;
use crate::picture::tests::one_node;

fn point(unix_ns: i64, milliwatts: i64) -> PowerPoint {
    PowerPoint { unix_ns, milliwatts, least_milliwatts: milliwatts, most_milliwatts: milliwatts }
}

#[test]
fn a_gap_cuts_the_line_and_only_a_bridge_leads_over_it() {
    let points = [0, 1, 5, 6, 9].map(|at| point(at, 100));
    let gap = |from_unix_ns, duration_ns, bridged| Gap { from_unix_ns, duration_ns, bridged };
    let gaps = [gap(1, 4, true), gap(6, 3, false), gap(9, 5, false)];
    let [a, b, c, d, e] = &points;
    let expected = [
        Piece::Read(vec![a, b]),
        Piece::Bridged(b, c),
        Piece::Read(vec![c, d]),
        Piece::Read(vec![e]),
    ];
    assert_eq!(pieces(&points, &gaps), expected);
    assert_eq!(pieces(&points, &[]), [Piece::Read(points.iter().collect())]);
    assert!(pieces(&[], &gaps).is_empty());
}

#[test]
fn the_energy_so_far_ends_each_stage_where_the_record_does() {
    let (energy, power) = one_node();
    let node = &energy.nodes[0];
    let sums = energy_so_far(node, &power.nodes[0].points);
    assert!(sums.is_sorted_by(|left, right| left.0 <= right.0 && left.1 <= right.1));
    assert_eq!(sums.first(), Some(&(node.stages[0].from_unix_ns, 0.0)));
    let mut before = 0;
    for stage in &node.stages {
        before += stage.energy_millijoules.unwrap();
        let end = (stage.from_unix_ns + stage.duration_ns, before as f64);
        assert!(sums.contains(&end), "{:?}", stage.stage);
    }
    assert_eq!(node.total_millijoules, Some(before));
}

#[test]
fn between_two_ends_the_readings_share_it_out() {
    let (mut energy, _) = one_node();
    let node = &mut energy.nodes[0];
    node.stages.truncate(1);
    (node.stages[0].from_unix_ns, node.stages[0].duration_ns) = (0, 4);
    node.stages[0].energy_millijoules = Some(900);
    // Areas: 100, 300 from 1 to 2 (falling from 400 to 200), 200, 200.
    let points = [(0, 0), (1, 400), (2, 200), (3, 200), (4, 200)];
    let points = points.map(|(at, power)| point(at, power));
    let expected = [(0, 0.0), (1, 200.0), (2, 500.0), (3, 700.0), (4, 900.0)];
    assert_eq!(energy_so_far(node, &points), expected);
    // Without readings a straight line from end to end.
    assert_eq!(energy_so_far(node, &[]), [(0, 0.0), (4, 900.0)]);
    node.stages[0].energy_millijoules = None;
    assert!(energy_so_far(node, &points).is_empty(), "what is unknown is not drawn");
}

#[test]
fn where_nothing_speaks_for_the_power_the_energy_so_far_is_not_drawn() {
    let (mut energy, _) = one_node();
    let node = &mut energy.nodes[0];
    node.stages.truncate(2);
    (node.stages[0].from_unix_ns, node.stages[0].duration_ns) = (0, 10);
    (node.stages[1].from_unix_ns, node.stages[1].duration_ns) = (10, 10);
    node.stages[0].energy_millijoules = Some(800);
    node.stages[1].energy_millijoules = Some(600);
    let gap = |from_unix_ns, duration_ns| Gap { from_unix_ns, duration_ns, bridged: false };
    node.gaps = vec![gap(0, 2), gap(16, 4)];
    let points = [4, 8, 12].map(|at| point(at, 100));
    let expected = [(2, 0.0), (4, 200.0), (8, 600.0), (10, 800.0), (12, 1_000.0), (16, 1_400.0)];
    assert_eq!(energy_so_far(node, &points), expected);
}

#[test]
fn the_energy_so_far_ends_at_an_unknown_stage_and_where_the_node_is_idle() {
    let (energy, _) = one_node();
    let last = |change: &dyn Fn(&mut StageEnergy)| {
        let mut node = energy.nodes[0].clone();
        change(&mut node.stages[6]);
        energy_so_far(&node, &[]).last().map(|sum| sum.0)
    };
    let begin = |index: usize| Some(energy.nodes[0].stages[index].from_unix_ns);
    assert!(last(&|_| {}) > begin(7));
    assert_eq!(last(&|stage| stage.energy_millijoules = None), begin(6));
    assert_eq!(last(&|stage| stage.stage = Stage::Idle), begin(6));
}

#[test]
fn the_area_up_to_a_moment_follows_the_line() {
    let points = [(0, 0), (2, 400), (4, 400)].map(|(at, power)| point(at, power));
    let areas = areas(&points);
    assert_eq!(areas, [0.0, 400.0, 1_200.0]);
    let at = [-1, 0, 1, 2, 3, 4, 9].map(|at| area_at(&points, &areas, at));
    assert_eq!(at, [0.0, 0.0, 100.0, 400.0, 800.0, 1_200.0, 3_200.0]);
}
