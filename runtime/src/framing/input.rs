//! [`Input`]: the bytes that have arrived and are not yet decoded.

use std::{cell::Cell, collections::VecDeque, fmt};

use hemi_queue::{Buf, Pool, Sga};

use super::Room;

/// Memory that segments of an incomplete unit may pin beyond [`SPARSE`] times its bytes, before new ones are compacted.
const SLACK: usize = 64 << 10;
/// A segment is sparse when it pins more than this many times its bytes.
const SPARSE: usize = 4;
/// What holding one more buffer costs besides its memory.
const PART_COST: usize = 64;
/// Pool memory is taken in pieces of this size for compacting.
const CHUNK: usize = 16 << 10;

/// The bytes that have arrived on a stream and are not yet decoded, as the buffers they arrived in.
///
/// Adding and taking bytes copies nothing, with one exception: while a unit is incomplete, arriving segments that pin
/// much more pool memory than they have bytes (a peer that dribbles, each byte in a frame of its own) are copied
/// together once the input pins more than 64 KiB and four times its bytes. So an input of `n` bytes pins at most
/// `4 n + 64 KiB` and two buffers, whatever the peer does, and each byte is copied at most once; when the pool is drained, on
/// the heap and at most `log n` times.
///
/// Looking at growing offsets costs amortised constant time, however many segments there are.
#[derive(Default)]
pub struct Input {
    parts: VecDeque<Part>,
    len: usize,
    cost: usize,
    /// Where the last look-up ended: a part's index and the offset of its first byte.
    seen: Cell<(usize, usize)>,
    room: Room,
}

struct Part {
    buf: Buf,
    cost: usize,
}

impl Input {
    /// No bytes; compaction uses the heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// No bytes; compaction uses `pool`.
    pub fn with_pool(pool: Pool) -> Self {
        Self { room: Room::with_chunks_of(pool, CHUNK), ..Self::default() }
    }

    /// Bytes that are there.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that are held for the bytes that are there.
    pub fn pinned(&self) -> usize {
        self.cost
    }

    /// Add a segment that has arrived.
    pub fn push(&mut self, segment: Buf) {
        if segment.is_empty() {
            return;
        }
        let len = segment.len();
        let cost = segment.pinned() + PART_COST;
        let sparse = cost > SPARSE * len && self.cost + cost > SLACK + SPARSE * (self.len + len);
        if sparse && !self.parts.is_empty() {
            self.push_copy(&segment);
        } else {
            self.push_part(segment, cost);
        }
        self.len += len;
    }

    /// `cost` is what the buffer pins if it does not lie right behind the last one.
    fn push_part(&mut self, mut buf: Buf, cost: usize) {
        if let Some(last) = self.parts.pop_back() {
            match last.buf.try_join(buf) {
                Ok(joined) => {
                    self.parts.push_back(Part { buf: joined, ..last });
                    return;
                }
                Err((last_buf, next)) => {
                    self.parts.push_back(Part { buf: last_buf, ..last });
                    buf = next;
                }
            }
        }
        self.cost += cost;
        self.parts.push_back(Part { buf, cost });
    }

    #[cold]
    fn push_copy(&mut self, segment: &[u8]) {
        if let Some(copy) = self.room.copy_pooled(segment) {
            // A chunk is shared by many copies: each is charged its own bytes, and as many again for what does not fit
            // at the end of a chunk.
            let len = copy.len();
            let parts = self.parts.len();
            self.push_part(copy, 2 * len + PART_COST);
            if parts == self.parts.len()
                && let Some(last) = self.parts.back_mut()
            {
                last.cost += 2 * len;
                self.cost += 2 * len;
            }
            return;
        }
        // On the heap, as a binary counter carries: a part joins the one before it while that is not longer.
        let mut copy = segment.to_vec();
        while let Some(last) = self.parts.back()
            && last.buf.region().is_none()
            && last.buf.len() <= copy.len()
        {
            copy.splice(..0, last.buf.iter().copied());
            self.cost -= last.cost;
            self.parts.pop_back();
        }
        // The cached look-up may have been in a part that is gone.
        self.seen.set((0, 0));
        let cost = copy.len() + PART_COST;
        self.push_part(Buf::from(copy), cost);
    }

    /// Add everything of `segments`.
    pub fn extend(&mut self, segments: Sga) {
        for buf in segments {
            self.push(buf);
        }
    }

    /// The byte at offset `at`.
    #[inline]
    pub fn get(&self, at: usize) -> Option<u8> {
        self.chunk(at).first().copied()
    }

    /// The bytes from offset `at` on that lie in one buffer; empty only past the end.
    #[inline]
    pub fn chunk(&self, at: usize) -> &[u8] {
        if at >= self.len {
            return &[];
        }
        // The front is looked at again and again; that must not lose the place further on.
        if let Some(front) = self.parts.front()
            && at < front.buf.len()
        {
            return &front.buf[at..];
        }
        let (mut index, mut start) = self.seen.get();
        if start > at {
            (index, start) = (0, 0);
        }
        loop {
            let part = &self.parts[index].buf;
            if at < start + part.len() {
                self.seen.set((index, start));
                return &part[at - start..];
            }
            start += part.len();
            index += 1;
        }
    }

    /// `N` bytes from offset `at` on, if they are there.
    #[inline]
    pub fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if let Some(whole) = self.chunk(at).first_chunk() {
            return Some(*whole);
        }
        if at.checked_add(N)? > self.len {
            return None;
        }
        let mut out = [0; N];
        let mut have = 0;
        while have < N {
            let chunk = self.chunk(at + have);
            let n = chunk.len().min(N - have);
            out[have..have + n].copy_from_slice(&chunk[..n]);
            have += n;
        }
        Some(out)
    }

    /// The offset of the first `byte` at or after offset `from`.
    pub fn find(&self, byte: u8, from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let chunk = self.chunk(at);
            if chunk.is_empty() {
                return None;
            }
            if let Some(i) = memchr::memchr(byte, chunk) {
                return Some(at + i);
            }
            at += chunk.len();
        }
    }

    /// Take the first `n` bytes out, without a copy; `None` when fewer are there.
    #[inline]
    pub fn take(&mut self, n: usize) -> Option<Sga> {
        if n > self.len {
            return None;
        }
        let mut unit = Sga::new();
        self.drop_front(n, |buf| unit.push(buf));
        Some(unit)
    }

    /// Drop the first `n` bytes (all of them if there are fewer).
    #[inline]
    pub fn advance(&mut self, n: usize) {
        self.drop_front(n.min(self.len), drop);
    }

    /// Everything that is there, as one array; leaves the input empty.
    pub fn take_all(&mut self) -> Sga {
        self.take(self.len).unwrap_or_default()
    }

    /// `n <= self.len`.
    fn drop_front(&mut self, mut n: usize, mut each: impl FnMut(Buf)) {
        self.len -= n;
        self.seen.set((0, 0));
        while n > 0 {
            let Some(mut part) = self.parts.pop_front() else { return };
            if part.buf.len() > n {
                each(part.buf.split_to(n));
                self.parts.push_front(part);
                return;
            }
            n -= part.buf.len();
            self.cost -= part.cost;
            each(part.buf);
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({} bytes in {} buffers, {} pinned)", self.len, self.parts.len(), self.cost)
    }
}
