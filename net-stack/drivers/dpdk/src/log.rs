//! The stream that DPDK's log lines are captured with: one for the process, never closed. Threads of DPDK's own (memif's, vhost's, the interrupt
//! thread) may be writing to whichever stream there was when they began.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr::NonNull,
    sync::{Mutex, OnceLock, PoisonError},
};

use dpdk_sys as sys;

/// What is kept of lines that nobody asks for.
const MOST: usize = 64 << 10;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// glibc's `cookie_io_functions_t`.
#[repr(C)]
struct Functions {
    read: Option<unsafe extern "C" fn(*mut c_void, *mut c_char, usize) -> isize>,
    write: Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> isize>,
    seek: Option<unsafe extern "C" fn(*mut c_void, *mut i64, c_int) -> c_int>,
    close: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
}

unsafe extern "C" {
    fn fopencookie(cookie: *mut c_void, mode: *const c_char, functions: Functions) -> *mut libc::FILE;
}

/// glibc's `cookie_write_function_t`: takes all of it.
unsafe extern "C" fn write(_: *mut c_void, bytes: *const c_char, len: usize) -> isize {
    if len > 0 {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = len.min(MOST.saturating_sub(lines.len()));
        // SAFETY: the stream's buffer, for the call.
        lines.extend_from_slice(unsafe { std::slice::from_raw_parts(bytes.cast(), taken) });
    }
    len.cast_signed()
}

/// The stream; `None` when there was no memory for it.
fn stream() -> Option<NonNull<libc::FILE>> {
    struct Stream(Option<NonNull<libc::FILE>>);
    // SAFETY: a stream locks itself.
    unsafe impl Send for Stream {}
    // SAFETY: as above.
    unsafe impl Sync for Stream {}
    static STREAM: OnceLock<Stream> = OnceLock::new();
    let open = || {
        let functions = Functions { read: None, write: Some(write), seek: None, close: None };
        // SAFETY: no cookie, and functions of the types that glibc documents.
        Stream(NonNull::new(unsafe { fopencookie(std::ptr::null_mut(), c"w".as_ptr(), functions) }))
    };
    STREAM.get_or_init(open).0
}

/// Have DPDK write to the stream, or to its own again.
pub(crate) fn attach(ours: bool) {
    let to = stream().filter(|_| ours).map_or(std::ptr::null_mut(), NonNull::as_ptr);
    // SAFETY: a stream that stays open, or null.
    unsafe { sys::rte_openlog_stream(to.cast()) };
}

/// What has been written since the last time.
pub(crate) fn drain() -> String {
    if let Some(stream) = stream() {
        // SAFETY: an open stream.
        unsafe { libc::fflush(stream.as_ptr()) };
    }
    let lines = std::mem::take(&mut *LINES.lock().unwrap_or_else(PoisonError::into_inner));
    String::from_utf8_lossy(&lines).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eal;

    fn say(text: &std::ffi::CStr) {
        // SAFETY: an open stream and a text.
        unsafe { libc::fputs(text.as_ptr(), stream().unwrap().as_ptr()) };
    }

    #[test]
    fn the_stream_is_there_for_late_lines() {
        let ((), log) = eal::control(|| {
            say(c"first\n");
            assert_eq!(drain(), "first\n");
            std::thread::scope(|threads| {
                for _ in 0..4 {
                    threads.spawn(|| (0..1000).for_each(|_| say(c"late\n")));
                }
                (0..100).for_each(|_| drop(drain()));
            });
            drain();
            (0..20_000).for_each(|_| say(c"much\n"));
            assert_eq!(drain().len(), MOST);
            say(c"last\n");
        });
        assert_eq!(log, "last\n");
        say(c"too late\n");
        assert_eq!(eal::control(|| say(c"next\n")).1, "next\n");
    }
}
