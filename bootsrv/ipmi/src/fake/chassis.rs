//! The simulated system: its power, its boot flags, and what switches it.

use super::{Counters, Knobs, Power};
use crate::completion::CompletionCode;
use std::time::Duration;
use tokio::sync::watch;

/// Something that will happen to the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) after: Duration,
    pub(super) what: Change,
}

/// What happens to the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    On,
    Off,
    Restart,
}

/// The system behind a controller.
#[derive(Debug)]
pub(super) struct Chassis {
    power: watch::Sender<Power>,
    /// Boot options parameter 5, as it was set.
    pub(super) boot_flags: [u8; 5],
}

impl Chassis {
    pub(super) fn new(power: watch::Sender<Power>) -> Self {
        Self { power, boot_flags: [0; 5] }
    }

    pub(super) fn is_on(&self) -> bool {
        self.power.borrow().on
    }

    pub(super) fn set_power(&mut self, on: bool) {
        self.change(if on { Change::On } else { Change::Off });
    }

    pub(super) fn change(&mut self, change: Change) {
        let started = self.power.send_if_modified(|power| {
            let (was, starts) = (power.on, power.starts);
            power.on = change != Change::Off;
            if power.on && (change == Change::Restart || !was) {
                power.starts += 1;
            }
            (power.on, power.starts) != (was, starts)
        });
        if started && self.is_on() {
            // Used up, unless it was persistent.
            let [first, ..] = &mut self.boot_flags;
            if *first & 0x40 == 0 {
                *first &= 0x7F;
            }
        }
    }

    /// What Chassis Control `number` does, and when; counts it.
    pub(super) fn control(
        &mut self,
        number: u8,
        knobs: &Knobs,
        counters: &mut Counters,
    ) -> Result<Vec<Effect>, CompletionCode> {
        let after = knobs.switch_time;
        let (count, effects) = match number {
            0 => (&mut counters.off, vec![Effect { after, what: Change::Off }]),
            1 => (&mut counters.on, vec![Effect { after, what: Change::On }]),
            2 | 3 if !self.is_on() => return Err(CompletionCode::NOT_IN_PRESENT_STATE),
            2 => {
                let on = Effect { after: after + knobs.cycle_time, what: Change::On };
                (&mut counters.cycle, vec![Effect { after, what: Change::Off }, on])
            }
            3 => (&mut counters.reset, vec![Effect { after, what: Change::Restart }]),
            5 => {
                self.power.send_modify(|power| power.soft_offs += 1);
                let obeys = knobs.obeys_soft_off.then_some(Effect { after, what: Change::Off });
                (&mut counters.soft, obeys.into_iter().collect())
            }
            _ => return Err(CompletionCode::INVALID_DATA_FIELD),
        };
        *count += 1;
        Ok(effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_counted_and_use_up_the_boot_flags() {
        let (sender, power) = watch::channel(Power::default());
        let mut chassis = Chassis::new(sender);
        let flags = [0x80, 4, 0, 0, 0];
        for (change, on, starts, used) in [
            (Change::Off, false, 0, false),
            (Change::On, true, 1, true),
            (Change::On, true, 1, false),
            (Change::Restart, true, 2, true),
            (Change::Off, false, 2, false),
        ] {
            chassis.boot_flags = flags;
            chassis.change(change);
            assert_eq!(*power.borrow(), Power { on, starts, soft_offs: 0 }, "{change:?}");
            assert_eq!(chassis.boot_flags[0] & 0x80 == 0, used, "{change:?}");
        }
        chassis.boot_flags = [0xC0, 4, 0, 0, 0];
        chassis.change(Change::On);
        assert_eq!(chassis.boot_flags[0], 0xC0, "persistent");
    }
}
