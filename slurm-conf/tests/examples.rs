//! The shipped examples parse, so that they never go stale.

use protocol::job_options::{JobOptions, OptionName};
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
fn the_job_scripts_ask_for_what_there_is() {
    let site = slurm_conf::site::Site::read(&examples().join("site.toml")).unwrap();
    for name in ["hello.sbatch", "container.sbatch"] {
        let script = fs::read_to_string(examples().join(name)).unwrap();
        assert!(script.starts_with("#!/bin/sh\n"), "{name}");
        assert!(script.contains(&format!("#SBATCH --partition={}\n", site.partitions[0].name)));
        let mut options = JobOptions::default();
        for option in script.lines().filter_map(|line| line.strip_prefix("#SBATCH --")) {
            let (word, value) = option.split_once('=').unwrap();
            if let Some(ours) = OptionName::ALL.into_iter().find(|ours| ours.long() == word) {
                options.set(ours, value).unwrap();
            }
        }
        let kernels = options.kernel.iter().map(|name| format!("profiles/{name}.toml"));
        assert!(kernels.into_iter().all(|file| examples().join(file).exists()), "{name}");
        assert_eq!(options.image.is_some(), name == "container.sbatch");
    }
}

/// Every key of a site file, as the administrator's guide names it.
fn keys(site: &toml::Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in site {
        let tables = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        for table in tables {
            match table.as_table() {
                Some(table) => keys.extend(table.keys().map(|key| format!("`{name}.{key}`"))),
                None => keys.push(format!("`{name}`")),
            }
        }
    }
    keys
}

#[test]
fn the_guide_has_every_key_that_the_example_sites_use() {
    let guide = fs::read_to_string(examples().join("../docs/admin.md")).unwrap();
    for site in ["site.toml", "../slurm-conf/testdata/newer-slurm/site.toml"] {
        let site: toml::Table =
            toml::from_str(&fs::read_to_string(examples().join(site)).unwrap()).unwrap();
        for key in keys(&site) {
            let group = format!("{}.*`", key.split('.').next().unwrap());
            assert!(
                guide.contains(&key) || guide.contains(&group),
                "{key} is not in docs/admin.md"
            );
        }
    }
}
