//! A node's baseboard controller: a session that is opened when it is needed and again when it broke.

use super::Power;
use protocol::api::PowerDefinition;

/// What a controller refused or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// Over IPMI.
    #[error(transparent)]
    Ipmi(#[from] ipmi::Error),
}

/// The controller of one node.
pub struct Controller {
    address: ipmi::ControllerAddress,
    client: Option<ipmi::Client>,
    meter: Meter,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Where the readings come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meter {
    NotKnownYet,
    Dcmi,
    None,
}
impl Controller {
    pub fn new(_d: &PowerDefinition) -> Self { Self { address: ipmi::ControllerAddress, client: None, meter: Meter::None } }
    pub async fn power(&mut self) -> Result<Power, PowerError> { Ok(Power::On) }
    pub async fn power_on(&mut self) -> Result<(), PowerError> { Ok(()) }
    pub async fn power_off(&mut self) -> Result<(), PowerError> { Ok(()) }
    pub async fn boot_from_network(&mut self) -> Result<(), PowerError> { Ok(()) }
    pub async fn watts(&mut self) -> Result<Option<u32>, PowerError> { Ok(None) }
}
