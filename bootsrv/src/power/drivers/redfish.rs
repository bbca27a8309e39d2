//! Redfish: one ComputerSystem of a service.

use super::redfish_events::{Listening, Pace};
use super::trust::Known;
use crate::power::Power;
use crate::power::driver::{
    Abilities, Answer, Command, Cue, Driver, DriverError, EVENTS_MAX, Reading, Trouble,
};
use futures_util::FutureExt;
use protocol::api::Firmware;
use protocol::names::{NodeName, Secret};
use protocol::power::Trust;
use redfish::{Account, BootMode, Client, Error, ErrorKind, LogEntry, PowerState, ResetType};
use std::sync::Arc;

/// The service, and what is known of the system by now.
#[derive(Debug)]
pub(super) struct Redfish {
    pub(super) client: Arc<Client>,
    pub(super) listening: Option<Listening>,
    /// What it has said that it does not offer.
    lacks: Vec<Command>,
}

/// What the node file says of it.
#[derive(Debug)]
pub(super) struct Definition<'a> {
    pub(super) url: &'a str,
    pub(super) user: &'a str,
    pub(super) password: &'a Secret,
    pub(super) system: Option<&'a str>,
    pub(super) trust: &'a Trust,
    /// Whose events are listened to; `None`: they are not.
    pub(super) events: Option<&'a NodeName>,
}

impl Redfish {
    /// # Errors
    /// What is wrong with the definition.
    pub(super) fn new(definition: &Definition<'_>) -> Result<Self, String> {
        let trust = match Known::by(definition.trust)? {
            Known::Host => redfish::Trust::Host,
            Known::Authority(pem) => redfish::Trust::Authority(pem),
            Known::Fingerprint(sha256) => redfish::Trust::Fingerprint(sha256),
        };
        let account = Account {
            url: definition.url.to_owned(),
            user: definition.user.to_owned(),
            password: definition.password.expose().to_owned(),
            trust,
            system: definition.system.map(String::from),
        };
        let client = Client::new(account);
        let client = client.map_err(|error| format!("url: {}", crate::chain(&error)))?;
        let client = Arc::new(client);
        let listening = definition.events;
        let listening = listening.map(|node| Listening::new(&client, node, Pace::default()));
        Ok(Self { client, listening, lacks: Vec::new() })
    }
}

/// Carries out what comes before the stream of events, and notes how it fared. What only reads a meter or
/// a log says nothing of that: it may be refused to the account for ever.
async fn first<T>(
    listening: &mut Option<Listening>,
    question: impl Future<Output = Result<T, Error>>,
) -> Result<T, DriverError> {
    let under_way = listening.as_mut().map(Listening::under_way);
    let answer = question.await.map_err(|error| trouble(&error));
    if let Some(under_way) = under_way {
        under_way.over(answer.as_ref().err().map(|error| error.trouble));
    }
    answer
}

impl Driver for Redfish {
    fn abilities(&self) -> Abilities {
        Abilities {
            sees_power: true,
            switches_off: true,
            soft_off: !self.lacks.contains(&Command::SoftOff),
            cycle: !self.lacks.contains(&Command::Cycle),
            boot_device: true,
            meter: true,
        }
    }

    fn cue(&self) -> Option<Cue> {
        self.listening.as_ref().map(Listening::cue)
    }

    fn power(&mut self) -> Answer<'_, Power> {
        async {
            let answer = first(&mut self.listening, self.client.power_state());
            match answer.await? {
                // On its way down it still has power; on its way up it has some already.
                Some(
                    PowerState::On
                    | PowerState::PoweringOn
                    | PowerState::PoweringOff
                    | PowerState::Paused,
                ) => Ok(Power::On),
                Some(PowerState::Off) => Ok(Power::Off),
                None => Err(DriverError::new(
                    Trouble::Broken,
                    format!("{}: the system shows no PowerState", self.client.host()),
                )),
            }
        }
        .boxed()
    }

    fn command(&mut self, command: Command) -> Answer<'_, ()> {
        let reset = match command {
            Command::On => ResetType::On,
            Command::SoftOff => ResetType::GracefulShutdown,
            Command::Off => ResetType::ForceOff,
            Command::Cycle => ResetType::PowerCycle,
        };
        async move {
            let done = first(&mut self.listening, self.client.reset(reset)).await;
            let lacks = done.as_ref().is_err_and(|error| error.trouble == Trouble::Unsupported);
            if lacks && !self.lacks.contains(&command) {
                self.lacks.push(command);
            }
            done
        }
        .boxed()
    }

    fn boot_from_network(&mut self, firmware: Firmware) -> Answer<'_, ()> {
        let mode = match firmware {
            Firmware::Bios => BootMode::Legacy,
            Firmware::Uefi => BootMode::Uefi,
        };
        async move { first(&mut self.listening, self.client.boot_from_network_once(mode)).await }
            .boxed()
    }

    fn reading(&mut self) -> Answer<'_, Option<Reading>> {
        async {
            let reading = self.client.power_reading().await.map_err(|error| trouble(&error))?;
            let milliwatts = reading.and_then(|reading| super::milliwatts(reading.watts));
            Ok(milliwatts.map(|milliwatts| Reading { milliwatts, meter: "redfish" }))
        }
        .boxed()
    }

    fn events(&mut self, since_unix_ns: i64) -> Answer<'_, Vec<String>> {
        async move {
            let entries = self.client.log_entries(EVENTS_MAX).await;
            let entries = entries.map_err(|error| trouble(&error))?;
            Ok(entries.iter().filter_map(|entry| line(entry, since_unix_ns)).collect())
        }
        .boxed()
    }
}

/// An entry as one line; `None`: it is older, or does not say when or what.
fn line(entry: &LogEntry, since_unix_ns: i64) -> Option<String> {
    let created = entry.created.filter(|at| at.as_nanosecond() >= i128::from(since_unix_ns))?;
    let message = entry.message.as_ref().or(entry.message_id.as_ref())?;
    let severity = entry.severity.as_ref().map(|severity| format!(" {severity}"));
    Some(format!("{created}{} {message}", severity.unwrap_or_default()))
}

fn trouble(error: &Error) -> DriverError {
    let trouble = match error.kind {
        ErrorKind::NoAnswer => Trouble::NoAnswer,
        // No question of the driver's: those log in.
        ErrorKind::Busy { .. } | ErrorKind::LoggedOut => Trouble::Busy,
        ErrorKind::Refused => Trouble::Refused,
        ErrorKind::Unsupported => Trouble::Unsupported,
        ErrorKind::Failed | ErrorKind::Malformed | ErrorKind::Misconfigured => Trouble::Broken,
    };
    DriverError::new(trouble, crate::chain(error))
}
