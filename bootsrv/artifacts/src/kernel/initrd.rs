//! The kernel's initrd: the node agent as first process, bootsrv's certificate, and the modules
//! that the agent needs before it has fetched the whole module tree.
//!
//! Every byte of it is loaded by firmware and unpacked by the kernel at each boot, so it is small.

use super::module_order::{LoadOrder, ModuleTables, module_name};
use super::module_tree::{ModuleTree, TreeError};
use crate::cpio;
use protocol::boot::{CERTIFICATE_FILE, MODULE_ORDER_FILE};
use protocol::names::Digest;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Enough for virtual machines: the card, the clock's randomness, the root, the power button.
pub const DEFAULT_MODULES: [&str; 8] =
    ["virtio_pci", "virtio_net", "virtio_rng", "squashfs", "overlay", "loop", "evdev", "button"];

/// [`DEFAULT_MODULES`] and the network cards of common servers. Much larger: an initrd with all of
/// them costs every boot its download, so a site should list its own cards only.
pub const HARDWARE_MODULES: [&str; 20] = [
    "virtio_pci",
    "virtio_net",
    "virtio_rng",
    "squashfs",
    "overlay",
    "loop",
    "evdev",
    "button",
    "af_packet",
    "e1000",
    "e1000e",
    "igb",
    "ixgbe",
    "i40e",
    "ice",
    "tg3",
    "bnxt_en",
    "mlx4_en",
    "mlx5_core",
    "r8169",
];

/// Changes whenever the layout of the initrd does, so that [`inputs`] notices.
const LAYOUT_VERSION: u8 = 1;
/// Highest level without extra memory: its window of 8 MiB is below the kernel's limit of 128 MiB
/// (lib/decompress_unzstd.c), and unpacking is as fast as at any other level.
const ZSTD_LEVEL: i32 = 19;
/// Mount points and places that the agent expects.
const DIRECTORIES: [&str; 8] = ["dev", "mnt", "modules", "proc", "root", "run", "sys", "tmp"];
/// Largest agent, in bytes.
const AGENT_BYTES_MAX: u64 = 64 << 20;

/// Why an initrd cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The agent's file cannot be read.
    #[error("node agent {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel could not start it: there is no dynamic linker in an initrd.
    #[error("node agent {path:?} is not a statically linked 64-bit ELF program")]
    NotStatic {
        /// The file.
        path: PathBuf,
    },
    /// The certificate is missing, or a private key came with it, which must not leave bootsrv.
    #[error("the certificate for the initrd must be PEM, with a certificate and without a key")]
    Certificate,
}

/// What goes into every initrd of the site, read and checked.
#[derive(Debug)]
pub(super) struct Payload<'a> {
    agent: Vec<u8>,
    certificate: &'a str,
    modules: &'a [String],
}

impl<'a> Payload<'a> {
    pub(super) fn read(
        agent: &Path,
        certificate: &'a str,
        modules: &'a [String],
    ) -> Result<Self, AgentError> {
        let fail = |source| AgentError::Read { path: agent.to_owned(), source };
        if fs::metadata(agent).map_err(fail)?.len() > AGENT_BYTES_MAX {
            return Err(fail(io::ErrorKind::FileTooLarge.into()));
        }
        let bytes = fs::read(agent).map_err(fail)?;
        if !is_static(&bytes).unwrap_or(false) {
            return Err(AgentError::NotStatic { path: agent.to_owned() });
        }
        if !certificate.contains("-----BEGIN CERTIFICATE-----") || certificate.contains("PRIVATE") {
            return Err(AgentError::Certificate);
        }
        Ok(Self { agent: bytes, certificate, modules })
    }

    /// SHA-256 over everything but the kernel's own modules.
    pub(super) fn inputs(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update([LAYOUT_VERSION]);
        hasher.update(Sha256::digest(&self.agent));
        hasher.update(Sha256::digest(self.certificate));
        hasher.update(self.modules.join("\n"));
        Digest(hasher.finalize().into())
    }

    /// Writes the initrd for one kernel.
    pub(super) fn write(
        &self,
        tree: &ModuleTree<'_>,
        tables: &ModuleTables,
        output: &Path,
    ) -> Result<LoadOrder, TreeError> {
        let fail = |source| TreeError::File { path: output.to_owned(), source };
        let order = tables.load_order(self.modules.iter().map(String::as_str));
        let mut modules = Vec::new();
        for file in &order.files {
            modules.push((format!("modules/{}.ko", module_name(file)), tree.module(file)?));
        }
        let archive = self.archive(&modules).map_err(fail)?;
        compress(&archive, output).map_err(fail)?;
        Ok(order)
    }

    fn archive(&self, modules: &[(String, Vec<u8>)]) -> io::Result<Vec<u8>> {
        let mut writer = cpio::Writer::new(Vec::new());
        for directory in DIRECTORIES {
            writer.directory(directory, if directory == "tmp" { 0o1777 } else { 0o755 })?;
        }
        // The kernel opens it for the first process before anything can be mounted on /dev.
        writer.character_device("dev/console", 0o600, (5, 1))?;
        writer.file("init", 0o755, &self.agent)?;
        writer.file(relative(CERTIFICATE_FILE), 0o644, self.certificate.as_bytes())?;
        let order: String = modules.iter().map(|(path, _)| format!("/{path}\n")).collect();
        writer.file(relative(MODULE_ORDER_FILE), 0o644, order.as_bytes())?;
        for (path, content) in modules {
            writer.file(path, 0o644, content)?;
        }
        writer.finish()
    }
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn compress(archive: &[u8], output: &Path) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(File::create(output)?, ZSTD_LEVEL)?;
    // iPXE over plain HTTP checks nothing: with the sum a damaged download stops at unpacking.
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(u64::try_from(archive.len()).ok())?;
    encoder.write_all(archive)?;
    encoder.finish()?.sync_all()
}

/// Whether an ELF program names no interpreter (elf(5)); `None`: no 64-bit little-endian ELF.
fn is_static(elf: &[u8]) -> Option<bool> {
    const INTERPRETER: u32 = 3;
    let number = |offset: usize, bytes: usize| {
        let field = elf.get(offset..offset.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(number(0x20, 8)?).ok()?;
    let size = usize::try_from(number(0x36, 2)?).ok()?;
    for index in 0..usize::try_from(number(0x38, 2)?).ok()? {
        if number(table.checked_add(index * size)?, 4)? == u64::from(INTERPRETER) {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest thing that passes for a static program.
    fn elf() -> Vec<u8> {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf
    }

    #[test]
    fn a_program_with_an_interpreter_or_a_key_beside_the_certificate_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let agent = directory.path().join("agent");
        fs::write(&agent, elf()).unwrap();
        let certificate = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
        let payload = |certificate| Payload::read(&agent, certificate, &[]);
        payload(certificate).unwrap();
        let with_key = format!("{certificate}-----BEGIN PRIVATE KEY-----\n");
        assert!(matches!(Payload::read(&agent, &with_key, &[]), Err(AgentError::Certificate)));
        assert!(matches!(payload("x"), Err(AgentError::Certificate)));
        // A dynamic program: this test itself, or any other of the system.
        let shell = Path::new("/bin/sh");
        let error = Payload::read(shell, certificate, &[]).unwrap_err();
        assert!(matches!(error, AgentError::NotStatic { .. }));
    }

    #[test]
    fn any_change_of_the_payload_changes_the_inputs() {
        let agent = elf();
        let inputs = |agent: &[u8], certificate: &str, modules: &[&str]| {
            let modules: Vec<String> = modules.iter().map(ToString::to_string).collect();
            Payload { agent: agent.to_vec(), certificate, modules: &modules }.inputs()
        };
        let base = inputs(&agent, "c", &["loop"]);
        assert_eq!(base, inputs(&agent, "c", &["loop"]));
        assert_ne!(base, inputs(&agent, "d", &["loop"]));
        assert_ne!(base, inputs(b"x", "c", &["loop"]));
        assert_ne!(base, inputs(&agent, "c", &["loop", "igb"]));
    }
}
