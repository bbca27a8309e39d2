//! bootsrv's doors as anybody on the controller host can knock at them.

use crate::case::Case;
use anyhow::{Context, Result, ensure};
use std::fs;
use tests::cluster::Node;

/// The door for iPXE, hooks and people.
pub(crate) const HTTP: &str = "http://10.77.0.1:8080";
/// The door for node agents.
pub(crate) const HTTPS: &str = "https://10.77.0.1:8443";

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks with curl, as a user of the controller host; `words` are curl's.
pub(crate) fn ask(case: &Case<'_>, user: &str, words: &[&str]) -> Result<Answer> {
    let curl = ["curl", "-sS", "--insecure", "--max-time", "10", "-w", "%{http_code}"];
    let output = case.cluster.run(user, &[&curl, words].concat())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "curl {words:?}: {}: {said}", output.status);
    // The status is three digits behind the body.
    let (body, status) = output.stdout.split_last_chunk::<3>().context("curl printed nothing")?;
    Ok(Answer { status: std::str::from_utf8(status)?.parse()?, body: body.to_vec() })
}

/// The digests of an imported kernel: kernel, initrd, module tree.
pub(crate) fn artifacts_of(case: &Case<'_>, kernel: &str) -> Result<[String; 3]> {
    let path = case.cluster.dir().join("state/kernels").join(format!("{kernel}.json"));
    let kernel: serde_json::Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let digest = |part: &str| {
        let found = kernel.pointer(&format!("/{part}/sha256")).and_then(|sha| sha.as_str());
        found.map(str::to_owned).with_context(|| format!("kernel without {part}: {kernel}"))
    };
    Ok([digest("vmlinuz")?, digest("initrd")?, digest("modules")?])
}

/// What iPXE asks for on this node's card.
pub(crate) fn boot_url(node: Node) -> String {
    format!("{HTTP}/boot/{}", node.mac())
}
