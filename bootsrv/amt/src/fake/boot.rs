//! What the next boot boots: AMT_BootSettingData, the source, and whether it is for one boot.

/// ReturnValue: done.
pub(super) const DONE: u32 = 0;
/// ReturnValue: what firmware says where a change is not possible in the present state.
pub(super) const NOT_NOW: u32 = 2;
/// ReturnValue of the boot methods: there is no such instance.
const NO_SUCH: u32 = 4;

/// The sources that can be chosen.
pub(super) const SOURCES: [(&str, &str); 3] = [
    ("Intel(r) AMT: Force Hard-drive Boot", "CIM:Hard-Disk:1"),
    (NETWORK, "CIM:Network:1"),
    ("Intel(r) AMT: Force CD/DVD Boot", "CIM:CD/DVD:1"),
];
const NETWORK: &str = "Intel(r) AMT: Force PXE Boot";

/// AMT_BootSettingData of an AMT 12, as it is when nothing is chosen.
const SETTINGS: [(&str, &str); 24] = [
    ("BIOSLastStatus", "2"),
    ("BIOSLastStatus", "0"),
    ("BIOSPause", "false"),
    ("BIOSSetup", "false"),
    ("BootMediaIndex", "0"),
    ("ConfigurationDataReset", "false"),
    ("ElementName", "Intel(r) AMT Boot Configuration Settings"),
    ("FirmwareVerbosity", "0"),
    ("ForcedProgressEvents", "false"),
    ("IDERBootDevice", "0"),
    ("InstanceID", "Intel(r) AMT:BootSettingData 0"),
    ("LockKeyboard", "false"),
    ("LockPowerButton", "false"),
    ("LockResetButton", "false"),
    ("LockSleepButton", "false"),
    ("OptionsCleared", "true"),
    ("OwningEntity", "Intel(r) AMT"),
    ("RSEPassword", ""),
    ("ReflashBIOS", "false"),
    ("SecureErase", "false"),
    ("UseIDER", "false"),
    ("UseSOL", "false"),
    ("UseSafeMode", "false"),
    ("UserPasswordBypass", "false"),
];

/// What the next boot boots.
#[derive(Debug)]
pub(super) struct Boot {
    settings: Vec<(String, String)>,
    source: Option<&'static str>,
    once: bool,
}

impl Default for Boot {
    fn default() -> Self {
        let settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { settings: settings.to_vec(), source: None, once: false }
    }
}

impl Boot {
    pub(super) fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    pub(super) fn setting(&self, name: &str) -> Option<String> {
        self.settings.iter().find(|item| item.0 == name).map(|item| item.1.clone())
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        for item in self.settings.iter_mut().filter(|item| item.0 == name) {
            value.clone_into(&mut item.1);
        }
    }

    /// Whether something special is chosen; it excludes a source.
    fn is_special(&self) -> bool {
        self.settings.iter().any(|(name, value)| name != "OptionsCleared" && value == "true")
    }

    /// Replaces the settings; `false`: the new ones are none, or are excluded by a source.
    pub(super) fn put(&mut self, settings: Vec<(String, String)>) -> bool {
        let names = |list: &[(String, String)]| -> Vec<String> {
            list.iter().map(|item| item.0.clone()).collect()
        };
        let boolean = |value: &str| matches!(value, "true" | "false");
        let fits = |(old, new): (&(String, String), &(String, String))| {
            !boolean(&old.1) || boolean(&new.1)
        };
        let same = names(&settings) == names(&self.settings)
            && self.settings.iter().zip(&settings).all(fits);
        let new = Self { settings, source: self.source, once: self.once };
        if !same || (new.source.is_some() && new.is_special()) {
            return false;
        }
        *self = new;
        true
    }

    /// ChangeBootOrder.
    pub(super) fn order(&mut self, source: Option<&str>) -> u32 {
        let Some(asked) = source else {
            self.source = None;
            return DONE;
        };
        if self.is_special() {
            return NOT_NOW;
        }
        match SOURCES.iter().find(|known| known.0 == asked) {
            Some(known) => {
                self.source = Some(known.0);
                DONE
            }
            None => NO_SUCH,
        }
    }

    /// SetBootConfigRole.
    pub(super) fn role(&mut self, role: &str) -> u32 {
        self.once = match role {
            "1" => true,
            "32768" => false,
            _ => return 5,
        };
        DONE
    }

    /// Whether the boot that comes now is from the network; nothing is chosen any more.
    pub(super) fn take(&mut self) -> bool {
        let was = std::mem::take(self);
        was.once && was.source == Some(NETWORK)
    }
}
