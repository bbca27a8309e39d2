//! All outlets that feed one node: switched, cycled, looked at and metered together.

use crate::error::{PduError, Trouble};
use crate::meter::{self, Reading};
use crate::model::Model;
use crate::session::Session;
use crate::settings::{InvalidUnits, Patience, Unit, check};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often outlets are looked at while they are waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest pause between off and on.
const PAUSE_SECONDS_MAX: u64 = 120;

/// Whether a node has power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Power {
    /// Every outlet is on.
    On,
    /// Every outlet is off.
    Off,
    /// Some are on and some are off: it has power, from fewer sides than it should.
    Partly,
    /// At least one unit cannot say: e.g. it is about to switch.
    Unknown,
}

impl Power {
    /// Of all outlets; `None`: that one is neither on nor off.
    fn of(states: &[Option<bool>]) -> Self {
        let all = |wanted| states.iter().all(|state| *state == wanted);
        match () {
            () if states.is_empty() || states.contains(&None) => Self::Unknown,
            () if all(Some(true)) => Self::On,
            () if all(Some(false)) => Self::Off,
            () => Self::Partly,
        }
    }
}

/// The outlets that feed one node.
#[derive(Debug, Clone)]
pub struct Outlets {
    units: Vec<Unit>,
    patience: Patience,
}

impl Outlets {
    /// Checks what is described; asks nobody.
    ///
    /// # Errors
    /// [`InvalidUnits`] says what cannot be.
    pub fn new(units: Vec<Unit>, patience: Patience) -> Result<Self, InvalidUnits> {
        check(&units, patience)?;
        Ok(Self { units, patience })
    }

    /// Switches every outlet on. May be repeated.
    ///
    /// # Errors
    /// The first [`PduError`]; the other outlets have been asked all the same.
    pub async fn on(&self) -> Result<(), PduError> {
        self.switch(true).await
    }

    /// Switches every outlet off. May be repeated.
    ///
    /// # Errors
    /// The first [`PduError`]; the other outlets have been asked all the same.
    pub async fn off(&self) -> Result<(), PduError> {
        self.switch(false).await
    }

    /// Switches every outlet off, waits until all are seen off together, pauses (at most 120 s), and
    /// switches them on. A unit's own "reboot" is not used: it would not keep two feeds off at the
    /// same time, and a repeated question would cut the power twice. If the future is dropped on the
    /// way, outlets may stay off.
    ///
    /// # Errors
    /// A [`PduError`]; [`Trouble::Ignored`] if an outlet was not seen off in time. The outlets have
    /// then been asked to be on again.
    pub async fn cycle(&self, pause: Duration) -> Result<(), PduError> {
        let cut = match self.off().await {
            Ok(()) => self.wait_until_off().await,
            Err(error) => Err(error),
        };
        if cut.is_ok() {
            sleep(pause.min(Duration::from_secs(PAUSE_SECONDS_MAX))).await;
        }
        let restored = self.on().await;
        cut.and(restored)
    }

    /// Whether the node has power through its outlets.
    ///
    /// # Errors
    /// The first [`PduError`].
    pub async fn power(&self) -> Result<Power, PduError> {
        let mut states = Vec::new();
        for unit in &self.units {
            let session = Session::open(unit, self.patience).await?;
            for outlet in &unit.outlets {
                states.push(state(&session, unit, *outlet).await?);
            }
        }
        Ok(Power::of(&states))
    }

    /// What the outlets' meters show together; nothing is asked where the model has none.
    ///
    /// # Errors
    /// The first [`PduError`].
    pub async fn reading(&self) -> Result<Reading, PduError> {
        let metered = |model: &Model| model.watts.is_some() || model.joules.is_some();
        if !self.units.iter().all(|unit| metered(&unit.model)) {
            return Ok(Reading::default());
        }
        let mut sum = Reading::ZERO;
        for unit in &self.units {
            let session = Session::open(unit, self.patience).await?;
            for outlet in &unit.outlets {
                sum = sum.plus(meter::read(&session, &unit.model, *outlet).await?);
            }
        }
        Ok(sum)
    }

    async fn switch(&self, on: bool) -> Result<(), PduError> {
        let mut outcome = Ok(());
        for unit in &self.units {
            let switched = self.switch_unit(unit, on).await;
            outcome = outcome.and(switched);
        }
        outcome
    }

    async fn switch_unit(&self, unit: &Unit, on: bool) -> Result<(), PduError> {
        let session = Session::open(unit, self.patience).await?;
        let order = if on { &unit.model.on } else { &unit.model.off };
        let mut outcome = Ok(());
        for outlet in &unit.outlets {
            let switched = session.write(&order.oid.at(*outlet), order.value).await;
            // One that says nothing, or lets us do nothing, will not do so for the next outlet.
            let pointless = matches!(&switched, Err(error)
                if matches!(error.trouble, Trouble::NoAnswer | Trouble::Refused));
            outcome = outcome.and(switched);
            if pointless {
                break;
            }
        }
        outcome
    }

    async fn wait_until_off(&self) -> Result<(), PduError> {
        let begun = Instant::now();
        loop {
            if self.power().await? == Power::Off {
                return Ok(());
            }
            if begun.elapsed() >= self.patience.settle {
                return Err(self.stubborn().await);
            }
            sleep(LOOK_EVERY.min(self.patience.settle)).await;
        }
    }

    /// Names an outlet that is not off.
    async fn stubborn(&self) -> PduError {
        let mut host = "";
        for unit in &self.units {
            host = &unit.address;
            let Ok(session) = Session::open(unit, self.patience).await else { break };
            for outlet in &unit.outlets {
                if !matches!(state(&session, unit, *outlet).await, Ok(Some(false))) {
                    let oid = unit.model.status.at(*outlet);
                    return PduError::new(Trouble::Ignored, host, Some(&oid));
                }
            }
        }
        PduError::new(Trouble::Ignored, host, None)
    }
}

async fn state(session: &Session<'_>, unit: &Unit, outlet: u32) -> Result<Option<bool>, PduError> {
    let oid = unit.model.status.at(outlet);
    let state = session.read(&oid).await?;
    let state =
        state.ok_or_else(|| PduError::new(Trouble::Unsupported, &unit.address, Some(&oid)))?;
    Ok(unit.model.is_on(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_off_only_when_every_outlet_is() {
        let (on, off) = (Some(true), Some(false));
        assert_eq!(Power::of(&[on]), Power::On);
        assert_eq!(Power::of(&[on, on]), Power::On);
        assert_eq!(Power::of(&[off, off]), Power::Off);
        assert_eq!(Power::of(&[on, off]), Power::Partly);
        assert_eq!(Power::of(&[off, None]), Power::Unknown);
        assert_eq!(Power::of(&[]), Power::Unknown);
    }

    #[test]
    fn what_is_asked_may_be_awaited_on_any_thread() {
        fn sent<F: Future + Send>(_: F) {}
        let unit = Unit {
            address: "127.0.0.1".into(),
            credentials: crate::Credentials::Community("c".into()),
            model: Model::named("apc-rpdu").unwrap(),
            outlets: vec![1],
        };
        let outlets = Outlets::new(vec![unit], Patience::default()).unwrap();
        sent(outlets.on());
        sent(outlets.off());
        sent(outlets.cycle(Duration::ZERO));
        sent(outlets.power());
        sent(outlets.reading());
    }
}
