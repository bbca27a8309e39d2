//! A site as it is: the files in use, read once, for the rules to look at. Judges nothing.

mod our_files;

pub use our_files::{
    Bootsrv, BootsrvFile, BootsrvPartition, BootsrvSlurm, Client, Limits, TomlFile, Urls,
};

use crate::plugstack::{self, PlugstackLine};
use crate::site::SlurmVersion;
use crate::slurm_file::{Record, Setting, SlurmFile};
use protocol::names::NodeName;
use protocol::node_list;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// As much of a hook's text is looked at, in bytes.
const SCRIPT_BYTES_MAX: u64 = 64 * 1024;

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Paths {
    /// slurm.conf.
    pub slurm_conf: PathBuf,
    /// bootsrv.toml.
    pub bootsrv: PathBuf,
    /// client.toml.
    pub client: PathBuf,
}

/// What a path of a program leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramState {
    /// A file that may be executed.
    Executable,
    /// A file that may not.
    NotExecutable,
    /// Nothing.
    Missing,
}

/// How the rules look at programs; tests put their own functions here.
#[derive(Debug, Clone, Copy)]
pub struct ProgramView {
    /// What a path leads to.
    pub state: fn(&Path) -> ProgramState,
    /// The text of a script; `None` for anything else.
    pub script: fn(&Path) -> Option<String>,
}

impl ProgramView {
    /// This machine's file system.
    #[must_use]
    pub fn of_this_machine() -> Self {
        Self { state: program_state, script: |path| read_start(path).ok() }
    }
}

fn program_state(path: &Path) -> ProgramState {
    match fs::metadata(path) {
        Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => {
            ProgramState::Executable
        }
        Ok(_) => ProgramState::NotExecutable,
        Err(_) => ProgramState::Missing,
    }
}

fn read_start(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(SCRIPT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// The files in use.
#[derive(Debug)]
pub struct LiveSite {
    /// Where slurm.conf is.
    pub slurm_conf: PathBuf,
    /// slurm.conf and what it includes.
    pub slurm: SlurmFile,
    /// Where plugstack.conf is, or should be.
    pub plugstack_conf: PathBuf,
    /// Its plugins; `None` if it cannot be read.
    pub plugstack: Option<Vec<PlugstackLine>>,
    /// Where cgroup.conf is, or should be.
    pub cgroup_conf: PathBuf,
    /// cgroup.conf; `None` if it cannot be read.
    pub cgroup: Option<SlurmFile>,
    /// bootsrv.toml.
    pub bootsrv: TomlFile<Bootsrv>,
    /// client.toml.
    pub client: TomlFile<Client>,
    /// Slurm's version; `None`: not known, and rules that depend on it are silent.
    pub version: Option<SlurmVersion>,
    /// How to look at programs.
    pub programs: ProgramView,
}

impl LiveSite {
    /// Reads the files of a site.
    ///
    /// # Errors
    /// When slurm.conf cannot be read; what is wrong with the other files is for the rules to say.
    pub fn read(paths: &Paths, programs: ProgramView) -> io::Result<Self> {
        let slurm = SlurmFile::read(&paths.slurm_conf)?;
        let directory = paths.slurm_conf.parent().unwrap_or_else(|| Path::new("/etc/slurm"));
        let plugstack_conf = directory
            .join(slurm.get("PlugStackConfig").map_or("plugstack.conf", |setting| &setting.value));
        let cgroup_conf = directory.join("cgroup.conf");
        Ok(Self {
            slurm_conf: paths.slurm_conf.clone(),
            plugstack: plugstack::read(&plugstack_conf).ok(),
            plugstack_conf,
            cgroup: SlurmFile::read(&cgroup_conf).ok(),
            cgroup_conf,
            bootsrv: TomlFile::read("bootsrv.toml", &paths.bootsrv),
            client: TomlFile::read("client.toml", &paths.client),
            slurm,
            version: None,
            programs,
        })
    }

    /// Whether one of a setting's comma-separated words is `word`.
    #[must_use]
    pub fn has_word(&self, key: &str, word: &str) -> bool {
        self.slurm.get(key).is_some_and(|setting| {
            setting.value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
        })
    }

    /// A setting as a number; `None` if it is absent or none (INFINITE, UNLIMITED, -1).
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u32> {
        self.slurm.get(key)?.value.parse().ok()
    }

    /// Whether nodes get their configuration from slurmctld.
    #[must_use]
    pub fn is_configless(&self) -> bool {
        self.has_word("SlurmctldParameters", "enable_configless")
    }

    /// Names of the partitions that bootsrv or the hooks take for ours.
    #[must_use]
    pub fn our_names(&self) -> BTreeSet<&str> {
        let client =
            self.client.get().map(|client| client.partitions.as_slice()).unwrap_or_default();
        let bootsrv =
            self.bootsrv.get().map(|bootsrv| bootsrv.partitions.as_slice()).unwrap_or_default();
        client
            .iter()
            .map(String::as_str)
            .chain(bootsrv.iter().map(|part| part.name.as_str()))
            .collect()
    }

    /// The partitions of slurm.conf that are ours.
    pub fn our_partitions(&self) -> impl Iterator<Item = &Record> {
        let ours = self.our_names();
        self.slurm.partitions.iter().filter(move |record| ours.contains(record.name()))
    }

    /// The nodes of our partitions.
    #[must_use]
    pub fn our_nodes(&self) -> BTreeSet<NodeName> {
        self.our_partitions().flat_map(|partition| self.partition_nodes(partition)).collect()
    }

    /// The nodes of a partition. Names of a NodeSet, and lists that are none, are left out.
    #[must_use]
    pub fn partition_nodes(&self, partition: &Record) -> Vec<NodeName> {
        match inherited(&self.slurm.partitions, partition, "Nodes")
            .map(|nodes| nodes.value.as_str())
        {
            Some(all) if all.eq_ignore_ascii_case("ALL") => {
                self.slurm.nodes.iter().flat_map(|node| expanded(node.name())).collect()
            }
            Some(list) => expanded(list),
            None => Vec::new(),
        }
    }

    /// A value of a partition: its own or that of `PartitionName=DEFAULT`.
    #[must_use]
    pub fn partition_value<'a>(&'a self, partition: &'a Record, key: &str) -> Option<&'a Setting> {
        inherited(&self.slurm.partitions, partition, key)
    }

    /// A value of a node: its own or that of `NodeName=DEFAULT`.
    #[must_use]
    pub fn node_value<'a>(&'a self, node: &'a Record, key: &str) -> Option<&'a Setting> {
        inherited(&self.slurm.nodes, node, key)
    }

    /// The `NodeName=` lines that have at least one node of ours.
    pub fn our_node_lines(&self) -> impl Iterator<Item = &Record> {
        let ours = self.our_nodes();
        self.slurm
            .nodes
            .iter()
            .filter(move |record| expanded(record.name()).iter().any(|node| ours.contains(node)))
    }
}

/// A list's nodes; of `DEFAULT` and of what is no list, none.
#[must_use]
pub fn expanded(list: &str) -> Vec<NodeName> {
    if list.eq_ignore_ascii_case("DEFAULT") {
        return Vec::new();
    }
    node_list::expand(list).unwrap_or_default()
}

/// A record's own value, or that of the last `DEFAULT` line before it.
fn inherited<'a>(records: &'a [Record], record: &'a Record, key: &str) -> Option<&'a Setting> {
    record.get(key).or_else(|| {
        let place = records.iter().position(|other| other == record)?;
        let before = records.iter().take(place).rev();
        before.filter(|other| other.name().eq_ignore_ascii_case("DEFAULT")).find_map(|d| d.get(key))
    })
}
