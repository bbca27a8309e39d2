//! The C boundary: the symbols Slurm looks for, and the only unsafe code of the plugin besides
//! `slurm_options`.
//!
//! The bindings and the handle are slurm-spank's; its `SPANK_PLUGIN!` macro is not used, because it
//! owns the option callback. Only there can a wrong value be refused as srun refuses its own, and a
//! list be printed before srun and salloc ask for a command to run (docs/adr/0004).
//!
//! Decides nothing. No panic crosses: each callback is caught, silently but for one line.
#![expect(unsafe_code, reason = "SPANK is a C interface; this is its one wrapper")]

use crate::context::{After, Command, Context, Job, Process, Source};
use crate::enter::TaskOf;
use crate::options::{Given, help};
use crate::slurm_options;
use protocol::job_options::OptionName;
use slurm_spank::spank_sys::{
    ESPANK_SUCCESS, spank_get_item, spank_item_S_JOB_ARGV, spank_option, spank_option_register,
    spank_t,
};
use slurm_spank::{LogLevel, OptionCache, SpankHandle, init_spank_handle, spank_log};
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

#[unsafe(no_mangle)]
static plugin_name: [u8; 4] = *b"bmc\0";
#[unsafe(no_mangle)]
static plugin_type: [u8; 6] = *b"spank\0";
#[unsafe(no_mangle)]
static plugin_version: c_uint = slurm_spank::SLURM_VERSION_NUMBER;

/// The node's mounts as its first process has them: slurmd may live in a copy of them (`PrivateTmp=`,
/// job_container/tmpfs), and no copy has the pinned namespace in it.
const NODE_ROOT: &str = "/proc/1/root";

/// Slurm calls one callback at a time; the lock says so to the compiler.
static GIVEN: Mutex<Option<Given>> = Mutex::new(None);

type Arguments = *const *const c_char;

#[unsafe(no_mangle)]
extern "C" fn slurm_spank_init(spank: spank_t, count: c_int, arguments: Arguments) -> c_int {
    with_handle(spank, count, arguments, |context, handle, given| {
        let arguments = handle.plugin_argv().unwrap_or_default();
        let (register, after) = crate::init(context, &arguments, &ThisProcess, given);
        if register && after == After::Continue { register_options(spank) } else { after }
    })
}

#[unsafe(no_mangle)]
extern "C" fn slurm_spank_init_post_opt(
    spank: spank_t,
    count: c_int,
    arguments: Arguments,
) -> c_int {
    with_handle(spank, count, arguments, |context, handle, given| {
        crate::post_option(context, &ThisProcess, &Handle(handle, spank), given)
    })
}

#[unsafe(no_mangle)]
extern "C" fn slurm_spank_user_init(spank: spank_t, count: c_int, arguments: Arguments) -> c_int {
    with_handle(spank, count, arguments, |context, handle, given| {
        crate::user_init(context, &ThisProcess, &Handle(handle, spank), given)
    })
}

#[unsafe(no_mangle)]
extern "C" fn slurm_spank_task_init_privileged(
    spank: spank_t,
    count: c_int,
    arguments: Arguments,
) -> c_int {
    with_handle(spank, count, arguments, |context, handle, given| {
        let handle = Handle(handle, spank);
        crate::task_init_privileged(context, &handle, Path::new(NODE_ROOT), given);
        After::Continue
    })
}

#[unsafe(no_mangle)]
extern "C" fn slurm_spank_task_init(spank: spank_t, count: c_int, arguments: Arguments) -> c_int {
    with_handle(spank, count, arguments, |context, handle, given| {
        let arrive = || crate::task_init(context, &ThisProcess, &Handle(handle, spank), given);
        let cut_off = |_| After::EndTask("[bare-metal container] internal error".to_owned());
        match catch_unwind(AssertUnwindSafe(arrive)).unwrap_or_else(cut_off) {
            After::EndTask(sentence) => {
                spank_log(LogLevel::Error, &sentence);
                // SAFETY: ends this process, a fork of slurmstepd whose exit handlers are not its.
                unsafe { libc::_exit(1) }
            }
            after @ (After::Continue | After::Refuse(_) | After::Print(_)) => after,
        }
    })
}

extern "C" fn option_callback(value: c_int, text_pointer: *const c_char, remote: c_int) -> c_int {
    guarded(remote != 0, |given| {
        let Some(name) = OptionName::ALL.into_iter().find(|name| *name as c_int == value) else {
            return After::Continue;
        };
        let text = if text_pointer.is_null() {
            String::new()
        } else {
            // SAFETY: not null; Slurm passes a NUL-terminated string that outlives this call.
            unsafe { CStr::from_ptr(text_pointer) }.to_string_lossy().into_owned()
        };
        let source = match remote {
            0 if is_handed_down(name, text_pointer) => Source::ComponentBefore,
            0 => Source::Typed,
            _ => Source::Job,
        };
        match crate::option(name, &text, source, &ThisProcess, given) {
            // Slurm adds "Invalid --… argument" and ends the command itself.
            After::Refuse(sentence) => {
                spank_log(LogLevel::Error, &sentence);
                After::Refuse(String::new())
            }
            after @ (After::Continue | After::Print(_) | After::EndTask(_)) => after,
        }
    })
}

/// Whether Slurm has not been given this value but has it from the environment: then it passes the
/// very bytes that lie there.
fn is_handed_down(name: OptionName, text: *const c_char) -> bool {
    unsafe extern "C" {
        fn getenv(name: *const c_char) -> *const c_char;
    }
    let Ok(variable) = CString::new(crate::step::handed_down(name)) else { return false };
    // SAFETY: a NUL-terminated name; only the address of the answer is looked at.
    !text.is_null() && text == unsafe { getenv(variable.as_ptr()) }
}

/// Must be done in every context the options are used in, from `slurm_spank_init` (spank(8)).
fn register_options(spank: spank_t) -> After {
    for name in OptionName::ALL {
        let help = help(name);
        let texts = (CString::new(name.long()), CString::new(help.text));
        let (Ok(long), Ok(text)) = texts else { return After::Continue };
        let mut option = spank_option {
            name: long.as_ptr(),
            arginfo: help.placeholder.as_ptr(),
            usage: text.as_ptr(),
            has_arg: if help.optional { 2 } else { 1 },
            val: name as c_int,
            cb: Some(option_callback),
        };
        // SAFETY: the handle is Slurm's; Slurm copies the structure and its strings.
        let code = unsafe { spank_option_register(spank, &raw mut option) };
        if code != ESPANK_SUCCESS {
            let text = format!("bmc: cannot register --{}: SPANK error {code}", name.long());
            return After::Refuse(text);
        }
    }
    After::Continue
}

fn with_handle(
    spank: spank_t,
    count: c_int,
    arguments: Arguments,
    moment: impl FnOnce(Context, &SpankHandle<'_>, &mut Given) -> After,
) -> c_int {
    let mut unused = OptionCache::default();
    let handle = init_spank_handle(spank, count, arguments, &mut unused);
    let context = context(&handle);
    let after = guarded(!matches!(context, Context::Client(_)), |given| {
        match moment(context, &handle, given) {
            After::Refuse(sentence) if matches!(context, Context::Client(_)) => {
                spank_log(LogLevel::Error, &sentence);
                // Slurm ignores an error of a plugin that is not `required` before 25.05, and
                // prints a riddle for one that is.
                end(1)
            }
            after @ (After::Continue | After::Refuse(_) | After::Print(_) | After::EndTask(_)) => {
                after
            }
        }
    });
    if after == 0 { 0 } else { -1 }
}

/// Runs a moment. On the node nothing may fail, whatever happens: an error drains it.
fn guarded(on_node: bool, moment: impl FnOnce(&mut Given) -> After) -> c_int {
    std::panic::set_hook(Box::new(|_| {}));
    let after = catch_unwind(AssertUnwindSafe(|| {
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        moment(given.get_or_insert_default())
    }));
    match after {
        Ok(After::Continue) => 0,
        Ok(After::Print(text)) => {
            // A closed pipe is the reader's choice.
            drop(std::io::stdout().write_all(text.as_bytes()));
            end(0)
        }
        Ok(After::Refuse(_) | After::EndTask(_)) => {
            if on_node {
                0
            } else {
                -1
            }
        }
        Err(_) => {
            spank_log(LogLevel::Error, "[bare-metal container] internal error of spank_bmc.so");
            if on_node { 0 } else { -1 }
        }
    }
}

#[expect(clippy::exit, reason = "SPANK has no way to end srun, sbatch or salloc without an error")]
fn end(code: i32) -> ! {
    std::process::exit(code)
}

fn context(handle: &SpankHandle<'_>) -> Context {
    match handle.context() {
        Ok(slurm_spank::Context::Local) => Context::Client(Command::Srun),
        Ok(slurm_spank::Context::Allocator) => Context::Client(allocator_command()),
        Ok(slurm_spank::Context::Remote) => Context::Remote,
        Ok(slurm_spank::Context::Slurmd | slurm_spank::Context::JobScript) | Err(_) => {
            Context::Other
        }
    }
}

/// SPANK does not tell sbatch from salloc; the program's file does, whatever it was called as.
fn allocator_command() -> Command {
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.contains("salloc") { Command::Salloc } else { Command::Sbatch }
}

struct ThisProcess;

impl Process for ThisProcess {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn set_variable(&self, name: &str, value: Option<&str>) {
        // SAFETY: called from `slurm_spank_init` and `slurm_spank_init_post_opt` in srun, sbatch and
        // salloc only, where Slurm itself calls setenv(3) before and after for every option.
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, value),
                None => std::env::remove_var(name),
            }
        }
    }

    fn directory(&self) -> Option<std::path::PathBuf> {
        std::env::current_dir().ok()
    }

    fn arguments(&self) -> Vec<String> {
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect()
    }

    fn slurm_option(&self, name: &CStr) -> Option<String> {
        slurm_options::get(name)
    }

    fn set_slurm_option(&self, name: &CStr, value: Option<&str>) -> bool {
        slurm_options::set(name, value)
    }

    fn note(&self, text: &str) {
        spank_log(LogLevel::Verbose, text);
    }

    fn warn(&self, text: &str) {
        spank_log(LogLevel::Info, text);
    }

    fn progress(&self, text: Option<&str>) {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            // A terminal that is gone is no reason to stop.
            drop(write!(stderr, "\r{}\x1b[K", text.unwrap_or_default()));
        }
    }
}

struct Handle<'a, 'b>(&'a SpankHandle<'b>, spank_t);

impl Job for Handle<'_, '_> {
    fn set_for_hooks(&self, name: &str, value: Option<&str>) -> Result<(), String> {
        match value {
            Some(value) => self.0.job_control_setenv(name, value, true),
            None => self.0.job_control_unsetenv(name),
        }
        .map_err(|error| error.to_string())
    }

    fn task_variable(&self, name: &str) -> Option<String> {
        self.0.getenv_lossy(name).ok().flatten()
    }

    fn set_for_tasks(&self, name: &str, value: &str) -> Result<(), String> {
        self.0.setenv(name, value, true).map_err(|error| error.to_string())
    }

    fn prepend_command(&self, mut words: Vec<CString>) -> Result<(), String> {
        let (mut count, mut argv): (c_int, *mut *mut c_char) = (0, std::ptr::null_mut());
        // SAFETY: S_JOB_ARGV takes these two pointers (spank.h).
        let code =
            unsafe { spank_get_item(self.1, spank_item_S_JOB_ARGV, &raw mut count, &raw mut argv) };
        if code != ESPANK_SUCCESS || count < 1 || argv.is_null() {
            return Err(format!("SPANK error {code}"));
        }
        // SAFETY: an array of at least one NUL-terminated string, this task's own copy after fork.
        words.push(unsafe { CStr::from_ptr(*argv) }.to_owned());
        let message = "[bare-metal container] the image's entry point cannot be executed\n";
        let path = crate::launcher::launcher(&words, message)?;
        // SAFETY: slurmstepd only reads it from now on, until it executes it; so it is never freed.
        unsafe { *argv = path.into_raw() };
        Ok(())
    }

    fn tell(&self, text: &str) {
        spank_log(LogLevel::Error, text);
    }

    fn task_of(&self) -> Result<TaskOf, String> {
        let text = |error: slurm_spank::SpankError| error.to_string();
        Ok(TaskOf { job: self.0.job_id().map_err(text)?, uid: self.0.job_uid().map_err(text)? })
    }
}
