//! TIME-WAIT: what is left of a closed connection until its segments have left the network.
//!
//! An entry is a few words; the connection's slot may be gone. Rules: RFC 9293 section 3.10.7.4, RFC 1337 (a RST does not end it), RFC 6191
//! (a newer SYN does).

use std::collections::VecDeque;

use hemi_queue::time::Instant;

use super::{
    conn::{Cx, Segment},
    demux::Tuple,
    listen::half_open,
};
use crate::{
    ip::ControlOptions,
    util::slab::Slab,
    wire::{Flags, Seq, Timestamps},
};

/// What must be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remains {
    pub(crate) nxt: Seq,
    pub(crate) rcv_nxt: Seq,
    /// Our offset and TS.Recent.
    pub(crate) timestamps: Option<(u32, u32)>,
    /// The window field of the last ACK.
    pub(crate) window: u16,
}

#[derive(Debug)]
struct Entry {
    tuple: Tuple,
    remains: Remains,
    expires: Instant,
}

/// What is to be done with a segment for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing: it was dropped or answered.
    Done,
    /// It opens a new incarnation, whose ISN must be after this.
    Reopen(Seq),
}

/// All connections in TIME-WAIT. Expiry is in order of entry, because the time is the same for all: a queue, not a timer each.
#[derive(Debug, Default)]
pub(crate) struct TimeWaits {
    entries: Slab<Entry>,
    order: VecDeque<(u32, u32)>,
}

impl TimeWaits {
    /// Remember a connection; returns its slot.
    pub(crate) fn insert(&mut self, tuple: &Tuple, remains: Remains, expires: Instant) -> u32 {
        let name = self.entries.insert(Entry { tuple: *tuple, remains, expires });
        self.order.push_back(name);
        name.0
    }

    pub(crate) fn tuple(&self, slot: u32) -> Option<&Tuple> {
        self.entries.get(slot).map(|e| &e.tuple)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Tuple> {
        self.entries.remove(slot).map(|e| e.tuple)
    }

    /// When the oldest entry expires.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.order
            .iter()
            .find_map(|&(slot, generation)| self.entries.named(slot, generation))
            .map(|e| e.expires)
    }

    /// The oldest entry, if it is due, or if `force`. An entry whose time was extended goes to the end.
    pub(crate) fn pop_due(&mut self, now: Instant, force: bool) -> Option<u32> {
        while let Some(&(slot, generation)) = self.order.front() {
            let Some(entry) = self.entries.named(slot, generation) else {
                self.order.pop_front();
                continue;
            };
            if force || entry.expires <= now {
                self.order.pop_front();
                return Some(slot);
            }
            return None;
        }
        None
    }

    /// A segment for an entry arrived.
    pub(crate) fn on_segment(&mut self, slot: u32, seg: &Segment, cx: &mut Cx<'_>) -> Verdict {
        let Some(entry) = self.entries.get_mut(slot) else { return Verdict::Done };
        let flags = seg.header.flags;
        let r = &mut entry.remains;
        cx.net.counters.drop_tcp_time_wait += 1;
        // RFC 1337 section 3, fix (F1): ignore RST segments in TIME-WAIT state.
        if flags.has(Flags::RST) {
            return Verdict::Done;
        }
        if flags.has(Flags::SYN) && !flags.has(Flags::ACK) {
            let beyond = seg.header.seq.after(r.rcv_nxt);
            // RFC 6191 section 2: what opens a new incarnation; anything else is an old duplicate.
            let opens = match (r.timestamps, seg.options.timestamps.filter(|_| cx.config.timestamps)) {
                // "the timestamp contained in the incoming SYN segment is greater than the last timestamp seen [...], honor the
                // connection request"; if it "is equal [...], and the Sequence Number of the incoming SYN segment is greater", too.
                (Some((_, recent)), Some(ts)) => match ts.value.wrapping_sub(recent) as i32 {
                    0 => beyond,
                    ahead => ahead > 0,
                },
                // "If the previous incarnation of the connection did not use Timestamps [...] If TCP Timestamps would be enabled for the
                // new incarnation of the connection, honor the incoming connection request."
                (None, Some(_)) => true,
                // Without them: RFC 9293 MUST-10, RFC 1122 section 4.2.2.13.
                (_, None) => beyond,
            };
            if opens {
                cx.net.counters.drop_tcp_time_wait -= 1;
                cx.net.counters.tcp_time_wait_reused += 1;
                // RFC 1122 section 4.2.2.13 (1): the new ISN is larger than the largest of the previous incarnation.
                return Verdict::Reopen(r.nxt + 65_537);
            }
        }
        // RFC 9293 section 3.10.7.4, fifth: "if the ACK bit is off, drop the segment and return"; only what is not in the window is answered (first).
        let window = u32::from(r.window).max(1);
        if !flags.any(Flags::ACK | Flags::SYN) && seg.header.seq.within(r.rcv_nxt, window) {
            return Verdict::Done;
        }
        // "The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it, and restart the 2 MSL
        // timeout."
        let in_order = seg.header.seq == r.rcv_nxt && seg.len() == 0;
        if flags.has(Flags::FIN) && seg.end() == r.rcv_nxt {
            entry.expires = cx.now + cx.config.time_wait;
            self.order.push_back((slot, self.entries.generation(slot)));
            self.order.retain({
                let mut seen = false;
                let name = (slot, self.entries.generation(slot));
                let last = self.order.len() - 1;
                let mut index = 0;
                move |n| {
                    let keep = *n != name || (index == last && !seen);
                    seen |= *n == name && keep;
                    index += 1;
                    keep
                }
            });
        } else if in_order {
            return Verdict::Done; // an ACK of our ACK: answering would never end
        } else if seg.payload.is_empty() && !flags.has(Flags::SYN) && !cx.challenge.take(cx.now) {
            return Verdict::Done;
        }
        self.acknowledge(slot, cx);
        Verdict::Done
    }

    fn acknowledge(&self, slot: u32, cx: &mut Cx<'_>) {
        let Some(Entry { tuple, remains, .. }) = self.entries.get(slot) else { return };
        let now_ms = (cx.now.as_nanos() / 1_000_000) as u32;
        let timestamps =
            remains.timestamps.map(|(offset, echo)| Timestamps { value: now_ms.wrapping_add(offset), echo });
        let options = ControlOptions { timestamps, ..ControlOptions::default() };
        half_open::send(tuple, Flags::ACK, remains.nxt, remains.rcv_nxt, remains.window, options, cx);
    }
}
