//! [`Faults`]: what a link does to frames.

use std::time::Duration;

/// Faults of one direction of a link. Probabilities are per frame, between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Faults {
    /// A frame is lost.
    pub loss: f64,
    /// A frame that is lost takes this many more with it.
    pub burst: u32,
    /// A frame arrives twice.
    pub duplicate: f64,
    /// A frame is held back so that later ones overtake it, by up to this long.
    pub reorder: f64,
    /// How long a reordered frame is held back, at most.
    pub reorder_by: Duration,
    /// One bit of a frame is flipped.
    pub corrupt: f64,
    /// Random extra delay, at most.
    pub jitter: Duration,
}

impl Faults {
    /// A perfect link.
    pub const NONE: Self = Self {
        loss: 0.0,
        burst: 0,
        duplicate: 0.0,
        reorder: 0.0,
        reorder_by: Duration::ZERO,
        corrupt: 0.0,
        jitter: Duration::ZERO,
    };

    /// A link that loses frames with probability `loss`.
    pub fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::NONE }
    }
}
