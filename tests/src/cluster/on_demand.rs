//! Services that only some cases want: two registries, a slow way to one of them, one that follows a
//! script, an NFS server, and those of [`power_methods`](crate::cluster::power_methods).
//! Their files are written for every cluster; they are started when somebody asks.

use crate::cluster::error::{ClusterError, Result};
use crate::cluster::inside::check_output;
use crate::cluster::layout::{Access, PROGRAM_DIR, PUBLIC, PUBLIC_DIR, RunDir, make_dir, write};
use crate::cluster::node::HEAD_ADDRESS;
use crate::cluster::power_methods;
use std::path::Path;
use std::process::Command;

/// The controller host's other name, for what is pulled.
pub const REGISTRY_HOST: &str = "registry";
/// Docker's registry, plain HTTP, open to all.
pub const REGISTRY: &str = "registry";
/// The same program with TLS and [`LOGIN`].
pub const LOGIN_REGISTRY: &str = "registry-login";
/// A slow way to [`REGISTRY`].
pub const SLOW_REGISTRY: &str = "registry-slow";
/// A registry whose repositories say how it behaves.
pub const SCRIPTED_REGISTRY: &str = "registry-scripted";
/// nfs-ganesha with bootsrv's artifacts, read-only.
pub const NFS: &str = "nfs";
/// User and password of [`LOGIN_REGISTRY`].
pub const LOGIN: (&str, &str) = ("alice", "correct horse");
/// [`LOGIN`] for its htpasswd file, which takes bcrypt only.
const HTPASSWD: &str = "alice:$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";
/// The certificate of [`LOGIN_REGISTRY`] as it is seen inside the cluster.
pub const CERTIFICATE: &str = "/etc/bare-metal-container/site/registry.pem";
/// What [`NFS`] exports, as nodes mount it.
pub const NFS_PATH: &str = "/artifacts";

/// [`SLOW_REGISTRY`]: bytes a second to the client, and milliseconds before a connection's first byte:
/// longer than a submission waits.
const SLOW: (&str, &str) = ("3000000", "1500");

/// A service's name, how it is known to be ready, and its words.
pub(crate) struct OnDemand {
    pub(crate) name: &'static str,
    pub(crate) ready: Ready,
    pub(crate) words: Vec<String>,
}

/// How a service is known to be ready.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ready {
    /// It takes a TCP connection at `address:port`.
    Accepts(String),
    /// This command ends well.
    Succeeds(Vec<String>),
}

/// All of them.
pub(crate) fn all(run: &RunDir) -> Vec<OnDemand> {
    let path = |name: &str| run.join(name).display().to_string();
    let address = |name| format!("{HEAD_ADDRESS}:{}", port(name));
    let one = |name, words: &[&str]| OnDemand {
        name,
        ready: Ready::Accepts(address(name)),
        words: words.iter().map(|&word| word.to_owned()).collect(),
    };
    let serve = |name, config: &str| one(name, &["docker-registry", "serve", &path(config)]);
    let slow = format!("{PROGRAM_DIR}/vcluster-slow");
    let scripted = format!("{PROGRAM_DIR}/vcluster-scripted");
    let (from, to) = (address(SLOW_REGISTRY), address(REGISTRY));
    let nfs = ["ganesha.nfsd", "-F", "-f", &path("nfs/ganesha.conf"), "-L", "/dev/stdout"];
    let nfs = nfs.into_iter().chain(["-p", "/run/ganesha.pid"]).collect::<Vec<_>>();
    let mut all = vec![
        serve(REGISTRY, "registry/open.yml"),
        serve(LOGIN_REGISTRY, "registry/login.yml"),
        one(SLOW_REGISTRY, &[&slow, &from, &to, SLOW.0, SLOW.1]),
        one(SCRIPTED_REGISTRY, &[&scripted, &address(SCRIPTED_REGISTRY), &to]),
        one(NFS, &nfs),
    ];
    all.extend(power_methods::all(run));
    all
}

/// Where each listens; references have to name it.
#[must_use]
pub fn port(name: &str) -> u16 {
    match name {
        REGISTRY => 5000,
        SLOW_REGISTRY => 5001,
        SCRIPTED_REGISTRY => 5002,
        LOGIN_REGISTRY => 5443,
        _ => 2049,
    }
}

/// Writes their configuration. What is pushed is gone with the cluster.
pub(crate) fn prepare(run: &RunDir) -> Result<()> {
    for name in ["registry/open", "registry/login", "nfs/recovery"] {
        make_dir(&run.join(name), PUBLIC_DIR)?;
    }
    write(&run.join("registry/open.yml"), registry(run, REGISTRY, "open", ""), PUBLIC)?;
    let dir = run.join("registry").display().to_string();
    let login = format!(
        "  tls: {{certificate: {CERTIFICATE}, key: {dir}/key.pem}}\n\
         auth:\n  htpasswd: {{realm: virtual, path: {dir}/htpasswd}}\n"
    );
    write(&run.join("registry/login.yml"), registry(run, LOGIN_REGISTRY, "login", &login), PUBLIC)?;
    let secret = Access { owner: 0, mode: 0o600 };
    write(&run.join("registry/htpasswd"), format!("{HTPASSWD}\n"), secret)?;
    let (key, pem) = (run.join("registry/key.pem"), run.join("etc/site/registry.pem"));
    certificate(&key, &pem, REGISTRY_HOST, &format!("DNS:{REGISTRY_HOST}"))?;
    write(&run.join("nfs/ganesha.conf"), ganesha(run), PUBLIC)?;
    power_methods::prepare(run)
}

fn registry(run: &RunDir, name: &str, storage: &str, more: &str) -> String {
    let storage = run.join("registry").join(storage);
    format!(
        "version: 0.1\n\
         log: {{level: info}}\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http:\n  addr: {HEAD_ADDRESS}:{}\n{more}",
        storage.display(),
        port(name)
    )
}

/// Makes a key and a certificate signed by itself, for a name or an address.
pub(crate) fn certificate(key: &Path, certificate: &Path, name: &str, of: &str) -> Result<()> {
    let program = "/usr/bin/openssl";
    let output = Command::new(program)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "3650", "-subj", &format!("/CN={name}")])
        // A server's own, not an authority's.
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", &format!("subjectAltName={of}"), "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(certificate)
        .output()
        .map_err(|source| ClusterError::Start { program: program.to_owned(), source })?;
    check_output(program, &output).map(drop)
}

/// Version 4 only, so without rpcbind; no grace period: nobody has a lock to reclaim.
fn ganesha(run: &RunDir) -> String {
    format!(
        "NFS_CORE_PARAM {{ Protocols = 4; Bind_addr = {HEAD_ADDRESS}; NFS_Port = {}; \
         Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = none; Clustered = false; }}\n\
         NFSv4 {{ Graceless = true; Lease_Lifetime = 10; RecoveryBackend = fs; RecoveryRoot = \"{}\"; \
         Only_Numeric_Owners = true; Minor_Versions = 1,2; }}\n\
         EXPORT {{ Export_Id = 1; Path = /var/lib/bare-metal-container/artifacts; Pseudo = {NFS_PATH}; \
         Access_Type = RO; Squash = All_Squash; PrivilegedPort = true; SecType = sys; Protocols = 4; \
         Transports = TCP; \
         FSAL {{ Name = VFS; }} }}\n\
         NFS_KRB5 {{ Active_krb5 = false; }}\n\
         LOG {{ Default_Log_Level = EVENT; }}\n",
        port(NFS),
        run.join("nfs/recovery").display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_something_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let all = all(&RunDir::new(dir.path()).unwrap());
        let names: std::collections::BTreeSet<_> = all.iter().map(|one| one.name).collect();
        let ready: std::collections::BTreeSet<_> = all.iter().map(|one| &one.ready).collect();
        assert_eq!((names.len(), ready.len()), (all.len(), all.len()));
    }
}
