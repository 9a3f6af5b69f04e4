//! [`Program`] and [`Changes`]: a condition on the bytes of a unit, and what is done to them, as what a device runs instead of us.
//!
//! The runtime compiles its predicates to this; a transport that can, translates it for its device
//! ([`DatagramSocket::install_filter`](crate::transport::DatagramSocket::install_filter)). What it means is what
//! [`Program::matches`] does.

mod changes;
mod payload;

pub use changes::{Bytes, Changes, Operation};
pub use payload::Payload;

/// Where a filter or map runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunsIn {
    /// In this process, in the poll of the task that pops or pushes.
    Software,
    /// In the named device or kernel facility, before a unit reaches this process.
    Device(&'static str),
}

/// A predicate as a list of tests, each with two ways to go on, always forward.
///
/// A device's compiler translates step by step; a unit is accepted or rejected after at most
/// [`steps`](Self::steps)`.len()` tests.
///
/// ```
/// use hemi_queue::program::{Field, Next, Program, Step};
/// // The first two bytes are 53, and the third, if there is one, is no `x`.
/// let word = |at, width, mask| Field::Word { at, width, mask };
/// let program = Program::new(
///     vec![
///         Step { field: word(0, 2, 0xffff), low: 53, high: 53, on_hit: Next::Step(1), on_miss: Next::Reject },
///         Step { field: word(2, 1, 0xff), low: 120, high: 120, on_hit: Next::Reject, on_miss: Next::Accept },
///     ],
///     Next::Step(0),
/// )
/// .unwrap();
/// assert!(program.matches(&[0, 53][..]) && !program.matches(b"\0\x35x".as_slice()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    steps: Vec<Step>,
    start: Next,
}

/// One test: the field's value lies in `low..=high`. A field that the unit is too short for misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is looked at.
    pub field: Field,
    /// The least value that hits.
    pub low: u64,
    /// The greatest value that hits.
    pub high: u64,
    /// Where to go on after a hit.
    pub on_hit: Next,
    /// Where to go on after a miss.
    pub on_miss: Next,
}

/// What a step looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The big-endian number of `width` bytes (1 to 8) at `at`, and `mask`.
    Word {
        /// Offset in bytes.
        at: u32,
        /// Bytes.
        width: u8,
        /// Bits that count.
        mask: u64,
    },
    /// FNV-1a (32 bits) of `len` bytes at `at`, modulo `shards`.
    Hash {
        /// Offset in bytes.
        at: u32,
        /// Bytes.
        len: u32,
        /// The modulus, at least 1.
        shards: u32,
    },
    /// The unit's length in bytes.
    Length,
}

/// Where a program goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At this step, which is further on in the list.
    Step(u32),
    /// The predicate holds.
    Accept,
    /// It does not.
    Reject,
}

impl Program {
    /// The tests, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Where it begins: at the first step unless the predicate is constant.
    pub fn start(&self) -> Next {
        self.start
    }

    /// Whether the predicate holds for `unit`.
    pub fn matches(&self, unit: &(impl Payload + ?Sized)) -> bool {
        let mut next = self.start;
        loop {
            match next {
                Next::Accept => return true,
                Next::Reject => return false,
                Next::Step(at) => {
                    // Targets were checked by `new`; a miss is the safe answer.
                    let Some(step) = self.steps.get(at as usize) else { return false };
                    let hit = step.field.read(unit).is_some_and(|v| (step.low..=step.high).contains(&v));
                    next = if hit { step.on_hit } else { step.on_miss };
                }
            }
        }
    }

    /// The predicate that holds for everything.
    pub const fn everything() -> Self {
        Self { steps: Vec::new(), start: Next::Accept }
    }

    /// The tests `steps`, beginning at `start`. `None` when a target is not further on in the list, so that every program
    /// comes to an end.
    pub fn new(steps: Vec<Step>, start: Next) -> Option<Self> {
        let is_ahead = |next, from| match next {
            Next::Step(to) => (from..steps.len()).contains(&(to as usize)),
            Next::Accept | Next::Reject => true,
        };
        let sound = is_ahead(start, 0)
            && steps
                .iter()
                .enumerate()
                .all(|(at, step)| is_ahead(step.on_hit, at + 1) && is_ahead(step.on_miss, at + 1));
        sound.then_some(Self { steps, start })
    }
}

impl Field {
    #[inline]
    fn read(self, unit: &(impl Payload + ?Sized)) -> Option<u64> {
        match self {
            Self::Word { at, width, mask } => {
                let mut word = [0; 8];
                let bytes = &mut word[8 - usize::from(width.clamp(1, 8))..];
                unit.read_at(at as usize, bytes).then(|| u64::from_be_bytes(word) & mask)
            }
            Self::Hash { at, len, shards } => {
                fnv1a(unit, at as usize, len as usize).map(|h| u64::from(h % shards.max(1)))
            }
            Self::Length => Some(unit.byte_len() as u64),
        }
    }
}

fn fnv1a(unit: &(impl Payload + ?Sized), at: usize, len: usize) -> Option<u32> {
    let mut hash = 0x811c_9dc5u32;
    let (mut done, mut piece) = (0, [0; 32]);
    while done < len {
        let piece = &mut piece[..(len - done).min(32)];
        if !unit.read_at(at.checked_add(done)?, piece) {
            return None;
        }
        for byte in &*piece {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
        done += piece.len();
    }
    (at <= unit.byte_len()).then_some(hash)
}
