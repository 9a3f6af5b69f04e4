//! Units that do not go whole: announced for the peer to read, or cut into pieces.

use hemi_queue::Sga;

use super::{
    Changes, Connection,
    flight::Hold,
    gather::{address, element, take_piece},
    send::{Outgoing, Planned},
};
use crate::{Failure, Memory, Operation, Remote, Verb, Violation, Work, control::Segment, header::Kind};

/// Memory that the peer was told to read.
#[derive(Debug)]
pub(super) struct Announced {
    /// Held until the peer has it (free-protection).
    _data: Sga,
    bytes: usize,
}

/// The least that a piece has which is not its unit's last, where receive buffers are of `buffer` bytes: half of it, or 32 KiB. So
/// no unit can pin much more of the receiver's memory than its own length.
pub(super) fn least_piece(buffer: u32) -> usize {
    (buffer / 2).min(32 << 10) as usize
}

impl Connection {
    /// The unit at the front does not go whole: it is announced, or goes in pieces.
    #[cold]
    pub(super) fn plan_large(&mut self, memory: &impl Memory) -> Option<Planned> {
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
        let signalled = self.flight.wants_signal(true, self.outgoing.is_empty());
        Some(self.one_sided_work(Operation::Send, verb, Hold::Unit(list.into()), 1, signalled, false))
    }

    /// `count` of the oldest announcements were read.
    pub(super) fn announcements_done(&mut self, count: u32) -> Result<(), Violation> {
        let announced = self.announced.len() as u32;
        if count > announced {
            return Err(Violation::Done { read: count, announced });
        }
        for done in self.announced.drain(..count as usize) {
            self.announced_bytes -= done.bytes;
        }
        self.read += u64::from(count);
        self.changes.note(Changes::WRITABLE);
        self.check_farewell();
        Ok(())
    }
}

fn bytes_of(segment: usize) -> std::ops::Range<usize> {
    segment * Segment::LEN..(segment + 1) * Segment::LEN
}
