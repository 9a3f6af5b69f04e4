//! [`Stats`]: what a device has counted.

/// Counters of one device, over all its links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) rx_frames: u64,
    pub(crate) tx_frames: u64,
    /// Frames dropped because no buffer was free.
    pub(crate) rx_no_memory: u64,
    /// Bursts that ended because the ring was full.
    pub(crate) tx_full: u64,
    /// Frames thrown away while nobody was on the other side.
    pub(crate) tx_no_carrier: u64,
    /// Frames without a byte, or larger than any ring carries.
    pub(crate) tx_impossible: u64,
    /// Times that the sleeping other side was woken.
    pub(crate) bells: u64,
    /// Links that were begun.
    pub(crate) links: u64,
    /// Links that ended because the shared memory held what the protocol cannot produce.
    pub(crate) broken: u64,
}

impl Stats {
    pub(crate) fn each(&self, each: &mut dyn FnMut(&str, u64)) {
        let Self {
            rx_frames,
            tx_frames,
            rx_no_memory,
            tx_full,
            tx_no_carrier,
            tx_impossible,
            bells,
            links,
            broken,
        } = *self;
        each("rx_frames", rx_frames);
        each("tx_frames", tx_frames);
        each("rx_no_memory", rx_no_memory);
        each("tx_ring_full", tx_full);
        each("tx_no_carrier", tx_no_carrier);
        each("tx_impossible", tx_impossible);
        each("doorbells", bells);
        each("links", links);
        each("links_broken", broken);
    }
}
