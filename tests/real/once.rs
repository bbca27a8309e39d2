//! What a node is given while it boots, and how often. The test plays the nodes itself, from their
//! own addresses: they have no boot ROM and never come to it.

use crate::case::{Case, ensure_contains};
use crate::web::{Answer, HTTP, HTTPS, artifacts_of, ask, boot_url};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;
use tests::cluster::{Fault, Node};
use tests::product::wait_until;

/// Artifacts only while booting and by ranges, the token once, the secrets to one boot; to no
/// other address. Twice fails the boot, with that reason.
pub(crate) fn a_boot_is_given_once(case: &Case<'_>) -> Result<()> {
    let nodes = [case.node(1)?, case.node(2)?];
    let idle = case.node(3)?;
    for node in nodes {
        case.cluster.fault(node, Fault::NoBoot)?;
        case.submit(&["-w", &node.to_string()], "true")?;
    }
    for node in nodes {
        wait_until(Duration::from_secs(30), &format!("{node} is powered on"), || {
            let shown = case.json(&["node", "show", &node.to_string()])?;
            Ok(shown.pointer("/power").is_some_and(|power| power == "on")
                && shown.pointer("/state").is_some_and(|state| state == "powering_on"))
        })?;
    }
    let address = |verb: &str, node: Node| {
        let address = format!("{}/32", node.address());
        case.cluster.check(&["ip", "address", verb, &address, "dev", "lo"])
    };
    let all = [nodes[0], nodes[1], idle];
    let played =
        all.iter().try_for_each(|node| address("add", *node).map(drop)).map_err(Into::into);
    let played = played.and_then(|()| {
        artifacts_only_while_booting(case, nodes[0], idle)?;
        token_is_given_once(case, nodes[0])?;
        secrets_are_given_once(case, nodes[1])
    });
    // The nodes' addresses are theirs again, whatever came of it.
    for node in all {
        address("del", node)?;
    }
    played
}

/// Asks as if from the node.
fn ask_as(case: &Case<'_>, node: Node, words: &[&str]) -> Result<Answer> {
    ask(case, "root", &[&["--interface", &node.address()], words].concat())
}

fn expect(answer: &Answer, status: u16, what: &str) -> Result<()> {
    let text: String = answer.text().chars().take(300).collect();
    ensure!(answer.status == status, "{what}: {} instead of {status}: {text}", answer.status);
    Ok(())
}

fn artifacts_only_while_booting(case: &Case<'_>, node: Node, idle: Node) -> Result<()> {
    let [_, initrd, _] = artifacts_of(case, "6.1-cloud")?;
    let url = format!("{HTTP}/artifacts/{initrd}");
    let whole = fs::read(case.cluster.dir().join("state/artifacts").join(&initrd))?;
    expect(&ask_as(case, idle, &[&url])?, 403, "an artifact to a node that does not boot")?;
    expect(&ask(case, "root", &[&url])?, 403, "an artifact to an address that is no node's")?;
    let all = ask_as(case, node, &["-i", &url])?;
    expect(&all, 200, "an artifact to a node that boots")?;
    ensure!(all.body.ends_with(&whole), "the artifact is another one");
    ensure_contains(&all.text(), "immutable")?;
    let part = ask_as(case, node, &["-r", "100-299", &url])?;
    expect(&part, 206, "a range")?;
    ensure!(whole.get(100..300) == Some(&part.body), "another range was sent");
    let rest = ask_as(case, node, &["-r", &format!("{}-", whole.len() - 7), &url])?;
    expect(&rest, 206, "an open range")?;
    ensure!(rest.body.len() == 7 && whole.ends_with(&rest.body), "another end was sent");
    let beyond = ask_as(case, node, &["-r", &format!("{}-", whole.len()), &url])?;
    expect(&beyond, 416, "a range behind the end")
}

/// Plays iPXE until it has the token.
fn boot_token(case: &Case<'_>, node: Node) -> Result<String> {
    let boot = boot_url(node);
    let token = format!("{boot}/token");
    expect(&ask_as(case, node, &[&token])?, 403, "a token before the script")?;
    let script = ask_as(case, node, &[&boot])?.text();
    ensure_contains(&script, "kernel --name kernel ")?;
    expect(&ask(case, "root", &[&token])?, 403, "the token to another address")?;
    let archive = ask_as(case, node, &[&token])?;
    expect(&archive, 200, "the token")?;
    let text = archive.text();
    let token = text.split(|c: char| !c.is_ascii_hexdigit()).find(|word| word.len() == 64);
    let token = token.with_context(|| format!("no token in {text:?}"))?.to_owned();
    ensure!(!script.contains(&token), "the token stands in the boot script");
    Ok(token)
}

fn token_is_given_once(case: &Case<'_>, node: Node) -> Result<()> {
    let header = format!("Boot-Token: {}", boot_token(case, node)?);
    let plan = format!("{HTTPS}/v1/boot/plan");
    let with_token = ["-H", &header, &plan];
    expect(&ask(case, "root", &with_token)?, 403, "a plan to another address")?;
    let given = ask_as(case, node, &with_token)?;
    expect(&given, 200, "the plan")?;
    ensure_contains(&given.text(), "\"kernel_release\"")?;
    expect(&ask_as(case, node, &[&format!("{}/token", boot_url(node))])?, 403, "a token twice")?;
    fails_with(case, node, "its boot token was asked for twice")?;
    expect(&ask_as(case, node, &with_token)?, 403, "a plan after the boot has failed")
}

fn secrets_are_given_once(case: &Case<'_>, node: Node) -> Result<()> {
    let header = format!("Boot-Token: {}", boot_token(case, node)?);
    let secrets = format!("{HTTPS}/v1/boot/secrets");
    let without = ["-X", "POST", "-H", &header, &secrets];
    expect(&ask_as(case, node, &without)?, 400, "secrets to a boot that does not say which")?;
    let [first, second] =
        ["Boot-Id: first", "Boot-Id: second"].map(|boot| [&without[..], &["-H", boot]].concat());
    expect(&ask(case, "root", &first)?, 403, "secrets to another address")?;
    for what in ["the secrets", "the secrets for a boot whose answer was lost"] {
        let given = ask_as(case, node, &first)?;
        expect(&given, 200, what)?;
        ensure_contains(&given.text(), "/etc/munge/munge.key")?;
    }
    expect(&ask_as(case, node, &second)?, 403, "secrets for another boot")?;
    fails_with(case, node, "its secrets were asked for twice")
}

fn fails_with(case: &Case<'_>, node: Node, reason: &str) -> Result<()> {
    wait_until(Duration::from_secs(20), &format!("{node} is drained because {reason}"), || {
        Ok(case.reason(node)?.starts_with(reason))
    })
    .with_context(|| format!("Slurm's reason is {:?}", case.reason(node).unwrap_or_default()))
}
