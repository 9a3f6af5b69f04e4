//! Time as a plain number that is passed in.
//!
//! Nothing in this crate, the network stack or the storage log reads a clock. The executor reads one clock once per
//! turn and hands an [`Instant`] down; in simulation that clock is virtual.

use std::{
    fmt,
    ops::{Add, AddAssign, Sub},
    time::Duration,
};

/// Nanoseconds since the epoch of one runtime's clock (its start, in practice).
///
/// Instants of different runtimes must not be compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The epoch.
    pub const ZERO: Self = Self(0);
    /// The end of time: a deadline that is never reached (584 years).
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the epoch.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since `earlier`, or zero if `earlier` is later.
    #[inline]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds since `earlier`, or zero if `earlier` is later. Cheaper than a [`Duration`], which keeps seconds apart.
    #[inline]
    pub const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` and so many nanoseconds more, or [`Instant::FAR_FUTURE`] where that does not fit.
    #[inline]
    #[must_use]
    pub const fn plus_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// `self + d`, or [`Instant::FAR_FUTURE`] where that does not fit.
    #[inline]
    pub fn saturating_add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    /// Saturates at [`Instant::FAR_FUTURE`].
    #[inline]
    fn add(self, d: Duration) -> Self {
        self.saturating_add(d)
    }
}

impl AddAssign<Duration> for Instant {
    #[inline]
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub for Instant {
    type Output = Duration;
    /// Saturates at zero.
    #[inline]
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let at = Instant::from_nanos(1_500_000_000);
        let (second, ever) = (Duration::from_secs(1), Duration::MAX);
        assert_eq!((at + second).as_nanos(), 2_500_000_000);
        assert_eq!((at + ever, Instant::FAR_FUTURE + second), (Instant::FAR_FUTURE, Instant::FAR_FUTURE));
        assert_eq!((at - Instant::ZERO, Instant::ZERO - at), (Duration::from_millis(1500), Duration::ZERO));
        let mut later = at;
        later += second;
        assert_eq!(later.saturating_since(at), second);
        assert_eq!(format!("{at:?}"), "1.500000000s");
    }
}
