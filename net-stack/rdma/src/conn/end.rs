//! How a connection ends: half-close, close, abort, failure, and the peer's share in each.
//!
//! ```text
//!   Connecting ──established──► Open ──both closed──► Stopping ──stopped()──► Stopped ──completions──► quiet
//!        └──────────────────────┴──── failed ───────────┘
//!
//!   finish():  what was accepted, then Finish           the peer's pop ends; it goes on sending
//!   close():   what was accepted, then Close            the peer's pop ends; its own units are dropped; it answers Close
//! ```
//!
//! A Close goes out once everything before it does, and is answered once everything that was announced before it has been read; so
//! when both have gone and come, nothing is under way, and either end may disconnect. What an ending queue pair reports after
//! that is no failure.

use hemi_queue::time::Instant;

use super::{Changes, Connection, clock::Closing};
use crate::Failure;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Connecting,
    Open,
    /// It is over; the driver is to disconnect.
    Stopping,
    /// The queue pair is in its error state. What the device still has comes back by completions.
    Stopped,
}

/// What this end has said of what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sending {
    Open,
    /// Finish is to be sent after everything accepted.
    Finishing,
    Finished,
    /// Close is to be sent after everything accepted.
    Closing,
    /// Close is sent.
    Closed,
    /// Close has arrived.
    ClosedForSure,
}

/// What the peer has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PeerEnd {
    Open,
    Finished,
    Closed,
}

impl Connection {
    /// Half-close: after everything accepted, tell the peer that no more comes. Popping goes on.
    pub fn finish(&mut self) {
        if self.sending == Sending::Open {
            self.sending = Sending::Finishing;
            self.calm = false;
            self.work = true;
        }
    }

    /// Close both directions. What was accepted still goes out, for as long as [`Config::close_timeout`](crate::Config::close_timeout) and
    /// [`Config::close_limit`](crate::Config::close_limit) allow from `now` on; what arrives is dropped.
    pub fn close(&mut self, now: Instant) {
        if self.phase == Phase::Connecting {
            return self.abort();
        }
        if self.closing.is_none() {
            self.closing = Some(Closing::begin(now, &self.config, self.settled()));
            self.calm = false;
            self.discard_incoming();
            self.sending = self.sending.max(Sending::Closing);
            self.work = true;
            self.changes.note(Changes::ALL);
        }
    }

    /// Whether this end has been closed by its user.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// End the connection at once: what was not sent is dropped, and the peer sees a reset.
    pub fn abort(&mut self) {
        self.discard_incoming();
        self.fail(Failure::Aborted);
    }

    /// The connection cannot go on. The first failure is the one that is told.
    #[cold]
    pub fn fail(&mut self, failure: Failure) {
        if self.phase < Phase::Stopping {
            self.failure = Some(failure);
            self.stop();
        }
    }

    /// Nothing more is to be sent.
    pub(super) fn stop(&mut self) {
        self.phase = Phase::Stopping;
        self.calm = false;
        self.outgoing.clear();
        self.queued = 0;
        self.fail_one_sided();
        self.changes.note(Changes::ALL);
    }

    /// Whether both ends have closed: what the queue pair reports now is its end.
    pub(super) fn is_farewell(&self) -> bool {
        self.sending >= Sending::Closed && self.peer_end == PeerEnd::Closed
    }

    /// Something of the close has been done; maybe that was all.
    pub(super) fn check_farewell(&mut self) {
        if self.phase == Phase::Open && self.is_farewell() && self.sending == Sending::ClosedForSure {
            self.stop();
        }
    }

    /// The connection manager says that the peer has disconnected, or the device that the queue pair is in its error state. To
    /// be told after everything that had arrived.
    pub fn disconnected(&mut self) {
        if self.phase == Phase::Open && self.is_farewell() {
            self.stop();
        }
        self.fail(Failure::Disconnected);
    }

    /// Whether the driver must disconnect, which moves the queue pair to its error state, and then say [`stopped`](Self::stopped).
    #[inline]
    pub fn wants_disconnect(&self) -> bool {
        self.phase == Phase::Stopping
    }

    /// The queue pair is in its error state (or was never connected): the peer can reach no memory through it any more. If work
    /// requests are outstanding there is one more to post, whose completion tells that all have ended.
    pub fn stopped(&mut self) {
        self.disconnected();
        self.phase = Phase::Stopped;
        self.announced.clear();
        self.announced_bytes = 0;
        self.credits.end();
        self.incoming.end();
        self.end_reading();
        self.barrier = true;
        self.work = !self.flight.is_empty();
        self.changes.note(Changes::ALL);
    }

    /// The queue pair is destroyed: no completion comes any more, and the device has no memory of it.
    pub fn destroyed(&mut self) {
        self.stopped();
        self.flight.complete_all();
        self.flight.set_posted();
        while self.flight.next_ended().is_some() {}
        self.end_reading();
        self.work = false;
    }

    /// Whether the connection is over and the device has none of its memory.
    pub fn is_quiet(&self) -> bool {
        self.phase == Phase::Stopped && self.flight.is_empty()
    }

    /// Why the connection failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Why nothing that is pushed can arrive any more: the failure, or that the peer has closed.
    pub fn send_failure(&self) -> Option<Failure> {
        match &self.failure {
            Some(failure) => Some(failure.clone()),
            None if self.is_closing() => Some(Failure::Aborted),
            None if self.peer_end == PeerEnd::Closed || self.phase >= Phase::Stopping => {
                Some(Failure::ClosedByPeer)
            }
            None => None,
        }
    }
}
