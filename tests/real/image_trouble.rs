//! Registries and images with which something is wrong: what the user of the job reads.

use crate::case::{BOOT_SECONDS, Case, ensure_contains};
use crate::images::pushed;
use anyhow::{Context, Result, ensure};
use tests::cluster::on_demand::{LOGIN_REGISTRY, SCRIPTED_REGISTRY};
use tests::product::check;

/// Image, and what its held job says. The registry follows a script; `head` is its host by a name for
/// which the site has no settings, so nobody there vouches for the other registry's certificate.
const HELD: [(&str, &[&str]); 7] = [
    (
        "registry:5002/limit/x:1",
        &[
            "registry:5002 asks for patience",
            "429 Too Many Requests: you have pulled enough for today",
        ],
    ),
    ("registry:5002/loop/x:1", &["registry:5002 redirects where it is not followed", "too many"]),
    ("registry:5002/half/x:1", &["the connection to registry:5002 broke"]),
    ("registry:5002/lie/x:1", &["its layer sha256:", "does not have that digest"]),
    ("registry:5002/bomb/x:1", &["the layer unpacks to more than 100 times its size"]),
    ("registry:5002/million/x:1", &["the layer has ", "the site's limit"]),
    ("head:5443/test/musl:1", &["head:5443 cannot be reached by TLS", "UnknownIssuer"]),
];

/// Each job is held with the sentence, and no node is blamed. A registry that asks for a moment, and one
/// that sends on elsewhere, are no trouble at all.
pub(crate) fn what_goes_wrong_is_told(case: &Case<'_>) -> Result<()> {
    pushed(case, "musl")?;
    for service in [SCRIPTED_REGISTRY, LOGIN_REGISTRY] {
        case.cluster.start_service(service)?;
    }
    let polite = submit(case, "n1", "registry:5002/polite/x:1", "cat /etc/os-release")?;
    // A node for each: nobody waits for the node of a job that is held.
    let (first, second) = HELD.split_at(3);
    let jobs = are_held(case, &["n2", "n3", "n4"], first)?;
    let limited = jobs.first().context("no job")?.to_string();
    case.wait(polite, "COMPLETED", BOOT_SECONDS)?;
    ensure_contains(&case.output(polite), "ID=musl")?;
    case.wait_all_off()?;
    are_held(case, &["n1", "n2", "n3", "n4"], second)?;
    case.wait_all_off()?;
    // The user's own command has the same to say as the queue.
    let told = check(case.alice(&["bmc", "status", &limited])?)?;
    ensure_contains(&told, "you have pulled enough for today")?;
    for node in case.cluster.nodes() {
        let reason = case.reason(node)?;
        ensure!(reason.is_empty(), "{node} was drained for an image: {reason}");
    }
    for service in [SCRIPTED_REGISTRY, LOGIN_REGISTRY] {
        case.cluster.stop_service(service, "TERM")?;
    }
    Ok(())
}

fn submit(case: &Case<'_>, node: &str, image: &str, script: &str) -> Result<u32> {
    let option = format!("--bmc-image=docker://{image}");
    case.submit(&["-w", node, &option], script).with_context(|| image.to_owned())
}

/// A job on each node, which is held with what its image's row says; gives their numbers.
fn are_held(case: &Case<'_>, nodes: &[&str], rows: &[(&str, &[&str])]) -> Result<Vec<u32>> {
    let submitted = nodes.iter().zip(rows).map(|(node, row)| submit(case, node, row.0, "echo ran"));
    let jobs = submitted.collect::<Result<Vec<_>>>()?;
    for (job, (image, expected)) in jobs.iter().zip(rows) {
        let comment = case.wait_held(job, BOOT_SECONDS)?;
        for expected in [expected, &[*image][..]].concat() {
            ensure_contains(&comment, expected)?;
        }
        ensure!(case.output(job).is_empty(), "{image} ran: {}", case.output(job));
    }
    Ok(jobs)
}
