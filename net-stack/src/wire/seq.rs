//! [`Seq`]: TCP sequence numbers.

use std::{
    cmp::Ordering,
    fmt,
    ops::{Add, AddAssign, Sub},
};

/// A sequence number.
///
/// > RFC 9293 section 3.4: It is essential to remember that the actual sequence number space is finite, though large. This
/// > space ranges from 0 to 2^32 - 1. Since the space is finite, all arithmetic dealing with sequence numbers must be
/// > performed modulo 2^32.
///
/// So there is no total order and no `Ord`: [`before`](Self::before) and friends compare numbers less than 2³¹ apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// `self < other` (mod 2³²).
    #[inline]
    pub const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// `self <= other` (mod 2³²).
    #[inline]
    pub const fn at_or_before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) <= 0
    }

    /// `self > other` (mod 2³²).
    #[inline]
    pub const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// `self >= other` (mod 2³²).
    #[inline]
    pub const fn at_or_after(self, other: Self) -> bool {
        other.at_or_before(self)
    }

    /// Bytes from `earlier` to `self` (mod 2³²).
    #[inline]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Bytes from `earlier` to `self`, or 0 when `self` is before it.
    #[inline]
    pub const fn saturating_since(self, earlier: Self) -> u32 {
        if self.before(earlier) { 0 } else { self.since(earlier) }
    }

    /// The later of the two.
    #[inline]
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    #[inline]
    #[must_use]
    pub const fn min(self, other: Self) -> Self {
        if self.before(other) { self } else { other }
    }

    /// The circular order, as a comparator.
    #[inline]
    pub const fn circular_cmp(self, other: Self) -> Ordering {
        if self.0 == other.0 {
            Ordering::Equal
        } else if self.before(other) {
            Ordering::Less
        } else {
            Ordering::Greater
        }
    }

    /// Whether `from <= self < from + len`.
    #[inline]
    pub const fn within(self, from: Self, len: u32) -> bool {
        self.since(from) < len
    }
}

impl Add<u32> for Seq {
    type Output = Self;
    #[inline]
    fn add(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for Seq {
    #[inline]
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;
    #[inline]
    fn sub(self, n: u32) -> Self {
        Self(self.0.wrapping_sub(n))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Seq;

    #[test]
    fn order_wraps() {
        let (a, b) = (Seq(u32::MAX - 1), Seq(3));
        assert!(a.before(b) && b.after(a) && !b.before(a));
        assert_eq!((b.since(a), a.saturating_since(b), a.max(b), a.min(b)), (5, 0, b, a));
        assert!(a.at_or_before(a) && a.at_or_after(a) && !a.before(a));
        assert!(Seq(1).within(a, 4) && !Seq(2).within(a, 4) && !(a - 1).within(a, 4));
    }
}
