//! What tests of several modules begin with.

use crate::store::NewTry;
use protocol::api::{Firmware, NodeDefinition};
use protocol::names::{JobId, JobReference};
use protocol::power::{Exec, PowerDefinition};

/// The least that bootsrv.toml may say; `STATE` is the state directory.
pub(crate) const CONFIG: &str = r#"
    state_dir = "STATE"
    profiles_dir = "/p"
    listen = { http = "127.0.0.1:1", https = "127.0.0.1:2" }
    url = { http = "http://a", https = "https://a" }
    slurm = { user = "slurm", conf_server = "a:1" }
"#;

/// The first try of alice's job, without an application image.
pub(crate) fn asked(job: u32) -> NewTry {
    NewTry {
        job: JobId(job),
        reference: JobReference::Job(JobId(job)),
        restart_count: 0,
        user: "alice".into(),
        uid: 2001,
        account: None,
        partition: "bmc".into(),
        kernel: "k".parse().unwrap(),
        image: "i".parse().unwrap(),
        power_off_after: true,
        application: None,
        application_image: None,
    }
}

/// A node with one CPU that a program switches.
pub(crate) fn node(name: &str, mac: &str, address: &str) -> NodeDefinition {
    NodeDefinition {
        name: name.parse().unwrap(),
        mac: mac.parse().unwrap(),
        address: address.into(),
        gateway: None,
        cpus: 1,
        threads_per_core: 1,
        memory_mib: None,
        power: PowerDefinition::Exec(Exec { program: "/p".into(), arguments: vec![] }),
        outlet: None,
        firmware: Firmware::Bios,
        console_log: None,
        console: None,
    }
}
