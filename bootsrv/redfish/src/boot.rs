//! The boot device of the next boot (ComputerSystem.Boot, DSP0268).

use crate::client::Client;
use crate::document::{Document, link, set, text, texts};
use crate::wire::Ask;
use crate::{Error, ErrorKind};
use serde_json::{Value, json};

/// Most tries to change a document that others change too.
const TRIES_MAX: u32 = 3;

/// How the firmware boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootMode {
    /// UEFI.
    Uefi,
    /// BIOS.
    Legacy,
}

/// What the service says of the next boot. Properties that it does not know are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootOverride {
    /// BootSourceOverrideEnabled: `Once`, `Continuous` or `Disabled`.
    pub enabled: Option<String>,
    /// BootSourceOverrideTarget, e.g. `Pxe`.
    pub target: Option<String>,
    /// BootSourceOverrideMode.
    pub mode: Option<BootMode>,
}

impl BootMode {
    fn value(self) -> &'static str {
        match self {
            Self::Uefi => "UEFI",
            Self::Legacy => "Legacy",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Uefi, Self::Legacy].into_iter().find(|mode| mode.value() == text)
    }
}

impl BootOverride {
    fn of(system: &Value) -> Self {
        let property = |name| text(system, name).map(str::to_owned);
        Self {
            enabled: property("/Boot/BootSourceOverrideEnabled"),
            target: property("/Boot/BootSourceOverrideTarget"),
            mode: text(system, "/Boot/BootSourceOverrideMode").and_then(BootMode::read),
        }
    }
}

/// The change to a network boot once, with the mode where the service has one; what stands in the way
/// otherwise.
fn change(system: &Value, mode: BootMode) -> Result<Value, String> {
    let allowed = |property: &str, value: &str| {
        let values = texts(system, &format!("/Boot/{property}@Redfish.AllowableValues"));
        values.is_none_or(|values| values.iter().any(|other| other == value))
    };
    if system.pointer("/Boot").is_none() {
        return Err("the system has no boot override".into());
    }
    for (property, value) in
        [("BootSourceOverrideTarget", "Pxe"), ("BootSourceOverrideEnabled", "Once")]
    {
        if !allowed(property, value) {
            return Err(format!("the system does not allow {property} {value}"));
        }
    }
    let mut boot = json!({"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"});
    let has_mode = system.pointer("/Boot/BootSourceOverrideMode").is_some();
    if has_mode && allowed("BootSourceOverrideMode", mode.value()) {
        set(&mut boot, "BootSourceOverrideMode", mode.value());
    }
    Ok(json!({ "Boot": boot }))
}

/// The same change without a mode.
fn without_mode(mut change: Value) -> Value {
    if let Some(boot) = change.pointer_mut("/Boot").and_then(Value::as_object_mut) {
        boot.remove("BootSourceOverrideMode");
    }
    change
}

impl Client {
    /// What the service says of the next boot.
    ///
    /// # Errors
    /// Every kind.
    pub async fn boot_override(&self) -> Result<BootOverride, Error> {
        self.within("Boot", async {
            Ok(BootOverride::of(&self.get(&self.place().await?.system).await?.value))
        })
        .await
    }

    /// Makes the system boot from the network, the next time only.
    ///
    /// The mode goes along where the service has one; where it may not be changed and is the wanted
    /// one already, the device alone is changed.
    ///
    /// # Errors
    /// Every kind; [`ErrorKind::Unsupported`] if the service does not offer it.
    pub async fn boot_from_network_once(&self, mode: BootMode) -> Result<(), Error> {
        self.within("Boot", async {
            let system = self.get(&self.place().await?.system).await?;
            let change = change(&system.value, mode)
                .map_err(|what| self.error("Boot", ErrorKind::Unsupported, what))?;
            let is_mode = BootOverride::of(&system.value).mode == Some(mode);
            let place = self.boot_settings(&system).await?.unwrap_or(system);
            match self.change(&place.path, &change).await {
                Err(error) if error.status == Some(400) && is_mode => {
                    self.change(&place.path, &without_mode(change)).await
                }
                done => done,
            }
        })
        .await
    }

    /// The document that takes changes of the boot override in the system's place, if there is one.
    async fn boot_settings(&self, system: &Document) -> Result<Option<Document>, Error> {
        let Some(path) = link(&system.value, "/@Redfish.Settings/SettingsObject") else {
            return Ok(None);
        };
        let found = self.get_if_there(&path).await?;
        Ok(found.filter(|settings| settings.value.pointer("/Boot").is_some()))
    }

    /// Changes a document; with its version where the service wants that (DSP0266, "ETags"). Not from
    /// the start: some services name versions that they refuse to know again.
    async fn change(&self, path: &str, change: &Value) -> Result<(), Error> {
        let mut ask = Ask::patch(path, change.clone());
        for tried in 1.. {
            match self.send(&ask).await {
                Err(error) if matches!(error.status, Some(412 | 428)) && tried < TRIES_MAX => {
                    let etag = self.get(path).await?.etag;
                    // As it was named; then the strong form of a weak one, as strict services
                    // compare (RFC 9110, section 13.1.1).
                    ask.if_match = etag.map(|etag| match tried {
                        1 => etag,
                        _ => etag.trim_start_matches("W/").to_owned(),
                    });
                }
                done => return done.map(drop),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_sent_where_there_is_one() {
        let once = json!({"BootSourceOverrideEnabled": "Once", "BootSourceOverrideTarget": "Pxe"});
        let mut uefi = once.clone();
        uefi["BootSourceOverrideMode"] = "UEFI".into();
        let plain = json!({"Boot": {"BootSourceOverrideTarget": "None"}});
        assert_eq!(change(&plain, BootMode::Uefi).unwrap(), json!({"Boot": once}));
        let with = json!({"Boot": {"BootSourceOverrideMode": "Legacy"}});
        assert_eq!(change(&with, BootMode::Uefi).unwrap(), json!({"Boot": uefi}));
        let fixed = json!({"Boot": {"BootSourceOverrideMode": "UEFI",
            "BootSourceOverrideMode@Redfish.AllowableValues": ["UEFI"]}});
        assert_eq!(change(&fixed, BootMode::Legacy).unwrap(), json!({"Boot": once}));
        assert_eq!(without_mode(json!({"Boot": uefi})), json!({"Boot": once}));
    }

    #[test]
    fn what_is_not_allowed_is_not_tried() {
        for system in [
            json!({}),
            json!({"Boot": {"BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Hdd"]}}),
            json!({"Boot": {"BootSourceOverrideEnabled@Redfish.AllowableValues": ["Continuous"]}}),
        ] {
            assert!(change(&system, BootMode::Uefi).is_err(), "{system}");
        }
    }
}
