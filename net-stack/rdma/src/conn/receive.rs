//! What arrives: messages, in order; units, out of one message or several.
//!
//! A message's receive buffer is the peer's credit again when nothing of ours is in it any more: at once for a control message, when the
//! unit is popped for a unit. Pieces of a larger unit give theirs back as they come, because the unit may need more of them
//! than there are; but not while units wait to be popped that hold [`Config::recv_limit`](crate::Config::recv_limit) bytes. So a peer whose units nobody
//! pops can make this end hold: that limit, one unit, and a window of receive buffers.

use std::collections::VecDeque;

use hemi_queue::{Buf, Sga, time::Instant};

use super::{
    Changes, Connection, Popped,
    end::{PeerEnd, Phase, Sending},
    large::least_piece,
};
use crate::{
    Failure, Violation,
    control::{parse_announcement, parse_done},
    header::{Header, Kind},
};

/// The upper byte of the header of a unit that is whole in one message.
const WHOLE_UNIT: u32 = (Kind::Data as u32) << 4;

/// A unit that can be popped.
#[derive(Debug)]
struct Ready {
    unit: Sga,
    /// Bytes of memory that it keeps.
    pinned: usize,
    /// It lies in a receive buffer of which the peer waits for the credit.
    credit: bool,
}

/// Units that have arrived, and the one that arrives.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    ready: VecDeque<Ready>,
    /// Pieces of the next unit.
    assembly: Sga,
    assembly_pinned: usize,
    /// Whether pieces of a unit were placed, and not its last.
    assembling: bool,
    /// Credits of pieces that are not given back for now.
    withheld: u16,
    /// Bytes of memory that `ready` and `assembly` keep.
    held: usize,
    /// Of the unit whose pieces arrive: bytes so far, also of what is yet to be read.
    arriving: u64,
    /// Whether its last piece has not arrived.
    begun: bool,
}

impl Incoming {
    /// Units were popped, or there are none: whether more may come than what is promised.
    pub(super) fn has_room(&self, limit: usize, claimed: usize) -> bool {
        self.held + claimed < limit
    }

    /// Whether no unit arrives in pieces.
    pub(super) fn is_calm(&self) -> bool {
        !self.begun && !self.assembling && self.withheld == 0
    }

    pub(super) fn is_popped(&self) -> bool {
        self.ready.is_empty()
    }

    /// No more arrives: the unit that is not whole is lost.
    pub(super) fn end(&mut self) {
        self.assembly = Sga::new();
        self.held -= std::mem::take(&mut self.assembly_pinned);
    }
}

impl Connection {
    /// A message arrived: its immediate data (in host byte order; `None` if it has none, or came by another verb than SEND), and its bytes.
    #[inline]
    pub fn received(&mut self, imm: Option<u32>, data: Buf, now: Instant) {
        match imm {
            // A whole unit, and nothing else under way.
            Some(imm)
                if self.calm && imm >> 24 == WHOLE_UNIT && data.len() as u64 <= self.config.largest_unit =>
            {
                let header =
                    Header { kind: Kind::Data, more: false, sequence: (imm >> 16) as u8, limit: imm as u16 };
                if let Err(violation) = self.credits.arrived(header) {
                    return self.fail(violation.into());
                }
                self.heard = now;
                self.stats.received += 1;
                self.place(data, false);
                self.work |= !self.outgoing.is_empty() || self.credits.owes();
            }
            _ => self.received_slowly(imm, data, now),
        }
    }

    #[inline(never)]
    fn received_slowly(&mut self, imm: Option<u32>, data: Buf, now: Instant) {
        self.calm = false;
        if self.phase >= Phase::Stopping && !self.still_hears() {
            return self.credits.lost();
        }
        self.heard = now;
        self.stats.received += 1;
        match self.take_message(imm, data) {
            Ok(()) => self.work |= self.pending(),
            Err(violation) => self.fail(violation.into()),
        }
    }

    /// Whether what had arrived before the end is still to be delivered.
    #[cold]
    fn still_hears(&self) -> bool {
        let heard = matches!(self.failure, None | Some(Failure::Work { .. } | Failure::Disconnected));
        self.phase == Phase::Stopping && heard
    }

    /// Whether something waits that a credit, or the peer's, may have made possible.
    #[inline]
    fn pending(&self) -> bool {
        !self.outgoing.is_empty()
            || self.credits.owes()
            || self.done_owed > 0
            || self.reading.is_active()
            || matches!(self.sending, Sending::Finishing | Sending::Closing)
    }

    fn take_message(&mut self, imm: Option<u32>, data: Buf) -> Result<(), Violation> {
        let Some(header) = imm.and_then(Header::parse) else {
            self.credits.lost();
            return Err(Violation::Header);
        };
        self.credits.arrived(header)?;
        if self.phase == Phase::Connecting {
            // The first message may be faster than the connection manager's word.
            self.begin();
        }
        if header.kind == Kind::Data {
            return self.take_data(header.more, data);
        }
        self.take_control(header, data)
    }

    fn take_data(&mut self, more: bool, data: Buf) -> Result<(), Violation> {
        self.count_unit(data.len() as u64, more)?;
        if more {
            let least = least_piece(self.config.buffer);
            if data.len() < least {
                return Err(Violation::SmallPiece { got: data.len(), least });
            }
        }
        if self.is_closing() {
            self.credits.give_back(1);
        } else if self.reading.is_empty() {
            self.place(data, more);
        } else {
            self.reading.wait(data, more);
        }
        Ok(())
    }

    /// A piece of `len` bytes belongs to the unit that arrives.
    #[inline]
    fn count_unit(&mut self, len: u64, more: bool) -> Result<(), Violation> {
        if self.peer_end != PeerEnd::Open {
            return Err(Violation::AfterFinish);
        }
        let total = self.incoming.arriving.saturating_add(len);
        if total > self.config.largest_unit {
            return Err(Violation::UnitTooLarge { got: total, limit: self.config.largest_unit });
        }
        self.incoming.arriving = if more { total } else { 0 };
        self.incoming.begun = more;
        Ok(())
    }

    fn take_control(&mut self, header: Header, data: Buf) -> Result<(), Violation> {
        let bare = matches!(header.kind, Kind::Grant | Kind::Finish | Kind::Close);
        if bare && !data.is_empty() {
            return Err(Violation::Control);
        }
        if header.kind == Kind::Announce {
            return self.take_announcement(header.more, data);
        }
        self.credits.give_back(1);
        match header.kind {
            Kind::Done => self.announcements_done(parse_done(&data)?)?,
            Kind::Finish | Kind::Close => {
                if self.incoming.begun && !self.is_closing() {
                    return Err(Violation::Unfinished);
                }
                let ended = if header.kind == Kind::Finish { PeerEnd::Open } else { PeerEnd::Finished };
                if self.peer_end > ended {
                    return Err(Violation::AfterFinish);
                }
                self.changes.note(Changes::READABLE);
                if header.kind == Kind::Close {
                    self.peer_takes_no_more();
                } else {
                    self.peer_end = PeerEnd::Finished;
                }
            }
            Kind::Grant | Kind::Announce | Kind::Data => (),
        }
        Ok(())
    }

    fn take_announcement(&mut self, more: bool, list: Buf) -> Result<(), Violation> {
        if self.config.reads == 0 {
            return Err(Violation::Announced);
        }
        let left = self.config.largest_unit - self.incoming.arriving.min(self.config.largest_unit);
        let total = parse_announcement(&list, left)?;
        self.count_unit(total, more)?;
        self.reading.announce(list, total, more);
        if self.is_closing() {
            self.cancel_reading();
        }
        Ok(())
    }

    /// The next piece of the units, in order; it is in a receive buffer.
    #[inline]
    pub(super) fn place(&mut self, data: Buf, more: bool) {
        let pinned = data.pinned();
        self.incoming.held += pinned;
        if more || self.incoming.assembling {
            return self.place_piece(data.into(), pinned, more, true);
        }
        self.incoming.ready.push_back(Ready { unit: data.into(), pinned, credit: true });
        self.changes.note(Changes::READABLE);
    }

    /// The next piece of the units, in order; it was read out of the peer's memory.
    pub(super) fn place_read(&mut self, data: Sga, more: bool) {
        let pinned = data.iter().map(Buf::pinned).sum();
        self.incoming.held += pinned;
        self.place_piece(data, pinned, more, false);
    }

    fn place_piece(&mut self, data: Sga, pinned: usize, more: bool, credit: bool) {
        let incoming = &mut self.incoming;
        incoming.assembly.append(data);
        incoming.assembly_pinned += pinned;
        incoming.assembling = more;
        if more {
            incoming.withheld += u16::from(credit);
        } else {
            let unit = std::mem::take(&mut incoming.assembly);
            let pinned = std::mem::take(&mut incoming.assembly_pinned);
            incoming.ready.push_back(Ready { unit, pinned, credit });
            self.changes.note(Changes::READABLE);
        }
        self.settle();
    }

    /// Give back the credits of pieces, if there is room for more.
    fn settle(&mut self) {
        let incoming = &mut self.incoming;
        if incoming.ready.is_empty() || incoming.held < self.config.recv_limit {
            self.credits.give_back(std::mem::take(&mut incoming.withheld));
        }
    }

    /// The next unit.
    ///
    /// # Errors
    /// Why none comes any more, after everything that had arrived; [`Failure::Aborted`] once this end was closed.
    #[inline]
    pub fn pop(&mut self) -> Result<Popped, Failure> {
        let Some(ready) = self.incoming.ready.pop_front() else {
            return self.nothing_to_pop();
        };
        self.incoming.held -= ready.pinned;
        self.credits.give_back(ready.credit.into());
        self.stats.popped += 1;
        if !self.calm {
            self.settle();
            self.work |= self.reading.is_active();
        }
        self.work |= self.credits.owes();
        Ok(Popped::Unit(ready.unit))
    }

    #[cold]
    fn nothing_to_pop(&self) -> Result<Popped, Failure> {
        if self.is_closing() {
            return Err(Failure::Aborted);
        }
        if self.peer_end != PeerEnd::Open && self.reading.is_empty() && self.incoming.assembly.is_empty() {
            return Ok(Popped::End);
        }
        self.failure.clone().map_or(Ok(Popped::Pending), Err)
    }

    /// This end takes no more units: drop what there is, and read no more of what was announced.
    pub(super) fn discard_incoming(&mut self) {
        let credits: u16 = self.incoming.ready.drain(..).map(|ready| u16::from(ready.credit)).sum();
        self.credits.give_back(credits + std::mem::take(&mut self.incoming.withheld));
        self.incoming.end();
        self.incoming.held = 0;
        self.incoming.assembling = false;
        self.cancel_reading();
    }
}
