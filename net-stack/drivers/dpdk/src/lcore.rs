//! A name of DPDK's for each core's thread.

use dpdk_sys as sys;

/// DPDK's answer: 1 registered now, 0 it was before, negative: refused.
struct Registration {
    answer: i32,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.answer == 1 {
            // SAFETY: no arguments; this thread was registered below.
            unsafe { sys::rte_thread_unregister() };
        }
    }
}

thread_local! {
    // SAFETY: no arguments; EAL has been started.
    static REGISTRATION: Registration = Registration { answer: unsafe { sys::hemi_dpdk_register_thread() } };
}

/// Make this thread known to DPDK, until it ends: only then has it caches of mbufs of its own. Where that is refused (all names are taken, or EAL
/// serves several processes), each mbuf costs atomic operations.
pub(crate) fn register() -> bool {
    REGISTRATION.try_with(|registration| registration.answer >= 0).unwrap_or(false)
}
