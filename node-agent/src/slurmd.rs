//! The node's slurmd: whether it runs, what it has loaded, where it keeps the files of jobs, and where its
//! commands are.
//!
//! Reads `/proc` and slurm.conf; asks no daemon.

use crate::console::say;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Slurm's own default.
const SPOOL_DEFAULT: &str = "/var/spool/slurmd";
/// How long slurm.conf is waited for: a configless slurmd fetches it first.
const CONFIGURATION_WAIT: Duration = Duration::from_secs(20);
/// How long slurmd may take to load its plugins, once it has its configuration.
const PLUGIN_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
/// How deep files include others.
const INCLUDES_MAX: u32 = 4;

/// The process id of slurmd; of the oldest process of that name, because slurmd forks. While a node boots
/// ids are given out in order, so that only higher ones than this process's can be the image's slurmd:
/// the kernel's many threads are passed over.
pub(crate) fn find() -> Option<u32> {
    find_above(std::process::id())
}

fn find_above(lowest: u32) -> Option<u32> {
    let entries = Path::new("/proc").read_dir().ok()?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid > lowest && is_slurmd(*pid)).min()
}

/// By its name, which every process may give itself, and by its user, which only root's may have.
fn is_slurmd(pid: u32) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim() == "slurmd")
        && fs::metadata(process).is_ok_and(|found| found.uid() == 0)
}

/// Whether slurmd comes to have the plugin loaded, a file of this name: then so does slurmstepd for each
/// task. Plugins stay in slurmd as long as it runs (spank(8)). `seen`: as for [`Slurmd::running`].
pub(crate) fn loads(seen: u32, plugin: &str) -> bool {
    let deadline = Instant::now() + PLUGIN_WAIT;
    loop {
        let maps = pid(seen).and_then(|pid| fs::read_to_string(format!("/proc/{pid}/maps")).ok());
        if maps.is_some_and(|maps| is_mapped(&maps, plugin)) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL);
    }
}

/// In `/proc/PID/maps` a file's path is the sixth word, proc_pid_maps(5).
fn is_mapped(maps: &str, name: &str) -> bool {
    let mut paths = maps.lines().filter_map(|line| line.split_ascii_whitespace().nth(5));
    paths.any(|path| path.rsplit('/').next() == Some(name))
}

/// The slurmd that was seen, or, if that has ended, the one that runs: on a node that has been on for long
/// it may have any id.
pub(crate) fn pid(seen: u32) -> Option<u32> {
    if is_slurmd(seen) { Some(seen) } else { find_above(0) }
}

/// What slurmd's process shows of itself.
#[derive(Debug, Default)]
pub(crate) struct Slurmd {
    arguments: Vec<String>,
    environment: Vec<String>,
    program: Option<PathBuf>,
}

impl Slurmd {
    /// The one that was `seen`, or, if that has ended (it went to the background, it was started anew), the
    /// one that runs; empty if none does.
    pub(crate) fn running(seen: u32) -> Self {
        let Some(pid) = pid(seen) else { return Self::default() };
        let words = |name: &str| -> Vec<String> {
            let text = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            text.split(|byte| *byte == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect()
        };
        Self {
            arguments: words("cmdline"),
            environment: words("environ"),
            program: fs::read_link(format!("/proc/{pid}/exe")).ok(),
        }
    }

    /// The directory of batch scripts and of the sockets between slurmd and its jobs.
    pub(crate) fn spool_directory(&self) -> String {
        let deadline = Instant::now() + CONFIGURATION_WAIT;
        loop {
            let found = self.configuration_files().into_iter().find(|path| path.is_file());
            if let Some(file) = found {
                return self.spool_in(&read_with_includes(&file, INCLUDES_MAX));
            }
            if Instant::now() >= deadline {
                say(format_args!(
                    "no slurm.conf found: slurmd's files are looked for in {SPOOL_DEFAULT}"
                ));
                return SPOOL_DEFAULT.to_owned();
            }
            sleep(POLL);
        }
    }

    /// The directory with the node's `srun`.
    pub(crate) fn commands_directory(&self, usual: &[&str]) -> Option<PathBuf> {
        let own = self.program.as_deref().and_then(Path::parent);
        let beside = own.and_then(Path::parent).map(|prefix| prefix.join("bin"));
        let places = beside.into_iter().chain(own.map(Path::to_owned));
        let mut places = places.chain(usual.iter().map(PathBuf::from));
        places.find(|place| place.join("srun").is_file())
    }

    /// In the order in which slurmd looks.
    fn configuration_files(&self) -> Vec<PathBuf> {
        let of_variable = self.environment.iter().find_map(|v| v.strip_prefix("SLURM_CONF="));
        let is_configless = self.arguments.iter().any(|a| a.starts_with("--conf-server"));
        let mut files: Vec<&str> = self.argument("-f").into_iter().collect();
        if !is_configless {
            files.extend(of_variable);
            files.push("/etc/slurm/slurm.conf");
        }
        files.push("/run/slurm/conf/slurm.conf");
        files.into_iter().map(PathBuf::from).collect()
    }

    fn argument(&self, flag: &str) -> Option<&str> {
        let mut words = self.arguments.iter();
        words.find_map(|word| word.strip_prefix(flag)).and_then(|rest| match rest {
            "" => words.next().map(String::as_str),
            joined => Some(joined),
        })
    }

    fn spool_in(&self, configuration: &str) -> String {
        let value =
            value_of(configuration, "SlurmdSpoolDir").unwrap_or_else(|| SPOOL_DEFAULT.to_owned());
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy();
        let host = host.split('.').next().unwrap_or_default();
        value.replace("%h", host).replace("%n", self.argument("-N").unwrap_or(host))
    }
}

/// A file with what it includes in the place of the line; what cannot be read is empty.
fn read_with_includes(file: &Path, depth: u32) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut whole = String::new();
    for line in text.lines() {
        let included = line.trim().split_once(char::is_whitespace);
        match included.filter(|(word, _)| word.eq_ignore_ascii_case("include")) {
            Some((_, name)) if depth > 0 => {
                whole.push_str(&read_with_includes(&file.with_file_name(name.trim()), depth - 1));
            }
            _ => whole.push_str(line),
        }
        whole.push('\n');
    }
    whole
}

/// The last value of a parameter that has a line of its own.
fn value_of(configuration: &str, parameter: &str) -> Option<String> {
    let lines = configuration.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case(parameter))
        .map(|(_, value)| value.trim().trim_matches('"').trim_end_matches('/').to_owned())
        .rfind(|value| value.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slurmd(arguments: &[&str]) -> Slurmd {
        Slurmd {
            arguments: arguments.iter().map(ToString::to_string).collect(),
            ..Slurmd::default()
        }
    }

    #[test]
    fn a_loaded_plugin_is_seen_by_its_name() {
        let maps =
            "7f2ff4200000-7f2ff432c000 r--p 00000000 fe:00 10010959   /usr/lib/x/spank_bmc.so
7f2ff45d3000-7f2ff45d4000 rw-p 00000000 00:00 0
7f2ff45d4000-7f2ff45d5000 r-xp 00000000 fe:00 1000   /lib/other.so (deleted)\n";
        assert!(is_mapped(maps, "spank_bmc.so") && is_mapped(maps, "other.so"));
        assert!(!is_mapped(maps, "bmc.so") && !is_mapped("", "spank_bmc.so"));
        let own = fs::read_to_string("/proc/self/maps").unwrap();
        let program = std::env::current_exe().unwrap();
        assert!(is_mapped(&own, program.file_name().unwrap().to_str().unwrap()));
    }

    #[test]
    fn the_spool_directory_is_slurm_confs() {
        let slurmd = slurmd(&["slurmd", "-D", "-N", "n7"]);
        for (text, expected) in [
            ("", "/var/spool/slurmd"),
            ("SlurmdSpoolDir=/a\n", "/a"),
            ("slurmdspooldir = /a/%n/ # theirs\n", "/a/n7"),
            ("#SlurmdSpoolDir=/a\nSlurmdSpoolDir=\"/b\"\nSlurmdSpoolDir=/c", "/c"),
            ("SlurmdSpoolDir=relative", "/var/spool/slurmd"),
        ] {
            assert_eq!(slurmd.spool_in(text), expected, "{text}");
        }
    }

    #[test]
    fn includes_are_read_beside_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let main = directory.path().join("slurm.conf");
        fs::write(&main, "ClusterName=x\nInclude ours.conf\ninclude missing\n").unwrap();
        fs::write(directory.path().join("ours.conf"), "SlurmdSpoolDir=/a\nInclude ours.conf\n")
            .unwrap();
        let text = read_with_includes(&main, INCLUDES_MAX);
        assert_eq!(value_of(&text, "SlurmdSpoolDir").as_deref(), Some("/a"));
    }

    #[test]
    fn slurm_conf_is_where_slurmd_says() {
        let files = |arguments: &[&str]| -> Vec<String> {
            let files = slurmd(arguments).configuration_files();
            files.iter().map(|file| file.display().to_string()).collect()
        };
        let fetched = "/run/slurm/conf/slurm.conf";
        assert_eq!(files(&["slurmd", "--conf-server", "head", "-N", "n1"]), [fetched]);
        assert_eq!(files(&["slurmd", "-D"]), ["/etc/slurm/slurm.conf", fetched]);
        assert_eq!(files(&["slurmd", "-f", "/x"])[0], "/x");
        assert_eq!(files(&["slurmd", "-f/x"])[0], "/x");
    }

    #[test]
    fn the_nodes_commands_are_beside_slurmd_or_in_the_path() {
        let prefix = tempfile::tempdir().unwrap();
        let bin = prefix.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let slurmd =
            Slurmd { program: Some(prefix.path().join("sbin/slurmd")), ..Slurmd::default() };
        assert_eq!(slurmd.commands_directory(&["/nonexistent"]), None);
        fs::write(bin.join("srun"), "").unwrap();
        assert_eq!(slurmd.commands_directory(&["/nonexistent"]), Some(bin));
    }
}
