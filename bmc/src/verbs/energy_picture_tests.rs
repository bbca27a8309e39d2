//! Which try is drawn, what is said where there is nothing to draw, and where the file goes.

use super::*;
use crate::picture::tests::one_node;
use crate::wire::Bootsrv;
use bootsrv_client::ClientConfig;
use bootsrv_client::test_server::{Seen, TestServer};
use clap::Parser;
use rustix::fs::{FileType, Mode};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

fn args(line: &str) -> EnergyArgs {
    let verb = crate::cli::Cli::parse_from(line.split(' ')).verb;
    let crate::cli::Verb::Energy(args) = verb else { panic!("{verb:?}") };
    args
}

fn tries(of: &[(&str, u32)]) -> Vec<JobEnergy> {
    let one = |&(reference, restart_count): &(&str, u32)| {
        let reference = reference.parse().unwrap();
        JobEnergy { reference, restart_count, ..one_node().0 }
    };
    of.iter().map(one).collect()
}

#[test]
fn the_last_try_is_drawn_or_the_one_that_was_named() {
    let found = |line: &str, of: &[(&str, u32)]| {
        let tries = tries(of);
        picked(&args(line), &tries).map(start).map_err(|error| error.to_string())
    };
    let both = [("42", 0), ("42", 1)];
    assert_eq!(found("bmc energy 42 --svg x", &both), Ok(2));
    assert_eq!(found("bmc energy 42 --svg x --try 1", &both), Ok(1));
    let said = found("bmc energy 42 --svg x --try 3", &both).unwrap_err();
    assert_eq!(said, "job 42 has no try 3. It has: 1, 2.");
    let said = found("bmc energy 42 --svg x", &[("42_1", 0), ("42_2", 0)]).unwrap_err();
    let expected = "job 42 has 2 parts, and a picture shows one. \
                    Name one: bmc energy 42_1 --svg FILE.";
    assert_eq!(said, expected);
    let said = found("bmc energy 42 --svg x", &[]).unwrap_err();
    assert_eq!(said, "job 42 has no energy record. It did not get to a node.");
}

#[test]
fn what_cannot_be_drawn_is_told() {
    let (energy, power) = one_node();
    let said = |power: &[JobPower]| picture(&energy, power).unwrap_err().to_string();
    assert!(picture(&energy, std::slice::from_ref(&power)).unwrap().starts_with("<svg "));
    let mut without = power;
    without.nodes[0].points.clear();
    let none = "there are no power readings of job 42, try 1, to draw. \
                None of its nodes' meters gave one: their energy is unknown, not zero.";
    assert_eq!(said(std::slice::from_ref(&without)), none);
    assert_eq!(said(&[]), none);
    without.nodes[0].gone_until_unix_ns = Some(9);
    let gone = "the power readings of job 42, try 1, are not kept any more. \
                They are kept for three days; its energy is in: bmc energy 42.";
    assert_eq!(said(&[without]), gone);
}

#[test]
fn a_file_is_replaced_whole_and_a_link_leads_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("a.svg"), directory.path().join("link.svg"));
    put(&file, "one").unwrap();
    symlink(&file, &link).unwrap();
    put(&link, "two").unwrap();
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
    let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode() & 0o600, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    put(&file, "two").unwrap();
    assert_eq!(mode(), 0o600, "what was private stays so");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left over");
    assert!(put(&directory.path().join("none/a.svg"), "x").is_err());
    assert!(put(directory.path(), "x").is_err());
}

#[test]
fn what_is_no_file_is_written_to_and_does_not_become_one() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .unwrap();
    let (send, read) = std::sync::mpsc::channel();
    let end = pipe.clone();
    std::thread::spawn(move || send.send(std::fs::read_to_string(end)).unwrap());
    put(&pipe, "one").unwrap();
    assert!(std::fs::metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(read.recv().unwrap().unwrap(), "one");
}

/// Over the wire, with signed requests, to the file and to standard output.
#[test]
fn the_server_is_asked_for_the_record_and_for_the_readings_of_that_try() {
    let (energy, power) = one_node();
    let expected = picture::render(&energy, &power);
    let first = JobEnergy { restart_count: 0, ..energy.clone() };
    let second = JobEnergy { restart_count: 1, ..energy };
    let answer = move |seen: &Seen| {
        let json = match seen.path.as_str() {
            "/v1/energy/42" => serde_json::to_string(&[&first, &second]),
            "/v1/energy/42/power?restart_count=0" => serde_json::to_string(&[&power]),
            _ => Ok("[]".to_owned()),
        };
        (200, json.unwrap())
    };
    let Some(server) = TestServer::start(answer).unwrap() else { return };
    let config = ClientConfig::parse(&server.client_toml(), Path::new("client.toml")).unwrap();
    let bootsrv = Bootsrv::of(config);
    let run = |line: &str| super::super::energy::run(&args(line), &bootsrv);
    assert_eq!(run("bmc energy 42 --svg - --try 1").unwrap(), expected);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("power.svg");
    let line = format!("bmc energy 42 --try 1 --svg {}", file.display());
    assert_eq!(run(&line).unwrap(), format!("job 42, try 1: {}\n", file.display()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    let said = run(&format!("bmc energy 42 --svg {}", file.display())).unwrap_err().to_string();
    assert!(said.starts_with("there are no power readings of job 42, try 2, to draw"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected, "it is left as it was");
}
