//! [`Assembler`]: received bytes, in order for the application and out of order until the holes are filled.

use std::collections::VecDeque;

use hemi_queue::{Buf, BufMut, Pool};

use crate::{util::fifo::Fifo, wire::Seq};

/// Small segments behind others are copied together into buffers of this size.
const COMPACT: usize = 2048;
/// Out-of-order pieces kept at most: a bound on work and headers, whatever their size.
const MAX_PIECES: usize = 4096;

/// What became of a piece of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inserted {
    /// Bytes by which the stream grew in order.
    pub(crate) in_order: u32,
    /// Bytes kept out of order.
    pub(crate) out_of_order: u32,
    /// There was no memory for some of it.
    pub(crate) refused: bool,
    /// A segment was copied so that its frame could be released.
    pub(crate) compacted: bool,
}

/// Reassembly with a bound on memory.
///
/// A segment is handed up in the frame it came in: no copy. But a frame is charged by what it pins, and a peer that sends
/// one byte per frame must not pin 2 KiB for each; so a segment that fills less than a quarter of its frame, and that
/// the application does not take at once, is copied together with its neighbours. What is held is thus at most four
/// times the window, and the window is a limit of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    ready: Fifo<Buf>,
    ready_bytes: usize,
    /// The buffer being filled with small segments: its bytes come after everything in `ready`.
    tail: Option<BufMut>,
    /// Out-of-order pieces, sorted, not overlapping.
    pieces: VecDeque<Piece>,
    pieces_bytes: usize,
}

#[derive(Debug)]
struct Piece {
    at: Seq,
    bytes: Buf,
}

impl Piece {
    fn end(&self) -> Seq {
        self.at + self.bytes.len() as u32
    }
}

impl Assembler {
    /// Bytes that the application can take.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        self.ready_bytes
    }

    /// Bytes kept out of order.
    pub(crate) fn out_of_order(&self) -> usize {
        self.pieces_bytes
    }

    /// Whether there are holes.
    #[inline]
    pub(crate) fn has_holes(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Whether it holds nothing, and has no memory of its own.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.ready.is_bare() && self.tail.is_none() && self.pieces.capacity() == 0
    }

    /// Pooled memory that is kept from being reused.
    pub(crate) fn pinned(&self) -> usize {
        self.ready.iter().map(Buf::pinned).sum::<usize>()
            + self.tail.as_ref().map_or(0, BufMut::capacity)
            + self.pieces.iter().map(|p| p.bytes.pinned()).sum::<usize>()
    }

    /// Take in `bytes`, which begin at `at`, when `next` is the next sequence number expected. The caller has cut them to the
    /// window.
    #[inline]
    pub(crate) fn insert(&mut self, next: Seq, mut at: Seq, mut bytes: Buf, pool: &Pool) -> Inserted {
        if at.before(next) {
            let old = next.since(at) as usize;
            bytes.advance(old);
            at = next;
        }
        if bytes.is_empty() {
            return Inserted::default();
        }
        if at != next {
            return self.insert_piece(at, bytes, pool);
        }
        let mut done = Inserted { in_order: bytes.len() as u32, ..Inserted::default() };
        if self.pieces.is_empty() {
            done.compacted = self.append(bytes, pool);
        } else {
            self.fill_hole(next, bytes, pool, &mut done);
        }
        done
    }

    /// Take in bytes that are next in order, when there are no holes; says whether they were copied.
    #[inline]
    pub(crate) fn insert_next(&mut self, bytes: Buf, pool: &Pool) -> bool {
        self.append(bytes, pool)
    }

    /// The next bytes in order.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Buf> {
        if let Some(buf) = self.ready.pop_front() {
            self.ready_bytes -= buf.len();
            return Some(buf);
        }
        if self.tail.is_none() { None } else { self.pop_tail() }
    }

    #[inline(never)]
    fn pop_tail(&mut self) -> Option<Buf> {
        let tail = self.tail.as_mut().filter(|t| !t.is_empty())?;
        let n = tail.len();
        let buf = tail.split_frozen(n);
        if tail.capacity() < COMPACT / 4 {
            self.tail = None;
        }
        self.ready_bytes -= buf.len();
        Some(buf)
    }

    /// The run of received bytes that holds `at`, as far as it is without a hole.
    pub(crate) fn range_around(&self, at: Seq) -> Option<(Seq, Seq)> {
        let index = self.pieces.partition_point(|p| p.end().at_or_before(at));
        let piece = self.pieces.get(index).filter(|p| p.at.at_or_before(at))?;
        let (mut start, mut end) = (piece.at, piece.end());
        for before in self.pieces.range(..index).rev() {
            if before.end() != start {
                break;
            }
            start = before.at;
        }
        for after in self.pieces.range(index + 1..) {
            if after.at != end {
                break;
            }
            end = after.end();
        }
        Some((start, end))
    }

    /// The first run of `start..end` that is kept out of order already.
    pub(crate) fn first_overlap(&self, start: Seq, end: Seq) -> Option<(Seq, Seq)> {
        let index = self.pieces.partition_point(|p| p.end().at_or_before(start));
        let mut pieces = self.pieces.range(index..);
        let first = pieces.next().filter(|p| p.at.before(end))?;
        let mut last = first.end();
        for after in pieces.take_while(|p| p.at.before(end)) {
            if after.at != last {
                break;
            }
            last = after.end();
        }
        Some((first.at.max(start), last.min(end)))
    }

    /// [`range_around`](Self::range_around), when there can be one.
    #[inline]
    pub(crate) fn range_around_if(&self, holes: bool, at: Seq) -> Option<(Seq, Seq)> {
        if holes { self.range_around(at) } else { None }
    }

    /// Drop everything, in order or not.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Append bytes to what the application can take; says whether they were copied.
    #[inline]
    fn append(&mut self, bytes: Buf, pool: &Pool) -> bool {
        self.ready_bytes += bytes.len();
        // The first buffer waits for an application that is likely to take it in this very turn.
        if self.ready_bytes == bytes.len() {
            self.ready.push_back(bytes);
            return false;
        }
        self.append_behind(bytes, pool)
    }

    fn append_behind(&mut self, bytes: Buf, pool: &Pool) -> bool {
        if bytes.len() * 4 < bytes.pinned() {
            if self.tail.as_ref().is_none_or(|t| t.capacity() - t.len() < bytes.len()) {
                self.seal();
                self.tail = pool.try_alloc(COMPACT.max(bytes.len())).ok();
            }
            if let Some(tail) = &mut self.tail {
                tail.put(&bytes);
                return true;
            }
        }
        self.seal();
        self.ready.push_back(bytes);
        false
    }

    /// Hand over what is in the tail buffer, so that something else can follow it.
    fn seal(&mut self) {
        if let Some(tail) = self.tail.take().filter(|t| !t.is_empty()) {
            self.ready.push_back(tail.freeze());
        }
    }

    /// `bytes` begin at `next`: they fill a hole, and pieces behind it may follow.
    fn fill_hole(&mut self, next: Seq, bytes: Buf, pool: &Pool, done: &mut Inserted) {
        let mut end = next + bytes.len() as u32;
        done.compacted |= self.append(bytes, pool);
        while let Some(first) = self.pieces.front() {
            if first.at.after(end) {
                break;
            }
            let Some(mut piece) = self.pieces.pop_front() else { break };
            self.pieces_bytes -= piece.bytes.len();
            piece.bytes.advance(end.since(piece.at) as usize);
            if !piece.bytes.is_empty() {
                let n = piece.bytes.len() as u32;
                end += n;
                done.in_order += n;
                done.compacted |= self.append(piece.bytes, pool);
            }
        }
    }

    /// Keep what is new of a piece that lies behind a hole. What is there already stays: the first copy wins.
    fn insert_piece(&mut self, mut at: Seq, mut bytes: Buf, pool: &Pool) -> Inserted {
        let mut done = Inserted::default();
        let mut index = self.pieces.partition_point(|p| p.end().at_or_before(at));
        while !bytes.is_empty() {
            let gap = match self.pieces.get(index) {
                Some(p) if p.at.at_or_before(at) => {
                    // Covered by what is there: skip it.
                    let covered = p.end().since(at) as usize;
                    bytes.advance(covered);
                    at += covered as u32;
                    index += 1;
                    continue;
                }
                Some(p) => bytes.len().min(p.at.since(at) as usize),
                None => bytes.len(),
            };
            let new = bytes.split_to(gap);
            let len = new.len() as u32;
            if self.keep_piece(index, at, new, pool, &mut done) {
                index += 1;
            }
            at += len;
        }
        done
    }

    /// Put one piece at `index`; says whether that made a new entry.
    fn keep_piece(&mut self, index: usize, at: Seq, new: Buf, pool: &Pool, done: &mut Inserted) -> bool {
        let len = new.len();
        let small = len * 4 < new.pinned();
        if small && self.extend_piece(index, at, &new) {
            done.compacted = true;
            done.out_of_order += len as u32;
            return false;
        }
        if self.pieces.len() >= MAX_PIECES {
            done.refused = true;
            return false;
        }
        let bytes = if small {
            // A first copy of its own; neighbours are appended to it while there is room.
            let Ok(mut copy) = pool.try_alloc(len.clamp(1, 256)) else {
                done.refused = true;
                return false;
            };
            done.compacted = true;
            copy.put(&new);
            copy.freeze()
        } else {
            new
        };
        self.pieces_bytes += len;
        done.out_of_order += len as u32;
        self.pieces.insert(index, Piece { at, bytes });
        true
    }

    /// Append a small piece to the private copy that ends where it begins.
    fn extend_piece(&mut self, index: usize, at: Seq, new: &Buf) -> bool {
        let Some(before) =
            index.checked_sub(1).and_then(|i| self.pieces.get_mut(i)).filter(|p| p.end() == at)
        else {
            return false;
        };
        match std::mem::take(&mut before.bytes).try_mut() {
            Ok(mut copy) => {
                let fits = copy.capacity() - copy.len() >= new.len();
                if fits {
                    copy.put(new);
                    self.pieces_bytes += new.len();
                }
                before.bytes = copy.freeze();
                fits
            }
            Err(shared) => {
                before.bytes = shared;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pool: &Pool, bytes: &[u8]) -> Buf {
        let mut b = pool.try_alloc(2048).expect("memory");
        b.put(bytes);
        b.freeze()
    }

    proptest::proptest! {
        /// Segments in any order, cut and overlapping in any way: the application gets the stream.
        #[test]
        fn any_order_gives_the_stream(
            start: u32,
            segments in proptest::collection::vec((0_usize..400, 1_usize..90), 1..60),
            pop_every in 1_usize..5,
        ) {
            let pool = Pool::new().expect("memory");
            let stream: Vec<u8> = (0..500).map(|i| (i * 7) as u8).collect();
            let mut got = Vec::new();
            let mut a = Assembler::default();
            let mut next = Seq(start);
            for (i, (from, len)) in segments.iter().enumerate() {
                let piece = &stream[*from..(from + len).min(500)];
                let done = a.insert(next, Seq(start) + *from as u32, frame(&pool, piece), &pool);
                next += done.in_order;
                proptest::prop_assert!(!done.refused);
                if i % pop_every == 0 {
                    got.extend(a.pop().iter().flat_map(|b| b.to_vec()));
                }
            }
            for at in (0..500).step_by(50) {
                next += a.insert(next, Seq(start) + at as u32, frame(&pool, &stream[at..at + 50]), &pool).in_order;
            }
            while let Some(buf) = a.pop() {
                got.extend_from_slice(&buf);
            }
            proptest::prop_assert_eq!(&got, &stream);
            proptest::prop_assert_eq!((a.ready(), a.out_of_order(), a.has_holes()), (0, 0, false));
            drop(a);
            proptest::prop_assert_eq!(pool.stats().in_use, 0);
        }
    }

    #[test]
    fn one_byte_segments_in_order_do_not_pin_their_frames() {
        let pool = Pool::new().expect("memory");
        let mut a = Assembler::default();
        for i in 0..10_000_u32 {
            a.insert(Seq(i), Seq(i), frame(&pool, &[i as u8]), &pool);
        }
        assert_eq!(a.ready(), 10_000);
        assert!(a.pinned() <= 4 * 10_000, "{} bytes pinned", a.pinned());
    }

    #[test]
    fn one_byte_segments_out_of_order_do_not_either() {
        let pool = Pool::new().expect("memory");
        let mut a = Assembler::default();
        for i in 1..10_000_u32 {
            a.insert(Seq(0), Seq(i), frame(&pool, &[i as u8]), &pool);
        }
        assert_eq!(a.out_of_order(), 9_999);
        assert!(a.pinned() <= 4 * 10_000, "{} bytes pinned", a.pinned());
        // Every second byte only: the number of pieces is bounded.
        let mut a = Assembler::default();
        let mut refused = 0;
        for i in 1..10_000_u32 {
            refused += u32::from(a.insert(Seq(0), Seq(2 * i), frame(&pool, &[7]), &pool).refused);
        }
        assert_eq!(refused as usize, 9_999 - MAX_PIECES);
    }

    #[test]
    fn the_first_segment_is_handed_up_in_its_frame() {
        let pool = Pool::new().expect("memory");
        let mut a = Assembler::default();
        let f = frame(&pool, b"x");
        let address = f.as_ptr();
        a.insert(Seq(0), Seq(0), f, &pool);
        assert!(std::ptr::eq(a.pop().expect("ready").as_ptr(), address));
    }

    #[test]
    fn ranges() {
        let pool = Pool::new().expect("memory");
        let mut a = Assembler::default();
        for at in [10_u32, 30, 20, 50] {
            a.insert(Seq(0), Seq(at), frame(&pool, &[0; 10]), &pool);
        }
        assert_eq!(a.range_around(Seq(25)), Some((Seq(10), Seq(40))));
        assert_eq!(a.range_around(Seq(50)), Some((Seq(50), Seq(60))));
        assert_eq!(a.range_around(Seq(45)), None);
    }
}
