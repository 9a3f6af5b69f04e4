//! What the device counts.

use std::{cell::Cell, os::fd::AsFd};

use hemi_link::get_option;

use crate::socket::Socket;

/// Counters of one device. What [`Device::counters`](hemi_net::Device::counters) tells.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Frames larger than a slot, received by a system call.
    pub(crate) rx_large: u64,
    /// Frames that carried a VLAN tag, put back into them.
    pub(crate) rx_vlan: u64,
    /// Frames with several UDP datagrams, cut.
    pub(crate) rx_cut: u64,
    /// Frames that were received while the pool was drained, into the device's own reserve.
    pub(crate) rx_reserve: u64,
    /// Frames dropped because there was no memory for them.
    pub(crate) rx_no_memory: u64,
    /// Frames dropped because only a part of them had been kept.
    pub(crate) rx_truncated: u64,
    /// Slots with impossible contents.
    pub(crate) rx_bad_slot: u64,
    /// Frames whose several datagrams could not be told apart.
    pub(crate) rx_bad_gso: u64,
    /// System calls that sent.
    pub(crate) tx_calls: u64,
    /// Frames in more pieces than a system call takes, copied first.
    pub(crate) tx_linearised: u64,
    /// Times that the interface or the socket's buffer was full; the frames stayed with the stack.
    pub(crate) tx_full: u64,
    /// Frames thrown away because no cable is plugged in.
    pub(crate) tx_no_carrier: u64,
    /// Frames that the kernel will never take.
    pub(crate) tx_refused: u64,
    /// Frames that the kernel dropped because the ring was full, as told so far. (Asking resets the kernel's count.)
    ring_full: Cell<u64>,
}

impl Counters {
    pub(crate) fn each(&self, socket: &Socket, each: &mut dyn FnMut(&str, u64)) {
        let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        // SAFETY: two integers.
        let told =
            unsafe { get_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, &mut stats) };
        if told.is_ok() {
            self.ring_full.set(self.ring_full.get() + u64::from(stats.tp_drops));
        }
        for (name, value) in [
            ("rx_ring_full", self.ring_full.get()),
            ("rx_large", self.rx_large),
            ("rx_vlan", self.rx_vlan),
            ("rx_cut", self.rx_cut),
            ("rx_reserve", self.rx_reserve),
            ("rx_no_memory", self.rx_no_memory),
            ("rx_truncated", self.rx_truncated),
            ("rx_bad_slot", self.rx_bad_slot),
            ("rx_bad_gso", self.rx_bad_gso),
            ("tx_calls", self.tx_calls),
            ("tx_linearised", self.tx_linearised),
            ("tx_full", self.tx_full),
            ("tx_no_carrier", self.tx_no_carrier),
            ("tx_refused", self.tx_refused),
        ] {
            each(name, value);
        }
    }
}
