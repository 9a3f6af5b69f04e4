//! Rendezvous, the receiving side: memory that the peer announced is read into buffers of this end's pool.
//!
//! Announcements are read in order, several at a time, and RDMA READs complete in order; so the one that a completed READ belongs
//! to is always the oldest. What arrives behind an announcement waits for it. Buffers are filled across segments: a unit in
//! many small parts costs its receiver no more memory than one in a single part.

use std::collections::VecDeque;

use hemi_queue::{Buf, BufMut, Sga};

use super::{
    Connection,
    end::Phase,
    flight::{BULK, Hold},
    gather::address,
    send::Planned,
};
use crate::{Keys, Memory, Operation, Remote, Sge, Verb, control};

/// The longest READ, in bytes: every device takes a message of so many.
const LONGEST: u64 = 1 << 30;

#[derive(Debug)]
enum Entry {
    /// Arrived behind an announcement.
    Data {
        data: Buf,
        more: bool,
    },
    Announcement(Announcement),
}

#[derive(Debug)]
struct Announcement {
    /// The segments, as they arrived.
    list: Buf,
    /// Bytes in all of them.
    total: u64,
    more: bool,
    /// The segment that is read next, and from where.
    segment: usize,
    offset: u32,
    issued: u64,
    arrived: u64,
    got: Sga,
    /// Nobody wants it any more.
    cancelled: bool,
}

impl Announcement {
    fn is_issued(&self) -> bool {
        self.cancelled || self.is_whole()
    }

    /// Whether all of it is read, or on its way.
    fn is_whole(&self) -> bool {
        self.issued == self.total
    }
}

/// A buffer that READs fill.
#[derive(Debug)]
struct Filling {
    buf: BufMut,
    keys: Keys,
    filled: usize,
}

/// What is to be read, and what waits behind it. The front is an announcement, if there is anything.
#[derive(Debug, Default)]
pub(super) struct Reading {
    queue: VecDeque<Entry>,
    /// Of the queue: what is before it needs no more READs.
    issuing: usize,
    /// READs that have not completed.
    flying: u16,
    /// Bytes of announcements that are being read.
    claimed: usize,
    filling: Option<Filling>,
}

impl Reading {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether there may be something to read.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.issuing < self.queue.len()
    }

    pub(super) fn wait(&mut self, data: Buf, more: bool) {
        self.queue.push_back(Entry::Data { data, more });
    }

    pub(super) fn announce(&mut self, list: Buf, total: u64, more: bool) {
        self.queue.push_back(Entry::Announcement(Announcement {
            list,
            total,
            more,
            segment: 0,
            offset: 0,
            issued: 0,
            arrived: 0,
            got: Sga::new(),
            cancelled: false,
        }));
    }
}

/// The announcement to read from next.
fn next<'q>(queue: &'q mut VecDeque<Entry>, issuing: &mut usize) -> Option<&'q mut Announcement> {
    while let Some(entry) = queue.get(*issuing) {
        match entry {
            Entry::Announcement(announcement) if !announcement.is_issued() => break,
            _ => *issuing += 1,
        }
    }
    match queue.get_mut(*issuing)? {
        Entry::Announcement(announcement) => Some(announcement),
        Entry::Data { .. } => None,
    }
}

impl Connection {
    /// The next RDMA READ.
    pub(super) fn plan_read(&mut self, memory: &impl Memory) -> Option<Planned> {
        let first = self.reading.issuing == 0 && self.incoming.is_popped();
        let room = first || self.incoming.has_room(self.config.recv_limit, self.reading.claimed);
        if self.reading.flying >= self.config.reads {
            return None;
        }
        // What is being filled belongs to the announcement that is next, if there is one: it stays where it is otherwise, as long as
        // READs may be under way to it.
        let filling = &mut self.reading.filling;
        let announcement = next(&mut self.reading.queue, &mut self.reading.issuing)?;
        let begins = announcement.issued == 0;
        if begins && !room {
            return None;
        }
        let segment = control::segment(&announcement.list, announcement.segment)?;
        let mut filling = if let Some(filling) = filling.take() {
            filling
        } else {
            let left = usize::try_from(announcement.total - announcement.issued).unwrap_or(usize::MAX);
            match memory.alloc(left) {
                Ok((buf, keys)) => Filling { buf, keys, filled: 0 },
                Err(error) => {
                    self.starve(error);
                    return None;
                }
            }
        };
        let of_segment = u64::from(segment.len() - announcement.offset);
        let room = (filling.buf.capacity() - filling.filled) as u64;
        let bytes = of_segment.min(room).min(LONGEST) as u32;
        let remote = segment.remote();
        let remote = Remote { address: remote.address + u64::from(announcement.offset), key: remote.key };
        self.sges[0] = Sge {
            address: address(filling.buf.as_mut_ptr()) + filling.filled as u64,
            length: bytes,
            key: filling.keys.local,
        };
        announcement.offset += bytes;
        announcement.issued += u64::from(bytes);
        if announcement.offset == segment.len() {
            announcement.segment += 1;
            announcement.offset = 0;
        }
        let last = announcement.is_issued();
        let total = announcement.total as usize;
        filling.filled += bytes as usize;
        let full = if last || filling.filled == filling.buf.capacity() {
            filling.buf.set_len(filling.filled);
            Some(filling.buf)
        } else {
            self.reading.filling = Some(filling);
            None
        };
        if begins {
            self.reading.claimed += total;
        }
        self.reading.flying += 1;
        self.stats.reads += 1;
        let last_now = last || self.reading.flying == self.config.reads || bytes as usize >= BULK;
        let signalled = last_now || self.flight.wants_signal(true, false);
        let hold = Hold::Target { bytes, full };
        Some(self.one_sided_work(Operation::Read, Verb::Read(remote), hold, 1, signalled, false))
    }

    /// A READ has completed, and with it maybe a buffer, and with that maybe a unit.
    pub(super) fn read_done(&mut self, bytes: u32, full: Option<BufMut>) {
        self.reading.flying = self.reading.flying.saturating_sub(1);
        if let Some(Entry::Announcement(announcement)) = self.reading.queue.front_mut() {
            announcement.arrived += u64::from(bytes);
            if let Some(buf) = full {
                announcement.got.push(buf.freeze());
            }
        }
        self.work = true;
        self.deliver();
    }

    /// Move what is whole at the front to the units.
    fn deliver(&mut self) {
        while let Some(front) = self.reading.queue.front() {
            let whole = match front {
                Entry::Announcement(a) => a.arrived == a.issued && a.is_issued(),
                Entry::Data { .. } => true,
            };
            if !whole {
                return;
            }
            match self.reading.queue.pop_front() {
                Some(Entry::Announcement(announcement)) => self.announcement_read(announcement),
                Some(Entry::Data { .. }) if self.is_closing() => self.credits.give_back(1),
                Some(Entry::Data { data, more }) => self.place(data, more),
                None => (),
            }
            self.reading.issuing = self.reading.issuing.saturating_sub(1);
        }
        self.reading.issuing = 0;
    }

    fn announcement_read(&mut self, announcement: Announcement) {
        if announcement.issued > 0 {
            self.reading.claimed -= announcement.total as usize;
        }
        self.done_owed += 1;
        self.credits.give_back(1);
        if announcement.cancelled {
            // Only what is read in part has a buffer there; another's may be in the device's hands.
            if !announcement.is_whole() && announcement.issued > 0 {
                self.reading.filling = None;
            }
        } else {
            self.place_read(announcement.got, announcement.more);
        }
        self.check_farewell();
    }

    /// Nobody wants what was announced: READs that are under way end, others are not begun.
    pub(super) fn cancel_reading(&mut self) {
        for entry in &mut self.reading.queue {
            if let Entry::Announcement(announcement) = entry {
                announcement.cancelled = true;
            }
        }
        self.deliver();
    }

    /// After the end: nothing is read any more. A buffer that READs were filling stays until they have completed.
    pub(super) fn end_reading(&mut self) {
        if self.phase == Phase::Stopped {
            self.reading.queue.clear();
            self.reading.issuing = 0;
            if self.flight.is_empty() {
                self.reading.filling = None;
            }
        }
    }
}
