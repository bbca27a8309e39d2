//! The rules a live site must keep. One function a rule; each returns all it finds, and none stops
//! another. Reads no file: everything is in [`LiveSite`].

mod application_images;
mod controller;
mod files;
mod hooks;
mod partitions;
mod plugin;
mod power;
mod report;
mod stay_on;
mod timeouts;

pub use report::{as_json, as_text};

use crate::live::LiveSite;
use crate::slurm_file::Setting;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Jobs fail, hang or get the wrong kernel.
    Error,
    /// It works until something else happens too.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule's name.
    pub rule: &'static str,
    /// The file it stands in, or should.
    pub file: PathBuf,
    /// Line, from 1; none where the setting is absent.
    pub line: Option<usize>,
    /// The setting.
    pub setting: String,
    /// What is wrong, and what it breaks.
    pub wrong: String,
    /// What to write instead.
    pub instead: String,
}

/// A place in a file.
#[derive(Debug, Clone)]
struct Place {
    file: PathBuf,
    line: Option<usize>,
}

impl Place {
    fn of(setting: &Setting) -> Self {
        Self { file: setting.file.clone(), line: Some(setting.line) }
    }

    fn file(path: &Path) -> Self {
        Self { file: path.to_owned(), line: None }
    }

    /// Where a setting stands, or slurm.conf if it is absent.
    fn setting(site: &LiveSite, key: &str) -> Self {
        site.slurm.get(key).map_or_else(|| Self::file(&site.slurm_conf), Self::of)
    }

    fn client(site: &LiveSite, key: &str) -> Self {
        Self { file: site.client.path.clone(), line: site.client.line("", key) }
    }

    fn bootsrv(site: &LiveSite, header: &str, key: &str) -> Self {
        Self { file: site.bootsrv.path.clone(), line: site.bootsrv.line(header, key) }
    }

    fn error(self, setting: &str, wrong: impl Into<String>, instead: impl Into<String>) -> Finding {
        self.finding(Severity::Error, setting, wrong.into(), instead.into())
    }

    fn warning(
        self,
        setting: &str,
        wrong: impl Into<String>,
        instead: impl Into<String>,
    ) -> Finding {
        self.finding(Severity::Warning, setting, wrong.into(), instead.into())
    }

    fn finding(self, severity: Severity, setting: &str, wrong: String, instead: String) -> Finding {
        let setting = setting.to_owned();
        Finding { severity, rule: "", file: self.file, line: self.line, setting, wrong, instead }
    }
}

/// A rule: its name, and the function that looks.
type Rule = (&'static str, fn(&LiveSite) -> Vec<Finding>);

/// Every rule, in the order findings are shown.
const RULES: &[Rule] = &[
    ("readable", files::readable),
    ("set-once", files::set_once),
    ("include-is-handed-on", files::include_is_handed_on),
    ("node-programs", files::node_programs),
    ("resume-program", power::resume_program),
    ("suspend-program", power::suspend_program),
    ("resume-fail-program", power::resume_fail_program),
    ("reboot-program", power::reboot_program),
    ("suspend-time", power::suspend_time),
    ("power-rates", power::power_rates),
    ("suspend-exclusions", power::suspend_exclusions),
    ("power-down-on-idle", power::power_down_on_idle),
    ("idle-on-node-suspend", power::idle_on_node_suspend),
    ("slurmd-timeout", stay_on::slurmd_timeout),
    ("idle-time", stay_on::idle_time),
    ("keeps-nodes-on", stay_on::keeps_nodes_on),
    ("preference", stay_on::preference),
    ("preboot-time", stay_on::preboot_time),
    ("prolog-slurmctld", hooks::prolog_slurmctld),
    ("epilog-slurmctld", hooks::epilog_slurmctld),
    ("site-hooks", hooks::site_hooks),
    ("prolog-epilog-timeout", timeouts::prolog_epilog_timeout),
    ("prolog-timeout", timeouts::prolog_timeout),
    ("resume-timeout", timeouts::resume_timeout),
    ("suspend-timeout", timeouts::suspend_timeout),
    ("batch-start-timeout", timeouts::batch_start_timeout),
    ("message-timeout", timeouts::message_timeout),
    ("unkillable-step-timeout", timeouts::unkillable_step_timeout),
    ("return-to-service", controller::return_to_service),
    ("job-requeue", controller::job_requeue),
    ("configless", controller::configless),
    ("config-overrides", controller::config_overrides),
    ("auth-type", controller::auth_type),
    ("auth-info", controller::auth_info),
    ("slurm-user", controller::slurm_user),
    ("conf-server", controller::conf_server),
    ("server-url", controller::server_url),
    ("debug-flags", controller::debug_flags),
    ("energy-billing", controller::energy_billing),
    ("partitions-exist", partitions::exist),
    ("partitions-agree", partitions::agree),
    ("exclusive", partitions::exclusive),
    ("preempt-mode", partitions::preempt_mode),
    ("node-state", partitions::node_state),
    ("nodes-not-shared", partitions::nodes_not_shared),
    ("plugin", plugin::plugin),
    ("cgroup", plugin::cgroup),
    ("application-images", application_images::section),
    ("partition-root", application_images::partition_root),
    ("registry-logins", application_images::registry_logins),
];

/// Looks at a site with every rule.
#[must_use]
pub fn check(site: &LiveSite) -> Vec<Finding> {
    let look = |(name, rule): &Rule| {
        let name: &'static str = name;
        rule(site)
            .into_iter()
            .map(move |finding| Finding { rule: name, ..finding })
            .collect::<Vec<_>>()
    };
    RULES.iter().flat_map(look).collect()
}
