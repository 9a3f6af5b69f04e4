//! [`Rewrite`]: a map as data.

use hemi_queue::{
    Buf, BufMut, Sga,
    program::{Bytes, Changes, Operation},
};

use crate::context;

/// Changes at fixed offsets of a unit, in a form that devices can run.
///
/// The operations are applied in order, all or none: a unit that is shorter than [`needs`](Self::needs) passes unchanged.
/// In software a buffer that nobody else holds is changed in place; otherwise the touched buffers are copied, the others
/// are not.
///
/// ```
/// use hemi::{Buf, algebra::Rewrite};
/// // Answer a datagram: swap the ports, set the flag, clear the low half of the next byte.
/// let answer = Rewrite::new().swap(0, 2, 2).set(4, [0x80]).mask(5, [0xf0]);
/// assert_eq!(answer.needs(), 6);
/// assert_eq!(answer.apply(Buf::from(&[0, 53, 4, 210, 0, 0x7f])), [4, 210, 0, 53, 0x80, 0x70]);
/// assert_eq!(answer.apply(Buf::from("short")), "short");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    changes: Changes,
}

impl Rewrite {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Write `bytes` at offset `at`.
    pub fn set(mut self, at: u32, bytes: impl AsRef<[u8]>) -> Self {
        self.changes.push(Operation::Set { at, bytes: bytes.as_ref().to_vec() });
        self
    }

    /// Exchange the `len` bytes at `a` and at `b`.
    pub fn swap(mut self, a: u32, b: u32, len: u32) -> Self {
        self.changes.push(Operation::Swap { a, b, len });
        self
    }

    /// Keep only the bits of `mask` in the bytes at offset `at`.
    pub fn mask(mut self, at: u32, mask: impl AsRef<[u8]>) -> Self {
        self.changes.push(Operation::Mask { at, mask: mask.as_ref().to_vec() });
        self
    }

    /// The operations, in order.
    pub fn operations(&self) -> &[Operation] {
        self.changes.operations()
    }

    /// The same for a device that makes them.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The shortest unit that is changed, in bytes.
    pub fn needs(&self) -> usize {
        self.changes.needs()
    }

    /// The unit with the changes made.
    pub fn apply<U: Rewritable>(&self, unit: U) -> U {
        unit.rewritten(self)
    }
}

/// Units that a [`Rewrite`] can change.
pub trait Rewritable: sealed::Sealed {
    /// The unit with the changes made.
    fn rewritten(self, rewrite: &Rewrite) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for hemi_queue::Buf {}
    impl Sealed for hemi_queue::Sga {}
    impl<U, X> Sealed for (U, X) {}
}

impl Rewritable for Buf {
    fn rewritten(self, rewrite: &Rewrite) -> Self {
        if self.len() < rewrite.needs() || rewrite.changes.is_empty() {
            return self;
        }
        let mut writable = Writable::from(self);
        rewrite.changes.run(&mut Parts { parts: &mut [(0, Part::Touched(&mut writable))] });
        writable.freeze()
    }
}

impl Rewritable for Sga {
    fn rewritten(self, rewrite: &Rewrite) -> Self {
        if self.len() < rewrite.needs() || rewrite.changes.is_empty() {
            return self;
        }
        let mut start = 0;
        let mut parts: Vec<(usize, Result<Writable, Buf>)> = Vec::with_capacity(self.parts());
        for buf in self {
            let range = start..start + buf.len();
            start = range.end;
            let touched = rewrite.changes.touches().any(|(from, to)| from < range.end && range.start < to);
            parts.push((range.start, if touched { Ok(Writable::from(buf)) } else { Err(buf) }));
        }
        let mut views: Vec<(usize, Part<'_>)> = parts
            .iter_mut()
            .map(|(start, part)| match part {
                Ok(writable) => (*start, Part::Touched(writable)),
                Err(_) => (*start, Part::Untouched),
            })
            .collect();
        rewrite.changes.run(&mut Parts { parts: &mut views });
        parts.into_iter().map(|(_, part)| part.map_or_else(|buf| buf, Writable::freeze)).collect()
    }
}

/// A unit and what belongs to it, such as a datagram and its sender.
impl<U: Rewritable, X> Rewritable for (U, X) {
    fn rewritten(self, rewrite: &Rewrite) -> Self {
        (self.0.rewritten(rewrite), self.1)
    }
}

/// The bytes of a buffer where they may be written to.
enum Writable {
    Pooled(BufMut),
    Heap(Vec<u8>),
}

impl From<Buf> for Writable {
    /// In place when nobody else holds the buffer; else a copy, from the pool when there is one with room.
    fn from(buf: Buf) -> Self {
        buf.try_mut().map_or_else(
            |shared| {
                let pooled = context::with(|core| core.pool.try_alloc(shared.len()).ok()).ok().flatten();
                match pooled {
                    Some(mut copy) => {
                        copy.put(&shared);
                        Self::Pooled(copy)
                    }
                    None => Self::Heap(shared.to_vec()),
                }
            },
            Self::Pooled,
        )
    }
}

impl Writable {
    fn freeze(self) -> Buf {
        match self {
            Self::Pooled(buf) => buf.freeze(),
            Self::Heap(bytes) => Buf::from(bytes),
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Pooled(buf) => buf,
            Self::Heap(bytes) => bytes,
        }
    }
}

enum Part<'b> {
    Touched(&'b mut Writable),
    /// No operation writes here.
    Untouched,
}

struct Parts<'p, 'b> {
    /// Each with the offset of its first byte.
    parts: &'p mut [(usize, Part<'b>)],
}

impl Bytes for Parts<'_, '_> {
    fn byte(&mut self, i: usize) -> &mut u8 {
        let index = self.parts.partition_point(|(start, _)| *start <= i) - 1;
        match &mut self.parts[index] {
            (start, Part::Touched(writable)) => &mut writable.bytes()[i - *start],
            (_, Part::Untouched) => unreachable!("`touches` names every byte that `run` writes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hemi_queue::Pool;
    use proptest::prelude::*;

    use super::*;

    fn rewrite() -> impl Strategy<Value = Rewrite> {
        let small = || prop::collection::vec(any::<u8>(), 0..6);
        let operation = prop_oneof![
            (0u32..20, small()).prop_map(|(at, bytes)| Operation::Set { at, bytes }),
            (0u32..20, small()).prop_map(|(at, mask)| Operation::Mask { at, mask }),
            (0u32..20, 0u32..20, 0u32..6).prop_map(|(a, b, len)| Operation::Swap { a, b, len }),
        ];
        prop::collection::vec(operation, 0..6).prop_map(|operations| Rewrite { changes: operations.into() })
    }

    /// What it means, on plain bytes.
    fn model(rewrite: &Rewrite, mut unit: Vec<u8>) -> Vec<u8> {
        if unit.len() < rewrite.needs() {
            return unit;
        }
        for operation in rewrite.operations() {
            match operation {
                Operation::Set { at, bytes } => unit[*at as usize..][..bytes.len()].copy_from_slice(bytes),
                Operation::Mask { at, mask } => {
                    unit[*at as usize..].iter_mut().zip(mask).for_each(|(b, m)| *b &= m);
                }
                Operation::Swap { a, b, len } => {
                    (0..*len).for_each(|i| unit.swap((a + i) as usize, (b + i) as usize));
                }
                other => panic!("{other:?} has no meaning yet"),
            }
        }
        unit
    }

    proptest! {
        #[test]
        fn does_what_it_says_however_the_unit_is_cut(
            rewrite in rewrite(), unit in prop::collection::vec(any::<u8>(), 0..40), cuts in prop::collection::vec(0usize..40, 0..4),
        ) {
            let expect = model(&rewrite, unit.clone());
            prop_assert_eq!(rewrite.apply(Buf::from(unit.clone())).to_vec(), expect.clone());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(unit.len())).chain([0, unit.len()]).collect();
            cuts.sort_unstable();
            let sga: Sga = cuts.windows(2).map(|w| Buf::from(unit[w[0]..w[1]].to_vec())).collect();
            prop_assert_eq!(rewrite.apply(sga).to_vec(), expect);
        }
    }

    #[test]
    fn changes_in_place_what_nobody_else_holds() {
        let pool = Pool::new().unwrap();
        let mut buf = pool.try_alloc(16).unwrap();
        buf.put(b"abc");
        let buf = buf.freeze();
        let place = buf.region();
        let buf = Rewrite::new().set(1, "X").apply(buf);
        assert_eq!((&buf[..], buf.region()), (&b"aXc"[..], place));

        let held = buf.clone();
        let changed = Rewrite::new().set(1, "Y").apply(buf);
        assert_eq!((&held[..], &changed[..]), (&b"aXc"[..], &b"aYc"[..]));
    }
}
