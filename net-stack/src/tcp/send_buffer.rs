//! [`SendBuffer`]: what the application pushed and the peer has not acknowledged, as the application's own buffers.

use hemi_queue::{Buf, Sga};

use crate::{util::fifo::Fifo, wire::Seq};

/// A run of bytes, by reference.
///
/// Nothing is ever copied in or out: a push adds counts, a (re)transmission slices, an acknowledgement drops counts. That is
/// the free-protection of DESIGN section 3. Every buffer is kept with the sequence number it begins at, so that a
/// retransmission finds its place by binary search.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    chunks: Fifo<Chunk>,
    start: Seq,
    end: Seq,
}

#[derive(Debug)]
struct Chunk {
    at: Seq,
    bytes: Buf,
}

impl SendBuffer {
    /// An empty buffer whose first byte will have sequence number `start`.
    pub(crate) fn new(start: Seq) -> Self {
        Self { chunks: Fifo::default(), start, end: start }
    }

    /// Start again at `start`, empty as it is.
    #[inline]
    pub(crate) fn begin_at(&mut self, start: Seq) {
        debug_assert!(self.is_empty(), "what is there would be lost");
        (self.start, self.end) = (start, start);
    }

    /// The sequence number behind the last byte.
    #[inline]
    pub(crate) fn end(&self) -> Seq {
        self.end
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end.since(self.start) as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether there is nothing to let go of.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.chunks.is_bare()
    }

    /// Append a unit. The caller keeps the total under 2³¹.
    #[inline(always)]
    pub(crate) fn append(&mut self, unit: Sga) {
        match unit.into_single() {
            Ok(bytes) => self.append_one(bytes),
            Err(several) => several.into_iter().for_each(|bytes| self.append_one(bytes)),
        }
    }

    /// The same for one buffer.
    #[inline(always)]
    pub(crate) fn append_one(&mut self, bytes: Buf) {
        if !bytes.is_empty() {
            let len = bytes.len() as u32;
            self.chunks.push_back(Chunk { at: self.end, bytes });
            self.end += len;
        }
    }

    /// Bytes before `una` are acknowledged: let them go.
    #[inline(always)]
    pub(crate) fn acknowledge(&mut self, una: Seq) {
        // A request that was answered: all of it, in one buffer.
        if una == self.end && self.chunks.has_one() {
            self.start = una;
            drop(self.chunks.take_one());
        } else {
            self.acknowledge_some(una);
        }
    }

    #[inline(never)]
    fn acknowledge_some(&mut self, una: Seq) {
        if !una.after(self.start) {
            return;
        }
        let una = una.min(self.end);
        self.start = una;
        while let Some(first) = self.chunks.front_mut() {
            let end = first.at + first.bytes.len() as u32;
            if end.at_or_before(una) {
                self.chunks.drop_front();
                continue;
            }
            if first.at.before(una) {
                first.bytes.advance(una.since(first.at) as usize);
                first.at = una;
            }
            break;
        }
    }

    /// The bytes from `from` on, at most `len` of them, sharing the memory.
    #[inline]
    pub(crate) fn slice(&self, from: Seq, len: usize) -> Sga {
        // Nearly always it lies in the buffer that was pushed last.
        if len > 0
            && let Some(last) = self.chunks.back().filter(|last| last.at.at_or_before(from))
            && let skip = from.since(last.at) as usize
            && let Some(part) = last.bytes.get(skip..skip + len)
        {
            return Sga::from(part);
        }
        self.slice_across(from, len)
    }

    #[inline(never)]
    fn slice_across(&self, from: Seq, len: usize) -> Sga {
        let mut out = Sga::new();
        let mut left = len.min(self.end.saturating_since(from) as usize);
        if left == 0 || from.before(self.start) {
            return out;
        }
        let mut index = self.find(from);
        let mut at = from;
        while left > 0 {
            let Some(chunk) = self.chunks.get(index) else { break };
            let skip = at.since(chunk.at) as usize;
            let take = left.min(chunk.bytes.len().saturating_sub(skip));
            let Some(part) = chunk.bytes.get(skip..skip + take) else { break };
            out.push(part);
            left -= take;
            at += take as u32;
            index += 1;
        }
        out
    }

    /// The `len` bytes from `from` on, if they lie in the last buffer.
    #[inline]
    pub(crate) fn view(&self, from: Seq, len: usize) -> Option<&[u8]> {
        let last = self.chunks.back()?;
        let skip = from.since(last.at) as usize;
        last.bytes[..].get(skip..)?.get(..len)
    }

    /// Drop everything (the connection was reset).
    pub(crate) fn clear(&mut self) {
        self.chunks.clear();
        self.start = self.end;
    }

    /// The chunk that holds `seq`, which is in `start..end`.
    #[inline]
    fn find(&self, seq: Seq) -> usize {
        // New data is nearly always in the last chunk, and most buffers have one.
        match self.chunks.back() {
            Some(last) if last.at.at_or_before(seq) => self.chunks.len() - 1,
            _ => self.chunks.partition_point(|c| c.at.at_or_before(seq)).saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Any interleaving of appends and acknowledgements, across the wrap: slices give the stream's bytes.
        #[test]
        fn slices_are_the_stream(
            start: u32,
            ops in proptest::collection::vec((1_usize..50, 0_usize..60, 0_usize..80, 0_usize..80), 1..40),
        ) {
            let mut model = Vec::new();
            let mut acked = 0;
            let mut buffer = SendBuffer::new(Seq(start));
            for (n, ack, from, len) in ops {
                let unit: Vec<u8> = (0..n).map(|i| (model.len() + i) as u8).collect();
                model.extend(&unit);
                let cut = n / 3;
                buffer.append([Buf::from(unit[..cut].to_vec()), Buf::from(unit[cut..].to_vec())].into_iter().collect());
                acked = (acked + ack).min(model.len());
                buffer.acknowledge(Seq(start) + acked as u32);
                proptest::prop_assert_eq!(buffer.len(), model.len() - acked);
                let from = (acked + from).min(model.len());
                let expected = &model[from..(from + len).min(model.len())];
                proptest::prop_assert_eq!(buffer.slice(Seq(start) + from as u32, len).to_vec(), expected);
            }
        }
    }

    #[test]
    fn acknowledged_buffers_are_released() {
        let mut buffer = SendBuffer::new(Seq(0));
        let unit = Buf::from(vec![1; 100]);
        buffer.append(unit.clone().into());
        assert_eq!(unit.holders(), 2);
        buffer.acknowledge(Seq(99));
        assert_eq!(unit.holders(), 2);
        buffer.acknowledge(Seq(100));
        assert_eq!((unit.holders(), buffer.is_empty()), (1, true));
    }
}
