//! The repository's own rules, as a test.

use crate::proofs::Names;
use crate::run::{output, root};
use anyhow::{Context, Result, bail};
use ignore::WalkBuilder;
use std::path::Path;

/// Longest file without a listed reason, in lines.
const LINES_MAX: usize = 500;

/// Crates that may hold `unsafe`: each wraps one C interface or the kernel's.
const UNSAFE: [&str; 5] = [
    "munge/",
    "spank-plugin/",
    "node-agent/",
    "tests/dcmi-module/",
    "tests/src/chassis/inherited.rs",
];

/// Checks every rule and prints all that is broken, not the first only.
pub(crate) fn run() -> Result<()> {
    let (mut broken, mut proofs) = (Vec::new(), Names::default());
    // By the tree, not by git: an unpacked release has no repository. /target is in .gitignore.
    let tree = WalkBuilder::new(root())
        .hidden(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for path in tree.map(|entry| entry.map(ignore::DirEntry::into_path)) {
        let path = path?;
        let file = path.strip_prefix(root())?.to_string_lossy().into_owned();
        if !path.is_file() {
            continue;
        }
        let text = std::fs::read(&path).with_context(|| format!("reading {file}"))?;
        let text = String::from_utf8_lossy(&text);
        check_file(&file, &text, &mut broken);
        proofs.note(&file, &text);
    }
    check_edges(&mut broken)?;
    check_adr_index(&mut broken)?;
    proofs.check(&mut broken)?;
    if broken.is_empty() {
        return Ok(());
    }
    broken.iter().for_each(|line| eprintln!("tidy: {line}"));
    bail!("{} rule(s) broken", broken.len())
}

fn check_file(file: &str, text: &str, broken: &mut Vec<String>) {
    let rust = Path::new(file).extension().is_some_and(|extension| extension == "rs");
    let lines = text.lines().count();
    if rust && lines > LINES_MAX {
        broken.push(format!("{file} has {lines} lines; {LINES_MAX} are the limit"));
    }
    if rust && !text.trim_start().starts_with("//!") && !text.starts_with("#!") {
        broken.push(format!("{file} does not start by saying what it is for (//!)"));
    }
    if rust && text.contains("unsafe ") && !file.starts_with("xtask/") {
        let wraps = UNSAFE.iter().any(|place| file.starts_with(place));
        if !wraps {
            broken.push(format!("{file} has unsafe code; only {} may", UNSAFE.join(", ")));
        }
    }
    let marker = concat!("FIX", "ME");
    if rust && text.contains(marker) {
        broken.push(format!("{file} says {marker}: mend it or open an issue"));
    }
    if file == "README.md" && lines > 120 {
        broken.push(format!("README.md has {lines} lines; 120 are the limit"));
    }
}

/// Which of our crates each of our crates may use (ARCHITECTURE.md).
const EDGES: [(&str, &[&str]); 23] = [
    ("protocol", &[]),
    ("munge", &[]),
    ("energy", &["protocol"]),
    ("ipmi", &[]),
    ("pinned-tls", &[]),
    ("amt", &["pinned-tls"]),
    ("wake", &["protocol"]),
    ("pdu", &[]),
    ("redfish", &["pinned-tls"]),
    ("artifacts", &["protocol"]),
    ("bootsrv-client", &["protocol", "munge"]),
    ("images", &["protocol", "artifacts"]),
    (
        "bootsrv",
        &[
            "protocol",
            "munge",
            "pinned-tls",
            "ipmi",
            "redfish",
            "amt",
            "wake",
            "pdu",
            "artifacts",
            "images",
            "energy",
        ],
    ),
    ("spank-plugin", &["protocol", "bootsrv-client"]),
    ("prolog", &["protocol", "bootsrv-client"]),
    ("epilog", &["protocol", "bootsrv-client"]),
    ("node-agent", &["protocol", "pinned-tls"]),
    ("bmc", &["protocol", "bootsrv-client", "artifacts", "energy"]),
    ("slurm-conf", &["protocol"]),
    ("tests", &["protocol", "pinned-tls", "wake", "bootsrv-client", "ipmi"]),
    ("dcmi-module", &[]),
    ("probe", &[]),
    ("xtask", &[]),
];

fn check_edges(broken: &mut Vec<String>) -> Result<()> {
    let text = output("cargo", ["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let packages =
        metadata.get("packages").and_then(|list| list.as_array()).context("cargo metadata")?;
    for package in packages {
        let name = package.get("name").and_then(|name| name.as_str()).unwrap_or("");
        let Some((_, allowed)) = EDGES.iter().find(|edge| edge.0 == name) else {
            broken.push(format!("crate {name} is not in the table of crates"));
            continue;
        };
        let dependencies = package.get("dependencies").and_then(|list| list.as_array());
        for dependency in dependencies.into_iter().flatten() {
            // What a test uses besides is no edge of the program.
            let dev = dependency.get("kind").and_then(|kind| kind.as_str()) == Some("dev");
            let to = dependency.get("name").and_then(|name| name.as_str()).unwrap_or("");
            if !dev && EDGES.iter().any(|edge| edge.0 == to) && !allowed.contains(&to) {
                broken.push(format!("{name} must not depend on {to} (ARCHITECTURE.md)"));
            }
        }
    }
    Ok(())
}

fn check_adr_index(broken: &mut Vec<String>) -> Result<()> {
    let directory = root().join("docs/adr");
    let index = std::fs::read_to_string(directory.join("README.md"))
        .context("reading docs/adr/README.md")?;
    for entry in std::fs::read_dir(&directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "README.md" && !index.contains(&name) {
            broken.push(format!("docs/adr/{name} is not in docs/adr/README.md"));
        }
    }
    Ok(())
}
