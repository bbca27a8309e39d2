//! A module for `ipmi_sim` (OpenIPMI 2.0) that makes it answer DCMI 1.5: "Get DCMI Capabilities"
//! and "Get Power Reading", from a file with the present power in watts.
//!
//! lan.conf: `loadlib "/path/dcmi_module.so" "/path/watts"`. The answers are made in `answer.rs`;
//! here stands only what touches the simulator's memory.

mod answer;

use answer::{Meter, NO_ANSWER};
use std::ffi::{CStr, OsStr, c_char, c_int, c_long, c_uchar, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The group extension number that the DCMI specification was given.
const DCMI_GROUP: u8 = 0xdc;
/// The simulator's answer buffer is larger (`IPMI_SIM_MAX_MSG_LENGTH`, 255); ours never exceed 19.
const ANSWER_BYTES_MAX: usize = 32;

static METER: OnceLock<Mutex<Meter>> = OnceLock::new();

/// `msg_t` of `<OpenIPMI/msg.h>` up to the fields we read.
#[repr(C)]
struct Message {
    source_address: *mut c_void,
    source_length: c_int,
    oem_data: c_long,
    channel: c_uchar,
    origin: *mut c_void,
    authentication: c_uchar,
    sequence: u32,
    session: u32,
    transport: Transport,
    net_function: c_uchar,
    responder: [c_uchar; 2],
    requester: [c_uchar; 3],
    command: c_uchar,
    data: *const c_uchar,
    length: c_uint,
}

/// The unnamed union in `msg_t`, by its larger member (`rmcpp`; `rmcp` is a pointer and 16 bytes).
#[repr(C)]
struct Transport {
    payload: c_uchar,
    flags: [c_uchar; 2],
    iana: [c_uchar; 3],
    payload_id: u16,
    authentication: *mut c_uchar,
    authentication_length: c_uint,
}

// The layout of the header on a 64-bit system, computed by hand from its declarations.
const _: () = assert!(size_of::<Transport>() == 24);
const _: () = assert!(std::mem::offset_of!(Message, transport) == 56);
const _: () = assert!(std::mem::offset_of!(Message, command) == 86);
const _: () = assert!(std::mem::offset_of!(Message, data) == 88);

/// `cmd_handler_f` of `<OpenIPMI/mcserv.h>`.
type Handler =
    unsafe extern "C" fn(*mut c_void, *mut Message, *mut c_uchar, *mut c_uint, *mut c_void);

#[expect(unsafe_code, reason = "declared by <OpenIPMI/mcserv.h>, defined in ipmi_sim itself")]
unsafe extern "C" {
    fn ipmi_emu_register_group_extension_handler(
        group: u8,
        handler: Handler,
        callback_data: *mut c_void,
    );
}

/// Called by `ipmi_sim -v`: prints what this module is.
#[expect(unsafe_code, reason = "the simulator looks the function up by this name")]
#[unsafe(no_mangle)]
pub extern "C" fn ipmi_sim_module_print_version(_system: *mut c_void, _options: *const c_char) {
    println!("dcmi-module {}", env!("CARGO_PKG_VERSION"));
}

/// Called once when the module is loaded, with the text after its path in lan.conf. Gives 0, or a
/// number of `errno` when that text is missing.
///
/// # Safety
/// `options` is null or a C string, as `ipmi_sim` gives it.
#[expect(unsafe_code, reason = "the simulator looks the function up by this name")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipmi_sim_module_init(
    _system: *mut c_void,
    options: *const c_char,
) -> c_int {
    /// `EINVAL`.
    const INVALID: c_int = 22;
    if options.is_null() {
        return INVALID;
    }
    // SAFETY: not null, and by the simulator's contract a C string that lives during the call.
    let path = unsafe { CStr::from_ptr(options) }.to_bytes().trim_ascii();
    let path = PathBuf::from(OsStr::from_bytes(path));
    if METER.set(Mutex::new(Meter::new(path))).is_err() {
        return INVALID;
    }
    // SAFETY: the handler has the type that the header declares and lives as long as the program.
    unsafe {
        ipmi_emu_register_group_extension_handler(DCMI_GROUP, handle, std::ptr::null_mut());
    }
    0
}

/// Answers one request of the DCMI group.
#[expect(unsafe_code, reason = "called by the simulator with its own pointers")]
unsafe extern "C" fn handle(
    _controller: *mut c_void,
    message: *mut Message,
    answer: *mut c_uchar,
    answer_length: *mut c_uint,
    _callback_data: *mut c_void,
) {
    // SAFETY: the simulator calls handlers with a valid message, whose data has `length` bytes.
    let (command, request) = unsafe {
        let message = &*message;
        let data: &[u8] = if message.data.is_null() {
            &[]
        } else {
            std::slice::from_raw_parts(message.data, message.length as usize)
        };
        (message.command, data)
    };
    let bytes = METER.get().map_or_else(
        || NO_ANSWER.to_vec(),
        |meter| meter.lock().unwrap_or_else(PoisonError::into_inner).answer(command, request),
    );
    let bytes = bytes.get(..ANSWER_BYTES_MAX).unwrap_or(&bytes);
    let length = c_uint::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: the simulator's buffer has 255 bytes, more than ANSWER_BYTES_MAX; both are its own
    // and nobody else uses them during the call.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), answer, bytes.len());
        *answer_length = length;
    }
}
