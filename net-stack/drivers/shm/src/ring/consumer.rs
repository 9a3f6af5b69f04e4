//! [`Consumer`]: the reading end of a ring.

use super::{Broken, Header, Memory, lines};

/// The reading end.
pub(crate) struct Consumer<M> {
    memory: M,
    /// Where the next frame begins.
    next: u64,
    /// What the producer was told of it.
    told: u64,
}

impl<M: Memory> Consumer<M> {
    /// The reading end of a ring of zeroes.
    pub(crate) const fn new(memory: M) -> Self {
        Self { memory, next: 0, told: 0 }
    }

    /// The next frame's header, read once: what it says can't change any more.
    #[inline]
    pub(crate) fn peek(&self) -> Result<Option<Header>, Broken> {
        Header::parse(self.memory.load(self.next), self.next, self.memory.lines())
    }

    /// Copy the frame just [peeked](Self::peek) at to the front of `out`, and go on to the next. `out` has room for it.
    #[inline]
    pub(crate) fn take(&mut self, header: Header, out: &mut [u8]) {
        self.memory.read(self.next, header.len, out);
        self.next += lines(header.len);
    }

    /// Go on to the next frame without the one just [peeked](Self::peek) at.
    #[inline]
    pub(crate) fn skip(&mut self, header: Header) {
        self.next += lines(header.len);
    }

    /// Tell the producer how far we are, if an eighth of the ring was consumed since it was told last.
    #[inline]
    pub(crate) fn tell(&mut self) -> bool {
        let due = self.next - self.told >= self.memory.lines() / 8;
        if due {
            self.told = self.next;
            self.memory.store_head(self.next);
        }
        due
    }
}
