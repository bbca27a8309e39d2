//! A kernel as the 64-bit boot protocol starts it: where its parts come to lie, and what it is told.
//!
//! Pure. The format is in the kernel's Documentation/arch/x86/boot.rst and zero-page.rst, whose names and
//! offsets are used here.

use super::identity;
use super::place::{PAGE, Space};
use anyhow::{Context as _, Result, bail};

/// Where the 64-bit entry is in the protected-mode part.
const ENTRY_64: u64 = 0x200;
/// Oldest protocol that names a kernel's 64-bit entry (Linux 3.8).
const VERSION_MIN: u16 = 0x020c;
/// `relocatable_kernel`.
const RELOCATABLE: usize = 0x234;
/// `XLF_KERNEL_64`.
const KERNEL_64: u16 = 1;
/// kexec, in the list of `type_of_loader`.
const LOADER: u8 = 0xd0;
/// The setup header in the kernel's file and in its parameters.
const HEADER: std::ops::Range<usize> = 0x1f1..0x290;
/// Of the parameters, beside the header: parts of the addresses above 4 GiB, of EFI, and the sentinel.
const CLEARED: [std::ops::Range<usize>; 3] = [0xc0..0xcc, 0x1c0..0x1e0, 0x1ef..0x1f0];
const E820_ENTRIES: usize = 0x1e8;
const E820_TABLE: usize = 0x2d0;
const E820_ENTRY_BYTES: usize = 20;
const E820_ENTRIES_MAX: usize = 128;
/// Type of an entry that is memory.
const RAM: u32 = 1;
/// A page of parameters, one for the command line, one for the code that enters the kernel, and page tables.
pub(crate) const PARAMETERS_BYTES: usize = 3 * PAGE_BYTES + identity::BYTES;
const PAGE_BYTES: usize = 4096;
/// No address above it fits into the header.
const FOUR_GIB: u64 = 1 << 32;

/// A part of what is started, and where it comes to lie.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<T> {
    pub(crate) content: T,
    pub(crate) address: u64,
    /// Memory that is its own, at least as long as the content.
    pub(crate) bytes: u64,
}

/// Everything that is needed to start a kernel.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) entry: u64,
    pub(crate) kernel: Part<&'a [u8]>,
    pub(crate) initrd: Part<&'a [u8]>,
    pub(crate) parameters: Part<Vec<u8>>,
}

/// How much memory the kernel needs to unpack itself; none: it is no kernel of this kind.
pub(crate) fn init_size(kernel: &[u8]) -> Option<u32> {
    (kernel.get(0x202..0x206)? == b"HdrS").then(|| u32_at(kernel, 0x260))?
}

/// Lays out a kernel. `running` are the parameters that the running kernel was started with by a BIOS's
/// boot loader: the next one is told the same of the machine.
pub(crate) fn lay_out<'a>(
    kernel: &'a [u8],
    initrd: &'a [u8],
    command_line: &str,
    running: &[u8],
) -> Result<Start<'a>> {
    const SHORT: &str = "the kernel's header is too short";
    let need = init_size(kernel).context("it is no bzImage")?;
    let version = u16_at(kernel, 0x206).context(SHORT)?;
    if version < VERSION_MIN || u16_at(kernel, 0x236).context(SHORT)? & KERNEL_64 == 0 {
        bail!("it has no 64-bit entry");
    }
    let sectors = match *kernel.get(0x1f1).context(SHORT)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let content = kernel.get((sectors + 1) * 512..).context("the kernel is cut off")?;
    if command_line.len() >= PAGE_BYTES.min(to_usize(u32_at(kernel, 0x238).context(SHORT)?) + 1) {
        bail!("the command line is too long");
    }

    let mut space = Space::new(memory(running)?);
    let unpacked = u64::from(need).max(content.len() as u64).next_multiple_of(PAGE);
    let alignment = u64::from(u32_at(kernel, 0x230).context(SHORT)?).max(PAGE);
    let preferred = u64_at(kernel, 0x258).context(SHORT)?;
    let no_room = "there is no room for it in the memory below 4 GiB";
    // As far as possible from the running kernel: an emulated processor takes seconds to write over
    // what it runs.
    let anywhere = *kernel.get(RELOCATABLE).context(SHORT)? != 0;
    let anywhere = anywhere.then(|| space.take(unpacked, alignment, FOUR_GIB)).flatten();
    let address = anywhere.or_else(|| space.take_at(preferred, unpacked)).context(no_room)?;
    // Only its content is moved there: the rest of what it unpacks itself in, it clears itself, and the page
    // tables that the jump is made with, which may lie there, are left for our own.
    let bytes = (content.len() as u64).next_multiple_of(PAGE);
    let kernel_part = Part { content, address, bytes };
    let initrd_end = u64::from(u32_at(kernel, 0x22c).context(SHORT)?) + 1;
    let bytes = (initrd.len() as u64).next_multiple_of(PAGE);
    let address = space.take(bytes, PAGE, initrd_end).context(no_room)?;
    let initrd = Part { content: initrd, address, bytes };
    let bytes = PARAMETERS_BYTES as u64;
    let address = space.take(bytes, PAGE, FOUR_GIB).context(no_room)?;

    let mut page = running.get(..PAGE_BYTES).context("the parameters are cut off")?.to_vec();
    tell(&mut page, kernel, &initrd, address + PAGE).context(SHORT)?;
    page.extend_from_slice(command_line.as_bytes());
    page.resize(2 * PAGE_BYTES, 0);
    page.extend_from_slice(&entering(kernel_part.address + ENTRY_64, address));
    page.resize(3 * PAGE_BYTES, 0);
    page.extend_from_slice(&identity::tables(address + 3 * PAGE));
    let entry = address + 2 * PAGE;
    let parameters = Part { content: page, address, bytes };
    Ok(Start { entry, kernel: kernel_part, initrd, parameters })
}

/// The machine's memory, as the boot loader found it.
fn memory(parameters: &[u8]) -> Result<Vec<std::ops::Range<u64>>> {
    let count = usize::from(*parameters.get(E820_ENTRIES).context("no memory map")?);
    if count >= E820_ENTRIES_MAX {
        bail!("the memory map is too long");
    }
    let entries = (0..count).map(|index| E820_TABLE + index * E820_ENTRY_BYTES);
    let found: Option<Vec<_>> = entries
        .map(|at| {
            let start = u64_at(parameters, at)?;
            let end = start.checked_add(u64_at(parameters, at + 8)?)?;
            Some((start..end, u32_at(parameters, at + 16)?))
        })
        .collect();
    let found = found.context("the memory map is cut off")?;
    let (ram, other): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, kind)| *kind == RAM);
    // Where the map contradicts itself, nothing is put.
    let is_sound = |ram: &std::ops::Range<u64>| {
        other.iter().all(|(range, _)| range.end <= ram.start || ram.end <= range.start)
    };
    Ok(ram.into_iter().map(|(range, _)| range).filter(is_sound).collect())
}

/// Writes the kernel's own header into its parameters, and what a boot loader has to fill in.
fn tell(page: &mut [u8], kernel: &[u8], initrd: &Part<&[u8]>, command_line: u64) -> Option<()> {
    for range in CLEARED.into_iter().chain([HEADER]) {
        page.get_mut(range)?.fill(0);
    }
    let end = (0x202 + usize::from(*kernel.get(0x201)?)).min(HEADER.end);
    page.get_mut(HEADER.start..end)?.copy_from_slice(kernel.get(HEADER.start..end)?);
    *page.get_mut(0x210)? = LOADER;
    put(page, 0x218, initrd.address)?;
    put(page, 0x21c, initrd.content.len() as u64)?;
    put(page, 0x228, command_line)?;
    // setup_data: it lay in the memory of the running kernel.
    page.get_mut(0x250..0x258)?.fill(0);
    Some(())
}

/// Machine code that runs at the start of a page: page tables of our own, the segments of the protocol, `%rsi`
/// for the parameters.
fn entering(kernel: u64, parameters: u64) -> Vec<u8> {
    let own = parameters + 2 * PAGE;
    let tables = parameters + 3 * PAGE;
    let [table, pointer] = [0x80, 0xa0];
    let mut code = Vec::new();
    // mov $four, %rbx; mov %cr4, %rcx; test $0x1000 (LA57), %ecx; je 1f; mov $five, %rbx; 1: mov %rbx, %cr3
    code.extend_from_slice(&[0x48, 0xbb]);
    code.extend_from_slice(&(tables + identity::FOUR_LEVELS).to_le_bytes());
    code.extend_from_slice(&[0x0f, 0x20, 0xe1, 0xf7, 0xc1, 0, 0x10, 0, 0, 0x74, 0x0a, 0x48, 0xbb]);
    code.extend_from_slice(&(tables + identity::FIVE_LEVELS).to_le_bytes());
    code.extend_from_slice(&[0x0f, 0x22, 0xdb]);
    // mov $pointer, %rax; lgdt (%rax); mov $0x18, %eax; mov %eax, %ds, %es, %ss
    code.extend_from_slice(&[0x48, 0xb8]);
    code.extend_from_slice(&(own + pointer as u64).to_le_bytes());
    code.extend_from_slice(&[0x0f, 0x01, 0x10, 0xb8, 0x18, 0, 0, 0]);
    code.extend_from_slice(&[0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0]);
    // mov $parameters, %rsi; mov $kernel, %rax; jmp *%rax
    code.extend_from_slice(&[0x48, 0xbe]);
    code.extend_from_slice(&parameters.to_le_bytes());
    code.extend_from_slice(&[0x48, 0xb8]);
    code.extend_from_slice(&kernel.to_le_bytes());
    code.extend_from_slice(&[0xff, 0xe0]);
    code.resize(table, 0);
    // Nothing, nothing, __BOOT_CS (64 bits, executable), __BOOT_DS.
    for descriptor in [0_u64, 0, 0x00af_9a00_0000_ffff, 0x00cf_9200_0000_ffff] {
        code.extend_from_slice(&descriptor.to_le_bytes());
    }
    code.extend_from_slice(&31_u16.to_le_bytes());
    code.extend_from_slice(&(own + table as u64).to_le_bytes());
    code
}

fn put(page: &mut [u8], at: usize, value: u64) -> Option<()> {
    page.get_mut(at..at + 4)?.copy_from_slice(&u32::try_from(value).ok()?.to_le_bytes());
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn kernel() -> Vec<u8> {
        let mut file = vec![0; 3 * 512 + 0x1000];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x1f1, &[2]);
        put(0x201, &[0x6a]);
        put(0x202, b"HdrS");
        put(0x206, &0x020f_u16.to_le_bytes());
        put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
        put(0x230, &0x20_0000_u32.to_le_bytes());
        put(0x236, &0x7f_u16.to_le_bytes());
        put(0x238, &2047_u32.to_le_bytes());
        put(0x250, &77_u64.to_le_bytes());
        put(0x258, &(16 * MIB).to_le_bytes());
        put(0x260, &(50_u32 << 20).to_le_bytes());
        put(3 * 512, b"protected mode");
        file
    }

    fn running(map: &[(u64, u64, u32)]) -> Vec<u8> {
        let mut page = vec![0xff; PAGE_BYTES];
        page[E820_ENTRIES] = u8::try_from(map.len()).unwrap();
        for (index, (start, bytes, kind)) in map.iter().enumerate() {
            let at = E820_TABLE + index * E820_ENTRY_BYTES;
            page[at..at + 8].copy_from_slice(&start.to_le_bytes());
            page[at + 8..at + 16].copy_from_slice(&bytes.to_le_bytes());
            page[at + 16..at + 20].copy_from_slice(&kind.to_le_bytes());
        }
        page
    }

    const MAP: [(u64, u64, u32); 4] = [
        (0, 0x9_fc00, 1),
        (0x10_0000, 0x1fee_0000, 1),
        (0x1ffe_0000, 0x2_0000, 2),
        (1 << 32, MIB, 1),
    ];

    #[test]
    fn a_kernel_lies_where_it_wants_and_finds_its_parameters() {
        let (kernel, initrd) = (kernel(), vec![7; 5000]);
        let start = lay_out(&kernel, &initrd, "quiet x=y", &running(&MAP)).unwrap();
        assert_eq!((start.kernel.address, start.kernel.bytes), (16 * MIB, 0x1000));
        assert!(start.kernel.content.starts_with(b"protected mode"));
        let top = 0x1ffe_0000;
        assert_eq!((start.initrd.address, start.initrd.bytes), (top - 0x2000, 0x2000));
        assert_eq!((start.parameters.address, start.entry), (top - 0xc000, top - 0xa000));
        let page = &start.parameters.content;
        assert_eq!(page.len(), PARAMETERS_BYTES);
        assert_eq!((page[0x210], &page[0x202..0x206]), (LOADER, &b"HdrS"[..]));
        assert_eq!(u32_at(page, 0x218), Some(0x1ffd_e000));
        assert_eq!(u32_at(page, 0x21c), Some(5000));
        assert_eq!(u32_at(page, 0x228), Some(0x1ffd_5000));
        assert_eq!(
            (u64_at(page, 0x250), page[0x1ef], page[0x27f], page[0x290]),
            (Some(0), 0, 0, 0xff)
        );
        assert_eq!(page[E820_ENTRIES], 4);
        assert!(page[PAGE_BYTES..].starts_with(b"quiet x=y\0"));
    }

    #[test]
    fn a_kernel_that_may_lie_anywhere_lies_high() {
        let mut kernel = kernel();
        kernel[RELOCATABLE] = 1;
        let start = lay_out(&kernel, &[], "", &running(&MAP)).unwrap();
        // 50 MiB below the end of memory, on a multiple of 2 MiB.
        assert_eq!(start.kernel.address, 0x1cc0_0000);
        let small = [(0x10_0000, 66 * MIB, 1)];
        let start = lay_out(&kernel, &[], "", &running(&small)).unwrap();
        assert_eq!(start.kernel.address, 16 * MIB);
    }

    /// The bytes as an assembler makes them of the text beside the code.
    #[test]
    fn the_code_enters_the_kernel_in_its_segments() {
        let code = entering(0x100_0200, 0x1ffd_b000);
        let expected = [
            0x48, 0xbb, 0, 0xf0, 0xfd, 0x1f, 0, 0, 0, 0, 0x0f, 0x20, 0xe1, 0xf7, 0xc1, 0, 0x10, 0,
            0, 0x74, 0x0a, 0x48, 0xbb, 0, 0xe0, 0xfd, 0x1f, 0, 0, 0, 0, 0x0f, 0x22, 0xdb, 0x48,
            0xb8, 0xa0, 0xd0, 0xfd, 0x1f, 0, 0, 0, 0, 0x0f, 0x01, 0x10, 0xb8, 0x18, 0, 0, 0, 0x8e,
            0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0x48, 0xbe, 0, 0xb0, 0xfd, 0x1f, 0, 0, 0, 0, 0x48, 0xb8,
            0, 2, 0, 1, 0, 0, 0, 0, 0xff, 0xe0,
        ];
        assert_eq!(code[..expected.len()], expected);
        assert_eq!(code[0xa0..], [31, 0, 0x80, 0xd0, 0xfd, 0x1f, 0, 0, 0, 0]);
    }

    #[test]
    fn what_cannot_be_started_is_refused() {
        let (good, map) = (kernel(), running(&MAP));
        let error = |kernel: &[u8], line: &str, map: &[u8]| {
            format!("{:#}", lay_out(kernel, &[], line, map).unwrap_err())
        };
        for bytes in 0..0x268 {
            error(&good[..bytes], "", &map);
        }
        for bytes in 0..PAGE_BYTES {
            lay_out(&good, &[], "", &map[..bytes]).unwrap_err();
        }
        assert_eq!(error(&[0; 4096], "", &map), "it is no bzImage");
        let mut old = good.clone();
        old[0x236] = 0;
        assert_eq!(error(&old, "", &map), "it has no 64-bit entry");
        let no_room = "there is no room for it in the memory below 4 GiB";
        assert_eq!(error(&good, "", &running(&MAP[..1])), no_room);
        // Where memory is said to be something else too, nothing is put.
        let mut unsound = MAP.to_vec();
        unsound.push((32 << 20, 4096, 2));
        assert_eq!(error(&good, "", &running(&unsound)), no_room);
        assert_eq!(error(&good, &"x".repeat(2048), &map), "the command line is too long");
    }
}
