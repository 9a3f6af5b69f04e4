//! [`Stats`]: what a device has counted.

/// Counters of one queue of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) rx_frames: u64,
    /// Frames whose header says what cannot be, or that are too short to be frames.
    pub(crate) rx_malformed: u64,
    /// Frames dropped because no buffer was free.
    pub(crate) rx_no_memory: u64,
    pub(crate) tx_frames: u64,
    /// Bursts that ended because the kernel had no room; the frames wait here.
    pub(crate) tx_full: u64,
    /// Frames thrown away because the interface was down.
    pub(crate) tx_down: u64,
    /// Frames that the kernel would not have.
    pub(crate) tx_refused: u64,
}

impl Stats {
    pub(crate) fn each(&self, each: &mut dyn FnMut(&str, u64)) {
        let Self { rx_frames, rx_malformed, rx_no_memory, tx_frames, tx_full, tx_down, tx_refused } = *self;
        each("rx_frames", rx_frames);
        each("rx_malformed", rx_malformed);
        each("rx_no_memory", rx_no_memory);
        each("tx_frames", tx_frames);
        each("tx_full", tx_full);
        each("tx_down", tx_down);
        each("tx_refused", tx_refused);
    }
}
