//! Which CPUs this process may use, and pinning a thread to one.

#![allow(unsafe_code)] // four calls of libc

/// The CPUs this thread may run on; empty when the system does not say.
pub(super) fn allowed() -> Vec<usize> {
    // SAFETY: a CPU set is plain bits, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the size given into `set`; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: `cpu` is within the set.
    (0..8 * size_of::<libc::cpu_set_t>()).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Whether there is one CPU only for everything here, so that a spin would keep others from what it waits for.
///
/// The thread's own mask says nothing about that: a thread that was pinned has the CPU to itself.
pub(crate) fn is_alone() -> bool {
    // SAFETY: no pointers.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    // A container may have fewer than the machine: then its control group lists them, as in `0-3,7`.
    let group = std::fs::read_to_string("/sys/fs/cgroup/cpuset.cpus.effective");
    online == 1 || group.is_ok_and(|list| list.trim().parse::<u32>().is_ok())
}

/// Keep this thread on `cpu`. A refusal (a container's limits) is reported and harmless.
pub(super) fn pin(cpu: usize) {
    // SAFETY: as above.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `cpu` came from `allowed`, so it is within the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the kernel reads `set`; 0 is the calling thread.
    if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } != 0 {
        tracing::warn!(cpu, error = %std::io::Error::last_os_error(), "this core's thread could not be pinned");
    }
}
