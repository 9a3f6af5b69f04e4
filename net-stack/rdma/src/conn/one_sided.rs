//! One-sided operations: this end reaches into the peer's memory by itself.
//!
//! They go out in order with units, so that a unit pushed after a write tells the peer of bytes that are there. Bounds, rights and
//! alignment are checked before anything is posted, because what the peer's device has to refuse ends the connection.

use std::collections::VecDeque;

use hemi_queue::{BufMut, Sga};

use super::{
    Changes, Connection,
    end::{Phase, Sending},
    flight::{BULK, Hold},
    gather::{element, take_piece},
    send::{Outgoing, Planned},
};
use crate::{Failure, Memory, Operation, RegionDescriptor, RegionError, Remote, Rights, Verb};

/// Operations that may be outstanding or not taken, of one connection.
const LIMIT: usize = 256;

/// The most bytes that one operation moves.
const LONGEST: u64 = 1 << 30;

/// The name of a one-sided operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OneSided(pub u64);

/// What a one-sided operation brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The bytes that were read.
    Read(Sga),
    /// Everything is in the peer's memory.
    Written,
    /// What the word was before.
    Word(u64),
}

/// What is left to be posted.
#[derive(Debug)]
enum Step {
    Read { remote: Remote, left: u64 },
    Write { remote: Remote, left: Sga },
    Atomic(Operation, Verb),
}

#[derive(Debug)]
struct Pending {
    name: OneSided,
    step: Step,
    got: Sga,
}

/// In order, because they are posted and complete in order.
#[derive(Debug, Default)]
pub(super) struct Operations {
    pending: VecDeque<Pending>,
    /// How many of them are posted whole.
    issued: usize,
    done: VecDeque<(OneSided, Result<Outcome, Failure>)>,
    next: u64,
}

impl Connection {
    /// Read `length` bytes at `offset` of the peer's region, in order with what is pushed.
    ///
    /// # Errors
    /// What the region does not allow; too much at a time.
    pub fn read_at(
        &mut self,
        region: &RegionDescriptor,
        offset: u64,
        length: u64,
    ) -> Result<OneSided, RegionError> {
        let remote = region.at(offset, length, Rights::READ)?;
        self.begin_one_sided(length, Step::Read { remote, left: length })
    }

    /// Write `data` at `offset` of the peer's region, in order with what is pushed: a unit that is pushed after it arrives after it.
    ///
    /// # Errors
    /// What the region does not allow; too much at a time.
    pub fn write_at(
        &mut self,
        region: &RegionDescriptor,
        offset: u64,
        data: Sga,
    ) -> Result<OneSided, RegionError> {
        let length = data.len() as u64;
        let remote = region.at(offset, length, Rights::WRITE)?;
        self.begin_one_sided(length, Step::Write { remote, left: data })
    }

    /// Add `add` to the word at `offset` of the peer's region; brings what it was before.
    ///
    /// # Errors
    /// What the region does not allow; a word that is not aligned.
    pub fn fetch_add(
        &mut self,
        region: &RegionDescriptor,
        offset: u64,
        add: u64,
    ) -> Result<OneSided, RegionError> {
        let verb = Verb::FetchAdd { remote: region.word(offset)?, add };
        self.begin_one_sided(8, Step::Atomic(Operation::FetchAdd, verb))
    }

    /// Set the word at `offset` of the peer's region to `swap` if it is `expect`; brings what it was before.
    ///
    /// # Errors
    /// What the region does not allow; a word that is not aligned.
    pub fn compare_swap(
        &mut self,
        region: &RegionDescriptor,
        offset: u64,
        expect: u64,
        swap: u64,
    ) -> Result<OneSided, RegionError> {
        let verb = Verb::CompareSwap { remote: region.word(offset)?, expect, swap };
        self.begin_one_sided(8, Step::Atomic(Operation::CompareSwap, verb))
    }

    fn begin_one_sided(&mut self, length: u64, step: Step) -> Result<OneSided, RegionError> {
        if self.phase >= Phase::Stopping || self.sending >= Sending::Closing {
            return Err(RegionError::Closed);
        }
        if length > LONGEST {
            return Err(RegionError::TooLong { length, limit: LONGEST });
        }
        let operations = &mut self.one_sided;
        if operations.pending.len() + operations.done.len() >= LIMIT {
            return Err(RegionError::Busy { limit: LIMIT });
        }
        let name = OneSided(operations.next);
        operations.next += 1;
        operations.pending.push_back(Pending { name, step, got: Sga::new() });
        self.outgoing.push_back(Outgoing::Operation);
        self.work = true;
        Ok(name)
    }

    /// The next one-sided operation that is done.
    pub fn next_done(&mut self) -> Option<(OneSided, Result<Outcome, Failure>)> {
        self.one_sided.done.pop_front()
    }

    /// The next work request of the one-sided operation at the front.
    pub(super) fn plan_one_sided(&mut self, memory: &impl Memory) -> Option<Planned> {
        let pending = self.one_sided.pending.get_mut(self.one_sided.issued)?;
        let mut result = None;
        let planned = match &mut pending.step {
            Step::Write { remote, left } => {
                let at = *remote;
                let most = left.len();
                let piece = match take_piece(left, most, 0, &self.config, &mut self.sges, memory) {
                    Ok(piece) => piece,
                    Err(error) => {
                        self.starve(error);
                        return None;
                    }
                };
                remote.address += piece.data.len() as u64;
                let last = left.is_empty();
                self.stats.copied_bytes += piece.copied as u64;
                let hold = Hold::Written { data: piece.data, last };
                (Operation::Write, Verb::Write(at), hold, piece.count, last, piece.inline)
            }
            Step::Read { remote, left } => {
                let at = *remote;
                let (mut buf, keys) = match memory.alloc(usize::try_from(*left).unwrap_or(usize::MAX)) {
                    Ok(target) => target,
                    Err(error) => {
                        self.starve(error);
                        return None;
                    }
                };
                let bytes = (buf.capacity() as u64).min(*left);
                self.sges[0] = element(buf.as_mut_ptr().cast_const(), bytes as usize, keys);
                buf.set_len(bytes as usize);
                remote.address += bytes;
                *left -= bytes;
                result = Some(buf);
                (Operation::Read, Verb::Read(at), Hold::Nothing, 1, *left == 0, false)
            }
            Step::Atomic(operation, verb) => {
                let (mut buf, keys) = match memory.alloc(8) {
                    Ok(target) => target,
                    Err(error) => {
                        self.starve(error);
                        return None;
                    }
                };
                self.sges[0] = element(buf.as_mut_ptr().cast_const(), 8, keys);
                buf.set_len(8);
                result = Some(buf);
                (*operation, *verb, Hold::Nothing, 1, true, false)
            }
        };
        let (operation, verb, hold, count, last, inline) = planned;
        if last {
            self.one_sided.issued += 1;
            self.outgoing.pop_front();
        }
        let hold = match hold {
            Hold::Nothing => Hold::OneSided { result, last },
            written => written,
        };
        let bulk = self.sges[..count].iter().map(|sge| sge.length as usize).sum::<usize>() >= BULK;
        let signalled = last || bulk || self.flight.wants_signal(true, false);
        Some(self.one_sided_work(operation, verb, hold, count, signalled, inline))
    }

    /// A work request of the oldest one-sided operation has completed.
    pub(super) fn one_sided_done(&mut self, result: Option<BufMut>, last: bool) {
        let operations = &mut self.one_sided;
        let Some(pending) = operations.pending.front_mut() else { return };
        if let Some(buf) = result {
            pending.got.push(buf.freeze());
        }
        if !last {
            return;
        }
        let Some(pending) = operations.pending.pop_front() else { return };
        operations.issued -= 1;
        let outcome = match pending.step {
            Step::Read { .. } => Outcome::Read(pending.got),
            Step::Write { .. } => Outcome::Written,
            Step::Atomic(..) => {
                let mut word = [0; 8];
                pending.got.copy_to(&mut word);
                Outcome::Word(u64::from_ne_bytes(word))
            }
        };
        operations.done.push_back((pending.name, Ok(outcome)));
        self.changes.note(Changes::DONE);
    }

    /// The connection is over: what was not done is not.
    pub(super) fn fail_one_sided(&mut self) {
        let failure = self.failure.clone().unwrap_or(Failure::Disconnected);
        let operations = &mut self.one_sided;
        operations.issued = 0;
        for pending in operations.pending.drain(..) {
            operations.done.push_back((pending.name, Err(failure.clone())));
        }
    }
}
