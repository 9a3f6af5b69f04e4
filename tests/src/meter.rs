//! How much this process holds.

use std::fs;

/// Open descriptors. For a process that runs one test: see [`alone`](mod@crate::alone).
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() - 1) // one of them reads the folder
}

/// Bytes of memory in use (`VmRSS`).
pub fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<usize>().map_or(0, |kib| kib << 10)
}
