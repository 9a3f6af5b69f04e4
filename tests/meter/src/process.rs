//! How much this process holds.

use std::fs;

/// Open descriptors. They belong to the process: a test that counts them has one of its own.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() - 1) // one of them reads the folder
}

/// Bytes of memory in use (`VmRSS`), of the whole process.
pub fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<usize>().map_or(0, |kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_certainly_has_is_seen() {
        assert!(descriptors() >= 1);
        assert!(resident() > 64 << 10);
    }
}
