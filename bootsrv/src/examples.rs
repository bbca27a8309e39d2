//! What tests of several modules begin with.

use crate::store::NewTry;
use protocol::names::{JobId, JobReference};

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
