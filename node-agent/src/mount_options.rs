//! From the options of mount(8) to the flags and the text that mount(2) takes.
//!
//! Pure. Knows the generic options; everything else is for the file system.

use protocol::boot::Mount;
use rustix::mount::MountFlags;
use std::net::IpAddr;

/// Flags and file-system options of a mount.
///
/// `nosuid` and `nodev` hold unless the options say `suid` or `dev`: what is shared with other
/// machines must not be a way to root here. An NFS mount whose options lack `addr=` gets the
/// address that stands in front of the `:` of its source.
pub(crate) fn parse(mount: &Mount) -> (MountFlags, String) {
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mut data: Vec<String> = Vec::new();
    for option in mount.options.split(',').map(str::trim).filter(|o| !o.is_empty()) {
        if !set_flag(&mut flags, option) {
            data.push(option.to_owned());
        }
    }
    if mount.fstype.starts_with("nfs")
        && !data.iter().any(|option| option.starts_with("addr="))
        && let Some((host, _)) = mount.source.rsplit_once(":/")
        && let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>()
    {
        data.push(format!("addr={address}"));
    }
    (flags, data.join(","))
}

fn set_flag(flags: &mut MountFlags, option: &str) -> bool {
    let (flag, on) = match option {
        "defaults" | "auto" | "noauto" | "_netdev" | "nofail" => (MountFlags::empty(), true),
        "ro" => (MountFlags::RDONLY, true),
        "rw" => (MountFlags::RDONLY, false),
        "nosuid" => (MountFlags::NOSUID, true),
        "suid" => (MountFlags::NOSUID, false),
        "nodev" => (MountFlags::NODEV, true),
        "dev" => (MountFlags::NODEV, false),
        "noexec" => (MountFlags::NOEXEC, true),
        "exec" => (MountFlags::NOEXEC, false),
        "noatime" => (MountFlags::NOATIME, true),
        "nodiratime" => (MountFlags::NODIRATIME, true),
        "relatime" => (MountFlags::RELATIME, true),
        "strictatime" => (MountFlags::STRICTATIME, true),
        "lazytime" => (MountFlags::LAZYTIME, true),
        "sync" => (MountFlags::SYNCHRONOUS, true),
        "async" => (MountFlags::SYNCHRONOUS, false),
        "dirsync" => (MountFlags::DIRSYNC, true),
        "bind" => (MountFlags::BIND, true),
        "rbind" => (MountFlags::BIND | MountFlags::REC, true),
        _ => return false,
    };
    flags.set(flag, on);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, fstype: &str, options: &str) -> (MountFlags, String) {
        parse(&Mount {
            source: source.into(),
            target: "/home".into(),
            fstype: fstype.into(),
            options: options.into(),
        })
    }

    const SAFE: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

    #[test]
    fn generic_options_become_flags() {
        assert_eq!(check("home", "virtiofs", ""), (SAFE, String::new()));
        assert_eq!(
            check("none", "tmpfs", "ro,noatime,size=1g, mode=755,rw"),
            (SAFE | MountFlags::NOATIME, "size=1g,mode=755".into())
        );
        assert_eq!(check("sw", "virtiofs", "suid,dev,defaults"), (MountFlags::empty(), "".into()));
    }

    #[test]
    fn nfs_learns_its_address() {
        let data = |source, options| check(source, "nfs4", options).1;
        assert_eq!(data("10.0.0.1:/home", "vers=4.2"), "vers=4.2,addr=10.0.0.1");
        assert_eq!(data("[fd77::1]:/home", ""), "addr=fd77::1");
        assert_eq!(data("head:/home", "addr=10.0.0.2"), "addr=10.0.0.2");
        assert_eq!(data("head:/home", "vers=4.2"), "vers=4.2");
    }
}
