//! The Internet checksum (RFC 1071), summed in words as wide as the machine likes, and updated incrementally (RFC 1624).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hemi_queue::sum::memory_order;

/// A running one's-complement sum over pieces of a message.
///
/// Pieces may have odd lengths: RFC 1071 section 2 (B), byte order independence, lets a piece that starts at an odd offset be
/// summed as if it were even, and swapped.
///
/// ```
/// use hemi_net::wire::Sum;
/// let whole = Sum::new().bytes(b"abcdef").finish();
/// let pieces = Sum::new().bytes(b"abc").bytes(b"d").bytes(b"ef").finish();
/// assert_eq!(whole, pieces);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// In memory byte order; folded by `finish`.
    acc: u64,
    odd: bool,
}

impl Sum {
    /// Nothing summed yet.
    #[inline]
    pub const fn new() -> Self {
        Self { acc: 0, odd: false }
    }

    /// Begin with what was summed by hand, in words of memory order.
    #[inline]
    pub(crate) const fn memory_order(acc: u64) -> Self {
        Self { acc, odd: false }
    }

    /// The sum so far in 16 bits, to keep.
    #[inline]
    pub(crate) fn folded(self) -> u16 {
        fold(self.acc)
    }

    /// The sum so far, in memory order, to go on by hand.
    #[inline]
    pub(crate) const fn raw(self) -> u64 {
        self.acc
    }

    /// Add the next piece of the message.
    #[inline]
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        let sum = memory_order(bytes); // RFC 1071 section 2 (C), parallel summation
        let sum = if self.odd { u64::from((fold(sum)).swap_bytes()) } else { sum };
        self.odd ^= bytes.len() % 2 == 1;
        self.acc = add(self.acc, sum);
        self
    }

    /// Add a 16-bit value in its network representation, at an even offset.
    #[inline]
    #[must_use]
    pub fn word(mut self, value: u16) -> Self {
        self.acc = add(self.acc, u64::from(value.to_be()));
        self
    }

    /// The pseudo-header of TCP, UDP and ICMPv6: RFC 9293 section 3.1, RFC 8200 section 8.1.
    ///
    /// Addresses of different families (which no caller has) sum to something that matches nothing.
    #[inline]
    #[must_use]
    pub fn pseudo(src: IpAddr, dst: IpAddr, protocol: u8, len: u32) -> Self {
        match (src, dst) {
            (IpAddr::V4(s), IpAddr::V4(d)) => Self::pseudo_v4(s, d, protocol, len as u16),
            (IpAddr::V6(s), IpAddr::V6(d)) => Self::pseudo_v6(&s, &d, protocol, len),
            _ => Self::new(),
        }
    }

    /// The IPv4 pseudo-header.
    #[inline]
    #[must_use]
    pub fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, len: u16) -> Self {
        let src = u64::from(u32::from_ne_bytes(src.octets()));
        let dst = u64::from(u32::from_ne_bytes(dst.octets()));
        let rest = u64::from(u16::from(protocol).to_be()) + u64::from(len.to_be());
        Self { acc: src + dst + rest, odd: false }
    }

    /// The IPv6 pseudo-header.
    #[inline]
    #[must_use]
    pub fn pseudo_v6(src: &Ipv6Addr, dst: &Ipv6Addr, protocol: u8, len: u32) -> Self {
        let mut sum = Self::new().bytes(&src.octets()).bytes(&dst.octets());
        sum.acc = add(sum.acc, u64::from(len.to_be()) + u64::from(u16::from(protocol).to_be()));
        sum
    }

    /// The sum of both; `other` began at an even offset of the message.
    #[inline]
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let (sum, carry) = self.acc.overflowing_add(other.acc);
        Self { acc: sum + carry as u64, odd: other.odd }
    }

    /// The same sum, ready for a piece that lies at an even offset of the message (pieces may be summed in any order).
    #[inline]
    #[must_use]
    pub const fn even(mut self) -> Self {
        self.odd = false;
        self
    }

    /// The one's-complement sum itself, not complemented: what a device that finishes checksums wants in the field.
    #[inline]
    pub fn partial(self) -> u16 {
        u16::from_be(fold(self.acc))
    }

    /// The checksum to write into the header.
    #[inline]
    pub fn finish(self) -> u16 {
        !self.partial()
    }

    /// Whether a message that was summed with its checksum field in place is intact.
    #[inline]
    pub fn is_intact(self) -> bool {
        // Only zeroes sum to zero; any other multiple of 2^16 - 1 folds to it.
        fold(self.acc) == 0xffff
    }
}

/// The checksum of a header in which one 16-bit field changed from `old` to `new`.
///
/// > RFC 1624 section 3: HC' = ~(~HC + ~m + m')
#[inline]
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[inline]
fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u64::from(carry)
}

/// Fold to 16 bits with end-around carry. 0xffff and 0 both mean zero; a sum that was not all zeroes folds to 0xffff.
#[inline]
pub(crate) fn fold(acc: u64) -> u16 {
    // A half added to the other, in the upper half of the word: the carry out of the lower half goes where it belongs.
    let word = (acc.wrapping_add(acc.rotate_left(32)) >> 32) as u32;
    (word.wrapping_add(word.rotate_left(16)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 section 1, taken literally.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    proptest::proptest! {
        #[test]
        fn equals_the_definition(bytes in proptest::collection::vec(0_u8.., 0..3000)) {
            proptest::prop_assert_eq!(Sum::new().bytes(&bytes).finish(), reference(&bytes));
        }

        #[test]
        fn pieces_sum_to_the_whole(bytes in proptest::collection::vec(0_u8.., 0..900), cuts in proptest::collection::vec(0_usize..900, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut sum = Sum::new();
            let mut at = 0;
            for cut in cuts {
                sum = sum.bytes(&bytes[at..cut]);
                at = cut;
            }
            proptest::prop_assert_eq!(sum.bytes(&bytes[at..]).finish(), reference(&bytes));
        }

        #[test]
        fn incremental_update_equals_a_new_sum(mut bytes in proptest::collection::vec(0_u8.., 4..60), new in 0_u16..) {
            bytes.truncate(bytes.len() / 2 * 2);
            bytes[0] |= 1; // the all-zero message has two representations
            let before = Sum::new().bytes(&bytes).finish();
            let old = u16::from_be_bytes([bytes[2], bytes[3]]);
            bytes[2..4].copy_from_slice(&new.to_be_bytes());
            proptest::prop_assert_eq!(update(before, old, new), Sum::new().bytes(&bytes).finish());
        }
    }

    #[test]
    fn a_message_with_its_checksum_is_intact_and_one_flipped_bit_is_not() {
        let mut m = *b"\x45\x00\x00\x3c\x1c\x46\x40\x00\x40\x06\x00\x00\xac\x10\x0a\x63\xac\x10\x0a\x0c";
        let sum = Sum::new().bytes(&m).finish();
        assert_eq!(sum, 0xb1e6); // the well-known worked example of an IPv4 header
        m[10..12].copy_from_slice(&sum.to_be_bytes());
        assert!(Sum::new().bytes(&m).is_intact());
        m[3] ^= 4;
        assert!(!Sum::new().bytes(&m).is_intact());
    }

    #[test]
    fn all_ones_do_not_overflow() {
        let m = vec![0xff; 65535];
        assert_eq!(Sum::new().bytes(&m).finish(), reference(&m));
    }
}
