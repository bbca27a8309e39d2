//! The shipped examples parse, so that they never go stale.

use protocol::profile::{CpusLeft, Profile};
use std::fs;
use std::path::PathBuf;

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

#[test]
fn every_profile_is_one_and_says_what_it_is() {
    let mut names = Vec::new();
    for entry in fs::read_dir(examples().join("profiles")).unwrap() {
        let path = entry.unwrap().path();
        let profile: Profile = toml::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        assert_eq!(profile.kernel.as_str(), "6.1-cloud", "{name}");
        assert!(!profile.description.is_empty(), "{name}");
        assert!(profile.sysfs.keys().all(|path| !path.starts_with('/')), "{name}");
        let nosmt = profile.arguments.iter().any(|argument| argument == "nosmt");
        assert_eq!(nosmt, profile.cpus == CpusLeft::OnePerCore, "{name}");
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["rfs-off", "rfs-on", "smt-off", "thp-always", "thp-off"]);
}

#[test]
fn the_job_script_asks_for_the_example_partition() {
    let script = fs::read_to_string(examples().join("hello.sbatch")).unwrap();
    let site = slurm_conf::site::Site::read(&examples().join("site.toml")).unwrap();
    assert!(script.starts_with("#!/bin/sh\n"));
    assert!(script.contains(&format!("#SBATCH --partition={}\n", site.partitions[0].name)));
}
