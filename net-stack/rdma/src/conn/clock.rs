//! What the clock ends: a peer that gives no sign of life, and a close that gets nowhere.
//!
//! ```text
//!   heard ──keep_alive──► asked: a probe is to go out ──keep_alive──► NoAnswer     any sign of life begins anew
//!   close ──close_timeout──► got on? ──yes──► once more                            no: CloseTimedOut
//!     └──────────close_limit──────────────────────────────────────────────────────► CloseTimedOut
//! ```
//!
//! The device's own retries are no clock to rely on: soft-RoCE takes the most that can be asked for (7) as "for ever", and the
//! connection manager's word that a peer has gone is a datagram.

use std::time::Duration;

use hemi_queue::time::Instant;

use super::{
    Connection,
    end::{PeerEnd, Phase},
};
use crate::{Config, Failure};

/// What only the peer, or its device, can move on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Units that wait for credits, and their bytes.
    units: usize,
    bytes: usize,
    /// Work requests that have completed, but for probes: those a peer answers that does nothing.
    ended: u32,
    /// Announcements that it has read.
    read: u64,
    end: PeerEnd,
}

/// A close that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    by: Instant,
    /// Its user waits no longer than until then.
    limit: Option<Instant>,
    seen: Settled,
}

impl Closing {
    pub(super) fn begin(now: Instant, config: &Config, seen: Settled) -> Self {
        let limit = config.close_limit.map(|most| now + most);
        Self { by: now + config.close_timeout, limit, seen }
    }

    fn deadline(&self) -> Instant {
        self.limit.map_or(self.by, |limit| limit.min(self.by))
    }

    /// Whether it is to be given up; else it waits for so long again.
    fn is_over(&mut self, now: Instant, patience: Duration, settled: Settled) -> bool {
        if self.limit.is_some_and(|limit| limit <= now) {
            return true;
        }
        if now < self.by {
            return false;
        }
        self.by = now + patience;
        std::mem::replace(&mut self.seen, settled) == settled
    }
}

impl Connection {
    pub(super) fn settled(&self) -> Settled {
        Settled {
            units: self.outgoing.len(),
            bytes: self.queued,
            ended: self.flight.ended().wrapping_sub(self.probes),
            read: self.read,
            end: self.peer_end,
        }
    }

    /// When [`on_time`](Self::on_time) wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        if self.phase != Phase::Open {
            return None;
        }
        let silent_since = self.asked.map_or(self.heard, |asked| asked.max(self.heard));
        let keep_alive = self.config.keep_alive.map(|after| silent_since + after);
        let close = self.closing.as_ref().map(Closing::deadline);
        keep_alive.into_iter().chain(close).min()
    }

    /// It is `now`.
    pub fn on_time(&mut self, now: Instant) {
        if self.phase != Phase::Open {
            return;
        }
        let (patience, settled) = (self.config.close_timeout, self.settled());
        if self.closing.as_mut().is_some_and(|closing| closing.is_over(now, patience, settled)) {
            // Both have said all: that nobody's device confirms the last of it loses nothing.
            return if self.is_farewell() { self.stop() } else { self.fail(Failure::CloseTimedOut) };
        }
        let Some(after) = self.config.keep_alive else { return };
        match self.asked.filter(|asked| self.heard < *asked) {
            Some(asked) if asked + after <= now => self.fail(Failure::NoAnswer),
            None if self.heard + after <= now => {
                self.asked = Some(now);
                self.probe_wanted = true;
                self.calm = false;
                self.work = true;
            }
            _ => {}
        }
    }

    /// Ask for a sign of life after so long without one, and take a peer for dead that gives none for so long again; `None` never.
    pub fn set_keep_alive(&mut self, after: Option<Duration>) {
        self.config.keep_alive = after;
    }

    /// How long a close that begins from now on may wait in all, however well it gets on; `None`: as long as it does.
    pub fn set_close_limit(&mut self, most: Option<Duration>) {
        self.config.close_limit = most;
    }
}
