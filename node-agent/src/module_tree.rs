//! Which files a kernel module needs, from the lists that depmod(8) writes.
//!
//! Pure: texts in, paths out. Nothing is loaded here.

use crate::glob;

/// The lists of one kernel's module tree, as texts: a boot looks up a few names at most, so they
/// are searched and not indexed.
#[derive(Debug, Default)]
pub(crate) struct ModuleTree {
    /// `modules.dep`.
    pub(crate) dependencies: String,
    /// `modules.builtin`.
    pub(crate) builtin: String,
    /// `modules.alias`.
    pub(crate) aliases: String,
}

/// What has to be done to have a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// It is part of the kernel.
    Builtin,
    /// These files, below the tree, in this order; the last one is the module itself.
    Load(Vec<String>),
    /// The tree has no module and no alias of that name.
    Missing,
}

impl ModuleTree {
    /// Looks a module up by name or, failing that, by alias.
    pub(crate) fn resolve(&self, wanted: &str) -> Resolution {
        if let Some(files) = self.files(wanted) {
            return Resolution::Load(files);
        }
        if self.builtin.lines().any(|line| module_name(line) == normal(wanted)) {
            return Resolution::Builtin;
        }
        let files: Vec<_> = self
            .aliases
            .lines()
            .filter_map(|line| line.strip_prefix("alias ")?.rsplit_once(' '))
            .filter(|(pattern, _)| glob::is_match(&normal(pattern), &normal(wanted)))
            .filter_map(|(_, module)| self.files(module))
            .flatten()
            .collect();
        if files.is_empty() { Resolution::Missing } else { Resolution::Load(files) }
    }

    /// The module's own file after those it depends on: a line of `modules.dep` names the nearest
    /// first, so it is read backwards.
    fn files(&self, wanted: &str) -> Option<Vec<String>> {
        let wanted = normal(wanted);
        self.dependencies.lines().find_map(|line| {
            let (path, needs) = line.split_once(':')?;
            (module_name(path) == wanted).then(|| {
                let needs = needs.split_ascii_whitespace().rev();
                needs.chain([path]).map(str::to_owned).collect()
            })
        })
    }
}

/// The name of the module in a file, as the kernel shows it in `/sys/module`.
pub(crate) fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split_once(".ko").map_or(file, |(name, _)| name))
}

/// `-` and `_` are the same in a module's name.
fn normal(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> ModuleTree {
        ModuleTree {
            dependencies: "kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko \
                kernel/net/core/failover.ko\n\
                kernel/net/core/failover.ko:\n\
                kernel/arch/x86/crypto/aesni-intel.ko.xz:\n\
                kernel/fs/nfs/nfs.ko: kernel/net/sunrpc/sunrpc.ko\n"
                .into(),
            builtin: "kernel/fs/ext4/ext4.ko\nkernel/drivers/char/hw-random.ko\n".into(),
            aliases: "# Aliases\nalias fs-nfs4 nfs\nalias virtio:d00000001v* virtio_net\n\
                alias gone nothing\n"
                .into(),
        }
    }

    fn load(files: &[&str]) -> Resolution {
        Resolution::Load(files.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn needed_modules_come_first() {
        assert_eq!(
            tree().resolve("virtio-net"),
            load(&[
                "kernel/net/core/failover.ko",
                "kernel/drivers/net/net_failover.ko",
                "kernel/drivers/net/virtio_net.ko"
            ])
        );
    }

    #[test]
    fn names_ignore_hyphens_and_compression() {
        let expected = load(&["kernel/arch/x86/crypto/aesni-intel.ko.xz"]);
        assert_eq!(tree().resolve("aesni_intel"), expected);
        assert_eq!(tree().resolve("aesni-intel"), expected);
        assert_eq!(module_name("kernel/a/snd-hda.ko.zst"), "snd_hda");
    }

    #[test]
    fn built_in_and_missing_are_told_apart() {
        assert_eq!(tree().resolve("ext4"), Resolution::Builtin);
        assert_eq!(tree().resolve("hw_random"), Resolution::Builtin);
        for missing in ["", "nf", "gone", "kernel/fs/nfs/nfs.ko", "fs-nfs"] {
            assert_eq!(tree().resolve(missing), Resolution::Missing, "{missing}");
        }
    }

    #[test]
    fn aliases_may_hold_wildcards() {
        let nfs = load(&["kernel/net/sunrpc/sunrpc.ko", "kernel/fs/nfs/nfs.ko"]);
        assert_eq!(tree().resolve("fs-nfs4"), nfs);
        assert!(matches!(tree().resolve("virtio:d00000001v00001AF4"), Resolution::Load(_)));
    }
}
