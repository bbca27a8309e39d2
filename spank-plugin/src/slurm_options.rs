//! srun's, sbatch's and salloc's own options, read and set by the functions that Slurm's cli_filter
//! plugins do it with. They are looked up when they are needed: where one is missing, there is no
//! option to set.
#![expect(
    unsafe_code,
    reason = "functions and the options of the program the plugin is loaded into"
)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};

type Get = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_char;
type Set = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char, bool) -> c_int;
type Reset = unsafe extern "C" fn(*mut c_void, *const c_char) -> bool;

/// The value of an option; `None`: it is not set, or cannot be read.
pub(crate) fn get(name: &CStr) -> Option<String> {
    let (options, get) = (options()?, symbol(c"slurm_option_get")?);
    // SAFETY: the signature of slurm_opt.h, the same from 20.02 to 26.11.
    let get = unsafe { std::mem::transmute::<*mut c_void, Get>(get) };
    // SAFETY: the program's own options, and a name.
    let value = unsafe { get(options, name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: a text of Slurm's allocator, for the caller to free. Two a run: they are left.
    Some(unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned())
}

/// Sets an option; `None`: as if it had not been given. Whether that could be done.
pub(crate) fn set(name: &CStr, value: Option<&str>) -> bool {
    let Some(options) = options() else { return false };
    let Some(value) = value else {
        let Some(reset) = symbol(c"slurm_option_reset") else { return false };
        // SAFETY: the signature of slurm_opt.h.
        let reset = unsafe { std::mem::transmute::<*mut c_void, Reset>(reset) };
        // SAFETY: as in `get`.
        return unsafe { reset(options, name.as_ptr()) };
    };
    let (Ok(value), Some(set)) = (CString::new(value), symbol(c"slurm_option_set")) else {
        return false;
    };
    // SAFETY: the signature of slurm_opt.h.
    let set = unsafe { std::mem::transmute::<*mut c_void, Set>(set) };
    // SAFETY: as in `get`; Slurm copies the value. It is not one of those read in a first pass.
    unsafe { set(options, name.as_ptr(), value.as_ptr(), false) == 0 }
}

/// The program's `slurm_opt_t opt`, if the program is one of those that have it.
fn options() -> Option<*mut c_void> {
    let program = std::env::current_exe().ok()?;
    let name = program.file_name()?.to_str()?;
    let has_it = ["srun", "sbatch", "salloc"].contains(&name);
    symbol(c"opt").filter(|options| has_it && is_of_the_program(*options))
}

/// Not a library's variable of that name: its mapping begins with the program's header.
fn is_of_the_program(address: *mut c_void) -> bool {
    /// The program headers stand right behind the ELF header.
    const HEADER_BYTES_MAX: usize = 4_096;
    // SAFETY: plain numbers and pointers, for which all zeros are a value.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: fills in `info`; any address may be asked for.
    if unsafe { libc::dladdr(address, &raw mut info) } == 0 {
        return false;
    }
    // SAFETY: reads the auxiliary vector.
    let headers = usize::try_from(unsafe { libc::getauxval(libc::AT_PHDR) }).unwrap_or(0);
    headers.checked_sub(info.dli_fbase.addr()).is_some_and(|behind| behind < HEADER_BYTES_MAX)
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: looks a name up in what is loaded.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}
