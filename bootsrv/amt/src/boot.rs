//! Booting from the network once.
//!
//! Sequence: clear the source, then all special settings (one excludes the other), then use the boot
//! configuration for one boot, then name the source. Intel's guide ("Set SOL/Storage Redirection and
//! other Boot Options") names the source before the last but one step; Intel's own consoles of today
//! do it as here. Both end in the same state.

use crate::client::Client;
use crate::error::{AmtError as Error, Asked, Cause};
use crate::power::boot_return;
use crate::soap::{Question, reference};
use crate::xml::{Element, escape};

const SETTINGS: &str = "AMT_BootSettingData";
const CONFIGURATION: &str = "CIM_BootConfigSetting";
/// The only boot configuration there is.
const CONFIGURATION_0: &[(&str, &str)] = &[("InstanceID", "Intel(r) AMT: Boot Configuration 0")];
/// CIM_BootService's role "next single use".
const ROLE_ONCE: u32 = 1;
/// Longest name and value of a setting that are sent back, in bytes.
const SETTING_BYTES_MAX: usize = 1024;

/// Settings that change what a boot does, by the class reference of AMT_BootSettingData; what is not
/// here is sent back as it came: it may be writable, and a Put replaces the whole.
const FLAGS: [&str; 15] = [
    "BIOSPause",
    "BIOSSetup",
    "ConfigurationDataReset",
    "ForcedProgressEvents",
    "LockKeyboard",
    "LockPowerButton",
    "LockResetButton",
    "LockSleepButton",
    "PlatformErase",
    "ReflashBIOS",
    "SecureErase",
    "UseIDER",
    "UseSOL",
    "UseSafeMode",
    "UserPasswordBypass",
];
const NUMBERS: [&str; 4] =
    ["BootMediaIndex", "FirmwareVerbosity", "IDERBootDevice", "UefiBootNumberOfParams"];

impl Client {
    /// Makes the next boot, and only that one, come from the network. The firmware (BIOS or UEFI)
    /// chooses how. It takes effect with the next change of power that this interface makes.
    ///
    /// # Errors
    /// See [`Error::kind`]. In client control mode the firmware wants a user at the node to consent,
    /// and the change fails: nodes must be in admin control mode.
    pub async fn boot_from_network_once(&self) -> Result<(), Error> {
        let asked = Asked::ReadBootSettings;
        let body = self.ask(asked, &Question::get(SETTINGS)).await?;
        let settings = body.child(SETTINGS).ok_or(Cause::Lacks("boot settings"));
        let settings = cleared(settings.map_err(|cause| self.error(asked, cause))?);

        self.change_boot_order(Asked::ClearBootSource, "").await?;
        self.ask(Asked::ClearBootSettings, &Question::put(SETTINGS, &settings)).await?;
        self.use_once().await?;
        let source = [("InstanceID", "Intel(r) AMT: Force PXE Boot")];
        let source = reference("CIM_BootSourceSetting", &source);
        self.change_boot_order(Asked::ChooseNetwork, &format!("<h:Source>{source}</h:Source>"))
            .await
    }

    async fn change_boot_order(&self, asked: Asked, source: &str) -> Result<(), Error> {
        let method = "ChangeBootOrder";
        let question = Question::invoke(CONFIGURATION, method, CONFIGURATION_0, source);
        let body = self.ask(asked, &question).await?;
        self.check(asked, method, &body, boot_return)
    }

    async fn use_once(&self) -> Result<(), Error> {
        let (asked, method) = (Asked::UseBootConfiguration, "SetBootConfigRole");
        let parameters = format!(
            "<h:BootConfigSetting>{}</h:BootConfigSetting><h:Role>{ROLE_ONCE}</h:Role>",
            reference(CONFIGURATION, CONFIGURATION_0)
        );
        let service = &[("Name", "Intel(r) AMT Boot Service")];
        let question = Question::invoke("CIM_BootService", method, service, &parameters);
        let body = self.ask(asked, &question).await?;
        self.check(asked, method, &body, boot_return)
    }
}

/// The same settings, in the same order, with nothing special in them.
fn cleared(settings: &Element) -> String {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let simple = |item: &&Element| {
        let size = item.name.len() + item.text.len();
        item.children.is_empty() && size <= SETTING_BYTES_MAX && item.name.chars().all(known)
    };
    let line = |item: &Element| {
        let name = item.name.as_str();
        let value = match name {
            _ if FLAGS.contains(&name) => "false",
            _ if NUMBERS.contains(&name) => "0",
            _ => item.text.trim(),
        };
        format!("<h:{name}>{}</h:{name}>", escape(value))
    };
    settings.children.iter().filter(simple).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::parse;

    #[test]
    fn what_is_special_is_cleared_and_the_rest_stays_in_its_order() {
        let settings = parse(
            b"<s><BIOSLastStatus>2</BIOSLastStatus><BIOSLastStatus>0</BIOSLastStatus>\
              <BIOSSetup>true</BIOSSetup><BootMediaIndex>3</BootMediaIndex>\
              <ElementName>a&lt;b</ElementName><RSEPassword/><x><y/></x></s>",
        );
        assert_eq!(
            cleared(&settings.unwrap()),
            "<h:BIOSLastStatus>2</h:BIOSLastStatus><h:BIOSLastStatus>0</h:BIOSLastStatus>\
             <h:BIOSSetup>false</h:BIOSSetup><h:BootMediaIndex>0</h:BootMediaIndex>\
             <h:ElementName>a&lt;b</h:ElementName><h:RSEPassword></h:RSEPassword>"
        );
    }
}
