//! What a site file need not say. Each number with its reason.

use super::{Programs, Timeouts};
use std::path::PathBuf;

pub(super) fn one() -> u32 {
    1
}

/// Slurm's own default.
pub(super) fn slurmctld_port() -> u16 {
    6817
}

pub(super) fn slurm_conf() -> PathBuf {
    "/etc/slurm/slurm.conf".into()
}

pub(super) fn slurm_state() -> PathBuf {
    "/var/spool/slurmctld".into()
}

pub(super) fn slurm_log() -> PathBuf {
    "/var/log/slurm".into()
}

pub(super) fn http_port() -> u16 {
    8080
}

pub(super) fn https_port() -> u16 {
    8443
}

pub(super) fn state_dir() -> PathBuf {
    "/var/lib/bare-metal-container".into()
}

pub(super) fn profiles_dir() -> PathBuf {
    "/etc/bare-metal-container/profiles".into()
}

/// A rack of servers takes its peak current in the first tenths of a second.
pub(super) fn power_on_per_second() -> u32 {
    4
}

pub(super) fn max_time() -> String {
    "INFINITE".into()
}

pub(super) fn mode() -> String {
    "0644".into()
}

pub(super) fn root() -> String {
    "root".into()
}

impl Default for Timeouts {
    /// bootsrv's own defaults: server firmware with much memory takes minutes, the rest seconds.
    fn default() -> Self {
        Self {
            firmware_seconds: 240,
            boot_seconds: 120,
            register_seconds: 120,
            power_seconds: 60,
            prepare_seconds: 600,
            image_seconds: 300,
            tries_max: 3,
        }
    }
}

impl Default for Programs {
    fn default() -> Self {
        Self {
            libexec: "/usr/libexec/bare-metal-container".into(),
            plugin: "spank_bmc.so".into(),
            scontrol: "/usr/bin/scontrol".into(),
            site_prolog: None,
            site_epilog: None,
        }
    }
}
