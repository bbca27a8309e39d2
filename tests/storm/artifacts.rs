//! A kernel package and a node image with nothing in them: enough to be imported, fetched and proved.

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use std::io::Write as _;
use tar::{Builder, EntryType, Header};

/// Bytes of the kernel, of the agent (most of the initrd), and of the node image; random, because
/// zeros would be compressed to nothing.
const KERNEL_BYTES: usize = 256 << 10;
const AGENT_BYTES: usize = 200 << 10;
const IMAGE_BYTES: usize = 300 << 10;

fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    StdRng::seed_from_u64(seed).fill_bytes(&mut noise);
    noise
}

/// What passes for a statically linked program (elf(5)): a header without an interpreter.
pub(crate) fn agent() -> Vec<u8> {
    let mut header = vec![0; 64];
    header.splice(..6, *b"\x7fELF\x02\x01");
    [header, noise(AGENT_BYTES, 1)].concat()
}

/// A file that has the header of a kernel of that release (x86 boot protocol).
fn vmlinuz(release: &str, seed: u64) -> Vec<u8> {
    let mut head = vec![0; 0x400];
    head.splice(0x202..0x206, *b"HdrS");
    head.splice(0x20e..0x210, 0x100_u16.to_le_bytes());
    let text = format!("{release} (storm) #1 SMP\0");
    head.splice(0x300..0x300 + text.len(), text.bytes());
    [head, noise(KERNEL_BYTES, seed)].concat()
}

fn put(archive: &mut Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    Ok(archive.append_data(&mut header, path, content)?)
}

/// An object file with nothing in it but a table of names (elf(5)): enough for depmod.
fn module() -> Vec<u8> {
    let mut elf = vec![0; 64 + 128];
    elf.splice(..8, *b"\x7fELF\x02\x01\x01\0");
    // Relocatable, x86-64; sections of 64 bytes from byte 64 on: two, the second has the names.
    for (place, value) in
        [(16, 1), (18, 62), (20, 1), (40, 64), (52, 64), (58, 64), (60, 2), (62, 1)]
    {
        elf.splice(place..=place, [value]);
    }
    // The second: a table of strings of one byte, at byte 192.
    for (place, value) in [(128 + 4, 3), (128 + 24, 192), (128 + 32, 1)] {
        elf.splice(place..=place, [value]);
    }
    elf.push(0);
    elf
}

/// A Debian package (deb(5)) of a kernel with one module, and one that is built in.
pub(crate) fn package(release: &str, seed: u64) -> Result<Vec<u8>> {
    let mut data = Builder::new(Vec::new());
    put(&mut data, &format!("boot/vmlinuz-{release}"), 0o644, &vmlinuz(release, seed))?;
    let builtin = format!("lib/modules/{release}/modules.builtin");
    put(&mut data, &builtin, 0o644, b"kernel/drivers/block/loop.ko\n")?;
    put(&mut data, &format!("lib/modules/{release}/kernel/storm.ko"), 0o644, &module())?;
    let data = data.into_inner()?;
    let mut archive = ar::Builder::new(Vec::new());
    for (name, content) in
        [("debian-binary", &b"2.0\n"[..]), ("control.tar", &[0; 1024]), ("data.tar", &data)]
    {
        let header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
        archive.append(&header, content)?;
    }
    Ok(archive.into_inner()?)
}

/// An archive of a root file system with an init.
pub(crate) fn image() -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    put(&mut archive, "sbin/init", 0o755, &noise(IMAGE_BYTES, 2))?;
    let mut bytes = archive.into_inner()?;
    bytes.flush()?;
    Ok(bytes)
}
