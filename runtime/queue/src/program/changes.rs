//! [`Changes`]: what a map does to the bytes of a unit, as what a device does instead of us.

/// Changes at fixed offsets of a unit, applied in order, all or none: a unit that is shorter than [`needs`](Self::needs) stays as
/// it is.
///
/// ```
/// use hemi_queue::program::{Changes, Operation};
///
/// let answer = Changes::from(vec![
///     Operation::Swap { a: 0, b: 2, len: 2 },
///     Operation::Set { at: 4, bytes: vec![0x80] },
///     Operation::Mask { at: 5, mask: vec![0xf0] },
/// ]);
/// assert_eq!(answer.needs(), 6);
/// let mut unit = [0, 53, 4, 210, 0, 0x7f];
/// answer.apply(&mut unit);
/// assert_eq!(unit, [4, 210, 0, 53, 0x80, 0x70]);
/// let mut short = *b"short";
/// answer.apply(&mut short);
/// assert_eq!(&short, b"short");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    operations: Vec<Operation>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// These bytes at this offset.
    Set {
        /// Offset in bytes.
        at: u32,
        /// What is written there.
        bytes: Vec<u8>,
    },
    /// Exchange `len` bytes at two offsets, byte by byte from the front.
    Swap {
        /// One offset.
        a: u32,
        /// The other offset.
        b: u32,
        /// How many bytes.
        len: u32,
    },
    /// Each byte `&` its mask.
    Mask {
        /// Offset in bytes.
        at: u32,
        /// The bits that are kept.
        mask: Vec<u8>,
    },
}

impl From<Vec<Operation>> for Changes {
    fn from(operations: Vec<Operation>) -> Self {
        Self { operations }
    }
}

impl Changes {
    /// One more, behind the others.
    pub fn push(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// The operations, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether nothing is ever changed.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// The shortest unit that is changed, in bytes.
    pub fn needs(&self) -> usize {
        let end = |at: u32, len: usize| at as usize + len;
        let ends = self.operations.iter().map(|op| match op {
            Operation::Set { at, bytes } => end(*at, bytes.len()),
            Operation::Swap { a, b, len } => end(*a.max(b), *len as usize),
            Operation::Mask { at, mask } => end(*at, mask.len()),
        });
        ends.max().unwrap_or(0)
    }

    /// Where in `0..needs()` anything is written: from the first, up to the second of each pair.
    pub fn touches(&self) -> impl Iterator<Item = (usize, usize)> {
        let range = |at: u32, len: usize| (at as usize, at as usize + len);
        self.operations.iter().flat_map(move |op| match op {
            Operation::Set { at, bytes } => [range(*at, bytes.len()), (0, 0)],
            Operation::Mask { at, mask } => [range(*at, mask.len()), (0, 0)],
            Operation::Swap { a, b, len } => [range(*a, *len as usize), range(*b, *len as usize)],
        })
    }

    /// Make the changes to a unit that is long enough; `byte(i)` of it is asked for with `i < needs()`, where something is written.
    pub fn run(&self, bytes: &mut impl Bytes) {
        for operation in &self.operations {
            match operation {
                Operation::Set { at, bytes: new } => {
                    (*at as usize..).zip(new).for_each(|(i, b)| *bytes.byte(i) = *b);
                }
                Operation::Mask { at, mask } => {
                    (*at as usize..).zip(mask).for_each(|(i, m)| *bytes.byte(i) &= *m);
                }
                Operation::Swap { a, b, len } => {
                    for i in 0..*len as usize {
                        let (a, b) = (*a as usize + i, *b as usize + i);
                        let old = *bytes.byte(a);
                        *bytes.byte(a) = std::mem::replace(bytes.byte(b), old);
                    }
                }
            }
        }
    }

    /// Make the changes to a unit in one piece, if it is long enough.
    pub fn apply(&self, unit: &mut [u8]) {
        if unit.len() >= self.needs() {
            self.run(&mut Whole(unit));
        }
    }
}

/// Bytes by their offset in the unit, in however many pieces it is.
pub trait Bytes {
    /// The byte at offset `i`.
    fn byte(&mut self, i: usize) -> &mut u8;
}

struct Whole<'u>(&'u mut [u8]);

impl Bytes for Whole<'_> {
    fn byte(&mut self, i: usize) -> &mut u8 {
        &mut self.0[i]
    }
}
