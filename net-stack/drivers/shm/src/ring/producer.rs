//! [`Producer`]: the writing end of a ring.

use super::{Broken, Header, Memory, lines};

/// The writing end. Knows its own position; of the consumer's it keeps the last copy it needed.
pub(crate) struct Producer<M> {
    memory: M,
    /// Where the next frame begins. Its header is zero.
    tail: u64,
    /// The consumer was at least here.
    head: u64,
}

impl<M: Memory> Producer<M> {
    /// The writing end of a ring of zeroes.
    pub(crate) const fn new(memory: M) -> Self {
        Self { memory, tail: 0, head: 0 }
    }

    /// Whether a frame of `len` bytes fits now. Reads the consumer's index only when the last copy of it says no.
    #[inline]
    pub(crate) fn has_room(&mut self, len: usize) -> Result<bool, Broken> {
        // One line more for the end mark.
        let end = self.tail + lines(len) + 1;
        if end - self.head <= self.memory.lines() {
            return Ok(true);
        }
        let head = self.memory.load_head();
        if head < self.head || head > self.tail {
            return Err(Broken::Head(head));
        }
        self.head = head;
        Ok(end - head <= self.memory.lines())
    }

    /// Send the frame that `parts` make up, `header.len` bytes in all, for which there is [room](Self::has_room).
    #[inline]
    pub(crate) fn push<'a>(&mut self, header: Header, parts: impl Iterator<Item = &'a [u8]>) {
        let begin = self.tail;
        let mut at = 0;
        for part in parts {
            let part = &part[..part.len().min(header.len - at)];
            self.memory.write(begin, at, part);
            at += part.len();
        }
        self.tail = begin + lines(header.len);
        self.memory.store(self.tail, 0);
        self.memory.store(begin, header.word(begin));
        self.memory.prepare(self.tail + 1);
    }
}
