//! What the device counts.

use std::os::fd::AsFd;

use hemi_link::get_option;

use crate::socket::Socket;

/// Counters of one device. What [`Device::counters`](hemi_net::Device::counters) tells.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Frames copied out of the UMEM, because the application holds nearly all of it.
    pub(crate) rx_copied: u64,
    /// Frames of those that went into the reserve, because the pool was drained as well.
    pub(crate) rx_reserve: u64,
    /// Frames dropped because there was no memory for them.
    pub(crate) rx_no_memory: u64,
    /// Datagrams that the program in the kernel has rewritten.
    pub(crate) rx_rewritten: u64,
    /// Descriptors of chunks that were not lent, or of bytes outside of a chunk.
    pub(crate) rx_bad_descriptor: u64,
    /// Completions of chunks that were not sent.
    pub(crate) tx_bad_completion: u64,
    /// System calls that told the kernel to send.
    pub(crate) tx_kicks: u64,
    /// Times that there was no room to send; the frames stayed with the stack.
    pub(crate) tx_full: u64,
    /// Frames too large for a chunk.
    pub(crate) tx_too_large: u64,
}

impl Counters {
    pub(crate) fn each(&self, socket: &Socket, each: &mut dyn FnMut(&str, u64)) {
        // SAFETY: all zeroes is a valid value: integers only.
        let mut stats: libc::xdp_statistics = unsafe { std::mem::zeroed() };
        // SAFETY: integers only; an older kernel writes less.
        let _ = unsafe { get_option(socket.as_fd(), libc::SOL_XDP, libc::XDP_STATISTICS, &mut stats) };
        for (name, value) in [
            ("rx_copied", self.rx_copied),
            ("rx_reserve", self.rx_reserve),
            ("rx_no_memory", self.rx_no_memory),
            ("rx_rewritten", self.rx_rewritten),
            ("rx_bad_descriptor", self.rx_bad_descriptor),
            ("tx_bad_completion", self.tx_bad_completion),
            ("tx_kicks", self.tx_kicks),
            ("tx_full", self.tx_full),
            ("tx_too_large", self.tx_too_large),
            // What the kernel counts.
            ("rx_dropped", stats.rx_dropped),
            ("rx_invalid_descs", stats.rx_invalid_descs),
            ("tx_invalid_descs", stats.tx_invalid_descs),
            ("rx_ring_full", stats.rx_ring_full),
            ("rx_fill_ring_empty", stats.rx_fill_ring_empty_descs),
            ("tx_ring_empty", stats.tx_ring_empty_descs),
        ] {
            each(name, value);
        }
    }
}
