//! [`Flight`]: every transmission that the peer has not acknowledged, and what we believe of it (the scoreboard).

use hemi_queue::time::Instant;

use crate::{
    util::fifo::Fifo,
    wire::{SackBlock, Seq},
};

/// One transmission in flight: a run of sequence numbers sent at one time (several segments, when a device cuts them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) start: Seq,
    pub(crate) end: Seq,
    /// When it was last sent: Segment.xmit_ts of RFC 8985.
    pub(crate) at: Instant,
    /// The peer has it (by SACK).
    pub(crate) sacked: bool,
    /// We believe that the network lost it, and have not sent it again yet.
    pub(crate) lost: bool,
    /// It was sent more than once.
    pub(crate) retransmitted: bool,
    /// It was sent with PSH at its end.
    pub(crate) pushed: bool,
}

impl Sent {
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.end.since(self.start)
    }
}

/// What an acknowledgement newly delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Bytes of sequence space, by cumulative ACK and by SACK.
    pub(crate) bytes: u32,
    /// Of these, by SACK.
    pub(crate) sacked: u32,
}

/// Everything in flight, contiguous and in order of sequence numbers, with its sums kept.
///
/// > RFC 6675 section 3: The sender SHOULD maintain a "scoreboard".
#[derive(Debug, Default)]
pub(crate) struct Flight {
    sent: Fifo<Sent>,
    sacked: u32,
    lost: u32,
    /// Bytes of sequence space in all.
    bytes: u32,
    /// The end of the highest SACKed transmission (RFC 8985: RACK.fack), while any is.
    fack: Option<Seq>,
}

impl Flight {
    /// FlightSize of RFC 5681: bytes sent but not cumulatively acknowledged.
    #[inline]
    pub(crate) fn bytes(&self) -> u32 {
        self.bytes
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether there is nothing to let go of.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.sent.is_bare()
    }

    /// How many transmissions.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sent.len()
    }

    /// RFC 6675 section 2: "Pipe" is the sender's estimate of the number of bytes outstanding in the network. What was SACKed
    /// or is lost has left it; a retransmission is not lost any more.
    #[inline]
    pub(crate) fn pipe(&self) -> u32 {
        self.bytes - self.sacked - self.lost
    }

    #[inline]
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    #[inline]
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    #[inline]
    pub(crate) fn fack(&self) -> Option<Seq> {
        self.fack
    }

    pub(crate) fn first(&self) -> Option<&Sent> {
        self.sent.front()
    }

    pub(crate) fn last(&self) -> Option<&Sent> {
        self.sent.back()
    }

    /// New data was sent: it follows what is in flight.
    #[inline(always)]
    pub(crate) fn push(&mut self, start: Seq, end: Seq, now: Instant, pushed: bool) {
        self.bytes += end.since(start);
        let plain =
            |pushed| Sent { start, end, at: now, sacked: false, lost: false, retransmitted: false, pushed };
        self.sent.push_back_with(|| plain(pushed));
    }

    /// Whether every transmission was sent once, and nothing is known of any: then they also left in their order.
    pub(crate) fn is_plain(&self) -> bool {
        (self.sacked | self.lost) == 0 && self.sent.iter().all(|s| !s.retransmitted)
    }

    /// The same as [`acknowledge`](Self::acknowledge) while [`is_plain`](Self::is_plain). Returns when the last of what this delivers
    /// was sent.
    #[inline(always)]
    pub(crate) fn acknowledge_plain(&mut self, una: Seq) -> Option<Instant> {
        let mut last = None;
        while let Some(first) = self.sent.front_mut() {
            if first.end.after(una) {
                if first.start.before(una) {
                    self.bytes -= una.since(first.start);
                    last = Some(first.at);
                    first.start = una;
                }
                break;
            }
            self.bytes -= first.len();
            last = Some(first.at);
            self.sent.drop_front();
        }
        last
    }

    /// Everything before `una` has arrived; `each` sees every transmission that this newly delivers.
    #[inline]
    pub(crate) fn acknowledge(&mut self, una: Seq, mut each: impl FnMut(&Sent)) -> Delivered {
        let mut delivered = Delivered::default();
        while let Some(first) = self.sent.front_mut() {
            if first.start.at_or_after(una) {
                break;
            }
            let whole = first.end.at_or_before(una);
            let end = if whole { first.end } else { una };
            let len = end.since(first.start);
            self.bytes -= len;
            if first.sacked {
                self.sacked -= len;
            } else {
                delivered.bytes += len;
                if first.lost {
                    self.lost -= len;
                }
                each(&Sent { end, ..*first });
            }
            if !whole {
                first.start = una;
                break;
            }
            self.sent.pop_front();
        }
        if self.fack.is_some_and(|f| f.at_or_before(una)) {
            self.fack = None;
        }
        delivered
    }

    /// The peer has `block`; `each` sees every transmission that this newly delivers. A transmission that is covered in part is cut.
    pub(crate) fn sack(&mut self, block: SackBlock, mut each: impl FnMut(&Sent)) -> Delivered {
        let mut delivered = Delivered::default();
        let Some((first, last)) = self.sent.front().zip(self.sent.back()) else { return delivered };
        let (start, end) = (block.start.max(first.start), block.end.min(last.end));
        if !start.before(end) {
            return delivered;
        }
        self.split(start);
        self.split(end);
        let mut index = self.index_of(start);
        while let Some(sent) = self.sent.get_mut(index).filter(|s| s.start.before(end)) {
            index += 1;
            if sent.sacked {
                continue;
            }
            let len = sent.len();
            if sent.lost {
                sent.lost = false;
                self.lost -= len;
            }
            sent.sacked = true;
            self.sacked += len;
            delivered.bytes += len;
            delivered.sacked += len;
            each(sent);
        }
        self.fack = Some(self.fack.map_or(end, |f| f.max(end)));
        delivered
    }

    /// Mark as lost what `is_lost` says, of what is neither SACKed nor marked already. Returns the bytes marked.
    pub(crate) fn mark_lost(&mut self, mut is_lost: impl FnMut(&Sent) -> bool) -> u32 {
        let mut marked = 0;
        for sent in self.sent.iter_mut() {
            if !sent.sacked && !sent.lost && is_lost(sent) {
                sent.lost = true;
                marked += sent.len();
            }
        }
        self.lost += marked;
        marked
    }

    /// Mark the first transmission that is neither SACKed nor lost, cut to `max` bytes.
    pub(crate) fn mark_first_lost(&mut self, max: u32) -> u32 {
        let Some(first) = self.sent.iter().find(|s| !s.sacked).copied() else { return 0 };
        if first.lost {
            return 0;
        }
        self.split(first.start + max);
        self.mark_lost(|s| s.start == first.start)
    }

    /// The peer went back on its SACKs (it may: RFC 2018 section 8), or a timeout says not to trust them.
    pub(crate) fn forget_sacks(&mut self) {
        for sent in self.sent.iter_mut() {
            sent.sacked = false;
        }
        self.sacked = 0;
        self.fack = None;
    }

    /// The first lost transmission at or behind `from`: RFC 6675 NextSeg (), rule 1.
    pub(crate) fn next_lost(&self) -> Option<Sent> {
        if self.lost == 0 {
            return None;
        }
        self.sent.iter().find(|s| s.lost).copied()
    }

    /// Whether what ends at `end` was sent with PSH.
    pub(crate) fn is_pushed(&self, end: Seq) -> bool {
        self.sent.get(self.index_of(end - 1)).is_some_and(|s| s.pushed && s.end == end)
    }

    /// `start..end` was sent again. A transmission that was sent again in part only is cut.
    pub(crate) fn retransmitted(&mut self, start: Seq, end: Seq, now: Instant) {
        self.split(start);
        self.split(end);
        let mut index = self.index_of(start);
        while let Some(sent) = self.sent.get_mut(index).filter(|s| s.start.before(end)) {
            index += 1;
            if sent.lost {
                sent.lost = false;
                self.lost -= sent.len();
            }
            sent.retransmitted = true;
            sent.at = now;
        }
    }

    /// Every transmission, oldest sequence number first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Cut the transmission that has `at` inside of it in two.
    fn split(&mut self, at: Seq) {
        let index = self.index_of(at);
        if let Some(sent) = self.sent.get_mut(index).filter(|s| s.start.before(at) && at.before(s.end)) {
            let rest = Sent { start: at, ..*sent };
            (sent.end, sent.pushed) = (at, false);
            self.sent.insert(index + 1, rest);
        }
    }

    /// The transmission that holds `seq` (or the end).
    #[inline]
    fn index_of(&self, seq: Seq) -> usize {
        self.sent.partition_point(|s| s.end.at_or_before(seq))
    }

    #[cfg(test)]
    fn check(&self) {
        let sum = |f: fn(&Sent) -> bool| self.sent.iter().filter(|s| f(s)).map(Sent::len).sum::<u32>();
        assert_eq!((self.bytes, self.sacked, self.lost), (sum(|_| true), sum(|s| s.sacked), sum(|s| s.lost)));
        assert!(self.sent.iter().zip(self.sent.iter().skip(1)).all(|(a, b)| a.end == b.start));
        assert!(self.sent.iter().all(|s| s.start.before(s.end) && !(s.sacked && s.lost)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(n: u32) -> Flight {
        let mut flight = Flight::default();
        for i in 0..n {
            flight.push(Seq(i * 100), Seq(i * 100 + 100), Instant::from_nanos(u64::from(i)), false);
        }
        flight
    }

    fn block(start: u32, end: u32) -> SackBlock {
        SackBlock { start: Seq(start), end: Seq(end) }
    }

    #[test]
    fn cumulative_and_selective_acknowledgement() {
        let mut f = flight(5);
        assert_eq!(f.sack(block(200, 300), |_| {}), Delivered { bytes: 100, sacked: 100 });
        assert_eq!(f.sack(block(200, 300), |_| {}).bytes, 0);
        assert_eq!((f.pipe(), f.fack()), (400, Some(Seq(300))));
        // Half of a transmission: it is cut.
        assert_eq!(f.sack(block(350, 400), |_| {}).bytes, 50);
        assert_eq!(f.len(), 6);
        assert_eq!(f.mark_lost(|s| s.start.before(Seq(200))), 200);
        assert_eq!((f.pipe(), f.lost()), (150, 200));
        f.retransmitted(Seq(0), Seq(50), Instant::from_nanos(9));
        assert_eq!((f.pipe(), f.next_lost().map(|s| s.start)), (200, Some(Seq(50))));
        f.check();
        let mut seen = 0;
        assert_eq!(f.acknowledge(Seq(320), |s| seen += s.len()).bytes, 220);
        assert_eq!((seen, f.bytes(), f.lost(), f.sacked()), (220, 180, 0, 50));
        f.check();
        f.acknowledge(Seq(500), |_| {});
        assert!(f.is_empty() && f.fack().is_none());
    }

    proptest::proptest! {
        #[test]
        fn sums_hold_whatever_comes(ops in proptest::collection::vec((0_u8..6, 0_u32..1200, 1_u32..300), 0..60)) {
            let mut f = flight(10);
            let mut una = Seq(0);
            for (op, at, len) in ops {
                match op {
                    0 => {
                        una = una.max(Seq(at).min(f.last().map_or(una, |l| l.end)));
                        f.acknowledge(una, |_| {});
                    }
                    1 | 2 => drop(f.sack(block(at, at + len), |_| {})),
                    3 => drop(f.mark_lost(|s| s.start.before(Seq(at)))),
                    4 => f.retransmitted(Seq(at).max(una), Seq(at).max(una) + len, Instant::ZERO),
                    _ => drop(f.mark_first_lost(len)),
                }
                // A retransmission of a SACKed run never happens (next_lost); here it may: it clears no flag.
                f.check();
            }
        }
    }
}
