//! What is sent next: the only place that makes work requests.
//!
//! In this order: what the peer was told nothing of and waits for (announcements that were read), RDMA READs, then the
//! application's units and one-sided operations in the order in which they came, then the end, then credits alone, then
//! a sign of life. A unit goes in one of three ways:
//!
//! * whole, in one SEND, inline where it is small: up to the peer's receive buffer, and below what it would rather read;
//! * announced, and read by the peer: registered memory, from [`Hello::rendezvous_from`](crate::Hello::rendezvous_from) bytes on;
//! * in pieces of a receive buffer each: the rest.

use hemi_queue::{AllocError, Error, Sga};

use super::{
    Changes, Connection,
    end::{PeerEnd, Phase, Sending},
    flight::{BULK, Hold, Slot},
    gather::{element, gather},
};
use crate::{Data, Failure, Keys, Memory, Operation, Remote, Verb, Work, WorkId, control, header::Kind};

/// What was accepted and not sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    Unit(Sga),
    /// The next one-sided operation.
    Operation,
}

/// Why a unit was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushRefusal {
    /// It is larger than one end allows.
    #[error("a unit of {got} bytes is over the limit of {limit}")]
    UnitTooLarge {
        /// Its bytes.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// Twice the send limit is waiting already.
    #[error("too much is waiting to be sent")]
    Busy,
    /// This end has finished or closed.
    #[error("this end has finished")]
    Closed,
    /// The connection has failed, or the peer has closed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl PushRefusal {
    /// As the error of a push to `peer`.
    pub fn error(&self, peer: impl std::fmt::Display) -> Error {
        match self {
            Self::UnitTooLarge { got, limit } => Error::UnitTooLarge { got: *got, limit: *limit },
            Self::Busy => Error::Busy,
            Self::Closed => Error::Closed,
            Self::Failed(failure) => failure.error("push", peer),
        }
    }
}

/// A work request that was decided on and entered into the flight.
pub(super) struct Planned {
    sequence: u32,
    verb: Verb,
    data: Gathered,
    signalled: bool,
    inline: bool,
}

/// How much of the connection's scratch space is the work request's.
#[derive(Clone, Copy)]
pub(super) enum Gathered {
    Control(usize),
    Sges(usize),
}

impl Connection {
    /// Accept one unit, to be sent in order.
    ///
    /// # Errors
    /// Why not, and the unit.
    #[inline]
    pub fn push(&mut self, unit: Sga) -> Result<(), (PushRefusal, Sga)> {
        let len = unit.len();
        // Below the limit there is room: it is refused at twice as much.
        if !(self.calm && self.is_ready() && len <= self.whole)
            && let Some(refusal) = self.refusal(len)
        {
            return Err((refusal, unit));
        }
        self.queued += len;
        self.outgoing.push_back(Outgoing::Unit(unit));
        self.stats.pushed += 1;
        self.work = true;
        Ok(())
    }

    #[cold]
    fn refusal(&self, len: usize) -> Option<PushRefusal> {
        if let Some(failure) = self.send_failure() {
            return Some(if self.is_closing() { PushRefusal::Closed } else { failure.into() });
        }
        let limit = self.largest_unit();
        if self.sending != Sending::Open {
            Some(PushRefusal::Closed)
        } else if len as u64 > limit {
            Some(PushRefusal::UnitTooLarge { got: len as u64, limit })
        } else if self.queued + self.announced_bytes >= 2 * self.config.send_limit {
            Some(PushRefusal::Busy)
        } else {
            None
        }
    }

    /// Whether less is accepted and not with the device, or announced and not read, than
    /// [`Config::send_limit`](crate::Config::send_limit).
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.queued + self.announced_bytes < self.config.send_limit
    }

    /// Whether everything accepted is posted.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.outgoing.is_empty() && self.flight.is_posted()
    }

    /// Whether everything accepted is in the peer's memory. Asking makes the device tell, if it would not by itself.
    pub fn is_acked(&mut self) -> bool {
        if self.outgoing.is_empty() && self.announced.is_empty() && self.flight.is_empty() {
            return true;
        }
        if self.outgoing.is_empty() && self.flight.has_unsignalled() {
            self.barrier = true;
            self.calm = false;
            self.work = true;
        }
        false
    }

    /// Whether there may be something for [`next_work`](Self::next_work).
    #[inline]
    pub fn has_work(&self) -> bool {
        self.work
    }

    /// Whether `next_work` could not go on because there was no registered memory: drive it again when some was let go.
    #[inline]
    pub fn is_starved(&self) -> bool {
        self.starved
    }

    /// The next work request to post; `None` when there is none, or none can be now.
    #[inline]
    pub fn next_work<'c>(&'c mut self, memory: &impl Memory) -> Option<Work<'c>> {
        if self.calm {
            debug_assert!(self.is_calm());
            match self.outgoing.front() {
                Some(Outgoing::Unit(unit)) => {
                    if unit.parts() == 1
                        && let Some(only) = unit.first()
                        && only.len() <= self.small
                        && self.credits.allow_unit()
                        && !self.flight.is_full()
                    {
                        self.sges[0] = element(only.as_ptr(), only.len(), Keys::default());
                        return self.send_small();
                    }
                }
                None if !self.credits.owes() => {
                    self.work = false;
                    return None;
                }
                _ => (),
            }
        }
        self.next_work_slowly(memory)
    }

    /// A unit of one small buffer, inline, when nothing else is to be done.
    #[inline]
    fn send_small(&mut self) -> Option<Work<'_>> {
        let Some(Outgoing::Unit(unit)) = self.outgoing.pop_front() else { return None };
        self.queued -= self.sges[0].length as usize;
        self.stats.sent += 1;
        let imm = self.credits.send(Kind::Data, false);
        let signalled = self.flight.wants_signal(false, self.outgoing.is_empty());
        let sequence = self.flight.push_inline(unit, signalled);
        Some(Work {
            id: WorkId::new(self.tag, sequence),
            verb: Verb::Send { imm },
            data: Data::Gather(&self.sges[..1]),
            signalled,
            inline: true,
        })
    }

    #[inline(never)]
    fn next_work_slowly<'c>(&'c mut self, memory: &impl Memory) -> Option<Work<'c>> {
        self.calm = false;
        let Some(planned) = self.plan(memory) else {
            self.work = false;
            self.calm = self.is_calm();
            return None;
        };
        let data = match planned.data {
            Gathered::Sges(n) => Data::Gather(&self.sges[..n]),
            Gathered::Control(n) => Data::Control(&self.control[..n]),
        };
        Some(Work {
            id: WorkId::new(self.tag, planned.sequence),
            verb: planned.verb,
            data,
            signalled: planned.signalled,
            inline: planned.inline,
        })
    }

    /// Whether units of one message go to and fro and nothing else is under way or owed. Whoever changes that clears
    /// [`calm`](Self), and here it is set again: most of the time one flag answers for all of these.
    fn is_calm(&self) -> bool {
        self.phase == Phase::Open
            && self.sending == Sending::Open
            && self.peer_end == PeerEnd::Open
            && !self.is_closing()
            && self.done_owed == 0
            && self.reading.is_empty()
            && self.incoming.is_calm()
            && !(self.begun || self.barrier || self.probe_wanted || self.starved || self.out_of_credit)
    }

    /// What `next_work` gave is posted.
    #[inline]
    pub fn posted(&mut self) {
        self.flight.set_posted();
        // Ready, or flushed: which it may be without being ready, while what was announced is not read.
        if self.is_ready() || self.outgoing.is_empty() {
            self.changes.note(Changes::WRITABLE);
        }
    }

    #[inline]
    fn plan(&mut self, memory: &impl Memory) -> Option<Planned> {
        if self.phase != Phase::Open {
            return self.plan_drain();
        }
        self.starved = false;
        if (self.done_owed > 0 || self.reading.is_active())
            && let Some(planned) = self.plan_reading(memory)
        {
            return Some(planned);
        }
        if self.flight.is_full() {
            return None;
        }
        match self.outgoing.front() {
            Some(Outgoing::Unit(unit)) if self.credits.allow_unit() => {
                if !self.begun
                    && unit.len() <= self.whole
                    && let Some((count, inline)) = gather(unit, &self.config, &mut self.sges, memory)
                {
                    return self.send_whole(count, inline);
                }
                self.plan_large(memory).or_else(|| self.plan_rest())
            }
            Some(Outgoing::Operation) => self.plan_one_sided(memory).or_else(|| self.plan_rest()),
            _ => self.plan_rest(),
        }
    }

    #[inline]
    fn send_whole(&mut self, count: usize, inline: bool) -> Option<Planned> {
        let Some(Outgoing::Unit(unit)) = self.outgoing.pop_front() else { return None };
        self.queued -= unit.len();
        Some(self.send_data(unit, false, count, inline))
    }

    /// A SEND of `data`, which is in the first `count` elements of the gather list.
    #[inline]
    pub(super) fn send_data(&mut self, data: Sga, more: bool, count: usize, inline: bool) -> Planned {
        let imm = self.credits.send(Kind::Data, more);
        self.stats.sent += 1;
        self.out_of_credit = false;
        let mut signalled = self.flight.wants_signal(!inline, self.outgoing.is_empty());
        let sequence = if inline {
            self.flight.push_inline(data, signalled)
        } else {
            signalled |= data.len() >= BULK;
            let slot = Slot { operation: Operation::Send, hold: Hold::Unit(data) };
            self.flight.push(slot, signalled)
        };
        Planned { sequence, verb: Verb::Send { imm }, data: Gathered::Sges(count), signalled, inline }
    }

    /// A SEND of the first `len` bytes of the scratch space.
    pub(super) fn send_control(&mut self, kind: Kind, more: bool, len: usize, hold: Hold) -> Planned {
        let imm = self.credits.send(kind, more);
        self.stats.sent += 1;
        let last = self.outgoing.is_empty();
        let signalled = self.flight.wants_signal(false, last) || matches!(hold, Hold::End);
        let sequence = self.flight.push(Slot { operation: Operation::Send, hold }, signalled);
        Planned { sequence, verb: Verb::Send { imm }, data: Gathered::Control(len), signalled, inline: true }
    }

    /// Any other verb, of the first `count` elements of the gather list.
    pub(super) fn one_sided_work(
        &mut self,
        operation: Operation,
        verb: Verb,
        hold: Hold,
        count: usize,
        signalled: bool,
        inline: bool,
    ) -> Planned {
        let sequence = self.flight.push(Slot { operation, hold }, signalled);
        Planned { sequence, verb, data: Gathered::Sges(count), signalled, inline }
    }

    fn plan_reading(&mut self, memory: &impl Memory) -> Option<Planned> {
        if self.flight.is_full() {
            return None;
        }
        if self.done_owed > 0 && self.credits.allow_control() {
            let payload = control::encode_done(std::mem::take(&mut self.done_owed));
            self.control[..payload.len()].copy_from_slice(&payload);
            return Some(self.send_control(Kind::Done, false, payload.len(), Hold::Nothing));
        }
        self.plan_read(memory)
    }

    /// What is sent when no unit is.
    fn plan_rest(&mut self) -> Option<Planned> {
        if self.flight.is_full() {
            return None;
        }
        if self.outgoing.is_empty()
            && matches!(self.sending, Sending::Finishing | Sending::Closing)
            && let Some(planned) = self.plan_end()
        {
            return Some(planned);
        }
        if !self.outgoing.is_empty() && !self.out_of_credit && !self.credits.allow_unit() {
            self.out_of_credit = true;
            self.stats.out_of_credit += 1;
        }
        if self.credits.allow_grant() {
            self.stats.grants += 1;
            return Some(self.send_control(Kind::Grant, false, 0, Hold::Nothing));
        }
        let barrier = std::mem::take(&mut self.barrier) && self.flight.has_unsignalled();
        if std::mem::take(&mut self.probe_wanted) || barrier {
            return Some(self.probe());
        }
        None
    }

    fn plan_end(&mut self) -> Option<Planned> {
        let (kind, next, hold) = match self.sending {
            Sending::Finishing => (Kind::Finish, Sending::Finished, Hold::Nothing),
            _ => (Kind::Close, Sending::Closed, Hold::End),
        };
        let all_read = self.reading.is_empty() && self.done_owed == 0;
        if kind == Kind::Close && !all_read || !self.credits.allow_control() {
            return None;
        }
        self.sending = next;
        Some(self.send_control(kind, false, 0, hold))
    }

    fn probe(&mut self) -> Planned {
        let verb = Verb::Write(Remote::default());
        self.one_sided_work(Operation::Probe, verb, Hold::Nothing, 0, true, false)
    }

    /// After the end: one request whose completion tells that all have ended, as those that succeeded unsignalled will not.
    #[cold]
    fn plan_drain(&mut self) -> Option<Planned> {
        let drain = self.phase == Phase::Stopped && self.flight.has_unsignalled() && self.barrier;
        self.barrier &= self.phase != Phase::Stopped;
        drain.then(|| self.probe())
    }

    #[cold]
    pub(super) fn no_memory(&mut self, error: AllocError) -> Option<Planned> {
        match error {
            AllocError::Drained { .. } | AllocError::NoMemory { .. } => self.starved = true,
            _ => self.fail(Failure::Device { what: "no registered buffer of the wanted size", errno: 0 }),
        }
        None
    }

    pub(super) fn starve(&mut self, error: AllocError) {
        self.no_memory(error);
    }

    /// The peer takes no more units: what was not sent is dropped.
    pub(super) fn peer_takes_no_more(&mut self) {
        self.outgoing.retain(|o| matches!(o, Outgoing::Operation));
        self.queued = 0;
        self.begun = false;
        self.peer_end = PeerEnd::Closed;
        self.calm = false;
        self.sending = self.sending.max(Sending::Closing);
        self.work = true;
        self.changes.note(Changes::ALL);
        self.check_farewell();
    }
}
