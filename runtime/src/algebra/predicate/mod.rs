//! [`Predicate`]: a filter as data.
//!
//! A predicate is built as an expression and compiled into a [`Program`]: a list of tests on one word each, every test with
//! a place to go on when it holds and one when it does not, forward only. That is the shape of a classic BPF socket
//! filter, of eBPF without loops, and of a chain of flow rules, so a driver translates it test by test; the software
//! evaluation here defines what it means.

mod compile;
#[cfg(test)]
mod tests;

use std::ops::{BitAnd, BitOr, Not, RangeInclusive};

pub use hemi_queue::program::{Field, Next, Program, Step};

use super::Payload;

/// A condition on the bytes of a unit, in a form that devices can run.
///
/// A test that needs bytes which the unit does not have is false (and its negation true).
///
/// ```
/// use hemi::algebra::Predicate;
///
/// // DNS replies (bit 15 of the flags) with an id of our shard.
/// let p = Predicate::mask(2, [0x80], [0x80]) & Predicate::hash_shard(0, 2, 4, 3);
/// let unit: &[u8] = &[0x12, 0x38, 0x81, 0x80];
/// assert_eq!(p.matches(unit), Predicate::hash_shard(0, 2, 4, 3).matches(unit));
/// assert!(!p.matches(&unit[..2]));
/// assert!((!p).matches(&unit[..2]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate(Node);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Constant(bool),
    /// `unit[at + i] & mask[i] == value[i]` for every `i`.
    Masked {
        at: u32,
        mask: Vec<u8>,
        value: Vec<u8>,
    },
    /// A big-endian number of `width` bytes at `at` is in `low..=high`.
    Number {
        at: u32,
        width: u8,
        low: u64,
        high: u64,
    },
    Hash {
        at: u32,
        len: u32,
        shards: u32,
        shard: u32,
    },
    Length {
        low: u32,
        high: u32,
    },
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

impl Predicate {
    /// Holds for every unit.
    pub fn all() -> Self {
        Self(Node::Constant(true))
    }

    /// Holds for no unit.
    pub fn none() -> Self {
        Self(Node::Constant(false))
    }

    /// The unit has exactly these bytes at offset `at`.
    pub fn bytes(at: u32, bytes: impl AsRef<[u8]>) -> Self {
        let value = bytes.as_ref().to_vec();
        Self(Node::Masked { at, mask: vec![0xff; value.len()], value })
    }

    /// The bytes at offset `at`, each `&` its mask, are `value`. The shorter of the two says how many bytes.
    pub fn mask(at: u32, mask: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let (mask, value) = (mask.as_ref(), value.as_ref());
        let n = mask.len().min(value.len());
        Self(Node::Masked { at, mask: mask[..n].to_vec(), value: value[..n].to_vec() })
    }

    /// The big-endian unsigned number of `width` bytes (1 to 8, more counts as 8) at offset `at` is in `range`.
    pub fn range(at: u32, width: u8, range: RangeInclusive<u64>) -> Self {
        Self(Node::Number { at, width: width.clamp(1, 8), low: *range.start(), high: *range.end() })
    }

    /// The FNV-1a hash (32 bits) of the `len` bytes at offset `at`, modulo `shards`, is `shard`: which of several
    /// workers a key belongs to.
    pub fn hash_shard(at: u32, len: u32, shards: u32, shard: u32) -> Self {
        Self(Node::Hash { at, len, shards: shards.max(1), shard })
    }

    /// The unit has a length in `range`, in bytes.
    pub fn length(range: RangeInclusive<u32>) -> Self {
        Self(Node::Length { low: *range.start(), high: *range.end() })
    }

    /// Both hold.
    pub fn and(self, other: Self) -> Self {
        Self(match self.0 {
            Node::And(mut all) => {
                all.push(other.0);
                Node::And(all)
            }
            first => Node::And(vec![first, other.0]),
        })
    }

    /// At least one holds.
    pub fn or(self, other: Self) -> Self {
        Self(match self.0 {
            Node::Or(mut any) => {
                any.push(other.0);
                Node::Or(any)
            }
            first => Node::Or(vec![first, other.0]),
        })
    }

    /// Whether it holds for `unit`. To test many units [`compile`](Self::compile) once.
    pub fn matches(&self, unit: &(impl Payload + ?Sized)) -> bool {
        self.compile().matches(unit)
    }

    /// The form that devices and software run.
    pub fn compile(&self) -> Program {
        compile::compile(&self.0)
    }
}

/// A compiled predicate as the test of a [`filter_by`](super::filter_by()).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled(pub Program);

impl BitAnd for Predicate {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        self.and(other)
    }
}

impl BitOr for Predicate {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

impl Not for Predicate {
    type Output = Self;
    fn not(self) -> Self {
        Self(Node::Not(Box::new(self.0)))
    }
}
