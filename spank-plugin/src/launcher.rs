//! A program of a few bytes that puts words before a command line: the entry point before a task's
//! command.
//!
//! slurmstepd starts `argv[0]` of a task itself, after everything else it does for it (TaskProlog,
//! limits, `TMPDIR`), and a plugin can replace `argv[0]` but, before Slurm 23.11, add nothing. So
//! `argv[0]` becomes this program, in a file that exists in memory only: it needs nothing of the image,
//! which may have no shell and another C library. It carries the words, puts them in the place of
//! its own `argv[0]`, and executes the first.
#![expect(unsafe_code, reason = "machine code, read from where the linker put it")]

use rustix::fd::{IntoRawFd, OwnedFd};
use rustix::fs::MemfdFlags;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;

// On entry the stack has: argc, argv[0], …, argv[argc - 1], NULL, the environment (System V ABI,
// AMD64). Behind the code lie: the number of words, address and length of a message, and the words.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .rodata.bmc_launcher,\"a\",@progbits",
    ".hidden bmc_launcher_start",
    ".hidden bmc_launcher_end",
    ".globl bmc_launcher_start",
    ".globl bmc_launcher_end",
    "bmc_launcher_start:",
    "mov rax, [rsp]",
    "lea rdx, [rsp + rax * 8 + 16]", // The environment begins behind argv's NULL.
    "lea rbx, [rip + bmc_launcher_end]",
    "mov rcx, [rbx]",
    "lea rdi, [rsp + 16]", // &argv[1]: the words end there.
    "lea rax, [rcx * 8]",
    "sub rdi, rax",
    "mov r12, rdi",
    "lea rsp, [rdi - 128]", // They may begin below the old stack pointer.
    "and rsp, -16",
    "lea rsi, [rbx + 24]",
    "cld",
    "rep movsq",
    "mov rdi, [r12]",
    "mov rsi, r12",
    "mov eax, 59", // execve
    "syscall",
    "mov edi, 2",
    "mov rsi, [rbx + 8]",
    "mov rdx, [rbx + 16]",
    "mov eax, 1", // write
    "syscall",
    "mov edi, 127",
    "mov eax, 231", // exit_group
    "syscall",
    ".balign 8",
    "bmc_launcher_end:",
    ".popsection",
);

/// Where the file is loaded; it has no other segment to collide with.
const BASE: u64 = 0x40_0000;
/// ELF header and two program headers.
const HEADERS: u64 = 64 + 2 * 56;

/// Makes the program, and says the path by which this process can execute it. The descriptor stays
/// open until then, and no longer.
pub(crate) fn launcher(words: &[CString], message: &str) -> Result<CString, String> {
    let failed = |error: std::io::Error| error.to_string();
    let file = rustix::fs::memfd_create("launcher", MemfdFlags::CLOEXEC)
        .map_err(|error| failed(error.into()))?;
    let mut file = File::from(file);
    file.write_all(&program(words, message)).map_err(failed)?;
    let descriptor = OwnedFd::from(file).into_raw_fd();
    CString::new(format!("/proc/self/fd/{descriptor}")).map_err(|error| error.to_string())
}

/// An ELF file for Linux on AMD64, statically linked: code, addresses, texts.
fn program(words: &[CString], message: &str) -> Vec<u8> {
    let code = code();
    let table = BASE + HEADERS + code.len() as u64;
    let mut texts = Vec::new();
    let texts_begin = table + 8 * (3 + words.len() as u64);
    let mut place = |bytes: &[u8]| {
        let at = texts_begin + texts.len() as u64;
        texts.extend_from_slice(bytes);
        at
    };
    let said = place(message.as_bytes());
    let placed: Vec<u64> = words.iter().map(|word| place(CStr::to_bytes_with_nul(word))).collect();
    let mut numbers = vec![words.len() as u64, said, message.len() as u64];
    numbers.extend(placed);
    let bytes = texts_begin - BASE + texts.len() as u64;

    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let half = |out: &mut Vec<u8>, values: &[u16]| {
        values.iter().for_each(|value| out.extend(value.to_le_bytes()));
    };
    let word = |out: &mut Vec<u8>, values: &[u32]| {
        values.iter().for_each(|value| out.extend(value.to_le_bytes()));
    };
    let double = |out: &mut Vec<u8>, values: &[u64]| {
        values.iter().for_each(|value| out.extend(value.to_le_bytes()));
    };
    half(&mut out, &[2, 62]); // ET_EXEC, EM_X86_64
    word(&mut out, &[1]);
    double(&mut out, &[BASE + HEADERS, 64, 0]); // entry, program headers, no section headers
    word(&mut out, &[0]);
    half(&mut out, &[64, 56, 2, 0, 0, 0]);
    word(&mut out, &[1, 5]); // PT_LOAD, readable and executable: the whole file
    double(&mut out, &[0, BASE, BASE, bytes, bytes, 0x1000]);
    word(&mut out, &[0x6474_e551, 6]); // PT_GNU_STACK, readable and writable
    double(&mut out, &[0, 0, 0, 0, 0, 16]);
    out.extend(code);
    double(&mut out, &numbers);
    out.extend(texts);
    out
}

#[cfg(target_arch = "x86_64")]
fn code() -> &'static [u8] {
    unsafe extern "C" {
        static bmc_launcher_start: u8;
        static bmc_launcher_end: u8;
    }
    let (start, end) = (&raw const bmc_launcher_start, &raw const bmc_launcher_end);
    // SAFETY: both labels are of the constant bytes above, in this order.
    unsafe { std::slice::from_raw_parts(start, end as usize - start as usize) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    fn run(words: &[&str], arguments: &[&str]) -> (Option<i32>, String, String) {
        let words: Vec<CString> = words.iter().map(|word| CString::new(*word).unwrap()).collect();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("launcher");
        std::fs::write(&file, program(&words, "cannot be executed\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        let output = Command::new(&file)
            .arg0("replaced")
            .args(arguments)
            .env_clear()
            .env("A", "1")
            .env("B", "2")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    #[test]
    fn words_come_before_the_arguments() {
        let show = "printf '%s,' \"$0\" \"$@\" \"$A$B\"";
        for (words, arguments, expected) in [
            (
                &["/bin/sh", "-c", show, "entry", "command"][..],
                &["x", "y z"][..],
                "entry,command,x,y z,12,",
            ),
            (&["/bin/sh", "-c", show, "entry"], &[], "entry,12,"),
            (&["/bin/sh"], &["-c", show, "e"], "e,12,"),
        ] {
            let (code, out, err) = run(words, arguments);
            assert_eq!((code, out.as_str(), err.as_str()), (Some(0), expected, ""));
        }
        let many: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
        let mut words = vec!["/bin/sh", "-c", "echo $# $1 $1999"];
        words.extend(many.iter().map(String::as_str));
        assert_eq!(run(&words, &["last"]).1, "2000 1 1999\n");
    }

    #[test]
    fn what_cannot_be_executed_is_said() {
        let (code, _, err) = run(&["/nonexistent/entry"], &[]);
        assert_eq!((code, err.as_str()), (Some(127), "cannot be executed\n"));
    }

    #[test]
    fn it_runs_from_memory() {
        let words = [c"/bin/echo".to_owned(), c"a".to_owned()];
        let path = launcher(&words, "").unwrap();
        let output = Command::new(path.to_str().unwrap()).arg("b").output().unwrap();
        assert_eq!(output.stdout, b"a b\n");
    }
}
