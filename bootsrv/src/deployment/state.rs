//! The states of a deployment: each says what is true while it lasts, and what ends it.

use serde::{Deserialize, Serialize};

/// Where one job on one node stands. Failure is not a state but a note on the deployment
/// ([`super::Failure`]): a failed node still has to be powered off like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The job asked for the node; it still belongs to an earlier deployment that is being powered
    /// off. Ends when that power is seen off.
    Waiting,
    /// The node runs for an earlier deployment, which has no use for it any more; its agent is asked to
    /// hand it over as it is, or to start this deployment's kernel ([`super::Way`]). Ends when the agent
    /// sees slurmd; if that does not come, the node is powered off and on.
    TakingOver,
    /// The node is to be powered on, from off, for this deployment; its script was not asked for
    /// yet. Ends when the boot script is served.
    PoweringOn,
    /// The boot script was served; kernel, initrd and token may be fetched. Ends with the agent's
    /// first report.
    Booting,
    /// The asked kernel runs the agent; root, settings and secrets are being set up. Ends when the
    /// agent sees slurmd.
    Starting,
    /// slurmd runs; slurmctld does not show the node as registered yet.
    Registering,
    /// slurmctld has the node; its job's application image is not set up on it yet: it is being
    /// pulled, or on its way to the node. Ends when the agent has set it up.
    FetchingImage,
    /// slurmctld has the node, and the application image is there if the job has one: the job may
    /// start or runs. Ends with the job.
    Ready,
    /// The job is over; Slurm has not yet given the node back. Ends with SuspendProgram.
    Ended,
    /// The job is over, and the node stays on for the next one. Ends when that takes it over, or with
    /// SuspendProgram when none came in time.
    Kept,
    /// The node is to be powered off. Ends when the power is seen off.
    PoweringOff,
    /// Power was seen off, the node may be used again; readings go on until they have settled.
    Settling,
    /// At rest; the record is complete.
    Released,
}

impl State {
    /// All states in the order of time.
    pub const ALL: [Self; 13] = [
        Self::Waiting,
        Self::TakingOver,
        Self::PoweringOn,
        Self::Booting,
        Self::Starting,
        Self::Registering,
        Self::FetchingImage,
        Self::Ready,
        Self::Ended,
        Self::Kept,
        Self::PoweringOff,
        Self::Settling,
        Self::Released,
    ];

    /// The spelling in the store and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::TakingOver => "taking_over",
            Self::PoweringOn => "powering_on",
            Self::Booting => "booting",
            Self::Starting => "starting",
            Self::Registering => "registering",
            Self::FetchingImage => "fetching_image",
            Self::Ready => "ready",
            Self::Ended => "ended",
            Self::Kept => "kept",
            Self::PoweringOff => "powering_off",
            Self::Settling => "settling",
            Self::Released => "released",
        }
    }

    /// The state of that spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether the node is on its way up, so that kernel, initrd and images may be fetched.
    #[must_use]
    pub fn is_booting(self) -> bool {
        matches!(self, Self::TakingOver | Self::PoweringOn | Self::Booting | Self::Starting)
    }

    /// Whether the node may ask for its job's application image, and fetch its layers: from the
    /// agent's start on, and as long as the job may run.
    #[must_use]
    pub fn may_fetch_application(self) -> bool {
        matches!(
            self,
            Self::TakingOver
                | Self::Booting
                | Self::Starting
                | Self::Registering
                | Self::FetchingImage
                | Self::Ready
        )
    }

    /// Whether the job has not started yet.
    #[must_use]
    pub fn is_before_ready(self) -> bool {
        self < Self::Ready
    }

    /// Whether the hardware no longer belongs to the deployment.
    #[must_use]
    pub fn has_given_node_back(self) -> bool {
        matches!(self, Self::Settling | Self::Released)
    }

    /// One sentence part for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for the node to be powered off by its last use",
            Self::TakingOver => "taking the running node over, without a power cycle",
            Self::PoweringOn => "powering on, firmware running",
            Self::Booting => "loading kernel and initrd",
            Self::Starting => "kernel up, setting up root and settings",
            Self::Registering => "slurmd started, waiting for slurmctld",
            Self::FetchingImage => "registered, waiting for the application image",
            Self::Ready => "ready",
            Self::Ended => "job over, waiting for Slurm to give the node back",
            Self::Kept => "job over, kept on for the next",
            Self::PoweringOff => "powering off",
            Self::Settling => "off, last readings",
            Self::Released => "released",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The store of every site holds these words.
    #[test]
    fn spellings_are_pinned_both_ways() {
        let names = [
            "waiting",
            "taking_over",
            "powering_on",
            "booting",
            "starting",
            "registering",
            "fetching_image",
            "ready",
            "ended",
            "kept",
            "powering_off",
            "settling",
            "released",
        ];
        assert_eq!(State::ALL.map(State::name), names);
        assert_eq!(names.map(State::from_name), State::ALL.map(Some));
        assert_eq!(serde_json::to_string(&State::PoweringOn).unwrap(), "\"powering_on\"");
    }
}
