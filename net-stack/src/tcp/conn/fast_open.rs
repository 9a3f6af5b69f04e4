//! Both ends of a Fast Open (RFC 7413 section 4.2): a SYN with a cookie and data, and a connection that a SYN has opened.
//!
//! ```text
//!   client:  connect ─┬─ no cookie: SYN + request ───────────────────────────► SYN-SENT, as ever
//!                     └─ a cookie: the SYN waits for the first push ─ push ──► SYN-SENT, data in flight
//!                SYN-ACK: of all ─► ESTABLISHED; of some, or of the SYN only ─► the rest is sent again at once
//!   server:  a good cookie ─► SYN-RECEIVED with data, may send ─ ACK ─► ESTABLISHED
//! ```

use hemi_queue::{Buf, time::Instant};

use super::{Agreed, Connection, Cx, Segment, State, default_mss};
use crate::{
    ip::Path,
    tcp::{ConnError, TcpOptionsConfig, cc::CongestionControl, demux::Tuple, fast_open::Hint},
    wire::{FastOpen, TcpHeader, TcpOptions, protocol},
};

/// How far a Fast Open is, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FastOpening(u8);

impl FastOpening {
    /// The application wants it.
    const WANTED: u8 = 1;
    /// The SYN waits for the first data.
    const DEFERRED: u8 = 2;
    /// Our SYN asked for a cookie.
    const ASKED: u8 = 4;
    /// In the form of RFC 6994.
    const EXPERIMENTAL: u8 = 8;
    /// Our SYN had a cookie, or data.
    const TRIED: u8 = 16;
    /// Data in the SYN was taken: by the peer, or by us.
    const TAKEN: u8 = 32;
    /// A SYN has opened it, and its sender has not yet proved that it gets our answers.
    const PENDING: u8 = 64;
    /// Without a cookie: both ends know each other otherwise.
    const COOKIELESS: u8 = 128;

    const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    fn set(&mut self, bit: u8) {
        self.0 |= bit;
    }

    fn clear(&mut self, bit: u8) {
        self.0 &= !bit;
    }
}

/// The client's end.
impl Connection {
    /// The application wants it. With a cookie, the SYN waits for data to carry.
    pub(crate) fn want_fast_open(&mut self, cookieless: bool, cx: &mut Cx<'_>) {
        self.fast_open.set(FastOpening::WANTED);
        let hint = cx.net.fast_open.hint(&self.tuple, cx.now);
        if cookieless {
            self.fast_open.set(FastOpening::COOKIELESS);
        }
        if hint != Hint::Disabled && (cookieless || matches!(hint, Hint::Cookie(_))) {
            self.fast_open.set(FastOpening::DEFERRED);
            self.syn_due = false;
        }
    }

    /// Whether the SYN waits for data to carry.
    #[inline]
    pub(crate) fn is_deferred(&self) -> bool {
        self.fast_open.has(FastOpening::DEFERRED)
    }

    /// How many bytes the SYN could carry that waits.
    pub(crate) fn deferred_room(&self, cx: &Cx<'_>) -> u32 {
        if self.is_deferred() { syn_room(&self.tuple, self.options.max_segment, &self.path, cx) } else { 0 }
    }

    /// The SYN leaves, with what there is to carry.
    #[inline]
    pub(crate) fn open_now(&mut self) {
        if self.is_deferred() {
            self.fast_open.clear(FastOpening::DEFERRED);
            self.syn_due = true;
        }
    }

    /// What our SYN carries: the option, and how much data.
    ///
    /// RFC 7413 section 4.2.1, in our words: a SYN that is not answered is sent again without data and without the Fast Open option: something on the way may
    /// drop it for either.
    #[cold]
    fn fast_open_offer(&mut self, cx: &mut Cx<'_>) -> (Option<FastOpen>, u32) {
        if !self.fast_open.has(FastOpening::WANTED) || self.retries > 0 {
            return (None, 0);
        }
        let option = match cx.net.fast_open.hint(&self.tuple, cx.now) {
            Hint::Disabled => return (None, 0),
            _ if self.fast_open.has(FastOpening::COOKIELESS) => None,
            Hint::Ask { experimental } => {
                self.fast_open.set(FastOpening::ASKED);
                if experimental {
                    self.fast_open.set(FastOpening::EXPERIMENTAL);
                }
                return (Some(FastOpen { cookie: None, experimental }), 0);
            }
            Hint::Cookie(cookie) => Some(cookie),
        };
        self.fast_open.set(FastOpening::TRIED);
        let room = syn_room(&self.tuple, self.options.max_segment, &self.path, cx);
        (option, (self.buffer.len() as u32).min(room))
    }

    /// Whether a SYN of ours may have more to it than another's.
    #[inline]
    pub(super) fn opens_fast(&self) -> bool {
        self.fast_open != FastOpening::default()
    }

    /// The option of a SYN of ours that is about to leave, and how much data goes with it.
    #[inline]
    pub(super) fn offer_in_syn(&mut self, options: &mut TcpOptions, cx: &mut Cx<'_>) -> u32 {
        if !self.opens_fast() || self.state != State::SynSent {
            return 0;
        }
        let (option, len) = self.fast_open_offer(cx);
        options.fast_open = option;
        len
    }

    /// The SYN took `len` bytes of data with it. They are in flight; the SYN's timer is theirs.
    pub(super) fn note_syn_data(&mut self, len: u32, now: Instant) {
        if len > 0 {
            self.flight.push(self.nxt, self.nxt + len, now, true);
            self.nxt += len;
        }
    }

    /// Our SYN was acknowledged: learn what its answer says of Fast Open, and see to the data that went with it.
    #[inline]
    pub(super) fn on_fast_open_answer(&mut self, seg: &Segment, was_lost: bool, cx: &mut Cx<'_>) {
        if self.fast_open.has(FastOpening::WANTED) {
            self.learn_of_fast_open(seg, was_lost, cx);
        }
        self.settle_syn_data(seg, cx);
    }

    #[cold]
    fn learn_of_fast_open(&mut self, seg: &Segment, was_lost: bool, cx: &mut Cx<'_>) {
        let experiments = cx.config.fast_open_experimental;
        let given = seg.options.fast_open.filter(|o| o.cookie.is_some() && (experiments || !o.experimental));
        // RFC 7413 section 4.1.3: the client caches the cookie, and the MSS, of the SYN-ACK: also of one that refuses the data.
        let mss = seg.options.mss.unwrap_or(default_mss(&self.tuple)).max(cx.config.mss_floor);
        cx.net.fast_open.learn(&self.tuple, mss, given);
        if given.is_some() {
            return;
        }
        if self.fast_open.has(FastOpening::ASKED) {
            match was_lost {
                // Whoever answers a SYN that did not ask owes no cookie.
                true => {}
                false if experiments => {
                    let experimental = self.fast_open.has(FastOpening::EXPERIMENTAL);
                    cx.net.fast_open.asked_in_vain(&self.tuple, experimental);
                }
                false => self.fast_open_failed(cx),
            }
        } else if self.nxt != self.iss + 1 && seg.header.ack == self.iss + 1 {
            // RFC 7413 section 4.1.3.1: negative responses include the server not acknowledging the data in the SYN. With a new cookie it is
            // none: the old one had expired.
            self.fast_open_failed(cx);
        }
    }

    /// RFC 7413 section 4.1.3.1: "The client MUST cache negative responses from the server in order to avoid potential connection failures", and
    /// SHOULD do without Fast Open there for a while.
    #[cold]
    pub(super) fn fast_open_failed(&mut self, cx: &mut Cx<'_>) {
        if self.fast_open.has(FastOpening::ASKED | FastOpening::TRIED) {
            cx.net.counters.tcp_fast_open_disabled += 1;
            cx.net.fast_open.fail(&self.tuple, cx.now + cx.config.fast_open_pause, cx.now);
        }
    }

    /// The peer answers nothing: neither our SYN, nor (with data in the SYN) anything behind it.
    #[cold]
    pub(super) fn suspect_fast_open(&mut self, cx: &mut Cx<'_>) {
        // What has been heard of since the handshake is no black hole.
        if self.state == State::SynSent || self.rcv_nxt == self.irs + 1 {
            self.fast_open_failed(cx);
        }
    }

    /// RFC 7413 section 4.2.2: if the server acknowledges only the SYN, the client sends the data again: at once, for it was not lost to congestion.
    fn settle_syn_data(&mut self, seg: &Segment, cx: &mut Cx<'_>) {
        let (first, ack) = (self.iss + 1, seg.header.ack);
        if self.nxt == first {
            return;
        }
        if ack.after(first) {
            self.flight.acknowledge(ack, |_| {});
            self.una = ack;
            self.buffer.acknowledge(ack);
            self.tell_progress();
        }
        if ack == self.nxt {
            self.fast_open.set(FastOpening::TAKEN);
            cx.net.counters.tcp_fast_opens_active += 1;
        } else {
            cx.net.counters.tcp_fast_opens_refused += 1;
            self.flight.mark_lost(|_| true);
        }
    }
}

/// The server's end.
impl Connection {
    /// A connection that a SYN has opened, with the data that came in it. `verified`: it had a cookie of ours, so the answer goes to somebody who has
    /// had one before.
    pub(crate) fn open_by_syn(
        &mut self,
        tuple: &Tuple,
        agreed: &Agreed,
        options: &TcpOptionsConfig,
        verified: bool,
        mut text: Buf,
        cx: &mut Cx<'_>,
    ) {
        self.accept(tuple, agreed, options, cx);
        self.state = State::SynReceived;
        self.una = self.iss;
        self.syn_due = true;
        self.fast_open.set(FastOpening::PENDING);
        if !verified {
            self.fast_open.set(FastOpening::COOKIELESS);
        }
        text.truncate(self.window.limit() as usize);
        if !text.is_empty() {
            self.fast_open.set(FastOpening::TAKEN);
            self.take_text(agreed.irs + 1, text, cx);
            // The window of the SYN-ACK begins behind it.
            self.window.start(self.rcv_nxt, cx.now);
        }
        cx.net.counters.tcp_fast_opens_passive += 1;
    }

    /// Send the SYN-ACK of a connection that a SYN has opened, with a new cookie if there is one.
    pub(crate) fn send_fast_syn_ack(&mut self, cookie: Option<FastOpen>, cx: &mut Cx<'_>) {
        if cx.net.tx.has_room() {
            self.send_syn_with(cookie, cx);
        }
    }

    /// Whether a SYN has opened it and nothing more was heard since.
    #[inline]
    pub(crate) fn is_fast_open_pending(&self) -> bool {
        self.fast_open.has(FastOpening::PENDING)
    }

    /// Whether data may be sent before the handshake is complete.
    ///
    /// RFC 7413 section 4.2.2, for a SYN with a valid cookie (in our words): the server MAY send data before the handshake completes, within the initial window.
    ///
    /// Without a cookie the address may be anybody's, who must not be sent more than the SYN had.
    #[inline]
    pub(super) fn may_answer_early(&self) -> bool {
        self.state == State::SynReceived
            && self.fast_open.has(FastOpening::PENDING)
            && !self.fast_open.has(FastOpening::COOKIELESS)
    }

    /// The handshake is complete, `lost` times after its SYN-ACK had to be sent again. The data that was sent meanwhile has a timer again.
    #[cold]
    pub(super) fn finish_fast_open(&mut self, seg: &Segment, lost: u8, cx: &mut Cx<'_>) {
        if !self.fast_open.has(FastOpening::PENDING) {
            // SYNs with data have crossed: what the peer did not take of ours is sent again.
            return self.settle_syn_data(seg, cx);
        }
        self.fast_open.clear(FastOpening::PENDING);
        if !self.flight.is_empty() {
            self.start_rto(cx);
        } else if lost == 0 {
            // RFC 6298 section 3 (Karn): of a SYN-ACK that was sent again, by a timer or because its SYN was, there is no measurement.
            if self.retransmits > 0 {
                return;
            }
            self.rtt.sample(cx.now.nanos_since(self.last_send), 1);
        } else {
            // RFC 5681 section 3.1: if the SYN/ACK is lost, the initial window is one segment.
            self.cc.on_timeout(cx.now, 0);
        }
    }

    /// What a reset in SYN-RECEIVED means: of a connection that the application may have, and has read from, not that it was refused.
    pub(super) fn reset_in_handshake(&self) -> ConnError {
        if self.fast_open.has(FastOpening::PENDING) { ConnError::Reset } else { ConnError::Refused }
    }

    /// The SYN that has opened it comes again: the client did not get our answer.
    pub(super) fn is_repeated_syn(&self, seg: &Segment) -> bool {
        use crate::wire::Flags;
        self.fast_open.has(FastOpening::PENDING)
            && seg.header.seq == self.irs
            && seg.header.flags.has(Flags::SYN)
            && !seg.header.flags.any(Flags::ACK | Flags::RST | Flags::FIN)
    }

    /// Whether data in the SYN was taken: by the peer on connections that we open, by us on others.
    pub(crate) fn had_syn_data(&self) -> bool {
        self.fast_open.has(FastOpening::TAKEN)
    }
}

/// How many bytes a SYN to this server may carry: what a segment does, less all the room that options could take.
///
/// RFC 7413 section 4.1.3, in our words: without the MSS that the server has told before, the data in a SYN is limited to the default MSS of 536 bytes for IPv4 and
/// 1220 bytes for IPv6.
pub(crate) fn syn_room(tuple: &Tuple, most: Option<u16>, path: &Path, cx: &Cx<'_>) -> u32 {
    let mtu = cx.net.pmtu.get(tuple.remote, cx.now).map_or(path.mtu, |mtu| mtu.min(path.mtu));
    let fits = mtu.saturating_sub((path.ip_len() + TcpHeader::LEN) as u16);
    let told = cx.net.fast_open.mss(tuple).unwrap_or(default_mss(tuple));
    u32::from(fits.min(told).min(most.unwrap_or(u16::MAX))).saturating_sub(TcpOptions::MAX_LEN as u32)
}

/// The same for a connection that is not made yet: none when its SYN could carry nothing.
pub(crate) fn syn_room_of(tuple: &Tuple, options: &TcpOptionsConfig, cx: &mut Cx<'_>) -> Option<u32> {
    let hint = cx.net.fast_open.hint(tuple, cx.now);
    let may = match hint {
        Hint::Disabled => false,
        Hint::Cookie(_) => true,
        Hint::Ask { .. } => options.fast_open_cookieless,
    };
    let path = Path::new(tuple.local, tuple.remote, protocol::TCP, cx.net.caps.mtu);
    may.then(|| syn_room(tuple, options.max_segment, &path, cx))
}
