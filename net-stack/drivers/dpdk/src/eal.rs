//! DPDK's environment: started once per process, on a thread of its own, and its log lines in our errors.

use std::{
    ffi::{CStr, CString},
    fmt,
    os::raw::c_char,
    sync::{Mutex, PoisonError},
};

use dpdk_sys as sys;
use hemi_queue::{Error, Result};

use crate::log;

/// What DPDK refused, in its own words.
#[derive(Debug)]
struct Refused {
    what: &'static str,
    target: String,
    code: i32,
    log: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: the function takes any number, and its text is static or the thread's own.
        let text = unsafe { CStr::from_ptr(sys::rte_strerror(self.code)) }.to_string_lossy();
        write!(f, "DPDK cannot {} {}: {text}", self.what, self.target)?;
        self.log.lines().filter(|line| !line.trim().is_empty()).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

impl std::error::Error for Refused {}

/// The error of a call that answered `code` (an errno, negative or not).
pub(crate) fn refused(what: &'static str, target: impl Into<String>, code: i32, log: String) -> Error {
    Error::Other(Box::new(Refused { what, target: target.into(), code: code.abs(), log }))
}

/// DPDK's control path is not made for several threads at once, and the log's stream is one for all.
static CONTROL: Mutex<State> = Mutex::new(State { started: false });

struct State {
    started: bool,
}

/// Do something on the control path; its answer and what was logged meanwhile.
pub(crate) fn control<T>(work: impl FnOnce() -> T) -> (T, String) {
    let _state = CONTROL.lock().unwrap_or_else(PoisonError::into_inner);
    captured(work)
}

fn captured<T>(work: impl FnOnce() -> T) -> (T, String) {
    log::drain();
    log::attach(true);
    let answer = work();
    log::attach(false);
    (answer, log::drain())
}

/// Start EAL, if this process has not yet, with these arguments or such as fit the machine and the device.
pub(crate) fn start(device: &str, arguments: Option<&str>) -> Result<()> {
    let mut state = CONTROL.lock().unwrap_or_else(PoisonError::into_inner);
    if state.started {
        return Ok(());
    }
    let mut words = vec!["hemi".to_owned(), "--iova-mode=va".to_owned(), "--no-telemetry".to_owned()];
    match arguments {
        Some(text) => words.extend(text.split(',').map(str::to_owned)),
        None if huge_pages() => words.push("--in-memory".to_owned()),
        None => words.extend(["--no-huge", "--no-shconf", "-m", "256"].map(str::to_owned)),
    }
    if !words.iter().any(|word| ["-l", "-c", "--lcores"].contains(&word.as_str())) {
        words.extend(["-l".to_owned(), first_cpu().to_string()]);
    }
    if is_virtual(device) {
        words.push("--no-pci".to_owned());
    }
    let shown = words[1..].join(" ");
    let words: Vec<CString> = words.into_iter().map(|word| CString::new(word).unwrap_or_default()).collect();
    // Only what goes wrong: some drivers tell of every message.
    // SAFETY: a level (RTE_LOG_WARNING); arguments may set another.
    unsafe { sys::rte_log_set_global_level(5) };
    // EAL binds the thread that starts it to a core. That shall not be ours, and it may end.
    let start = move || {
        let mut pointers: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
        // SAFETY: the arguments are strings that live for the call. (EAL reorders the pointers, and copies what it keeps.)
        captured(|| unsafe {
            let answer = sys::rte_eal_init(pointers.len() as i32, pointers.as_mut_ptr());
            if answer < 0 { sys::hemi_dpdk_errno() } else { 0 }
        })
    };
    let ended = std::thread::Builder::new().name("dpdk-eal".to_owned()).spawn(start);
    let (code, log) = ended
        .map_err(|e| Error::io("start", "a thread for EAL", e))?
        .join()
        .unwrap_or((libc::EFAULT, String::new()));
    if code != 0 {
        return Err(refused("start EAL with", shown, code, log));
    }
    state.started = true;
    Ok(())
}

/// A PCI address has colons, a virtual device's name has none before its arguments.
pub(crate) fn is_virtual(device: &str) -> bool {
    !device.split(',').next().unwrap_or_default().contains(':')
}

/// Whether there are free huge pages.
fn huge_pages() -> bool {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = meminfo.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    free.and_then(|n| n.trim().parse::<u64>().ok()).is_some_and(|n| n >= 64)
}

/// The first CPU that this process may use.
fn first_cpu() -> usize {
    // SAFETY: the set is a local of the size given; all zeroes is a valid one.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) < 0 {
            return 0;
        }
        (0..libc::CPU_SETSIZE as usize).find(|&cpu| libc::CPU_ISSET(cpu, &set)).unwrap_or(0)
    }
}
