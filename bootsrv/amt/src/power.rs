//! Power states, what each request is called on the wire, and what a method's ReturnValue means.
//! Decides only.
//!
//! Numbers: CIM_AssociatedPowerManagementService and CIM_PowerManagementService (DMTF DSP1027), with
//! those that Intel's "WS-Management Class Reference" names for AMT.

use crate::error::ReturnMeaning;

/// Most states a controller may list.
const LISTED_MAX: usize = 32;

/// What the node's power does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PowerState {
    /// It runs.
    On,
    /// Suspended to memory: it has power but runs nothing.
    Asleep,
    /// No power, hibernated nodes among them.
    Off,
    /// In the middle of a reset or a power cycle.
    Changing,
    /// A number that says nothing about power.
    Other(u16),
}

/// The power state, and what may be asked now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerStatus {
    /// The state.
    pub state: PowerState,
    /// AvailableRequestedPowerStates; empty: the firmware has no such list (before release 6).
    pub available: Vec<u16>,
}

/// A change of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Power on.
    On,
    /// Ask the operating system to shut down.
    SoftOff,
    /// Power off, hard.
    Off,
    /// Off, a pause, on.
    Cycle,
    /// Reset without loss of power.
    Reset,
}

/// What became of a change of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Switched {
    /// It accepted this CIM power state; whether it does it must be looked at.
    Accepted(u16),
    /// It was so already; nothing was asked.
    Already,
}

impl PowerState {
    /// By its number in CIM.
    #[must_use]
    pub const fn of(number: u16) -> Self {
        match number {
            2 => Self::On,
            3 | 4 => Self::Asleep,
            6 | 7 | 8 | 12 | 13 => Self::Off,
            5 | 9 | 10 | 14 | 15 | 16 => Self::Changing,
            _ => Self::Other(number),
        }
    }
}

impl PowerStatus {
    pub(crate) fn new(state: u16, mut available: Vec<u16>) -> Self {
        available.truncate(LISTED_MAX);
        Self { state: PowerState::of(state), available }
    }
}

impl Action {
    /// The state it ends in, if a node that is there already needs nothing.
    const fn goal(self) -> Option<PowerState> {
        match self {
            Self::On => Some(PowerState::On),
            Self::SoftOff | Self::Off => Some(PowerState::Off),
            Self::Cycle | Self::Reset => None,
        }
    }

    /// Its CIM power states, the one to be preferred first.
    const fn requests(self) -> &'static [u16] {
        match self {
            Self::On => &[2],
            Self::SoftOff => &[12],
            Self::Off => &[8, 6],
            Self::Cycle => &[5, 9],
            Self::Reset => &[10],
        }
    }
}

/// What to ask for an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Nothing,
    Ask(u16),
    /// The firmware says that it cannot.
    Cannot,
}

/// Chooses the request for an action from what the firmware lists.
pub(crate) fn choose(action: Action, status: &PowerStatus) -> Choice {
    if action.goal() == Some(status.state) {
        return Choice::Nothing;
    }
    let requests = action.requests();
    if let Some(request) = requests.iter().find(|request| status.available.contains(request)) {
        return Choice::Ask(*request);
    }
    match requests.first() {
        // Listed only while something in the operating system listens; a hard off instead is not
        // what was asked.
        Some(_) if action == Action::SoftOff && !status.available.is_empty() => Choice::Cannot,
        // Lists lag behind the power state: the firmware's own answer has the last say.
        Some(request) => Choice::Ask(*request),
        None => Choice::Cannot,
    }
}

/// ReturnValue of RequestPowerStateChange; `None`: done, or begun (4096).
pub(crate) const fn power_return(value: u32) -> Option<ReturnMeaning> {
    Some(match value {
        0 | 4096 => return None,
        // 2, by name "unspecified", is what firmware says where the change is not possible in the
        // present state; 3 timeout, 6 in use, 4097 invalid transition, 4099 busy.
        2 | 3 | 6 | 4097 | 4099 => ReturnMeaning::Busy,
        // 5 invalid parameter, 4098 no timeout parameter, 0x812 AMT_STATUS_UNSUPPORTED.
        1 | 5 | 4098 | 0x812 => ReturnMeaning::Unsupported,
        // AMT_STATUS_NOT_PERMITTED.
        0x10 => ReturnMeaning::Refused,
        _ => ReturnMeaning::Failed,
    })
}

/// ReturnValue of ChangeBootOrder and SetBootConfigRole; `None`: done.
pub(crate) const fn boot_return(value: u32) -> Option<ReturnMeaning> {
    Some(match value {
        0 => return None,
        3 => ReturnMeaning::Busy,
        // 4 invalid reference, 5 invalid parameter, 0x812 AMT_STATUS_UNSUPPORTED.
        1 | 4 | 5 | 0x812 => ReturnMeaning::Unsupported,
        // 6 access denied, 0x10 AMT_STATUS_NOT_PERMITTED.
        6 | 0x10 => ReturnMeaning::Refused,
        _ => ReturnMeaning::Failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: u16, available: &[u16]) -> PowerStatus {
        PowerStatus::new(state, available.to_vec())
    }

    #[test]
    fn what_is_asked_is_what_the_firmware_lists() {
        let on = status(2, &[10, 8, 5, 12]);
        let bare = status(2, &[10, 8, 9]);
        let off = status(8, &[2]);
        let old = status(2, &[]);
        for (action, status, expected) in [
            (Action::On, &on, Choice::Nothing),
            (Action::Off, &off, Choice::Nothing),
            (Action::SoftOff, &off, Choice::Nothing),
            (Action::On, &off, Choice::Ask(2)),
            (Action::On, &status(4, &[]), Choice::Ask(2)),
            (Action::SoftOff, &on, Choice::Ask(12)),
            (Action::SoftOff, &bare, Choice::Cannot),
            (Action::SoftOff, &old, Choice::Ask(12)),
            (Action::Off, &on, Choice::Ask(8)),
            (Action::Off, &status(2, &[6]), Choice::Ask(6)),
            (Action::Cycle, &on, Choice::Ask(5)),
            (Action::Cycle, &bare, Choice::Ask(9)),
            (Action::Cycle, &off, Choice::Ask(5)),
            (Action::Reset, &old, Choice::Ask(10)),
        ] {
            assert_eq!(choose(action, status), expected, "{action:?} {status:?}");
        }
    }

    #[test]
    fn states_and_values_mean_what_the_standard_says() {
        for (number, state) in [
            (2, PowerState::On),
            (4, PowerState::Asleep),
            (7, PowerState::Off),
            (8, PowerState::Off),
            (10, PowerState::Changing),
            (1, PowerState::Other(1)),
        ] {
            assert_eq!(PowerState::of(number), state);
        }
        assert_eq!(power_return(0), None);
        assert_eq!(power_return(4096), None);
        assert_eq!(power_return(2), Some(ReturnMeaning::Busy));
        assert_eq!(power_return(1), Some(ReturnMeaning::Unsupported));
        assert_eq!(power_return(16), Some(ReturnMeaning::Refused));
        assert_eq!(power_return(4), Some(ReturnMeaning::Failed));
        assert_eq!(boot_return(2), Some(ReturnMeaning::Failed));
        assert_eq!(boot_return(6), Some(ReturnMeaning::Refused));
        assert_eq!(status(2, &[9; 1000]).available.len(), LISTED_MAX);
    }
}
