//! What is sent next: the only place that makes work requests.
//!
//! In this order: what the peer was told nothing of and waits for (announcements that were read), RDMA READs, then the
//! application's units and one-sided operations in the order in which they came, then the end, then credits alone, then
//! a sign of life. A unit goes in one of three ways:
//!
//! * whole, in one SEND, inline where it is small: up to the peer's receive buffer, and below what it would rather read;
//! * announced, and read by the peer: registered memory, from [`Hello::rendezvous_from`](crate::Hello::rendezvous_from) bytes on;
//! * in pieces of a receive buffer each: the rest.

use hemi_queue::{AllocError, Buf, Error, Sga, time::Instant};

use super::{
    Changes, Connection,
    end::{PeerEnd, Phase, Sending},
    flight::{Hold, Slot},
};
use crate::{
    Data, Failure, Keys, Memory, Operation, Remote, Sge, Status, Verb, Work, WorkId,
    control::{self, Segment},
    header::Kind,
};

/// What was accepted and not sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    Unit(Sga),
    /// The next one-sided operation.
    Operation,
}

/// Memory that the peer was told to read.
#[derive(Debug)]
pub(super) struct Announced {
    /// Held until the peer has it (free-protection).
    _data: Sga,
    bytes: usize,
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
        let room = self.queued + self.announced_bytes < 2 * self.config.send_limit;
        let open = self.sending == Sending::Open && self.phase == Phase::Open;
        if !(room && open && len <= self.whole)
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
        let Some(planned) = self.plan(memory) else {
            self.work = false;
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

    /// What `next_work` gave is posted.
    #[inline]
    pub fn posted(&mut self) {
        self.flight.set_posted();
        if self.is_ready() {
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
    fn send_data(&mut self, data: Sga, more: bool, count: usize, inline: bool) -> Planned {
        let imm = self.credits.send(Kind::Data, more);
        self.stats.sent += 1;
        self.out_of_credit = false;
        // What is held should come back soon: the last for now says so. (Inline, nothing is held.)
        let signalled = self.flight.signal_due() || !inline && self.outgoing.is_empty();
        let slot = Slot { operation: Operation::Send, hold: Hold::Unit(data), inline, signalled };
        let sequence = self.flight.push(slot);
        Planned { sequence, verb: Verb::Send { imm }, data: Gathered::Sges(count), signalled, inline }
    }

    /// A SEND of the first `len` bytes of the scratch space.
    pub(super) fn send_control(&mut self, kind: Kind, more: bool, len: usize, hold: Hold) -> Planned {
        let imm = self.credits.send(kind, more);
        self.stats.sent += 1;
        let signalled = self.flight.signal_due() || matches!(hold, Hold::End);
        let slot = Slot { operation: Operation::Send, hold, inline: true, signalled };
        let sequence = self.flight.push(slot);
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
        let sequence = self.flight.push(Slot { operation, hold, inline, signalled });
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

    /// The unit at the front does not go whole: it is announced, or goes in pieces.
    #[cold]
    fn plan_large(&mut self, memory: &impl Memory) -> Option<Planned> {
        let peer = self.peer?;
        let Some(Outgoing::Unit(unit)) = self.outgoing.front() else { return None };
        let announce = if self.begun {
            self.begun_by_announcement // what one piece of it was, all are
        } else {
            unit.len() as u64 >= peer.rendezvous_from.into() && unit.iter().all(|b| memory.keys(b).is_some())
        };
        if announce { self.plan_announcement(memory) } else { self.plan_piece(memory) }
    }

    /// The next piece of the unit at the front.
    fn plan_piece(&mut self, memory: &impl Memory) -> Option<Planned> {
        let most = self.peer?.buffer as usize;
        let least = least_piece(self.peer?.buffer);
        let Some(Outgoing::Unit(unit)) = self.outgoing.front_mut() else { return None };
        let whole = unit.len();
        let piece = match take_piece(unit, most, least, &self.config, &mut self.sges, memory) {
            Ok(piece) => piece,
            Err(error) => return self.no_memory(error),
        };
        let more = !unit.is_empty();
        self.stats.copied_bytes += piece.copied as u64;
        self.queued -= piece.data.len();
        if more && piece.data.len() < least {
            debug_assert!(piece.data.len() < whole);
            self.fail(Failure::Device { what: "the pool's buffers are too small for the peer's", errno: 0 });
            return None;
        }
        self.begun = more;
        self.begun_by_announcement = false;
        if !more {
            self.outgoing.pop_front();
        }
        Some(self.send_data(piece.data, more, piece.count, piece.inline))
    }

    /// Tell the peer where the unit at the front, or the next part of it, can be read.
    fn plan_announcement(&mut self, memory: &impl Memory) -> Option<Planned> {
        let fits = self.peer?.buffer as usize / Segment::LEN;
        let Some(Outgoing::Unit(unit)) = self.outgoing.front_mut() else { return None };
        let in_control = Work::MAX_CONTROL / Segment::LEN;
        let (mut list, most) = if unit.parts() <= in_control {
            (None, in_control)
        } else {
            let wanted = unit.parts().min(fits) * Segment::LEN;
            match memory.alloc(wanted) {
                Ok((buf, keys)) => {
                    let most = buf.capacity().min(wanted) / Segment::LEN;
                    (Some((buf, keys)), most)
                }
                Err(error) => return self.no_memory(error),
            }
        };
        let (mut count, mut bytes) = (0, 0);
        for part in unit.iter().take(most) {
            // Registered when the unit was begun, and its pool has not gone since: it is held here.
            let Some(keys) = memory.keys(part) else { break };
            let remote = Remote { address: address(part.as_ptr()), key: keys.remote };
            let segment = Segment::new(remote, part.len() as u32);
            let segment = zerocopy::IntoBytes::as_bytes(&segment);
            match &mut list {
                Some((buf, _)) => drop(buf.put(segment)),
                None => self.control[bytes_of(count)].copy_from_slice(segment),
            }
            count += 1;
            bytes += part.len();
        }
        if count == 0 {
            self.fail(Failure::Device {
                what: "memory that is being sent is no longer registered",
                errno: 0,
            });
            return None;
        }
        let data = unit.split_to(bytes);
        let more = !unit.is_empty();
        if !more {
            self.outgoing.pop_front();
        }
        self.begun = more;
        self.begun_by_announcement = true;
        self.queued -= bytes;
        self.announced_bytes += bytes;
        self.announced.push_back(Announced { _data: data, bytes });
        self.stats.announced += 1;
        let Some((list, keys)) = list else {
            return Some(self.send_control(Kind::Announce, more, count * Segment::LEN, Hold::Nothing));
        };
        let list = list.freeze();
        self.sges[0] = element(list.as_ptr(), list.len(), keys);
        let imm = self.credits.send(Kind::Announce, more);
        self.stats.sent += 1;
        let verb = Verb::Send { imm };
        let signalled = self.flight.signal_due() || self.outgoing.is_empty();
        Some(self.one_sided_work(Operation::Send, verb, Hold::Unit(list.into()), 1, signalled, false))
    }

    /// `count` of the oldest announcements were read.
    pub(super) fn announcements_done(&mut self, count: u32) -> Result<(), crate::Violation> {
        let announced = self.announced.len() as u32;
        if count > announced {
            return Err(crate::Violation::Done { read: count, announced });
        }
        for done in self.announced.drain(..count as usize) {
            self.announced_bytes -= done.bytes;
        }
        self.changes.note(Changes::WRITABLE);
        self.check_farewell();
        Ok(())
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
        self.probing = true;
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
    fn no_memory(&mut self, error: AllocError) -> Option<Planned> {
        match error {
            AllocError::Drained { .. } | AllocError::NoMemory { .. } => self.starved = true,
            _ => self.fail(Failure::Device { what: "no registered buffer of the wanted size", errno: 0 }),
        }
        None
    }

    pub(super) fn starve(&mut self, error: AllocError) {
        self.no_memory(error);
    }

    /// A work request has ended, and with it all before it.
    #[inline]
    pub fn completed(&mut self, id: WorkId, result: Result<(), Status>, now: Instant) {
        let ending = self.flight.ending_with(id.sequence());
        for left in (0..ending).rev() {
            let Some(slot) = self.flight.pop() else { return };
            match result {
                Err(status) if left == 0 => {
                    self.work_failed(slot.operation, status);
                    break;
                }
                _ => self.work_done(slot),
            }
        }
        if self.flight.is_empty() {
            self.end_reading();
            self.changes.note(Changes::WRITABLE | Changes::STATE);
        }
        if result.is_ok() {
            self.heard = now;
            self.work |= self.phase == Phase::Open;
        }
    }

    #[inline]
    fn work_done(&mut self, slot: Slot) {
        match slot.hold {
            Hold::Unit(_) | Hold::Nothing if slot.operation == Operation::Send => (),
            _ => self.work_done_slowly(slot),
        }
    }

    fn work_done_slowly(&mut self, slot: Slot) {
        match slot.hold {
            Hold::Nothing | Hold::Unit(_) => self.probing &= slot.operation != Operation::Probe,
            Hold::Target { bytes, full } => self.read_done(bytes, full),
            Hold::End => {
                self.sending = self.sending.max(Sending::ClosedForSure);
                self.check_farewell();
            }
            Hold::OneSided { result, last } => self.one_sided_done(result, last),
            Hold::Written { last, .. } => self.one_sided_done(None, last),
        }
    }

    #[cold]
    fn work_failed(&mut self, operation: Operation, status: Status) {
        if self.is_farewell() || status == Status::Flushed {
            // The first error says why; a flush without one is a queue pair that was disconnected.
            self.disconnected();
        } else {
            self.fail(Failure::Work { operation, status });
        }
    }

    /// A receive of this connection ended with an error.
    #[cold]
    pub fn receive_failed(&mut self, status: Status) {
        self.credits.lost();
        if status == Status::Flushed {
            return self.disconnected();
        }
        self.fail(Failure::Work { operation: Operation::Receive, status });
    }

    /// The peer takes no more units: what was not sent is dropped.
    pub(super) fn peer_takes_no_more(&mut self) {
        self.outgoing.retain(|o| matches!(o, Outgoing::Operation));
        self.queued = 0;
        self.begun = false;
        self.peer_end = PeerEnd::Closed;
        self.sending = self.sending.max(Sending::Closing);
        self.work = true;
        self.changes.note(Changes::ALL);
        self.check_farewell();
    }
}

/// The least that a piece has which is not its unit's last, where receive buffers are of `buffer` bytes: half of it, or 32 KiB. So
/// no unit can pin much more of the receiver's memory than its own length.
pub(super) fn least_piece(buffer: u32) -> usize {
    (buffer / 2).min(32 << 10) as usize
}

fn bytes_of(segment: usize) -> std::ops::Range<usize> {
    segment * Segment::LEN..(segment + 1) * Segment::LEN
}

#[inline]
pub(super) fn address<T>(at: *const T) -> u64 {
    at.expose_provenance() as u64
}

#[inline]
pub(super) fn element<T>(at: *const T, len: usize, keys: Keys) -> Sge {
    Sge { address: address(at), length: len as u32, key: keys.local }
}

/// The gather list of `data`, and whether it goes inline; `None` where it is not registered, or in too many parts.
#[inline]
fn gather(
    data: &Sga,
    config: &crate::Config,
    sges: &mut [Sge],
    memory: &impl Memory,
) -> Option<(usize, bool)> {
    if data.parts() > config.max_sge.into() {
        return None;
    }
    let inline = data.len() <= config.inline.into();
    let mut count = 0;
    for (part, sge) in data.iter().zip(sges) {
        let keys = if inline { Keys::default() } else { memory.keys(part)? };
        *sge = element(part.as_ptr(), part.len(), keys);
        count += 1;
    }
    Some((count, inline))
}

/// The front of a unit, in a gather list.
pub(super) struct Piece {
    pub(super) data: Sga,
    pub(super) count: usize,
    pub(super) inline: bool,
    /// Bytes of it that are copies.
    pub(super) copied: usize,
}

/// Take up to `most` bytes off the front of `unit`: as they are where that gives `least` or all, else as a copy.
///
/// # Errors
/// No memory for a copy; the unit is whole.
pub(super) fn take_piece(
    unit: &mut Sga,
    most: usize,
    least: usize,
    config: &crate::Config,
    sges: &mut [Sge],
    memory: &impl Memory,
) -> Result<Piece, AllocError> {
    let max_sge = usize::from(config.max_sge);
    let in_list: usize = unit.iter().take(max_sge).map(Buf::len).sum();
    if in_list == unit.len() || in_list >= least {
        let mut front = unit.split_to(in_list.min(most));
        if let Some((count, inline)) = gather(&front, config, sges, memory) {
            return Ok(Piece { data: front, count, inline, copied: 0 });
        }
        front.append(std::mem::take(unit));
        *unit = front;
    }
    let mut wanted = unit.len().min(most);
    let (mut copy, mut count, mut copied) = (Sga::new(), 0, 0);
    let mut rest = unit.clone();
    while wanted > 0 && count < max_sge {
        let (mut buf, keys) = memory.alloc(wanted)?;
        let room = buf.capacity().min(wanted);
        let n = rest.copy_to(&mut buf.spare_mut()[..room]);
        buf.set_len(n);
        rest.advance(n);
        let buf = buf.freeze();
        sges[count] = element(buf.as_ptr(), n, keys);
        copy.push(buf);
        count += 1;
        copied += n;
        wanted -= n;
    }
    unit.advance(copied);
    Ok(Piece { data: copy, count, inline: false, copied })
}
