//! What the peer sends: its bytes and its FIN (RFC 9293 section 3.10.7.4, seventh and eighth).

use super::{Connection, Cx, Events, Segment, State};
use crate::{
    tcp::ConnError,
    wire::{Ecn, Flags},
};

impl Connection {
    /// An acceptable segment with text, or a FIN, or both.
    #[inline]
    pub(super) fn on_text(&mut self, seg: &mut Segment, cx: &mut Cx<'_>) {
        self.note_congestion(seg);
        if !self.state.may_receive() {
            // "CLOSE-WAIT, CLOSING, LAST-ACK, TIME-WAIT: this should not occur since a FIN has been received from the remote side.
            // Ignore the segment text."
            cx.net.counters.tcp_duplicates += 1;
            self.acks.at_once();
            return;
        }
        let (seq, mut end) = (seg.header.seq, seg.header.seq + seg.payload.len() as u32);
        let mut fin = seg.header.flags.has(Flags::FIN);
        let edge = self.window.edge();
        if end.after(edge) {
            // What lies behind the window is not ours to take.
            let beyond = end.since(edge) as usize;
            let keep = seg.payload.len().saturating_sub(beyond);
            seg.payload.truncate(keep);
            end = edge;
            fin = false;
            self.acks.at_once();
        }
        if self.closed && !seg.payload.is_empty() && end.after(self.rcv_nxt) {
            // RFC 1122 section 4.2.2.13: data after CLOSE: its TCP SHOULD send a RST to show that data was lost.
            cx.net.counters.drop_tcp_after_close += 1;
            // At what it has acknowledged: a peer that has not yet got all that we sent finds it in order (RFC 5961 section 3.2).
            self.send_reset_at(seg.header.ack, cx);
            return self.end(Some(ConnError::Aborted));
        }
        if fin && self.fin_at.is_none_or(|known| known == end) {
            self.fin_at = Some(end);
        }
        if !seg.payload.is_empty() {
            let payload = std::mem::take(&mut seg.payload);
            self.take_text(seq, payload, cx);
        }
        if self.fin_at == Some(self.rcv_nxt) {
            self.on_fin();
        } else if fin {
            self.acks.at_once();
        }
    }

    #[inline]
    pub(super) fn take_text(&mut self, seq: crate::wire::Seq, payload: hemi_queue::Buf, cx: &mut Cx<'_>) {
        let len = payload.len() as u32;
        let end = seq + len;
        if seq.before(self.rcv_nxt) {
            // Some of it is old: a duplicate to report.
            cx.net.counters.tcp_duplicates += 1;
            if self.sack_ok {
                self.sacks.duplicate(seq, end.min(self.rcv_nxt));
            }
            self.acks.at_once();
        }
        let had_holes = self.assembler.has_holes();
        let was_empty = self.assembler.ready() == 0;
        let before = self.assembler.range_around_if(had_holes, seq);
        // RFC 2883 section 4.2: of a segment that is old in parts, the first such part is told. What lies below RCV.NXT was.
        let overlap = if had_holes && self.sack_ok && seq.at_or_after(self.rcv_nxt) {
            self.assembler.first_overlap(seq, end)
        } else {
            None
        };
        let done = self.assembler.insert(self.rcv_nxt, seq, payload, &cx.net.pool);
        cx.net.counters.tcp_compacted += u64::from(done.compacted);
        if done.refused {
            cx.net.counters.drop_tcp_no_memory += 1;
        }
        if done.in_order > 0 {
            self.rcv_nxt += done.in_order;
            self.sacks.advanced(self.rcv_nxt);
            if was_empty {
                self.events.add(Events::READABLE);
            }
            self.acks.on_data(done.in_order, len, cx.now, cx.timing);
        }
        if had_holes || done.out_of_order > 0 {
            // RFC 5681 section 4.2: at once when a hole appears, fills, or stays.
            self.acks.at_once();
        }
        if done.out_of_order > 0 {
            cx.net.counters.tcp_out_of_order += 1;
            if let Some((start, end)) = self.assembler.range_around(seq.max(self.rcv_nxt)) {
                self.sacks.arrived(start, end);
            }
        } else if seq.after(self.rcv_nxt) && !done.refused {
            // A duplicate of what is kept out of order: RFC 2883 section 4.1.2, the duplicate first, its run second.
            cx.net.counters.tcp_duplicates += 1;
            if let Some((start, run_end)) = before {
                self.sacks.arrived(start, run_end);
            }
        }
        if let Some((start, end)) = overlap {
            self.sacks.duplicate(start, end);
        }
    }

    /// The peer has finished, and everything before its FIN is here: transitions 8, 9 and 12 of `state.rs`.
    pub(super) fn on_fin(&mut self) {
        // "advance RCV.NXT over the FIN, and send an acknowledgment for the FIN"
        self.rcv_nxt += 1;
        self.window.fin_taken();
        self.acks.at_once();
        self.events.add(Events::READABLE);
        match self.state {
            State::Established | State::SynReceived => self.set_state(State::CloseWait),
            // "If our FIN has been ACKed (perhaps in this segment), then enter TIME-WAIT [...]; otherwise, enter the CLOSING state."
            State::FinWait1 => self.set_state(State::Closing),
            State::FinWait2 => self.enter_time_wait(),
            _ => {}
        }
    }

    /// "Enter the TIME-WAIT state. Start the time-wait timer, turn off the other timers." The layer takes it from here.
    pub(super) fn enter_time_wait(&mut self) {
        self.set_state(State::TimeWait);
        self.deadlines = super::Deadlines::new();
        self.events.add(Events::CLOSED | Events::READABLE | Events::WRITABLE | Events::ACKED);
    }

    /// RFC 3168 section 6.1.3, the data receiver; with DCTCP, RFC 8257 section 3.2.
    #[inline]
    fn note_congestion(&mut self, seg: &Segment) {
        if !self.ecn.enabled {
            return;
        }
        let marked = seg.ecn == Ecn::Congested;
        if self.algorithm() == crate::tcp::cc::Algorithm::Dctcp {
            // RFC 8257 section 3.2: when the CE state changes, acknowledge at once what came before it.
            if marked != self.ecn.echo {
                self.ecn.echo = marked;
                self.acks.at_once();
            }
            return;
        }
        if seg.header.flags.has(Flags::CWR) {
            self.ecn.echo = false;
        }
        if marked {
            self.ecn.echo = true;
            self.acks.at_once();
        }
    }
}
