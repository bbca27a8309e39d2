//! How services of several makers differ, as far as a client notices.

/// Which maker's services it resembles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// DMTF's mock-up of a rack server: everything where the newest schemas have it.
    Dmtf,
    /// HPE iLO: slashes at the end of paths, power in Power, log entries as links, the oldest first,
    /// whole URLs in Location.
    Hpe,
    /// Dell iDRAC: long names, logs at the manager, the newest first, PowerCycle, words of its own.
    Dell,
    /// OpenBMC: ActionInfo in place of AllowableValues, power as one of many sensors, logs in pages.
    OpenBmc,
}

/// Names of the resources.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) system: &'static str,
    pub(super) chassis: &'static str,
    pub(super) manager: &'static str,
    /// The log, and whose it is.
    pub(super) log: &'static str,
    pub(super) is_log_managers: bool,
    /// At the end of each path.
    pub(super) slash: &'static str,
}

impl Shape {
    pub(super) fn names(self) -> Names {
        let (system, chassis, manager, log) = match self {
            Self::Dmtf => ("437XR1138R2", "1U", "BMC", "Log1"),
            Self::Hpe => ("1", "1", "1", "IML"),
            Self::Dell => ("System.Embedded.1", "System.Embedded.1", "iDRAC.Embedded.1", "Sel"),
            Self::OpenBmc => ("system", "chassis", "bmc", "EventLog"),
        };
        Names {
            system,
            chassis,
            manager,
            log,
            is_log_managers: self == Self::Dell,
            slash: if self == Self::Hpe { "/" } else { "" },
        }
    }

    /// Where its events stream, below `/redfish/v1/`.
    pub(super) fn stream(self) -> &'static str {
        if self == Self::Dell { "SSE" } else { "EventService/SSE" }
    }

    /// What ComputerSystem.Reset takes.
    pub(super) fn reset_types(self) -> &'static [&'static str] {
        match self {
            Self::Dmtf | Self::OpenBmc => &[
                "On",
                "ForceOff",
                "GracefulShutdown",
                "GracefulRestart",
                "ForceRestart",
                "PowerCycle",
            ],
            Self::Hpe => {
                &["On", "ForceOff", "GracefulShutdown", "ForceRestart", "Nmi", "PushPowerButton"]
            }
            Self::Dell => &[
                "On",
                "ForceOff",
                "ForceRestart",
                "GracefulShutdown",
                "PushPowerButton",
                "PowerCycle",
            ],
        }
    }
}
