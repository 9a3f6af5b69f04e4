//! The turn's clock, and timers on a timing wheel.

use hemi_queue::time::Instant;

/// The timers of one core.
#[derive(Debug, Default)]
pub(crate) struct Timers {}

impl Timers {
    /// Fire what is due; whether anything was.
    pub(crate) fn turn(&self, _now: Instant) -> bool {
        false
    }

    /// When the next timer fires.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        None
    }
}
