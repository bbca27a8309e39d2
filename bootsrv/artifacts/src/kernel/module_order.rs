//! Which module files must be loaded, in which order, to have certain modules: a pure look-up in
//! the tables that depmod writes and the kernel's build left.
//!
//! It must not know the initrd, and reads no file.

use std::collections::{BTreeMap, BTreeSet};

/// How deep soft dependencies are followed; real ones are one or two deep.
const DEPTH_MAX: u32 = 16;

/// The answer: what to load, and what was not loaded for which reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOrder {
    /// Module files below the tree's directory, dependencies first.
    pub files: Vec<String>,
    /// Wanted names that are part of the kernel itself.
    pub builtin: Vec<String>,
    /// Wanted names that this kernel does not have.
    pub missing: Vec<String>,
}

/// The tables of one module tree.
#[derive(Debug, Default)]
pub struct ModuleTables {
    /// Name → its file and the files it needs, the last of which is loaded first.
    files: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
    /// Name → names to be loaded before it, if there are such.
    before: BTreeMap<String, Vec<String>>,
}

impl ModuleTables {
    /// Reads `modules.dep`, `modules.builtin` and `modules.softdep` (modules.dep(5),
    /// modprobe.d(5)). Lines that are not understood are left out, as modprobe does.
    #[must_use]
    pub fn parse(dep: &str, builtin: &str, softdep: &str) -> Self {
        let mut tables = Self::default();
        for line in dep.lines() {
            let Some((file, needs)) = line.split_once(':') else { continue };
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            tables.files.insert(module_name(file), (file.to_owned(), needs));
        }
        tables.builtin = builtin.lines().map(module_name).collect();
        for line in softdep.lines() {
            let mut words = line.split_whitespace();
            let (Some("softdep"), Some(name)) = (words.next(), words.next()) else { continue };
            let words = words.skip_while(|word| *word != "pre:").skip(1);
            let names = words.take_while(|word| *word != "post:").map(module_name);
            tables.before.entry(module_name(name)).or_default().extend(names);
        }
        tables
    }

    /// One of the module files, if there is any.
    pub(super) fn any_file(&self) -> Option<&str> {
        self.files.values().next().map(|(file, _)| file.as_str())
    }

    /// The load order for `wanted` names; `-` and `_` are the same in a module's name.
    #[must_use]
    pub fn load_order<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> LoadOrder {
        let mut order = LoadOrder::default();
        let mut loaded = BTreeSet::new();
        for name in wanted {
            let name = module_name(name);
            if self.files.contains_key(&name) {
                self.add(&name, DEPTH_MAX, &mut loaded, &mut order.files);
            } else if self.builtin.contains(&name) {
                order.builtin.push(name);
            } else {
                order.missing.push(name);
            }
        }
        order
    }

    fn add(&self, name: &str, depth: u32, loaded: &mut BTreeSet<String>, files: &mut Vec<String>) {
        // Names without a file are fine here: built in, or an algorithm's name in a softdep.
        let Some((file, needs)) = self.files.get(name).filter(|_| depth > 0) else { return };
        if !loaded.insert(name.to_owned()) {
            return;
        }
        for name in self.before.get(name).into_iter().flatten() {
            self.add(name, depth - 1, loaded, files);
        }
        for needed in needs.iter().rev() {
            self.add(&module_name(needed), depth - 1, loaded, files);
        }
        files.push(file.clone());
    }
}

/// `kernel/drivers/char/hw_random/virtio-rng.ko` → `virtio_rng`.
#[must_use]
pub fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Lines of Debian's linux-image-6.1.0-56-amd64.
    const DEP: &str = "\
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_pci_legacy_dev.ko kernel/drivers/virtio/virtio_pci_modern_dev.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_pci_legacy_dev.ko:
kernel/drivers/virtio/virtio_pci_modern_dev.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/char/hw_random/virtio-rng.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/ethernet/realtek/r8169.ko: kernel/drivers/net/phy/libphy.ko
kernel/drivers/net/phy/realtek.ko: kernel/drivers/net/phy/libphy.ko
kernel/drivers/net/phy/libphy.ko:
";

    fn order(wanted: &[&str]) -> (Vec<String>, LoadOrder) {
        let softdep = "# comment\nsoftdep r8169 pre: realtek crypto-crc32c post: nothing\n\
                       softdep cifs gcm\nsoftdep realtek pre: r8169\n";
        let tables = ModuleTables::parse(DEP, "kernel/drivers/block/loop.ko\n", softdep);
        let order = tables.load_order(wanted.iter().copied());
        (order.files.iter().map(|file| module_name(file)).collect(), order)
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let (names, order) = order(&["virtio_net", "virtio-rng", "virtio_pci", "virtio_net"]);
        assert_eq!(
            names.join(" "),
            "virtio_ring virtio failover net_failover virtio_net virtio_rng \
             virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci"
        );
        assert!(order.builtin.is_empty() && order.missing.is_empty());
    }

    #[test]
    fn built_in_is_fine_and_unknown_is_told() {
        let (names, order) = order(&["loop", "no-such"]);
        assert!(names.is_empty());
        assert_eq!((order.builtin, order.missing), (vec!["loop".into()], vec!["no_such".into()]));
    }

    #[test]
    fn soft_dependencies_come_along_and_may_be_circular() {
        assert_eq!(order(&["r8169"]).0, ["libphy", "realtek", "r8169"]);
    }
}
