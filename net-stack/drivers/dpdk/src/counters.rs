//! What a queue pair counts.

/// Counters of one queue pair. What [`Device::counters`](hemi_net::Device::counters) tells.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Frames handed up in the mbufs they were received in.
    pub(crate) rx_zero_copy: u64,
    /// Frames copied into the core's pool.
    pub(crate) rx_copied: u64,
    /// Frames of those that were copied because the application holds all mbufs but the driver's reserve.
    pub(crate) rx_reserve: u64,
    /// Frames dropped because there was no memory to copy them into.
    pub(crate) rx_no_memory: u64,
    /// Packets dropped whose mbufs say what cannot be.
    pub(crate) rx_bad_packet: u64,
    /// Datagrams that a program before the driver has rewritten.
    pub(crate) rx_rewritten: u64,
    /// Frames whose payload went out in the memory it was pushed in.
    pub(crate) tx_zero_copy: u64,
    /// Frames copied into mbufs.
    pub(crate) tx_copied: u64,
    /// Times that the driver had no room; the frames stayed with the stack.
    pub(crate) tx_full: u64,
    /// Times that there was no mbuf to send with; the frames stayed with the stack.
    pub(crate) tx_no_mbufs: u64,
    /// Frames too large for the port, or refused by its driver.
    pub(crate) tx_refused: u64,
    /// Frames dropped because the link is down, as by a NIC whose cable is pulled.
    pub(crate) tx_no_carrier: u64,
    /// Times that a memif client called its server again.
    pub(crate) reconnects: u64,
}

impl Counters {
    pub(crate) fn each(&self, each: &mut dyn FnMut(&str, u64)) {
        for (name, value) in [
            ("rx_zero_copy", self.rx_zero_copy),
            ("rx_copied", self.rx_copied),
            ("rx_reserve", self.rx_reserve),
            ("rx_no_memory", self.rx_no_memory),
            ("rx_bad_packet", self.rx_bad_packet),
            ("rx_rewritten", self.rx_rewritten),
            ("tx_zero_copy", self.tx_zero_copy),
            ("tx_copied", self.tx_copied),
            ("tx_full", self.tx_full),
            ("tx_no_mbufs", self.tx_no_mbufs),
            ("tx_refused", self.tx_refused),
            ("tx_no_carrier", self.tx_no_carrier),
            ("reconnects", self.reconnects),
        ] {
            each(name, value);
        }
    }
}
