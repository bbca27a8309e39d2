//! slurmctld's own settings, and what bootsrv and the hooks believe about them.

use super::{Finding, Place};
use crate::live::LiveSite;

/// Slurm's default port of slurmctld.
const SLURMCTLD_PORT_DEFAULT: &str = "6817";

pub(super) fn return_to_service(site: &LiveSite) -> Vec<Finding> {
    let key = "ReturnToService";
    if site.number(key) == Some(2) {
        return Vec::new();
    }
    let wrong = "is not 2: a node that was booted for a job is DOWN as \"unexpectedly rebooted\", and the \
                 job on it is killed";
    vec![Place::setting(site, key).error(key, wrong, "ReturnToService=2")]
}

pub(super) fn job_requeue(site: &LiveSite) -> Vec<Finding> {
    let key = "JobRequeue";
    // Slurm's default is 1.
    if site.number(key) != Some(0) {
        return Vec::new();
    }
    let wrong = "is 0: a job whose node fails to boot is killed instead of going to another node";
    vec![Place::setting(site, key).error(key, wrong, "JobRequeue=1")]
}

pub(super) fn configless(site: &LiveSite) -> Vec<Finding> {
    if site.is_configless() {
        return Vec::new();
    }
    let key = "SlurmctldParameters";
    let wrong =
        "has no enable_configless: slurmd on a booted node has no slurm.conf and never registers";
    vec![Place::setting(site, key).error(key, wrong, "SlurmctldParameters=enable_configless")]
}

pub(super) fn config_overrides(site: &LiveSite) -> Vec<Finding> {
    let key = "SlurmdParameters";
    if site.has_word(key, "config_overrides") {
        return Vec::new();
    }
    let threaded = site.our_node_lines().find(|line| {
        site.node_value(line, "ThreadsPerCore").is_some_and(|threads| threads.value != "1")
    });
    let Some(line) = threaded else { return Vec::new() };
    let wrong = format!(
        "has no config_overrides, and {} has several threads a core: under a kernel with nosmt the node \
         is INVAL and its job is killed",
        line.name()
    );
    vec![Place::setting(site, key).error(key, wrong, "SlurmdParameters=config_overrides")]
}

pub(super) fn auth_type(site: &LiveSite) -> Vec<Finding> {
    // Slurm's default is auth/munge.
    let Some(found) = site.slurm.get("AuthType").filter(|found| found.value != "auth/munge") else {
        return Vec::new();
    };
    let wrong = format!(
        "is {}: bootsrv knows its callers by munge, and the nodes get a munge key and nothing else",
        found.value
    );
    vec![Place::of(found).error("AuthType", wrong, "AuthType=auth/munge")]
}

pub(super) fn auth_info(site: &LiveSite) -> Vec<Finding> {
    let Some(found) = site.slurm.get("AuthInfo").filter(|found| {
        site.is_configless() && found.value.to_ascii_lowercase().contains("socket=")
    }) else {
        return Vec::new();
    };
    let wrong = "names a socket: a configless slurmd asks for its configuration through munge's own \
                 socket, before it knows this one";
    vec![Place::of(found).error("AuthInfo", wrong, "no socket= here; munged at its usual place")]
}

/// SlurmUser's name.
pub(super) fn slurm_user_name(site: &LiveSite) -> &str {
    // Slurm's default is root.
    let user = site.slurm.get("SlurmUser").map_or("root", |setting| &setting.value);
    // Slurm allows NAME(UID).
    user.split('(').next().unwrap_or(user)
}

pub(super) fn slurm_user(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    let name = slurm_user_name(site);
    if name == bootsrv.slurm.user {
        return Vec::new();
    }
    let wrong = format!(
        "is {:?}, SlurmUser is {name:?}: bootsrv refuses what the hooks ask, and no job boots",
        bootsrv.slurm.user
    );
    vec![Place::bootsrv(site, "[slurm]", "user").error(
        "slurm.user",
        wrong,
        format!("user = {name:?}"),
    )]
}

pub(super) fn conf_server(site: &LiveSite) -> Vec<Finding> {
    let Some(bootsrv) = site.bootsrv.get() else { return Vec::new() };
    // A range of ports is allowed: the first one will do.
    let ports = site.slurm.get("SlurmctldPort").map_or(SLURMCTLD_PORT_DEFAULT, |port| &port.value);
    let port = ports.split('-').next().unwrap_or(ports);
    let given = bootsrv.slurm.conf_server.rsplit(':').next().unwrap_or_default();
    if given == port {
        return Vec::new();
    }
    let wrong = format!(
        "is {:?}, slurmctld listens on port {port}: slurmd on a booted node finds no configuration",
        bootsrv.slurm.conf_server
    );
    let place = Place::bootsrv(site, "[slurm]", "conf_server");
    vec![place.error("slurm.conf_server", wrong, format!("conf_server = \"ADDRESS:{port}\""))]
}

pub(super) fn server_url(site: &LiveSite) -> Vec<Finding> {
    let (Some(client), Some(bootsrv)) = (site.client.get(), site.bootsrv.get()) else {
        return Vec::new();
    };
    if client.server.trim_end_matches('/') == bootsrv.url.http.trim_end_matches('/') {
        return Vec::new();
    }
    let wrong = format!(
        "is {:?}, bootsrv calls itself {:?}: plugin, hooks and command may ask a stranger or nobody",
        client.server, bootsrv.url.http
    );
    let instead = format!("server = {:?}", bootsrv.url.http);
    vec![Place::client(site, "server").error("server", wrong, instead)]
}

pub(super) fn debug_flags(site: &LiveSite) -> Vec<Finding> {
    let Some(found) =
        site.slurm.get("DebugFlags").filter(|found| !found.value.eq_ignore_ascii_case("none"))
    else {
        return Vec::new();
    };
    let wrong = format!("is {}: slurmctld writes a log that grows with every boot", found.value);
    vec![Place::of(found).warning("DebugFlags", wrong, "no such line, once the search is over")]
}

pub(super) fn energy_billing(site: &LiveSite) -> Vec<Finding> {
    let of_energy = |value: &str| {
        value.to_ascii_lowercase().split(',').any(|part| part.trim().starts_with("energy="))
    };
    let general = site.slurm.get("TRESBillingWeights");
    let own =
        site.our_partitions().filter_map(|part| site.partition_value(part, "TRESBillingWeights"));
    let finding = |setting| {
        Place::of(setting).warning(
            "TRESBillingWeights",
            "weighs energy: Slurm bills what is allocated at the start, when a job has used none, and its \
             own figure never has the boot in it; the weight has no effect",
            "the weights without energy; `bmc report` has the energy of jobs, users and accounts",
        )
    };
    general
        .into_iter()
        .chain(own)
        .filter(|setting| of_energy(&setting.value))
        .map(finding)
        .collect()
}
