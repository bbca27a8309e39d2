//! Power state, and the action that changes it (ComputerSystem, DSP0268).

use crate::client::Client;
use crate::document::text;
use crate::wire::Ask;
use crate::{Error, ErrorKind};
use serde_json::json;

/// Whether the system has power, as the service says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerState {
    /// It has.
    On,
    /// It has not.
    Off,
    /// Between the command and power.
    PoweringOn,
    /// Between the command and no power.
    PoweringOff,
    /// It has power, and stands still.
    Paused,
}

/// A change of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetType {
    /// Power on.
    On,
    /// Power off, hard.
    ForceOff,
    /// Ask the operating system to shut down.
    GracefulShutdown,
    /// Start afresh, without asking the operating system; power stays.
    ForceRestart,
    /// Take the power away, and give it back.
    PowerCycle,
}

impl PowerState {
    fn read(text: &str) -> Option<Self> {
        match text {
            "On" => Some(Self::On),
            "Off" => Some(Self::Off),
            "PoweringOn" => Some(Self::PoweringOn),
            "PoweringOff" => Some(Self::PoweringOff),
            "Paused" => Some(Self::Paused),
            _ => None,
        }
    }
}

impl ResetType {
    /// The values that have that effect, the best first. `PushPowerButton` is none of them: what it
    /// does depends on a state that may be another one by then. `FullPowerCycle` is none: it takes
    /// the controller's power too.
    fn values(self) -> &'static [&'static str] {
        match self {
            Self::On => &["On", "ForceOn"],
            Self::ForceOff => &["ForceOff"],
            Self::GracefulShutdown => &["GracefulShutdown"],
            Self::ForceRestart => &["ForceRestart"],
            Self::PowerCycle => &["PowerCycle"],
        }
    }

    /// The value to send; `None`: the service takes none that has that effect.
    fn choose(self, allowed: Option<&[String]>) -> Option<&'static str> {
        let values = self.values();
        let Some(allowed) = allowed else { return values.first().copied() };
        values.iter().copied().find(|value| allowed.iter().any(|other| other == value))
    }
}

impl Client {
    /// Whether the system has power; `None`: the service does not know.
    ///
    /// # Errors
    /// Every kind.
    pub async fn power_state(&self) -> Result<Option<PowerState>, Error> {
        self.within("PowerState", async {
            let system = self.get(&self.place().await?.system).await?;
            Ok(text(&system.value, "/PowerState").and_then(PowerState::read))
        })
        .await
    }

    /// Whether the service says that it can do that; `true` where it does not say.
    ///
    /// # Errors
    /// Every kind.
    pub async fn can_reset(&self, reset: ResetType) -> Result<bool, Error> {
        self.within("ComputerSystem.Reset", async {
            let offered = self.place().await?.reset.as_ref();
            Ok(offered.is_some_and(|offered| reset.choose(offered.allowed.as_deref()).is_some()))
        })
        .await
    }

    /// Asks for a change of power. A success says that the service took it: look for the effect.
    ///
    /// # Errors
    /// Every kind; [`ErrorKind::Unsupported`] if the service does not offer that change. Some
    /// services refuse what is so already, each in its own way: look at the state before.
    pub async fn reset(&self, reset: ResetType) -> Result<(), Error> {
        self.within("ComputerSystem.Reset", async {
            let place = self.place().await?;
            let unsupported =
                |what: String| self.error("ComputerSystem.Reset", ErrorKind::Unsupported, what);
            let offered = place.reset.as_ref();
            let offered =
                offered.ok_or_else(|| unsupported("the system does not offer it".into()))?;
            let value = reset
                .choose(offered.allowed.as_deref())
                .ok_or_else(|| unsupported(format!("the system does not offer {reset:?}")))?;
            let ask = Ask::post(&offered.target, json!({"ResetType": value}));
            self.send(&ask).await.map(drop)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_value_with_the_same_effect_is_sent() {
        let allowed = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
        let old = allowed(&["On", "ForceOff", "ForceRestart", "Nmi", "PushPowerButton"]);
        let forced = allowed(&["ForceOn", "FullPowerCycle"]);
        for (reset, of_old, of_forced) in [
            (ResetType::On, Some("On"), Some("ForceOn")),
            (ResetType::ForceOff, Some("ForceOff"), None),
            (ResetType::GracefulShutdown, None, None),
            (ResetType::ForceRestart, Some("ForceRestart"), None),
            (ResetType::PowerCycle, None, None),
        ] {
            assert_eq!(reset.choose(Some(&old)), of_old, "{reset:?}");
            assert_eq!(reset.choose(Some(&forced)), of_forced, "{reset:?}");
            assert_eq!(reset.choose(None), Some(format!("{reset:?}").as_str()), "{reset:?}");
            assert_eq!(reset.choose(Some(&[])), None);
        }
    }

    #[test]
    fn an_unheard_of_state_is_not_known() {
        assert_eq!(PowerState::read("PoweringOff"), Some(PowerState::PoweringOff));
        for text in ["on", "Reset", ""] {
            assert_eq!(PowerState::read(text), None, "{text}");
        }
    }
}
