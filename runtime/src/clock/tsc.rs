//! The processor's time-stamp counter.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)] // one instruction
#[inline(always)]
pub(super) fn read() -> u64 {
    // SAFETY: RDTSC is part of x86-64; Linux lets every process use it (prctl can forbid it, nobody does).
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn read() -> u64 {
    0
}

/// Whether the kernel keeps its own time by the counter: then it has found it constant, never stopping, and the same on
/// all cores, and watches it.
#[cfg(target_arch = "x86_64")]
pub(super) fn is_trusted() -> bool {
    static TRUSTED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *TRUSTED.get_or_init(|| {
        let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        std::fs::read_to_string(source).is_ok_and(|name| name.trim() == "tsc")
    })
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn is_trusted() -> bool {
    false
}
