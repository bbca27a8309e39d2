//! The accounts and host names inside the cluster: pure texts for /etc.

use crate::cluster::node::{HEAD_ADDRESS, HEAD_NAME, Node};
use crate::cluster::on_demand::REGISTRY_HOST;
use std::fmt::Write as _;

/// User and group id of munged.
pub const MUNGE_ID: u32 = 64029;
/// User and group id of slurmctld and bootsrv (the id that Debian reserves for slurm).
pub const SLURM_ID: u32 = 64030;
/// User and group id of the job user.
pub const ALICE_ID: u32 = 2001;
/// User and group id of another, whose jobs are none of hers.
pub const BOB_ID: u32 = 2002;

/// Name, id, home directory, shell.
const ACCOUNTS: [(&str, u32, &str, &str); 6] = [
    ("root", 0, "/root", "/bin/bash"),
    ("munge", MUNGE_ID, "/nonexistent", "/usr/sbin/nologin"),
    ("slurm", SLURM_ID, "/nonexistent", "/usr/sbin/nologin"),
    ("alice", ALICE_ID, "/home/alice", "/bin/bash"),
    ("bob", BOB_ID, "/home/bob", "/bin/bash"),
    ("nobody", 65534, "/nonexistent", "/usr/sbin/nologin"),
];

/// The home directory of an account that the cluster knows.
#[must_use]
pub fn home(user: &str) -> Option<&'static str> {
    ACCOUNTS.iter().find(|(name, ..)| *name == user).map(|(_, _, home, _)| *home)
}

/// The text of /etc/passwd.
#[must_use]
pub fn passwd() -> String {
    ACCOUNTS
        .iter()
        .map(|(name, id, home, shell)| format!("{name}:x:{id}:{id}:{name}:{home}:{shell}\n"))
        .collect()
}

/// The text of /etc/group.
#[must_use]
pub fn group() -> String {
    ACCOUNTS
        .iter()
        .map(|(name, id, ..)| match *name {
            "nobody" => format!("nogroup:x:{id}:\n"),
            name => format!("{name}:x:{id}:\n"),
        })
        .collect()
}

/// The text of /etc/hosts for a cluster of `count` nodes.
#[must_use]
pub fn hosts(count: u8) -> String {
    let mut text = format!("127.0.0.1 localhost\n{HEAD_ADDRESS} {HEAD_NAME} {REGISTRY_HOST}\n");
    for node in Node::first(count) {
        // Writing to a String cannot fail.
        writeln!(text, "{} {node}", node.address()).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_as_the_c_library_wants_them() {
        assert!(passwd().contains("alice:x:2001:2001:alice:/home/alice:/bin/bash\n"));
        assert!(group().ends_with("nogroup:x:65534:\n"));
        assert!(passwd().lines().all(|line| line.split(':').count() == 7));
        assert_eq!(
            hosts(2),
            "127.0.0.1 localhost\n10.77.0.1 head registry\n10.77.0.11 n1\n10.77.0.12 n2\n"
        );
    }
}
