//! The seven functions of libmunge this crate calls, declared by hand from munge.h (0.5.x, stable
//! since 2007), and the only unsafe code of the crate. Knows no policy.
#![expect(unsafe_code, reason = "libmunge is a C library; this is its one wrapper")]

use crate::{Decoded, MungeError};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

const EMUNGE_SUCCESS: c_int = 0;
const EMUNGE_NO_MEMORY: c_int = 5;
const EMUNGE_SOCKET: c_int = 6;
const EMUNGE_CRED_EXPIRED: c_int = 15;
const EMUNGE_CRED_REWOUND: c_int = 16;
const EMUNGE_CRED_REPLAYED: c_int = 17;
const MUNGE_OPT_SOCKET: c_int = 8;
const MUNGE_OPT_UID_RESTRICTION: c_int = 9;

#[link(name = "munge")]
unsafe extern "C" {
    fn munge_encode(
        credential: *mut *mut c_char,
        context: *mut c_void,
        payload: *const c_void,
        bytes: c_int,
    ) -> c_int;
    fn munge_decode(
        credential: *const c_char,
        context: *mut c_void,
        payload: *mut *mut c_void,
        bytes: *mut c_int,
        uid: *mut libc::uid_t,
        gid: *mut libc::gid_t,
    ) -> c_int;
    fn munge_strerror(error: c_int) -> *const c_char;
    fn munge_ctx_create() -> *mut c_void;
    fn munge_ctx_destroy(context: *mut c_void);
    fn munge_ctx_strerror(context: *mut c_void) -> *const c_char;
    fn munge_ctx_set(context: *mut c_void, option: c_int, ...) -> c_int;
}

/// A `munge_ctx_t` that is destroyed at the end of its scope. Not shared between threads.
struct Context(*mut c_void);

impl Context {
    fn new(socket: Option<&Path>) -> Result<Self, MungeError> {
        // SAFETY: takes no arguments; a null result is handled below.
        let context = Self(unsafe { munge_ctx_create() });
        if context.0.is_null() {
            return Err(context.error(EMUNGE_NO_MEMORY));
        }
        if let Some(socket) = socket {
            let socket = CString::new(socket.as_os_str().as_bytes())
                .map_err(|_| MungeError::Nul("munge socket path"))?;
            // SAFETY: the context is live, MUNGE_OPT_SOCKET takes one string, which is copied.
            let code = unsafe { munge_ctx_set(context.0, MUNGE_OPT_SOCKET, socket.as_ptr()) };
            if code != EMUNGE_SUCCESS {
                return Err(context.error(code));
            }
        }
        Ok(context)
    }

    fn error(&self, code: c_int) -> MungeError {
        let detail = if self.0.is_null() {
            ptr::null()
        } else {
            // SAFETY: the context is live; the result is null or a string it owns.
            unsafe { munge_ctx_strerror(self.0) }
        };
        let text = if detail.is_null() {
            // SAFETY: any number is allowed; the result is a constant string.
            unsafe { munge_strerror(code) }
        } else {
            detail
        };
        let text = if text.is_null() {
            String::new()
        } else {
            // SAFETY: not null, NUL-terminated, and alive as long as the context.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        classify(code, text)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: created by munge_ctx_create and destroyed only here.
            unsafe { munge_ctx_destroy(self.0) }
        }
    }
}

/// Memory that libmunge allocated with malloc(3).
struct Malloced(*mut c_void);

impl Drop for Malloced {
    fn drop(&mut self) {
        // SAFETY: null or from malloc, and freed only here.
        unsafe { libc::free(self.0) }
    }
}

fn classify(code: c_int, text: String) -> MungeError {
    match code {
        EMUNGE_SOCKET => MungeError::Unreachable(text),
        EMUNGE_CRED_EXPIRED => MungeError::Expired,
        EMUNGE_CRED_REWOUND => MungeError::Rewound,
        EMUNGE_CRED_REPLAYED => MungeError::Replayed,
        _ => MungeError::Refused { code, text },
    }
}

pub(crate) fn encode(
    payload: &[u8],
    socket: Option<&Path>,
    reader: Option<u32>,
) -> Result<String, MungeError> {
    let context = Context::new(socket)?;
    if let Some(uid) = reader {
        // SAFETY: the context is live, MUNGE_OPT_UID_RESTRICTION takes one uid_t.
        let code = unsafe { munge_ctx_set(context.0, MUNGE_OPT_UID_RESTRICTION, uid) };
        if code != EMUNGE_SUCCESS {
            return Err(context.error(code));
        }
    }
    let bytes = c_int::try_from(payload.len()).unwrap_or(c_int::MAX);
    let mut credential: *mut c_char = ptr::null_mut();
    // SAFETY: the payload is `bytes` long (the caller keeps it below c_int::MAX), the context lives.
    let code =
        unsafe { munge_encode(&raw mut credential, context.0, payload.as_ptr().cast(), bytes) };
    let credential = Malloced(credential.cast());
    if code != EMUNGE_SUCCESS || credential.0.is_null() {
        return Err(context.error(code));
    }
    // SAFETY: on success it is a NUL-terminated string, freed after this copy.
    Ok(unsafe { CStr::from_ptr(credential.0.cast()) }.to_string_lossy().into_owned())
}

pub(crate) fn decode(credential: &str, socket: Option<&Path>) -> Result<Decoded, MungeError> {
    let context = Context::new(socket)?;
    let credential = CString::new(credential).map_err(|_| MungeError::Nul("credential"))?;
    let (mut payload, mut bytes) = (ptr::null_mut(), 0);
    let (mut uid, mut gid) = (libc::uid_t::MAX, libc::gid_t::MAX);
    // SAFETY: every pointer is to a live variable of the type munge.h names.
    let code = unsafe {
        munge_decode(
            credential.as_ptr(),
            context.0,
            &raw mut payload,
            &raw mut bytes,
            &raw mut uid,
            &raw mut gid,
        )
    };
    // Allocated for expired, rewound and replayed credentials too.
    let payload = Malloced(payload);
    if code != EMUNGE_SUCCESS {
        return Err(context.error(code));
    }
    let bytes = usize::try_from(bytes).unwrap_or(0);
    let payload = if payload.0.is_null() || bytes == 0 {
        Vec::new()
    } else {
        // SAFETY: on success libmunge allocated `bytes` bytes (and a NUL) there.
        unsafe { std::slice::from_raw_parts(payload.0.cast::<u8>(), bytes) }.to_vec()
    };
    Ok(Decoded { payload, uid, gid })
}

/// Who this process is, to compare with a decoded credential.
#[cfg(test)]
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: geteuid cannot fail.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_munge_h_are_told_apart() {
        for (code, expected) in [
            (15, MungeError::Expired),
            (16, MungeError::Rewound),
            (17, MungeError::Replayed),
            (6, MungeError::Unreachable("t".into())),
            (18, MungeError::Refused { code: 18, text: "t".into() }),
        ] {
            assert_eq!(classify(code, "t".into()), expected, "{code}");
        }
    }
}
