//! What follows from a node's faults for Slurm: the reason that its drain has, and whose drain one is.
//!
//! Pure. A drain is ours if its reason is word for word the one that we gave last: nobody's word is
//! needed for whose it is, and an admin who drains the node anew takes it over.

use crate::slurm::SlurmNode;
use crate::store::NodeRow;
use protocol::api::ClearedDrain;

/// Longest reason that slurmctld is given, in characters.
const REASON_MAX: usize = 300;

/// A reason as slurmctld shows it again: one line, without quotes, which would end its own quoting.
#[must_use]
pub fn line(text: &str) -> String {
    cut(text, REASON_MAX)
}

fn cut(text: &str, characters: usize) -> String {
    let clean = |c: char| if c.is_control() || matches!(c, '"' | '\'') { ' ' } else { c };
    text.trim().chars().map(clean).take(characters).collect::<String>().trim_end().to_owned()
}

/// The reason of the drain after a failure of the node, with how many that makes. The count stands at
/// the end, as `sinfo` shows only the beginning, and is never cut off.
#[must_use]
pub fn reason(failure: &str, strikes: u32) -> String {
    let end = format!(" (strike {strikes})");
    cut(failure, REASON_MAX - end.len()) + &end
}

/// Why slurmctld keeps a node out of use, without its note of who and when; `None`: it does not.
#[must_use]
pub fn out_of_use(shown: &SlurmNode) -> Option<&str> {
    let reason = shown.reason.as_deref().map(|reason| {
        let text = reason.rsplit_once(" [").map_or(reason, |(text, _)| text);
        text.trim_end()
    });
    if shown.has("DOWN") { Some(reason.unwrap_or("")) } else { shown.admin_drain().and(reason) }
}

/// What becomes of a node's drain when an admin clears it. `shown`: as slurmctld showed the node last;
/// a drain of ours may be younger.
#[must_use]
pub fn drain_when_cleared(row: &NodeRow, shown: Option<&SlurmNode>) -> ClearedDrain {
    if let Some(reason) = &row.maintenance {
        return ClearedDrain::Maintenance(reason.clone());
    }
    let own = row.own_drain.as_ref();
    let is_own = |reason: &str| {
        own.is_some_and(|own| own == reason) || row.ending_drain.as_deref() == Some(reason)
    };
    let kept = row.kept_drain.as_ref();
    let reason = shown.and_then(out_of_use).map(str::to_owned).or_else(|| kept.cloned());
    match (reason, shown) {
        (Some(reason), _) if is_own(&reason) => ClearedDrain::TakenBack(reason),
        (Some(reason), _) => ClearedDrain::Stays(reason),
        (None, Some(_)) => ClearedDrain::None,
        (None, None) => {
            own.map_or(ClearedDrain::Unknown, |own| ClearedDrain::TakenBack(own.clone()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(flags: &str, reason: Option<&str>) -> SlurmNode {
        SlurmNode {
            flags: flags.split('+').map(String::from).collect(),
            reason: reason.map(String::from),
            ..SlurmNode::default()
        }
    }

    #[test]
    fn the_count_is_never_cut_off() {
        assert_eq!(reason("stays off: \"x\"\n", 2), "stays off:  x (strike 2)");
        let long = reason(&"ä".repeat(400), u32::MAX);
        assert!(long.chars().count() == REASON_MAX && long.ends_with("ä (strike 4294967295)"));
        assert_eq!(line(&long), long, "slurmctld shows it as it is");
    }

    #[test]
    fn a_node_is_out_of_use_when_drained_or_down() {
        for (flags, reason, expected) in [
            ("IDLE+DRAIN", Some("fan 3 [root@1795246000]"), Some("fan 3")),
            ("DOWN", Some("Not responding [slurm@1795246000]"), Some("Not responding")),
            ("DOWN", None, Some("")),
            ("IDLE+DRAIN", Some("POWER_DOWN_ASAP"), None),
            ("IDLE", Some("fan 3 [root@1795246000]"), None),
        ] {
            assert_eq!(out_of_use(&shown(flags, reason)), expected, "{flags} {reason:?}");
        }
    }

    #[test]
    fn only_a_drain_of_our_own_is_taken_back() {
        let drained = |reason: &str| Some(shown("IDLE+DRAIN+POWERED_DOWN", Some(reason)));
        let well = || Some(shown("IDLE+POWERED_DOWN", None));
        let text = |text: &str| Some(text.to_owned());
        let (ours, fan) = ("x (strike 1)", "fan 3 [root@1795246000]");
        let (back, stays) =
            (ClearedDrain::TakenBack(ours.into()), ClearedDrain::Stays("fan 3".into()));
        let ours_shown = format!("{ours} [slurm@1795246000]");
        let longer = format!("{ours} and more [root@1795246000]");
        let longer_stays = ClearedDrain::Stays(format!("{ours} and more"));
        // What slurmctld shows, our own drain, the kept one.
        for (seen, own, kept, expected) in [
            (drained(&ours_shown), text(ours), None, back.clone()),
            (drained(&longer), text(ours), None, longer_stays),
            (drained(fan), text(ours), None, stays.clone()),
            (well(), text(ours), text(ours), back.clone()),
            (well(), text(ours), text("fan 3"), stays),
            (well(), text(ours), None, ClearedDrain::None),
            (well(), None, None, ClearedDrain::None),
            (None, text(ours), None, back),
            (None, None, None, ClearedDrain::Unknown),
        ] {
            let row = NodeRow { own_drain: own, kept_drain: kept, ..NodeRow::example("n1") };
            assert_eq!(drain_when_cleared(&row, seen.as_ref()), expected, "{seen:?} {row:?}");
        }
        let row = NodeRow { maintenance: text("fan"), ..NodeRow::example("n1") };
        assert_eq!(drain_when_cleared(&row, None), ClearedDrain::Maintenance("fan".into()));
        let again = NodeRow { ending_drain: text(ours), ..NodeRow::example("n1") };
        let seen = drained(&ours_shown);
        let taken = drain_when_cleared(&again, seen.as_ref());
        assert_eq!(taken, ClearedDrain::TakenBack(ours.into()), "asked for twice");
    }
}
