//! Readers: where each is, and what it has read ahead.
//!
//! ```text
//!   at the tail ─ a unit becomes visible ─► from memory (recent.rs)
//!        ▲                                       │ too far behind
//!        └── caught up ── from the device: segment by index, marks, walk ◄──┘
//! ```

use std::{io, sync::Arc};

use hemi_queue::{Sga, program::Payload};

use super::{Log, ahead::ReadAhead, command::Owner};
use crate::{CommandId, Ending, LogError, Lsn, Step, Walker};

/// Names a reader of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CursorId(pub(super) u32);

/// A unit of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub lsn: Lsn,
    /// When it was appended, nanoseconds since the Unix epoch.
    pub time: u64,
    /// Its bytes.
    pub unit: Sga,
}

/// Predicates and the algebra look at a record's unit.
impl Payload for Record {
    fn byte_len(&self) -> usize {
        self.unit.len()
    }
    fn read_at(&self, at: usize, out: &mut [u8]) -> bool {
        self.unit.read_at(at, out)
    }
}

impl From<Record> for Sga {
    fn from(record: Record) -> Self {
        record.unit
    }
}

/// What a pop gave.
#[derive(Debug)]
pub enum Popped {
    /// The next unit.
    Record(Record),
    /// None yet: at the tail, or it is being read. [`Log::woken`] names the cursor when it is worth trying again.
    Wait,
    /// The end of a log that is closed or open for reading only.
    End,
}

#[derive(Debug)]
pub(super) struct Cursor {
    /// The next record to deliver.
    next: Lsn,
    /// Older ones are passed over.
    from: u64,
    walk: Option<Walk>,
    /// Told in `woken` already.
    woken: bool,
    failed: Option<Arc<io::Error>>,
}

/// A walk through segments on the device.
#[derive(Debug)]
struct Walk {
    sequence: u64,
    walker: Walker,
    ahead: ReadAhead,
    input: Sga,
    /// The fragments of a record so far, and its time.
    partial: Sga,
    /// What is in `partial` is the front of the record the walker expects.
    gathering: bool,
    /// How many fragments that is.
    fragments: u32,
}

enum Found {
    Record(Lsn, u64, Sga),
    Again,
    Wait,
}

impl Log {
    /// A reader that begins at `lsn`, or at the head if that is later.
    pub fn cursor(&mut self, lsn: Lsn) -> CursorId {
        let cursor = Cursor { next: lsn.max(self.head()), from: 0, walk: None, woken: false, failed: None };
        CursorId(self.cursors.insert(cursor) as u32)
    }

    /// Forget a reader.
    pub fn drop_cursor(&mut self, id: CursorId) {
        self.cursors.try_remove(id.0 as usize);
        self.tailing.retain(|c| *c != id);
        self.woken.retain(|c| *c != id);
        if self.cursors.is_empty() {
            self.recent.clear();
        }
    }

    /// Go on at `lsn`.
    pub fn seek(&mut self, id: CursorId, lsn: Lsn) {
        if let Some(cursor) = self.cursors.get_mut(id.0 as usize) {
            *cursor = Cursor { next: lsn, from: 0, walk: None, woken: cursor.woken, failed: None };
        }
    }

    /// Go on at the first record that was appended at `time` or later.
    pub fn seek_time(&mut self, id: CursorId, time: u64) {
        let at = self.space.segments.iter().rposition(|s| s.header.time <= time).unwrap_or(0);
        let first = self.space.segments.get(at).map_or(self.head(), |s| s.header.first);
        self.seek(id, first.max(self.head()));
        if let Some(cursor) = self.cursors.get_mut(id.0 as usize) {
            cursor.from = time;
        }
    }

    /// The LSN that the reader's next pop looks at.
    pub fn position(&self, id: CursorId) -> Option<Lsn> {
        self.cursors.get(id.0 as usize).map(|c| c.next)
    }

    /// The reader's next unit.
    ///
    /// # Errors
    /// [`LogError::Truncated`] and [`LogError::Unreadable`]: told once, then reading goes on where they say.
    /// [`LogError::Device`] when the device cannot read: the next pop tries again.
    pub fn pop(&mut self, id: CursorId) -> Result<Popped, LogError> {
        loop {
            let (head, visible) = (self.head(), self.visible);
            let over = self.read_only.is_some() || self.is_closed();
            let Some(cursor) = self.cursors.get_mut(id.0 as usize) else { return Err(LogError::Closed) };
            if let Some(source) = cursor.failed.take() {
                cursor.walk = None;
                return Err(LogError::Device { what: "reading the log", source });
            }
            if cursor.next < head {
                let wanted = std::mem::replace(&mut cursor.next, head);
                cursor.walk = None;
                return Err(LogError::Truncated { wanted, head });
            }
            if cursor.next >= visible {
                if over {
                    return Ok(Popped::End);
                }
                if let Some(poison) = &self.poison {
                    return Err(poison.clone());
                }
                if !self.tailing.contains(&id) {
                    self.tailing.push(id);
                }
                cursor.woken = false;
                return Ok(Popped::Wait);
            }
            if let Some(record) = self.recent.get(cursor.next) {
                cursor.next = cursor.next.next();
                cursor.walk = None;
                if record.time >= cursor.from {
                    return Ok(Popped::Record(record.clone()));
                }
                continue;
            }
            match self.walk(id)? {
                Found::Again => {}
                Found::Wait => return Ok(Popped::Wait),
                Found::Record(lsn, time, unit) => {
                    let Some(cursor) = self.cursors.get_mut(id.0 as usize) else { continue };
                    cursor.next = lsn.next();
                    if time >= cursor.from {
                        return Ok(Popped::Record(Record { lsn, time, unit }));
                    }
                }
            }
        }
    }

    /// One step of reading from the device.
    fn walk(&mut self, id: CursorId) -> Result<Found, LogError> {
        let Some(cursor) = self.cursors.get_mut(id.0 as usize) else { return Err(LogError::Closed) };
        let Some(walk) = &mut cursor.walk else {
            let at = self.space.find(cursor.next);
            let Some(segment) = self.space.segments.get(at) else { return Err(lost(cursor, self.visible)) };
            let mut walker = Walker::new(self.geometry, self.master.id(), segment.header);
            if let Some((lsn, offset)) = segment.marks.iter().rfind(|(lsn, _)| *lsn <= cursor.next) {
                walker.skip_to(*offset, *lsn);
            }
            let base = self.geometry.slot_offset(segment.slot);
            let owner = Owner::Read(id.0);
            let block = self.geometry.block();
            let ahead = ReadAhead::new(owner, base, walker.at(), block, self.config.read_ahead);
            let sequence = segment.header.sequence;
            let (input, partial) = (Sga::new(), Sga::new());
            cursor.walk =
                Some(Walk { sequence, walker, ahead, input, partial, gathering: false, fragments: 0 });
            return Ok(Found::Again);
        };
        let segments = &mut self.space.segments;
        let Some(at) = segments.iter().position(|s| s.header.sequence == walk.sequence) else {
            cursor.walk = None; // truncated meanwhile
            return Ok(Found::Again);
        };
        let last = at + 1 == segments.len();
        let end = if last { self.written_offset } else { self.geometry.segment() };
        let (lsn, offset) = (walk.walker.next_lsn(), walk.walker.offset());
        walk.walker.set_keep(lsn >= cursor.next);
        let mut step = walk.walker.next(&mut walk.input);
        if step == Step::Need && !walk.ahead.take(&mut walk.input) {
            walk.ahead.ask(end, &mut self.commands);
            if !walk.ahead.is_idle() {
                cursor.woken = false;
                return Ok(Found::Wait);
            }
            // All that is written of the segment was walked, and the record is not in it.
            step = walk.walker.give_up();
        }
        match step {
            Step::Record { header, payload } => {
                if header.fragment == 0 {
                    segments[at].mark(header.lsn, offset);
                    if header.lsn > cursor.next {
                        // A fragment of what lies between could not be read. The next walk begins here.
                        cursor.walk = None;
                        let from = std::mem::replace(&mut cursor.next, header.lsn);
                        return Err(LogError::Unreadable { from, to: header.lsn });
                    }
                    walk.partial = Sga::new();
                    (walk.gathering, walk.fragments) = (true, 0);
                }
                // Behind damage the walk goes on in the next segment, maybe with a later fragment of the same unit.
                walk.gathering &= header.fragment == walk.fragments;
                if header.lsn < cursor.next || !walk.gathering {
                    return Ok(Found::Again);
                }
                walk.partial.append(payload);
                walk.fragments += 1;
                if header.more {
                    return Ok(Found::Again);
                }
                walk.gathering = false;
                Ok(Found::Record(header.lsn, header.time, std::mem::take(&mut walk.partial)))
            }
            Step::Need => {
                walk.ahead.ask(end, &mut self.commands);
                Ok(Found::Again)
            }
            Step::Jump => {
                let base = self.geometry.slot_offset(segments[at].slot);
                let (from, block) = (walk.walker.at(), self.geometry.block());
                walk.ahead = ReadAhead::new(Owner::Read(id.0), base, from, block, self.config.read_ahead);
                walk.input = Sga::new();
                Ok(Found::Again)
            }
            Step::End(Ending::Full | Ending::Clean | Ending::Torn) => self.segment_ended(id, at),
        }
    }

    /// The walk has come to the end of the records of segment `at`.
    fn segment_ended(&mut self, id: CursorId, at: usize) -> Result<Found, LogError> {
        let visible = self.visible;
        let Some(cursor) = self.cursors.get_mut(id.0 as usize) else { return Err(LogError::Closed) };
        let Some(walk) = &mut cursor.walk else { return Ok(Found::Again) };
        let expected = walk.walker.next_lsn();
        let Some(next) = self.space.segments.get(at + 1) else { return Err(lost(cursor, visible)) };
        let header = next.header;
        let begins = if header.continues { Lsn(header.first.0.saturating_sub(1)) } else { header.first };
        if begins > expected && header.first > cursor.next {
            // Not from what the walk expected: of a unit whose front is damaged it may have passed the rest.
            let from = std::mem::replace(&mut cursor.next, header.first);
            cursor.walk = None;
            return Err(LogError::Unreadable { from, to: header.first });
        }
        let base = self.geometry.slot_offset(next.slot);
        let walker = Walker::new(self.geometry, self.master.id(), header);
        let (owner, block) = (Owner::Read(id.0), self.geometry.block());
        walk.ahead = ReadAhead::new(owner, base, block, block, self.config.read_ahead);
        walk.gathering &= header.continues && begins == expected;
        (walk.sequence, walk.walker, walk.input) = (header.sequence, walker, Sga::new());
        Ok(Found::Again)
    }

    pub(super) fn read_done(&mut self, id: CursorId, command: CommandId, result: io::Result<Sga>) {
        let Some(cursor) = self.cursors.get_mut(id.0 as usize) else { return };
        // A cursor that has gone elsewhere meanwhile does not want it.
        let Some(walk) = cursor.walk.as_mut().filter(|walk| walk.ahead.owns(command)) else { return };
        match result {
            Ok(data) => {
                walk.ahead.complete(command, data);
            }
            Err(e) => cursor.failed = Some(Arc::new(e)),
        }
        if !cursor.woken {
            cursor.woken = true;
            self.woken.push(id);
        }
    }

    /// Cursors at the tail have something to look at.
    pub(super) fn wake_tailing(&mut self) {
        for id in self.tailing.drain(..) {
            if let Some(cursor) = self.cursors.get_mut(id.0 as usize)
                && !cursor.woken
            {
                cursor.woken = true;
                self.woken.push(id);
            }
        }
    }
}

/// Nothing of the log from here on can be read.
#[cold]
fn lost(cursor: &mut Cursor, visible: Lsn) -> LogError {
    cursor.walk = None;
    let from = std::mem::replace(&mut cursor.next, visible);
    LogError::Unreadable { from, to: visible }
}
