//! The job's user as the node knows it, and the account tables of an image with that user in them.

use super::node_program::output;
use anyhow::{Context as _, Result};
use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::fmt::Write as _;

/// Most groups that are looked up for a user.
const GROUPS_MAX: usize = 1024;

/// A line of passwd(5), and the groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) full_name: String,
    pub(super) home: String,
    pub(super) shell: String,
    /// Names and numbers.
    pub(super) groups: Vec<(String, u32)>,
}

/// Asks the node; none if it does not know the user.
pub(super) fn look_up(uid: u32) -> Result<Option<User>> {
    let line = output("getent", &["passwd", &uid.to_string()])?.unwrap_or_default();
    let Some(mut user) = parse(&line, uid) else { return Ok(None) };
    let numbers = output("id", &["-G", "--", &user.name])?.unwrap_or_default();
    let numbers: Vec<_> = numbers.split_ascii_whitespace().take(GROUPS_MAX).collect();
    user.groups = groups(&numbers)?;
    Ok(Some(user))
}

/// Names of groups; one that has none is left out. Together first, because each program costs a node
/// time; getent fails as a whole when it does not know one of them.
fn groups(numbers: &[&str]) -> Result<Vec<(String, u32)>> {
    let ask = |numbers: &[&str]| output("getent", &[&["group"], numbers].concat());
    if let Some(text) = ask(numbers)? {
        return Ok(text.lines().filter_map(group).collect());
    }
    let mut found = Vec::new();
    for number in numbers {
        found.extend(ask(&[number])?.as_deref().and_then(group));
    }
    Ok(found)
}

fn parse(line: &str, uid: u32) -> Option<User> {
    let fields: Vec<_> = line.lines().next()?.split(':').collect();
    let [name, _, number, gid, full_name, home, shell] = *fields.as_slice() else { return None };
    (number.parse() == Ok(uid) && !name.is_empty()).then_some(())?;
    Some(User {
        name: name.to_owned(),
        uid,
        gid: gid.parse().ok()?,
        full_name: full_name.to_owned(),
        home: home.to_owned(),
        shell: shell.to_owned(),
        groups: Vec::new(),
    })
}

/// The first and third field of a line of group(5).
fn group(line: &str) -> Option<(String, u32)> {
    let mut fields = line.lines().next()?.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    Some((name.to_owned(), fields.nth(1)?.parse().ok()?))
}

impl User {
    /// The image's passwd(5) with the user in front: of two lines with one name or number the first
    /// counts.
    pub(super) fn passwd(&self, of_image: &[u8], shell: &str) -> Vec<u8> {
        let Self { name, uid, gid, full_name, home, .. } = self;
        let own = format!("{name}:x:{uid}:{gid}:{full_name}:{home}:{shell}\n");
        [own.as_bytes(), of_image].concat()
    }

    /// The image's group(5) with the user's groups in front.
    pub(super) fn group(&self, of_image: &[u8]) -> Vec<u8> {
        let mut text = String::new();
        for (name, gid) in &self.groups {
            // Writing to a String cannot fail.
            writeln!(text, "{name}:x:{gid}:{}", self.name).ok();
        }
        [text.as_bytes(), of_image].concat()
    }

    /// Does something with the user's rights to files, in this thread only. Paths that come from the
    /// user are opened so: nobody gets by root's eyes what they could not reach themselves, and a
    /// server that squashes root lets the user in.
    pub(super) fn act_as<T>(&self, act: impl FnOnce() -> T) -> Result<T> {
        let groups: Vec<_> = self.groups.iter().map(|(_, gid)| Gid::from_raw(*gid)).collect();
        let own = || -> rustix::io::Result<()> {
            set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
            set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
            set_thread_groups(&[])
        };
        let become_user = || -> rustix::io::Result<()> {
            set_thread_groups(&groups)?;
            set_thread_res_gid(Gid::ROOT, Gid::from_raw(self.gid), Gid::ROOT)?;
            set_thread_res_uid(Uid::ROOT, Uid::from_raw(self.uid), Uid::ROOT)
        };
        let done = become_user().map(|()| act());
        own().context("coming back to root's rights")?;
        done.with_context(|| format!("taking the rights of {}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_getent_is_read_whole_or_not_at_all() {
        let user = parse("alice:*:2001:2001:Alice A.:/home/alice:/bin/bash\n", 2001).unwrap();
        assert_eq!((user.name.as_str(), user.gid), ("alice", 2001));
        assert_eq!((user.home.as_str(), user.shell.as_str()), ("/home/alice", "/bin/bash"));
        for bad in ["", "alice", "alice:x:2001:2001::/home/alice", ":x:2001:1:::", "a:x:1:1:::"] {
            assert_eq!(parse(bad, 2001), None, "{bad:?}");
        }
        assert_eq!(group("video:x:44:alice\n"), Some(("video".into(), 44)));
        for bad in ["", "video", "video:x", "video:x:a:", ":x:44:"] {
            assert_eq!(group(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_user_stands_before_the_images_accounts() {
        let mut user = parse("alice:x:1000:100::/home/alice:/bin/zsh", 1000).unwrap();
        user.groups = vec![("users".into(), 100), ("video".into(), 44)];
        assert_eq!(
            user.passwd(b"b\xff:x:1000:1000:::/bin/bash\n", "/bin/sh"),
            b"alice:x:1000:100::/home/alice:/bin/sh\nb\xff:x:1000:1000:::/bin/bash\n"
        );
        assert_eq!(user.group(b"root:x:0:\n"), b"users:x:100:alice\nvideo:x:44:alice\nroot:x:0:\n");
    }

    #[test]
    fn the_node_knows_root() {
        let root = look_up(0).unwrap().unwrap();
        assert_eq!((root.name.as_str(), root.gid), ("root", 0));
        assert!(root.groups.contains(&("root".into(), 0)));
        assert_eq!(look_up(4_000_000_001).unwrap(), None);
        let some = groups(&["0", "4000000001", "5"]).unwrap();
        assert_eq!(some, [("root".into(), 0), ("tty".into(), 5)]);
        assert_eq!(groups(&["0", "5"]).unwrap(), some);
    }
}
