//! What a controller can be asked about its power.

use crate::address::ControllerAddress;
use crate::connection::Connection;
use crate::error::{AmtError as Error, Asked, Cause, Kind};
use crate::power::{Action, Choice, PowerStatus, Switched, choose, power_return};
use crate::soap::{self, Question, reference};
use crate::tls::TrustError;
use crate::xml::Element;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Most pages of a list.
const PAGES_MAX: usize = 8;
/// Longest text of an identity, in characters.
const IDENTITY_MAX: usize = 100;

const POWER_SERVICE: &str = "CIM_PowerManagementService";
const POWER_STATE: &str = "CIM_AssociatedPowerManagementService";

/// Time limits of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientConfig {
    /// For a connection without its TLS.
    pub connect_timeout: Duration,
    /// For a whole question: connection, login, answer.
    pub reply_timeout: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5), reply_timeout: Duration::from_secs(20) }
    }
}

/// Who a controller says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// E.g. `Intel(r)`.
    pub vendor: String,
    /// E.g. `AMT 12.0.45`.
    pub version: String,
}

/// A controller, seen from here. Questions wait for each other: firmware takes one at a time.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    /// Host and port.
    host: String,
    questions: AtomicU64,
}

impl Client {
    /// Prepares a client; nothing is asked yet.
    ///
    /// # Errors
    /// When the trust cannot be used.
    pub fn new(address: &ControllerAddress, config: ClientConfig) -> Result<Self, TrustError> {
        let connection = Connection::new(address, config)?;
        Ok(Self { connection, host: address.to_string(), questions: AtomicU64::new(1) })
    }

    /// Asks who it is: WS-Management's Identify.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub async fn identify(&self) -> Result<Identity, Error> {
        let body = self.exchange(Asked::Identity, soap::identify()).await?;
        let word = |name| {
            let text = body.text_at(&["IdentifyResponse", name]);
            text.map(|text| text.chars().filter(|c| !c.is_control()).take(IDENTITY_MAX).collect())
        };
        let identity = word("ProductVendor")
            .zip(word("ProductVersion"))
            .map(|(vendor, version)| Identity { vendor, version });
        identity.ok_or_else(|| self.error(Asked::Identity, Cause::Lacks("vendor and version")))
    }

    /// Asks for the power state.
    ///
    /// # Errors
    /// See [`Error::kind`].
    pub async fn power(&self) -> Result<PowerStatus, Error> {
        let asked = Asked::Power;
        let got = self.ask(asked, &Question::get(POWER_STATE)).await;
        let status = match got {
            Ok(body) => body.child(POWER_STATE).and_then(power_status),
            // The same association is in the list of its base class too.
            Err(Error { cause: Cause::Fault(fault), .. }) if fault.kind() == Kind::Unsupported => {
                self.listed_power().await?
            }
            Err(error) => return Err(error),
        };
        status.ok_or_else(|| self.error(asked, Cause::Lacks("a power state")))
    }

    async fn listed_power(&self) -> Result<Option<PowerStatus>, Error> {
        const LIST: &str = "CIM_ServiceAvailableToElement";
        let body = self.ask(Asked::Power, &Question::enumerate(LIST)).await?;
        let mut context = context(&body, "EnumerateResponse");
        for _ in 0..PAGES_MAX {
            let Some(open) = context else { break };
            let body = self.ask(Asked::Power, &Question::pull(LIST, &open)).await?;
            let items = body.find(&["PullResponse", "Items"]);
            let mut found = items.into_iter().flat_map(|items| items.children(POWER_STATE));
            if let Some(status) = found.find_map(power_status) {
                return Ok(Some(status));
            }
            context = self::context(&body, "PullResponse");
        }
        Ok(None)
    }

    /// Changes the power, unless it is so already. The effect comes later: look at [`Self::power`].
    ///
    /// # Errors
    /// See [`Error::kind`]; [`Action::SoftOff`] is unsupported where the firmware does not list it:
    /// then nothing in the operating system listens.
    pub async fn switch(&self, action: Action) -> Result<Switched, Error> {
        let status = self.power().await?;
        let asked = Asked::Switch(action);
        let state = match choose(action, &status) {
            Choice::Nothing => return Ok(Switched::Already),
            Choice::Ask(state) => state,
            Choice::Cannot => return Err(self.error(asked, Cause::NotListed(status.available))),
        };
        let system = [("CreationClassName", "CIM_ComputerSystem"), ("Name", "ManagedSystem")];
        let parameters = format!(
            "<h:PowerState>{state}</h:PowerState><h:ManagedElement>{}</h:ManagedElement>",
            reference("CIM_ComputerSystem", &system)
        );
        let method = "RequestPowerStateChange";
        let service = &[("Name", "Intel(r) AMT Power Management Service")];
        let question = Question::invoke(POWER_SERVICE, method, service, &parameters);
        let body = self.ask(asked, &question).await?;
        self.check(asked, method, &body, power_return)?;
        Ok(Switched::Accepted(state))
    }

    /// Checks a method's ReturnValue.
    pub(crate) fn check(
        &self,
        asked: Asked,
        method: &'static str,
        body: &Element,
        meaning: impl Fn(u32) -> Option<crate::error::ReturnMeaning>,
    ) -> Result<(), Error> {
        let value = soap::return_value(body, method).map_err(|cause| self.error(asked, cause))?;
        match meaning(value) {
            None => Ok(()),
            Some(meaning) => Err(self.error(asked, Cause::Returned { method, value, meaning })),
        }
    }

    /// Asks a question; gives the answer's body.
    pub(crate) async fn ask(&self, asked: Asked, question: &Question) -> Result<Element, Error> {
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        self.exchange(asked, question.envelope(number)).await
    }

    async fn exchange(&self, asked: Asked, message: String) -> Result<Element, Error> {
        self.connection.exchange(message).await.map_err(|cause| self.error(asked, cause))
    }

    pub(crate) fn error(&self, asked: Asked, cause: Cause) -> Error {
        Error { host: self.host.clone(), asked, cause }
    }
}

fn power_status(instance: &Element) -> Option<PowerStatus> {
    let state = instance.text_at(&["PowerState"])?.parse().ok()?;
    let listed = instance.children("AvailableRequestedPowerStates");
    let listed = listed.filter_map(|item| item.text.trim().parse().ok());
    Some(PowerStatus::new(state, listed.collect()))
}

/// Where a list goes on; `None`: it is at its end.
fn context(body: &Element, answer: &str) -> Option<String> {
    let open = body.text_at(&[answer, "EnumerationContext"])?;
    (!open.is_empty() && body.find(&[answer, "EndOfSequence"]).is_none()).then(|| open.to_owned())
}
