//! [`RecvWindow`]: what we let the peer send (RFC 9293 section 3.8.6, RFC 7323 section 2), and how it grows.

use hemi_queue::time::Instant;

use super::{TcpConfig, TcpOptionsConfig};
use crate::wire::Seq;

/// The receive window: a right edge that never moves back, and a limit that follows the application's pace.
#[derive(Clone, Debug)]
pub(crate) struct RecvWindow {
    /// The right edge last told to the peer.
    edge: Seq,
    /// How many bytes the connection may hold now, and ever.
    limit: u32,
    max: u32,
    /// Our shift.
    pub(crate) shift: u8,
    /// Auto-tuning: bytes taken by the application since `round_began`.
    taken: u32,
    round_began: Instant,
}

impl RecvWindow {
    /// A window of `limit` bytes that may grow to `max`.
    pub(crate) fn new(limit: usize, max: usize) -> Self {
        let max = max.clamp(2048, 1 << 30) as u32;
        let limit = (limit as u32).clamp(2048, max);
        Self { edge: Seq(0), limit, max, shift: shift_for(max), taken: 0, round_began: Instant::ZERO }
    }

    /// The window that a connection with these options starts with.
    pub(crate) fn initial(config: &TcpConfig, options: &TcpOptionsConfig) -> Self {
        let max = options.recv_buffer.unwrap_or(config.recv_buffer_max);
        Self::new(config.recv_buffer.min(max), max)
    }

    /// What a SYN tells: RFC 7323 section 2.2: The window field in a segment where the SYN bit is set MUST NOT be scaled.
    pub(crate) fn in_syn(&self) -> u16 {
        self.limit.min(u32::from(u16::MAX)) as u16
    }

    /// The peer did not offer scaling: RFC 7323 section 2.2, neither end scales.
    pub(crate) fn no_scaling(&mut self) {
        self.shift = 0;
        // What may be held beyond what the field can tell keeps the window full while a little waits for the application.
        self.max = self.max.min(self.limit.max(u32::from(u16::MAX)));
    }

    /// Change what the window may grow to. The scale was agreed on and stays; what was promised stays too.
    pub(crate) fn set_max(&mut self, bytes: usize) {
        let most = u32::from(u16::MAX) << self.shift;
        self.max = (bytes.min(1 << 30) as u32).clamp(2048, most.max(2048));
        self.limit = self.limit.min(self.max);
    }

    /// The stream begins: the window that the SYN carried starts at `next`.
    pub(crate) fn start(&mut self, next: Seq, now: Instant) {
        self.edge = next + self.limit.min(u32::from(u16::MAX));
        self.round_began = now;
    }

    /// The right edge last told.
    #[inline]
    pub(crate) fn edge(&self) -> Seq {
        self.edge
    }

    /// Whether `len` bytes from `next` on, which is not behind the edge, fit.
    #[inline(always)]
    pub(crate) fn holds(&self, next: Seq, len: u32) -> bool {
        len as i32 <= self.edge.since(next) as i32
    }

    /// The peer's FIN took a sequence number, and no room: the window is what it was.
    pub(crate) fn fin_taken(&mut self) {
        self.edge += 1;
    }

    /// How many bytes may be held.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// The window to put in a segment: at `next`, with `held` bytes not yet taken by the application. It moves the edge.
    ///
    /// > RFC 9293 section 3.8.6.2.2 (MUST-39): The receiver's SWS avoidance algorithm is to avoid advancing the right window
    /// > edge RCV.NXT+RCV.WND in small increments [...]: keep RCV.NXT+RCV.WND fixed until the reduction satisfies
    /// > RCV.BUFF - RCV.USER - RCV.WND >= min (Fr * RCV.BUFF, Eff.snd.MSS), Fr = 1/2.
    #[inline]
    pub(crate) fn advertise(&mut self, next: Seq, held: u32, mss: u32) -> u16 {
        let edge = self.possible_edge(next, held);
        if edge.saturating_since(self.edge) >= (self.limit / 2).min(mss) {
            self.edge = edge;
        }
        // An edge that is before `next` wraps to more than any field holds.
        let field = self.edge.since(next) >> self.shift;
        u16::try_from(field).unwrap_or_else(|_| self.advertise_most(next))
    }

    /// The edge is farther away than can be told, or `next` has passed it.
    ///
    /// RFC 9293 section 3.8.6 (SHLD-14): a receiver SHOULD NOT shrink the window: the edge never moves left, and what the field can't
    /// hold must not make it (RFC 7323 section 2.4), so the edge is what the peer will compute, to one unit of the scale.
    #[cold]
    fn advertise_most(&mut self, next: Seq) -> u16 {
        let window = self.edge.saturating_since(next);
        let field = (window >> self.shift).min(u32::from(u16::MAX));
        self.edge = next + (field << self.shift);
        field as u16
    }

    /// Whether the peer has half a window left or less: only then can [`wants_update`](Self::wants_update) be.
    #[inline(always)]
    pub(crate) fn is_half_used(&self, next: Seq) -> bool {
        self.edge.saturating_since(next) <= self.limit / 2
    }

    /// Whether the application has taken so much that the peer should be told at once: it has less than half a window left, and
    /// the edge would move by a worthwhile amount.
    #[inline]
    pub(crate) fn wants_update(&self, next: Seq, held: u32, mss: u32) -> bool {
        if !self.is_half_used(next) {
            return false;
        }
        let left = self.edge.saturating_since(next);
        let gain = self.possible_edge(next, held).saturating_since(self.edge);
        gain >= (self.limit / 2).min(if left < mss { mss } else { self.limit / 4 }).max(1)
    }

    /// The application took `n` bytes. Once per round trip: if it took most of a window, the window is what limits the peer.
    ///
    /// Dynamic right-sizing (Fisk and Feng, 2001): the receiver sees the sender's window as the bytes of one round trip; twice that
    /// lets it double per round trip as slow start does.
    #[inline]
    pub(crate) fn taken(&mut self, n: u32, now: Instant, rtt_nanos: Option<u64>) {
        self.taken = self.taken.saturating_add(n);
        let Some(rtt) = rtt_nanos else { return };
        if now.nanos_since(self.round_began) < rtt {
            return;
        }
        let wanted = self.taken.saturating_mul(2).saturating_add(self.limit / 4);
        if self.taken >= self.limit / 2 {
            self.limit = self.limit.max(wanted.min(self.max));
        }
        self.taken = 0;
        self.round_began = now;
    }

    #[inline]
    fn possible_edge(&self, next: Seq, held: u32) -> Seq {
        next + self.limit.saturating_sub(held)
    }
}

/// RFC 7323 section 2.3: the shift with which `max` fits in 16 bits; at most 14.
pub(crate) fn shift_for(max: u32) -> u8 {
    let bits = 32 - max.leading_zeros();
    bits.saturating_sub(16).min(14) as u8
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn shifts() {
        assert_eq!(
            (shift_for(65_535), shift_for(65_536), shift_for(4 << 20), shift_for(1 << 30)),
            (0, 1, 7, 14)
        );
    }

    #[test]
    fn the_edge_moves_in_worthwhile_steps_and_never_back() {
        let mut w = RecvWindow::new(10_000, 10_000);
        w.start(Seq(0), Instant::ZERO);
        assert_eq!(w.advertise(Seq(0), 0, 1000), 10_000);
        // 1000 arrived and are held: the edge stays.
        assert_eq!(w.advertise(Seq(1000), 1000, 1000), 9000);
        // 500 of them were taken: half an MSS is not worthwhile.
        assert_eq!(w.advertise(Seq(1000), 500, 1000), 9000);
        assert_eq!(w.advertise(Seq(1000), 0, 1000), 10_000);
        assert_eq!(w.edge(), Seq(11_000));
    }

    #[test]
    fn updates_when_the_peer_runs_dry() {
        let mut w = RecvWindow::new(10_000, 10_000);
        w.start(Seq(0), Instant::ZERO);
        w.advertise(Seq(0), 0, 1000);
        assert!(!w.wants_update(Seq(4000), 0, 1000), "the peer has 6000 left");
        assert!(w.wants_update(Seq(8000), 0, 1000));
        assert!(!w.wants_update(Seq(10_000), 9_500, 1000));
        assert!(w.wants_update(Seq(10_000), 9_000, 1000));
    }

    #[test]
    fn it_grows_with_the_application_and_stops_at_the_limit() {
        let mut w = RecvWindow::new(64 << 10, 1 << 20);
        let rtt = Duration::from_millis(10);
        let nanos = Some(rtt.as_nanos() as u64);
        for round in 1..20 {
            let now = Instant::ZERO + rtt * round;
            w.taken(w.limit(), now, nanos);
        }
        assert_eq!(w.limit(), 1 << 20);
        let mut idle = RecvWindow::new(64 << 10, 1 << 20);
        (1..20).for_each(|round| idle.taken(100, Instant::ZERO + rtt * round, nanos));
        assert_eq!(idle.limit(), 64 << 10);
    }

    #[test]
    fn scaled_windows_are_nearly_what_the_peer_computes() {
        let mut w = RecvWindow::new(1_000_001, 1_000_001);
        w.start(Seq(0), Instant::ZERO);
        let field = w.advertise(Seq(0), 0, 1460);
        let computed = Seq(u32::from(field) << w.shift);
        assert!(w.edge().since(computed) < 1 << w.shift, "rounding costs less than one unit of the scale");
    }
}
