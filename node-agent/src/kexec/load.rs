//! Hands the next kernel to the running one.
//!
//! kexec_file_load(2) hashes all the memory that the kernel will take (50 MiB and more), and once more after
//! the jump. What was fetched is proved already, so where nothing speaks against it the parts are laid
//! out here and given to kexec_load(2), which does not.

use super::bzimage::{self, lay_out};
use super::check_memory;
use crate::console::say;
use crate::modules::Modules;
use crate::sys::{self, KexecSegment};
use anyhow::{Context as _, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

/// What a boot loader adds to the parameters and this kernel has used up: a seed for random numbers
/// (`SETUP_RNG_SEED` of asm/setup_data.h).
const USED_UP: &str = "9";
/// Flags of a processor that may encrypt memory: where it lies is then not all that matters.
const ENCRYPTING: [&str; 3] = ["sme", "sev", "tdx_guest"];
/// The kernel's own hashing, three times as fast as what it has built in; many have it as a module.
const HASHING: &str = "sha256-ssse3";

/// Loads a kernel with its initrd.
pub(super) fn load(kernel: &[u8], initrd: &[u8], command_line: &str) -> Result<()> {
    // The running kernel takes the initrd as it is, and of memory what the next one unpacks itself in.
    let unpacked = bzimage::init_size(kernel).unwrap_or_default();
    check_memory(u64::from(unpacked).max(kernel.len() as u64) + initrd.len() as u64)?;
    let Err(error) = load_parts(kernel, initrd, command_line) else { return Ok(()) };
    say(format_args!("left to the kernel: {error:#}"));
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Modules::open(Path::new("/"), &release).and_then(|modules| modules.load(HASHING)).ok();
    let command_line = CString::new(command_line).context("the command line")?;
    let [kernel, initrd] = [in_memory(kernel)?, in_memory(initrd)?];
    sys::load_next_kernel(kernel, initrd, &command_line)
        .context("the kernel refused to load it (kexec_file_load)")
}

/// With the machine's description as this kernel got it. With EFI, its tables would have to be handed on
/// as well, which the kernel knows how to do.
fn load_parts(kernel: &[u8], initrd: &[u8], command_line: &str) -> Result<()> {
    if Path::new("/sys/firmware/efi").exists() {
        bail!("the machine has EFI");
    }
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    if let Some(flag) = encrypting(&processors) {
        bail!("the processor has {flag}");
    }
    let more = Path::new("/sys/kernel/boot_params/setup_data").read_dir();
    for entry in more.into_iter().flatten() {
        let kind = fs::read_to_string(entry?.path().join("type"))?;
        if kind.trim().trim_start_matches("0x") != USED_UP {
            bail!("the boot loader added parameters of type {}", kind.trim());
        }
    }
    let running = fs::read("/sys/kernel/boot_params/data").context("this kernel's parameters")?;
    let start = lay_out(kernel, initrd, command_line, &running)?;
    let segments = [
        KexecSegment::new(start.kernel.content, start.kernel.address, start.kernel.bytes),
        KexecSegment::new(start.initrd.content, start.initrd.address, start.initrd.bytes),
        KexecSegment::new(
            &start.parameters.content,
            start.parameters.address,
            start.parameters.bytes,
        ),
    ];
    sys::load_next_memory(start.entry, &segments).context("kexec_load")
}

fn encrypting(processors: &str) -> Option<&'static str> {
    let flags = processors.lines().find(|line| line.starts_with("flags"))?;
    ENCRYPTING.into_iter().find(|wanted| flags.split_ascii_whitespace().any(|f| f == *wanted))
}

/// A file that needs no file system.
fn in_memory(content: &[u8]) -> Result<File> {
    let flags = MemfdFlags::CLOEXEC;
    let mut file = File::from(memfd_create(c"next-kernel", flags).context("a file in memory")?);
    file.write_all(content).context("a file in memory")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_that_encrypts_is_known_by_its_flags() {
        assert_eq!(encrypting("processor : 0\nflags\t\t: fpu sev_es sme nx\n"), Some("sme"));
        assert_eq!(encrypting("flags\t: fpu sev_es nx\nbugs : sme\n"), None);
        assert_eq!(encrypting(""), None);
    }
}
