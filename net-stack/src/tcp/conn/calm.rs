//! Calm: what the fast way of a connection takes for granted, looked at once instead of with every segment.
//!
//! A connection is calm when it is established and nothing is out of the ordinary: nothing lost, held, marked, closing or probed for.
//! `fast.rs` may then leave out every question of which the answer is here. Whoever takes the ordinary way may change any of these
//! answers, and says so by [`disturb`](Connection::disturb); the next fast segment looks again. A debug build looks every time.

use hemi_queue::time::Instant;

use super::{Connection, Fin, State};
use crate::tcp::recovery::Phase;

impl Connection {
    /// The ordinary way was taken: look again before the fast one is.
    #[inline(always)]
    pub(crate) fn disturb(&mut self) {
        self.calm = false;
    }

    /// Whether nothing was out of the ordinary when it was last looked, and nothing has happened since.
    #[inline(always)]
    pub(crate) fn is_known_calm(&self) -> bool {
        self.calm
    }

    /// Whether nothing is out of the ordinary.
    #[inline(always)]
    pub(super) fn is_calm(&mut self) -> bool {
        debug_assert!(!self.calm || self.looks_calm(), "somebody forgot to say `disturb`: {self:?}");
        self.calm || self.look_again()
    }

    #[cold]
    #[inline(never)]
    fn look_again(&mut self) -> bool {
        self.calm = self.looks_calm();
        self.calm
    }

    fn looks_calm(&self) -> bool {
        const NEVER: Instant = Instant::FAR_FUTURE;
        let deadlines = &self.deadlines;
        self.state == State::Established
            && self.error.is_none()
            // Both directions are open, and somebody reads.
            && self.fin == Fin::No
            && self.fin_at.is_none()
            && !self.closed
            // Nothing is believed lost, and nobody waits to hear that it is (RFC 8985, RFC 6675, RFC 6582).
            && self.recovery.phase == Phase::Open
            && self.recovery.duplicate_acks == 0
            && self.probe.is_none()
            && deadlines.reorder == NEVER
            // The peer answers, and there is a measurement that says when it should have.
            && self.retries == 0
            && self.rtt.is_steady()
            // What arrives continues what is there, and there is nothing to report but its end (RFC 2018).
            && !self.assembler.has_holes()
            && self.sacks.is_empty()
            // No later segment has set the window: RFC 9293 section 3.10.7.4, "SND.WL1 < SEG.SEQ", will hold of the next one.
            && self.wl1.at_or_before(self.rcv_nxt)
            && self.wnd != 0
            && deadlines.persist == NEVER
            // No congestion to echo, nothing to say of it (RFC 3168 section 6.1).
            && !self.ecn.echo
            && !self.ecn.say_cwr
            // Nothing else is due, and no limit of the user's moves the timer.
            && !self.syn_due
            && !self.keepalive_due
            && deadlines.pace == NEVER
            && self.options.user_timeout.get().is_none()
            // A frame from the wire with our own address as its source is forged (see `ip/input.rs`), even if we talk to ourselves.
            && self.path.leads_away()
            // Nobody looks for a larger MTU (RFC 8899).
            && !self.path.searching
            && self.flight.is_plain()
    }
}
