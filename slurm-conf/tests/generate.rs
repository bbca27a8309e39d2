//! Site files become configuration files: whole files are compared. `UPDATE_EXPECTED=1` writes the
//! expected ones anew, to be read in the diff.
#![expect(
    clippy::unwrap_used,
    reason = "clippy sees only #[test] functions as tests, not their helpers"
)]

use slurm_conf::generate::generate;
use slurm_conf::site::Site;
use std::fs;
use std::path::{Path, PathBuf};

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn compare(path: &Path, content: &str) {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(expected == content, "{} is not what is generated now:\n{content}", path.display());
}

fn check_site(site: &Path, expected: &Path) {
    let site = Site::read(site).unwrap();
    let files = generate(&site, true);
    for file in &files {
        compare(&expected.join(file.name), &file.content);
    }
    let written = fs::read_dir(expected).unwrap().count();
    assert_eq!(written, files.len(), "{} has a file that is not generated", expected.display());
    assert!(generate(&site, false).iter().all(|file| file.name != "slurm.conf"));
}

#[test]
fn the_example_site_gives_the_expected_files() {
    check_site(&crate_dir().join("../examples/site.toml"), &crate_dir().join("testdata/example"));
}

#[test]
fn a_site_with_everything_gives_the_expected_files() {
    let directory = crate_dir().join("testdata/newer-slurm");
    check_site(&directory.join("site.toml"), &directory.join("expected"));
}

#[test]
fn the_examples_are_what_the_example_site_gives() {
    let examples = crate_dir().join("../examples");
    let files = generate(&Site::read(&examples.join("site.toml")).unwrap(), false);
    for file in files.iter().filter(|file| ["bootsrv.toml", "client.toml"].contains(&file.name)) {
        compare(&examples.join(file.name), &file.content);
    }
}

#[test]
fn node_definitions_are_what_bootsrv_takes() {
    let site = Site::read(&crate_dir().join("testdata/newer-slurm/site.toml")).unwrap();
    let files = generate(&site, false);
    let nodes = files.iter().find(|file| file.name == "nodes.toml").unwrap();
    // `bmc node import` puts the files' contents in the place of their names.
    let text = nodes.content.replace("password_file", "password").replace("kg_file", "kg");
    let mut table: toml::Table = toml::from_str(&text).unwrap();
    let nodes: Vec<protocol::api::NodeDefinition> =
        table.remove("node").unwrap().try_into().unwrap();
    assert_eq!(nodes.len(), 8);
    assert_eq!(nodes[2].address, "10.1.1.0/16");
    let protocol::power::PowerDefinition::Ipmi { address, .. } = &nodes[0].power else { panic!() };
    assert_eq!(address, "c001-ipmi");
    let shown: Vec<String> = nodes[4..].iter().map(|node| node.power.to_string()).collect();
    let expected = [
        "redfish https://r1-rf",
        "redfish https://r2-rf",
        "wake_on_lan 10.1.255.255",
        "exec /usr/local/sbin/rack-power",
    ];
    assert_eq!(shown, expected);
}
