//! Names of sensor types and events (IPMI 2.0, tables 42-1 to 42-3), as far as they say why a system
//! died or did not boot. What is not here is shown as bytes.

/// Event types: a threshold was crossed; what it means depends on the sensor's type.
const THRESHOLD: u8 = 0x01;
const SENSOR_SPECIFIC: u8 = 0x6F;

/// What the event's second and third byte add.
pub(super) enum Detail {
    None,
    /// A code in the second byte.
    Second(fn(u8) -> Option<&'static str>),
    /// The number of a memory module in the third byte.
    Module,
}

/// What a sensor watches.
pub(super) fn sensor_name(sensor: u8) -> Option<&'static str> {
    Some(match sensor {
        0x01 => "temperature",
        0x02 => "voltage",
        0x03 => "current",
        0x04 => "fan",
        0x05 => "chassis intrusion",
        0x07 => "processor",
        0x08 => "power supply",
        0x09 => "power unit",
        0x0A => "cooling device",
        0x0C => "memory",
        0x0D => "drive slot",
        0x0F => "system firmware",
        0x10 => "event log",
        0x11 => "watchdog 1",
        0x12 => "system event",
        0x13 => "critical interrupt",
        0x14 => "button",
        0x19 => "chip set",
        0x1D => "system boot",
        0x1E => "boot",
        0x1F => "OS boot",
        0x20 => "OS",
        0x21 => "slot",
        0x22 => "ACPI power state",
        0x23 => "watchdog 2",
        0x28 => "management subsystem",
        _ => return None,
    })
}

/// The event `offset` of a sensor, and what its other bytes add.
pub(super) fn event_name(sensor: u8, event_type: u8, offset: u8) -> Option<(&'static str, Detail)> {
    let names: &[&str] = match (event_type, sensor) {
        (THRESHOLD, _) => &THRESHOLDS,
        (SENSOR_SPECIFIC, 0x07) => &PROCESSOR,
        (SENSOR_SPECIFIC, 0x08) => &POWER_SUPPLY,
        (SENSOR_SPECIFIC, 0x09) => &POWER_UNIT,
        (SENSOR_SPECIFIC, 0x0C) => &MEMORY,
        (SENSOR_SPECIFIC, 0x0F) => &FIRMWARE,
        (SENSOR_SPECIFIC, 0x11) => &WATCHDOG_1,
        (SENSOR_SPECIFIC, 0x13) => &CRITICAL_INTERRUPT,
        (SENSOR_SPECIFIC, 0x1D) => &SYSTEM_BOOT,
        (SENSOR_SPECIFIC, 0x1E) => &BOOT_ERROR,
        (SENSOR_SPECIFIC, 0x1F) => &OS_BOOT,
        (SENSOR_SPECIFIC, 0x20) => &OS_STOP,
        (SENSOR_SPECIFIC, 0x23) => &WATCHDOG_2,
        _ => return None,
    };
    let detail = match (event_type, sensor, offset) {
        (SENSOR_SPECIFIC, 0x0F, 0) => Detail::Second(post_error),
        // Where it was then; the list is long, and its numbers are what vendors document.
        (SENSOR_SPECIFIC, 0x0F, _) => Detail::Second(|_| None),
        (SENSOR_SPECIFIC, 0x23, _) => Detail::Second(watchdog_use),
        (SENSOR_SPECIFIC, 0x0C, _) => Detail::Module,
        _ => Detail::None,
    };
    names.get(usize::from(offset)).map(|name| (*name, detail))
}

const THRESHOLDS: [&str; 12] = [
    "lower non-critical, falling",
    "lower non-critical, rising",
    "lower critical, falling",
    "lower critical, rising",
    "lower non-recoverable, falling",
    "lower non-recoverable, rising",
    "upper non-critical, falling",
    "upper non-critical, rising",
    "upper critical, falling",
    "upper critical, rising",
    "upper non-recoverable, falling",
    "upper non-recoverable, rising",
];
const PROCESSOR: [&str; 13] = [
    "IERR",
    "thermal trip",
    "FRB1/BIST failure",
    "FRB2/hang in POST failure",
    "FRB3/processor startup failure",
    "configuration error",
    "uncorrectable CPU-complex error",
    "present",
    "disabled",
    "terminator present",
    "throttled",
    "uncorrectable machine check exception",
    "correctable machine check error",
];
const POWER_SUPPLY: [&str; 8] = [
    "present",
    "failure detected",
    "predictive failure",
    "power supply AC lost",
    "AC lost or out of range",
    "AC out of range, but present",
    "configuration error",
    "inactive",
];
const POWER_UNIT: [&str; 8] = [
    "power off/down",
    "power cycle",
    "240VA power down",
    "interlock power down",
    "AC lost",
    "soft-power control failure",
    "failure detected",
    "predictive failure",
];
const MEMORY: [&str; 11] = [
    "correctable ECC",
    "uncorrectable ECC",
    "parity error",
    "memory scrub failed",
    "memory device disabled",
    "correctable ECC logging limit reached",
    "present",
    "configuration error",
    "spare",
    "throttled",
    "critical overtemperature",
];
const FIRMWARE: [&str; 3] = ["POST error", "hang", "progress"];
const WATCHDOG_1: [&str; 8] = [
    "BIOS reset",
    "OS reset",
    "OS shut down",
    "OS power down",
    "OS power cycle",
    "OS NMI/diag interrupt",
    "OS expired",
    "OS pre-timeout interrupt",
];
const CRITICAL_INTERRUPT: [&str; 12] = [
    "NMI/diag interrupt",
    "bus timeout",
    "I/O channel check NMI",
    "software NMI",
    "PCI PERR",
    "PCI SERR",
    "EISA failsafe timeout",
    "bus correctable error",
    "bus uncorrectable error",
    "fatal NMI",
    "bus fatal error",
    "bus degraded",
];
const SYSTEM_BOOT: [&str; 8] = [
    "initiated by power up",
    "initiated by hard reset",
    "initiated by warm reset",
    "user requested PXE boot",
    "automatic boot to diagnostic",
    "OS initiated hard reset",
    "OS initiated warm reset",
    "system restart",
];
const BOOT_ERROR: [&str; 5] = [
    "no bootable media",
    "non-bootable disk in drive",
    "PXE server not found",
    "invalid boot sector",
    "timeout waiting for selection",
];
const OS_BOOT: [&str; 7] = [
    "A: boot completed",
    "C: boot completed",
    "PXE boot completed",
    "diagnostic boot completed",
    "CD-ROM boot completed",
    "ROM boot completed",
    "boot completed - device not specified",
];
const OS_STOP: [&str; 6] = [
    "error during system startup",
    "run-time critical stop",
    "OS graceful stop",
    "OS graceful shutdown",
    "PEF initiated soft shutdown",
    "agent not responding",
];
const WATCHDOG_2: [&str; 9] = [
    "timer expired",
    "hard reset",
    "power down",
    "power cycle",
    RESERVED,
    RESERVED,
    RESERVED,
    RESERVED,
    "timer interrupt",
];
const RESERVED: &str = "reserved";

fn post_error(code: u8) -> Option<&'static str> {
    const ERRORS: [&str; 14] = [
        "unspecified",
        "no memory installed",
        "no usable memory",
        "unrecoverable hard disk failure",
        "unrecoverable system board failure",
        "unrecoverable diskette failure",
        "unrecoverable hard disk controller failure",
        "unrecoverable keyboard failure",
        "removable boot media not found",
        "unrecoverable video controller failure",
        "no video device",
        "firmware ROM corruption",
        "CPU voltage mismatch",
        "CPU speed mismatch",
    ];
    ERRORS.get(usize::from(code)).copied()
}

/// What the watchdog was set for.
fn watchdog_use(code: u8) -> Option<&'static str> {
    Some(match code & 0x0F {
        1 => "set for BIOS FRB2",
        2 => "set for BIOS/POST",
        3 => "set for OS load",
        4 => "set for SMS/OS",
        5 => "set by the maker",
        _ => return None,
    })
}
