//! Challenge ACKs, and how many of them (RFC 5961).

use std::time::Duration;

use hemi_queue::time::Instant;

use super::{Connection, Cx, Segment};
use crate::wire::Flags;

/// RFC 5961 section 7: "an implementation SHOULD include an ACK throttling mechanism [...] no more than 10 challenge ACKs in a 5-second
/// window", for each connection; all connections together have [`TcpConfig::challenge_acks_per_second`](crate::TcpConfig).
const MOST: u64 = 10;
const WINDOW: Duration = Duration::from_secs(5);

/// How many challenge ACKs one connection has sent lately: when the window began, in nanoseconds, and in its last eight bits how many.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Challenges(u64);

impl Challenges {
    fn take(&mut self, now: Instant) -> bool {
        if now - Instant::from_nanos(self.0) >= WINDOW {
            self.0 = now.as_nanos() & !0xff;
        }
        let may = self.0 & 0xff < MOST;
        self.0 += u64::from(may);
        may
    }
}

impl Connection {
    /// Owe a challenge ACK, within the limits.
    pub(super) fn challenge(&mut self, cx: &mut Cx<'_>) {
        if self.may_challenge(cx) {
            cx.net.counters.tcp_challenge_acks += 1;
            self.acks.at_once();
        }
    }

    /// Owe an ACK to an unacceptable segment. One without text could be half of a loop between two confused ends, so it is under
    /// the same limits; and a SYN's is a challenge ACK, whatever its sequence number (RFC 5961 section 4.2).
    pub(super) fn acknowledge_unacceptable(&mut self, seg: &Segment, cx: &mut Cx<'_>) {
        let flags = seg.header.flags;
        let has_text = !flags.has(Flags::SYN) && (!seg.payload.is_empty() || flags.has(Flags::FIN));
        if has_text || self.may_challenge(cx) {
            self.acks.at_once();
        }
    }

    fn may_challenge(&mut self, cx: &mut Cx<'_>) -> bool {
        let may = self.challenges.take(cx.now) && cx.challenge.take(cx.now);
        cx.net.counters.drop_tx_rate_limited += u64::from(!may);
        may
    }
}
