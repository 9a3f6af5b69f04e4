//! [`Program`]: a compiled predicate.

use super::{Node, Payload};

/// A predicate as a list of tests, each with two ways to go on, always forward.
///
/// A device's compiler translates step by step; a unit is accepted or rejected after at most
/// [`steps`](Self::steps)`.len()` tests.
///
/// ```
/// use hemi::algebra::{Predicate, predicate::{Field, Next}};
/// let program = (Predicate::range(0, 2, 53..=53) & !Predicate::bytes(2, b"x")).compile();
/// assert_eq!(program.steps().len(), 2);
/// assert_eq!(program.steps()[0].field, Field::Word { at: 0, width: 2, mask: 0xffff });
/// assert_eq!(program.steps()[0].on_miss, Next::Reject);
/// assert_eq!(program.steps()[1].on_miss, Next::Accept);
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
                    // Targets come from `of`, which only makes ones that exist; a miss is the safe answer.
                    let Some(step) = self.steps.get(at as usize) else { return false };
                    let hit = step.field.read(unit).is_some_and(|v| (step.low..=step.high).contains(&v));
                    next = if hit { step.on_hit } else { step.on_miss };
                }
            }
        }
    }

    pub(super) fn of(node: &Node) -> Self {
        // Emitted back to front, so that every step's targets exist before it does; then turned round.
        let mut steps = Vec::new();
        let start = emit(&mut steps, node, Next::Accept, Next::Reject);
        let last = (steps.len() as u32).saturating_sub(1);
        let turn = |next| match next {
            Next::Step(at) => Next::Step(last - at),
            end => end,
        };
        steps.reverse();
        for step in &mut steps {
            (step.on_hit, step.on_miss) = (turn(step.on_hit), turn(step.on_miss));
        }
        Self { start: turn(start), steps }
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

/// Emit the steps of `node`; returns where they begin.
fn emit(steps: &mut Vec<Step>, node: &Node, hit: Next, miss: Next) -> Next {
    match node {
        Node::Constant(holds) => {
            if *holds {
                hit
            } else {
                miss
            }
        }
        Node::Not(inner) => emit(steps, inner, miss, hit),
        Node::And(all) => all.iter().rev().fold(hit, |next, node| emit(steps, node, next, miss)),
        Node::Or(any) => any.iter().rev().fold(miss, |next, node| emit(steps, node, hit, next)),
        Node::Number { at, width, low, high } => {
            let field =
                Field::Word { at: *at, width: *width, mask: u64::MAX >> (64 - 8 * u32::from(*width)) };
            push(steps, field, *low, *high, hit, miss)
        }
        Node::Hash { at, len, shards, shard } => {
            let field = Field::Hash { at: *at, len: *len, shards: *shards };
            push(steps, field, (*shard).into(), (*shard).into(), hit, miss)
        }
        Node::Length { low, high } => push(steps, Field::Length, (*low).into(), (*high).into(), hit, miss),
        Node::Masked { at, mask, value } => emit_masked(steps, *at, mask, value, hit, miss),
    }
}

/// One step per eight bytes; the last ones first, as everything here.
fn emit_masked(steps: &mut Vec<Step>, at: u32, mask: &[u8], value: &[u8], hit: Next, miss: Next) -> Next {
    let words = mask.chunks(8).zip(value.chunks(8)).enumerate();
    // Even no bytes must lie within the unit.
    let start =
        if mask.is_empty() { push(steps, Field::Length, at.into(), u64::MAX, hit, miss) } else { hit };
    words.rev().fold(start, |next, (i, (mask, value))| {
        let field = Field::Word {
            at: at.saturating_add(8 * i as u32),
            width: mask.len() as u8,
            mask: big_endian(mask),
        };
        push(steps, field, big_endian(value), big_endian(value), next, miss)
    })
}

fn push(steps: &mut Vec<Step>, field: Field, low: u64, high: u64, on_hit: Next, on_miss: Next) -> Next {
    steps.push(Step { field, low, high, on_hit, on_miss });
    Next::Step(steps.len() as u32 - 1)
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}
