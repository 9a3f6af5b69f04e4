//! A larger path MTU is searched for with the connection's own data (RFC 8899, RFC 4821): which data makes a probe, and what became of it. What
//! size to try is `ip/pmtu.rs`'s to say.
//!
//! A probe is one segment of new data that is larger than the path MTU, with more data right behind it: if the network drops it, SACKs of what
//! follows tell within a round trip, and its bytes go again in smaller segments. Nothing here runs while no smaller MTU was ever learnt of the path:
//! `Path::searching` is the one question that others ask.

use super::{Connection, Cx};
use crate::{
    ip::{Probe, Search},
    tcp::{cc::CongestionControl, recovery::Phase},
    wire::{Ecn, Flags, Seq, TcpHeader},
};

/// Segments of data behind a probe, from whose SACKs its loss is known: RFC 5681's duplicate acknowledgements.
const BEHIND: u32 = 3;

/// What came of [`Connection::send_mtu_probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// A probe has left.
    Sent,
    /// One is to leave as soon as the congestion window has room for it, or there is enough data: nothing else goes before.
    Hold,
    /// Go on as usual.
    None,
}

impl Connection {
    /// Bytes of a packet that are not text.
    fn overhead(&self) -> u16 {
        let options = if self.timestamps.is_some() { 12 } else { 0 };
        (self.path.ip_len() + TcpHeader::LEN + options) as u16
    }

    fn ports(&self) -> (u16, u16) {
        (self.tuple.local_port, self.tuple.remote_port)
    }

    /// Send the next new data as a probe, if it is time to and there is enough of it. `fits`: unsent bytes that the peer's window allows; `room`: what
    /// the congestion window does.
    ///
    /// > RFC 8899 section 3, item 7: A PL MAY use a congestion controller to decide when to send a probe packet.
    #[cold]
    pub(super) fn send_mtu_probe(&mut self, fits: u32, room: u32, cx: &mut Cx<'_>) -> Attempt {
        let remote = self.tuple.remote;
        if !self.sack_ok {
            // Its loss would look like any other. What is learnt of the path is forgotten when it is old, and then tried with data.
            self.path.searching = false;
            if cx.net.pmtu.forget_if_old(remote, cx.now) {
                cx.net.epoch = cx.net.epoch.wrapping_add(1);
            }
            return Attempt::None;
        }
        // Item 5: "the local link MTU", and "the maximum size of network-layer packet that a receiver can accept", as its MSS tells.
        let taken = self.peer_mss.min(self.options.max_segment.unwrap_or(u16::MAX));
        let most = cx.net.caps.mtu.min(taken.saturating_add((self.path.ip_len() + TcpHeader::LEN) as u16));
        let size = match cx.net.pmtu.next_probe(remote, most, cx.now) {
            Search::Probe(size) => size,
            Search::Wait => return Attempt::None,
            Search::Complete => {
                self.path.searching = false;
                return Attempt::None;
            }
        };
        let len = u32::from(size.saturating_sub(self.overhead()));
        let needed = len + BEHIND * u32::from(self.mss);
        let quiet = self.recovery.phase == Phase::Open
            && self.flight.sacked() == 0
            && self.flight.lost() == 0
            && self.probe.is_none()
            && self.sacks.is_empty();
        if !quiet || self.cc.cwnd() < needed || len <= u32::from(self.mss) {
            return Attempt::None;
        }
        if self.buffer.end().since(self.nxt) < needed {
            if self.buffer.len() >= needed as usize && !self.flight.is_empty() {
                // There is much to send, of which the send buffer's limit lets little wait: the ACKs of what is in flight make room for more.
                return Attempt::Hold;
            }
            // Nobody has much to send. When the path is resolved again, within half a minute, there may be.
            self.path.searching = false;
            return Attempt::None;
        }
        if fits < needed {
            return Attempt::None;
        }
        if room < len {
            self.limited_at = Some(self.nxt);
            return Attempt::Hold;
        }
        let start = self.nxt;
        let (end, payload) = (start + len, self.buffer.slice(start, len as usize));
        let ecn = if self.ecn.enabled { Ecn::Capable0 } else { Ecn::NotCapable };
        self.emit(Flags::ACK, start, payload, ecn, 0, cx);
        self.note_sent(len, end, false, cx);
        cx.net.counters.tcp_mtu_probes += 1;
        cx.net.pmtu.probe_sent(remote, Probe { size, sent: cx.now, ports: self.ports(), start, end });
        Attempt::Sent
    }

    /// An ACK was taken in, which covers everything before `ack`: has our probe arrived?
    #[cold]
    pub(super) fn judge_mtu_probe(&mut self, ack: Seq, cx: &mut Cx<'_>) {
        let Some(probe) = cx.net.pmtu.probe_of(self.tuple.remote, self.ports()) else { return };
        if probe.start.before(self.una) || probe.end.after(self.nxt) {
            // It is none of ours: an earlier connection had our ports, and ended before it was heard of.
            cx.net.pmtu.probe_was_inconclusive(self.tuple.remote);
            return;
        }
        let sacked = || {
            self.flight.iter().any(|sent| sent.sacked && sent.start == probe.start && sent.end == probe.end)
        };
        if !ack.at_or_after(probe.end) && !sacked() {
            return;
        }
        let Some(mtu) = cx.net.pmtu.probe_passed(self.tuple.remote, cx.now) else { return };
        cx.net.counters.tcp_mtu_raises += 1;
        tracing::debug!(target: "hemi::tcp", peer = %self.tuple.remote, mtu, "a larger packet has passed");
        self.path.mtu = mtu;
        self.set_mss(cx);
        // "An update to the PLPMTU (or MPS) MUST NOT increase the congestion window measured in bytes."
        self.cc.set_mss(u32::from(self.mss));
        // RFC 4821 section 5.2, as RFC 8899 quotes it: all sessions that share the path SHOULD be notified.
        cx.net.epoch = cx.net.epoch.wrapping_add(1);
    }

    /// So many bytes were found to be lost. Those of a probe that alone was lost are no sign of congestion; the others are returned.
    ///
    /// > RFC 8899 section 3, item 7: Loss of a probe packet SHOULD NOT be treated as an indication of congestion and SHOULD NOT trigger a congestion
    /// > control reaction.
    #[cold]
    pub(super) fn excuse_mtu_probe(&mut self, lost: u32, cx: &mut Cx<'_>) -> u32 {
        let remote = self.tuple.remote;
        let Some(probe) = cx.net.pmtu.probe_of(remote, self.ports()) else { return lost };
        let is_lost = self.flight.iter().any(|sent| sent.lost && sent.start == probe.start);
        if !is_lost {
            return lost;
        }
        let len = probe.end.since(probe.start);
        if lost == len && self.recovery.phase == Phase::Open {
            cx.net.pmtu.probe_lost(remote);
            cx.net.counters.tcp_mtu_probes_lost += 1;
            return 0;
        }
        // Others went with it: that is congestion, or an accident, and says nothing of its size.
        cx.net.pmtu.probe_was_inconclusive(remote);
        lost
    }

    /// Nothing was heard for a timeout, which is a sign of congestion whatever was in flight.
    #[cold]
    pub(super) fn mtu_probe_timed_out(&mut self, cx: &mut Cx<'_>) {
        if cx.net.pmtu.probe_of(self.tuple.remote, self.ports()).is_some() {
            cx.net.counters.tcp_mtu_probes_lost += 1;
            cx.net.pmtu.probe_lost(self.tuple.remote);
        }
    }

    /// `start..end` is sent again: an acknowledgement of it no longer says that the probe has arrived.
    #[cold]
    pub(super) fn forget_mtu_probe(&mut self, start: Seq, end: Seq, cx: &mut Cx<'_>) {
        let probe = cx.net.pmtu.probe_of(self.tuple.remote, self.ports());
        if probe.is_some_and(|probe| start.before(probe.end) && probe.start.before(end)) {
            cx.net.pmtu.probe_was_inconclusive(self.tuple.remote);
        }
    }

    /// A router says that the packet with `seq` in it was too large, and `mtu`, which is no less than what passes, would have been right. Whether that
    /// was our probe: then that is the next size to try, and the data goes again.
    #[cold]
    pub(super) fn on_probe_too_big(&mut self, seq: Seq, mtu: u16, cx: &mut Cx<'_>) -> bool {
        let Some(probe) = cx.net.pmtu.probe_of(self.tuple.remote, self.ports()) else { return false };
        if seq != probe.start || !cx.net.pmtu.probe_was_too_big(self.tuple.remote, mtu) {
            return false;
        }
        cx.net.counters.tcp_mtu_probes_lost += 1;
        self.disturb();
        self.flight.mark_lost(|sent| sent.start == probe.start && sent.end == probe.end);
        true
    }
}
