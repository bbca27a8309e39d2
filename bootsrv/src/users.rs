//! User names and ids, from the system's user database (files, sssd, ldap: whatever nsswitch says).

use nix::unistd::{Uid, User};

/// The name of a user id.
#[must_use]
pub fn name_of(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// The id of a user name.
#[must_use]
pub fn uid_of(name: &str) -> Option<u32> {
    User::from_name(name).ok().flatten().map(|user| user.uid.as_raw())
}
