//! In which order the means are used to switch a node, and for how long each. Pure.

use crate::power::SILENCE;
use crate::power::driver::{Abilities, DriverError, Trouble};
use std::fmt;
use std::time::Duration;

/// One means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// Power on, and again.
    On,
    /// Off, whatever the controller believes it to be, and on.
    OffAndOn,
    /// Ask the operating system.
    SoftOff,
    /// Power off, and again.
    Off,
    /// Off, a pause and on, which some controllers obey when they ignore off; and off again.
    CycleAndOff,
    /// Nothing can be commanded: the agent ends the node when it hears that it is not wanted.
    Silence,
    /// The outlet that feeds the node: off, or off and on.
    Outlet,
}

/// One step: a means, and how long its effect is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) means: Means,
    pub(super) limit: Duration,
}

/// For a node that only its silence shows to be off: to hear that it is not wanted and to shut down,
/// and the silence.
pub(super) const SILENT_OFF: Duration = SILENCE.saturating_add(Duration::from_secs(40));

/// The steps to switch a node off within `total`. `soft`: how long its operating system is given;
/// zero: it is not asked.
pub(super) fn off_steps(
    can: Abilities,
    has_outlet: bool,
    soft: Duration,
    total: Duration,
) -> Vec<Step> {
    let mut steps = Vec::new();
    // Half of the time at most: the other half is for those that do not listen.
    let soft = if can.soft_off { soft.min(total / 2) } else { Duration::ZERO };
    if !soft.is_zero() {
        steps.push(Step { means: Means::SoftOff, limit: soft });
    }
    let mut means = vec![if can.switches_off { Means::Off } else { Means::Silence }];
    if can.switches_off && can.cycle {
        means.push(Means::CycleAndOff);
    }
    if has_outlet {
        means.push(Means::Outlet);
    }
    let first = steps.len();
    share(&mut steps, &means, total - soft);
    if let Some(first) = steps.get_mut(first).filter(|_| !can.sees_power) {
        // Only silence shows it: nothing harder before that can have come.
        first.limit = first.limit.max(SILENT_OFF);
    }
    steps
}

/// The steps to switch a node on within `total`, not counting a controller's own start after its
/// outlet was off.
pub(super) fn on_steps(can: Abilities, has_outlet: bool, total: Duration) -> Vec<Step> {
    let mut means = vec![Means::On];
    if can.switches_off || can.cycle {
        means.push(Means::OffAndOn);
    }
    if has_outlet {
        means.push(Means::Outlet);
    }
    let mut steps = Vec::new();
    share(&mut steps, &means, total);
    steps
}

/// The first gets half of the time, the others equal parts of the rest.
fn share(steps: &mut Vec<Step>, means: &[Means], total: Duration) {
    let others = u32::try_from(means.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let first = if others == 0 { total } else { total / 2 };
    let rest = (total - first).checked_div(others).unwrap_or_default();
    for (number, means) in means.iter().enumerate() {
        steps.push(Step { means: *means, limit: if number == 0 { first } else { rest } });
    }
}

/// What was tried, for the reason of a failure.
#[derive(Debug, Default)]
pub(super) struct Tried {
    means: Vec<(Means, u32)>,
    pub(super) last_error: Option<String>,
    /// The last sending was refused.
    pub(super) was_refused: bool,
}

impl Tried {
    /// Whether nothing was sent.
    pub(super) fn is_nothing(&self) -> bool {
        self.means.is_empty()
    }

    /// Notes a sending and what came of it; `None`: it was accepted.
    pub(super) fn note(&mut self, means: Means, error: Option<&DriverError>) {
        match self.means.last_mut() {
            Some((last, times)) if *last == means => *times += 1,
            _ => self.means.push((means, 1)),
        }
        self.last_error = error.map(|error| crate::chain(error));
        self.was_refused = error.is_some_and(|error| error.trouble == Trouble::Refused);
    }
}

/// For example `on 3 times, off and on`.
impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (means, times)) in self.means.iter().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            f.write_str(match means {
                Means::On => "on",
                Means::OffAndOn => "off and on",
                Means::SoftOff => "soft off",
                Means::Off => "off",
                Means::CycleAndOff => "cycle and off",
                Means::Silence => "waiting for its agent to end it",
                Means::Outlet => "its outlet",
            })?;
            if *times > 1 {
                write!(f, " {times} times")?;
            }
        }
        if self.is_nothing() {
            f.write_str("nothing")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Abilities = Abilities {
        sees_power: true,
        switches_off: true,
        soft_off: true,
        cycle: true,
        boot_device: true,
        meter: true,
    };
    const PLAIN: Abilities = Abilities { soft_off: false, cycle: false, ..ALL };
    const WAKE: Abilities = Abilities { sees_power: false, switches_off: false, ..PLAIN };

    fn seconds(steps: &[Step]) -> Vec<(Means, u64)> {
        steps.iter().map(|step| (step.means, step.limit.as_secs())).collect()
    }

    #[test]
    fn off_goes_from_gentle_to_hard_within_the_limit() {
        use Means::{CycleAndOff, Off, Outlet, Silence, SoftOff};
        for (can, outlet, soft, expected) in [
            (ALL, true, 16, vec![(SoftOff, 16), (Off, 22), (CycleAndOff, 11), (Outlet, 11)]),
            (ALL, false, 0, vec![(Off, 30), (CycleAndOff, 30)]),
            (ALL, false, 600, vec![(SoftOff, 30), (Off, 15), (CycleAndOff, 15)]),
            (PLAIN, false, 16, vec![(Off, 60)]),
            (PLAIN, true, 16, vec![(Off, 30), (Outlet, 30)]),
            (WAKE, false, 16, vec![(Silence, 75)]),
            (WAKE, true, 16, vec![(Silence, 75), (Outlet, 30)]),
        ] {
            let steps = off_steps(can, outlet, Duration::from_secs(soft), Duration::from_secs(60));
            assert_eq!(seconds(&steps), expected);
        }
    }

    #[test]
    fn on_goes_from_on_to_the_outlet() {
        use Means::{OffAndOn, On, Outlet};
        for (can, outlet, expected) in [
            (ALL, true, vec![(On, 30), (OffAndOn, 15), (Outlet, 15)]),
            (PLAIN, false, vec![(On, 30), (OffAndOn, 30)]),
            (WAKE, false, vec![(On, 60)]),
        ] {
            assert_eq!(seconds(&on_steps(can, outlet, Duration::from_secs(60))), expected);
        }
    }

    #[test]
    fn what_was_tried_is_listed_in_order() {
        let mut tried = Tried::default();
        assert!(tried.is_nothing());
        assert_eq!(tried.to_string(), "nothing");
        for means in [Means::On, Means::On, Means::On, Means::OffAndOn] {
            tried.note(means, None);
        }
        assert_eq!(tried.to_string(), "on 3 times, off and on");
    }
}
