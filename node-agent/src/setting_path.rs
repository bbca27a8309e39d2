//! Where in `/sys` and `/proc/sys` a setting lives.
//!
//! Mapping only: it lists directories for `*`, but reads and writes no setting.

use crate::glob;
use std::path::{Path, PathBuf};

/// Most files one pattern may stand for; a node with more CPUs than this is not known.
pub(crate) const MATCHES_MAX: usize = 16_384;

/// Why a path cannot be a setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathRefused {
    /// Empty, absolute, or with an empty, `.` or `..` component.
    #[error("the path is empty, or has an empty, \".\" or \"..\" part")]
    NotBelow,
    /// No file is there.
    #[error("no such file in this kernel")]
    NoMatch,
    /// See [`MATCHES_MAX`].
    #[error("the pattern stands for more than {MATCHES_MAX} files")]
    TooMany,
}

/// The path of a sysctl(8) key below `/proc/sys`.
///
/// As in sysctl(8), dots and slashes change places unless the first separator is a slash; so
/// `net.ipv4.conf.eth0/100.rp_filter` and `net/ipv4/conf/eth0.100/rp_filter` are the same.
pub(crate) fn sysctl(key: &str) -> Result<PathBuf, PathRefused> {
    let slashes_first = key.chars().find(|c| matches!(c, '.' | '/')) == Some('/');
    let path: String = if slashes_first {
        key.to_owned()
    } else {
        let swap = |c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        key.chars().map(swap).collect()
    };
    components(&path)?;
    Ok(Path::new("/proc/sys").join(path))
}

/// All files below `base` that the pattern stands for, sorted; at least one.
pub(crate) fn expand(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, PathRefused> {
    let mut found = vec![base.to_owned()];
    for component in components(pattern)? {
        let mut next = Vec::new();
        for directory in found {
            if !component.contains(['*', '?']) {
                next.push(directory.join(component));
                continue;
            }
            let Ok(entries) = directory.read_dir() else { continue };
            next.extend(
                entries
                    .flatten()
                    .filter(|e| {
                        e.file_name().to_str().is_some_and(|n| glob::is_match(component, n))
                    })
                    .map(|e| e.path()),
            );
            if next.len() > MATCHES_MAX {
                return Err(PathRefused::TooMany);
            }
        }
        found = next;
    }
    found.retain(|path| path.is_file());
    found.sort();
    if found.is_empty() { Err(PathRefused::NoMatch) } else { Ok(found) }
}

fn components(path: &str) -> Result<Vec<&str>, PathRefused> {
    let components: Vec<_> = path.split('/').collect();
    if components.iter().any(|c| matches!(*c, "" | "." | "..")) {
        return Err(PathRefused::NotBelow);
    }
    Ok(components)
}

/// How many CPUs a list such as `0-3,8` of `/sys/devices/system/cpu` names; none if it is not one.
pub(crate) fn cpus_in_list(list: &str) -> Option<u32> {
    list.trim().split(',').try_fold(0_u32, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_keys_become_paths() {
        for (key, path) in [
            ("vm.swappiness", "/proc/sys/vm/swappiness"),
            ("net.ipv4.conf.eth0/100.rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
            ("net/ipv4/conf/eth0.100/rp_filter", "/proc/sys/net/ipv4/conf/eth0.100/rp_filter"),
        ] {
            assert_eq!(sysctl(key).unwrap(), Path::new(path));
        }
        for key in ["", ".", "vm..x", "//../x", "../x", "/etc/passwd", "vm.", "a/../../x"] {
            assert!(sysctl(key).is_err(), "{key}");
        }
    }

    #[test]
    fn patterns_stand_for_every_entry() {
        let base = tempfile::tempdir().unwrap();
        for cpu in ["cpu0", "cpu1", "cpu10", "cpufreq"] {
            std::fs::create_dir(base.path().join(cpu)).unwrap();
        }
        for file in ["cpu0/governor", "cpu10/governor", "cpufreq/boost"] {
            std::fs::write(base.path().join(file), "x").unwrap();
        }
        let expand = |pattern| {
            expand(base.path(), pattern).map(|paths| {
                let names = paths.iter().map(|p| p.strip_prefix(base.path()).unwrap());
                names.map(|p| p.to_str().unwrap().to_owned()).collect::<Vec<_>>()
            })
        };
        assert_eq!(expand("cpu*/governor").unwrap(), ["cpu0/governor", "cpu10/governor"]);
        assert_eq!(expand("cpufreq/boost").unwrap(), ["cpufreq/boost"]);
        for none in ["cpu1/governor", "gpu*/x", "cpu*", "cpu1"] {
            assert_eq!(expand(none), Err(PathRefused::NoMatch), "{none}");
        }
        for bad in ["", "/cpu0", "cpu0/../cpu0/governor", "cpu0//governor", "./cpu0/governor"] {
            assert_eq!(expand(bad), Err(PathRefused::NotBelow), "{bad}");
        }
    }

    #[test]
    fn cpu_lists_are_counted() {
        for (list, count) in [("0\n", Some(1)), ("0-3,8", Some(5)), ("", None), ("3-1", None)] {
            assert_eq!(cpus_in_list(list), count, "{list}");
        }
    }
}
