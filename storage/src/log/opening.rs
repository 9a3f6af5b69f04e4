//! [`Opening`]: from a device to a [`Log`].
//!
//! ```text
//!   create ─► first 1 MiB read: nothing there? ──────────────────────────────┐
//!   open ─► first 64 KiB ─► first block of every slot ─► last segment walked ┴► superblock written twice ─► Log
//!                                                        └► what lies behind: torn tail, or damage?
//!                                                           given up: segments behind a hole are wiped first
//! ```
//! The work is bounded by the number of segments (one block read of each) and the size of one.

use std::collections::VecDeque;

use hemi_queue::{Buf, Pool, Sga, time::Instant};

use super::{
    Cut, End, Log, LogConfig, NewLog, OpenMode, Parts, Recovery, Segment,
    ahead::{ReadAhead, short},
    command::{Commands, Owner},
    master::block_of,
    space,
};
use crate::{
    BlockDevice, Command, CommandId, DATA_START, DeviceCaps, Done, Ending, FormatError, LogError, Lsn,
    SegmentHeader, Step, Superblock, Walker,
    index::{self, Segment as Found},
};

/// First blocks read at a time.
const HEADERS: usize = 32;
/// Bytes behind the end, and behind one largest unit there, that are looked at for records that were cut off: more than can be in
/// flight.
const SURVEY: u64 = 4 << 20;
/// Bytes that are looked at before a log is created: file systems have superblocks at 64 KiB, too.
const EMPTY: u64 = 1 << 20;

/// Opens or creates a log.
///
/// # How it is driven
/// Submit what [`next_command`](Self::next_command) gives, hand completions to [`complete`](Self::complete), until
/// [`finish`](Self::finish) gives the log, and what was found, or why there is none. After an error of the
/// device's the log may have been changed in part: the next opening goes on where this one ended. After any other, nothing was.
#[derive(Debug)]
pub struct Opening {
    config: LogConfig,
    caps: DeviceCaps,
    pool: Pool,
    mode: OpenMode,
    commands: Commands,
    state: State,
    report: Recovery,
}

#[derive(Debug)]
enum State {
    Area { id: CommandId, new: Option<NewLog> },
    Headers(Headers),
    Walk(Box<Walking>),
    Survey(Box<Surveying>),
    Clearing(Clearing),
    Preparing(Preparing),
    Writing(Writing),
    Done(Result<Box<Known>, LogError>),
    Taken,
}

/// What is known of the log so far.
#[derive(Debug)]
struct Known {
    superblock: Superblock,
    newest: usize,
    segments: Vec<Segment>,
    slots: u64,
    end: End,
    /// Slots of segments behind a hole, or cut off by the device's end: to be given up.
    beyond: Vec<u64>,
    /// What such a segment says: records below were durable.
    told: Lsn,
    /// The slot that was filled with zeros.
    prepared: Option<u64>,
}

#[derive(Debug)]
struct Headers {
    superblock: Superblock,
    newest: usize,
    slots: u64,
    /// With the one that the device's end cuts off, if there is one: what is there would be found again when the device grows.
    stubs: u64,
    next: u64,
    asked: VecDeque<(CommandId, u64)>,
    found: Vec<Found>,
}

#[derive(Debug)]
struct Walking {
    known: Known,
    walker: Walker,
    ahead: ReadAhead,
    input: Sga,
    /// The segments behind a hole that is directly behind the one being walked, the one that the device's end cuts off among
    /// them: if what is walked ends below the head, it is no part of the log, and they are.
    behind: Vec<Found>,
}

/// Reads what lies behind the end.
#[derive(Debug)]
struct Surveying {
    known: Known,
    walker: Walker,
    ahead: ReadAhead,
    until: u64,
    /// Copied, so that a long stretch does not hold the pool's buffers.
    data: Vec<u8>,
}

/// Wipes the headers of segments that are given up: nothing else tells them from those that will follow.
#[derive(Debug)]
struct Clearing {
    known: Known,
    asked: Vec<CommandId>,
}

/// Fills the first slot of a new log with zeros.
#[derive(Debug)]
struct Preparing {
    known: Known,
    done: u64,
    zeros: Option<Buf>,
}

#[derive(Debug)]
struct Writing {
    known: Known,
    /// The copy being written; none while what was found is flushed.
    copy: Option<usize>,
    then: Option<usize>,
    flushing: bool,
    id: CommandId,
}

/// Slot and sequence of the last segment.
fn last_segment(known: &Known) -> (u64, u64) {
    known.segments.last().map_or((0, 0), |s| (s.slot, s.header.sequence))
}

impl Opening {
    /// Open the log on a device.
    pub fn open(config: LogConfig, caps: DeviceCaps, pool: Pool, mode: OpenMode) -> Self {
        Self::begin(config, caps, pool, mode, None)
    }

    /// Make a new log on a device.
    pub fn create(config: LogConfig, caps: DeviceCaps, pool: Pool, new: NewLog) -> Self {
        Self::begin(config, caps, pool, OpenMode::default(), Some(new))
    }

    fn begin(
        config: LogConfig,
        caps: DeviceCaps,
        pool: Pool,
        mut mode: OpenMode,
        new: Option<NewLog>,
    ) -> Self {
        mode.read_only |= caps.read_only;
        let mut commands = Commands::default();
        let len = if new.as_ref().is_some_and(|new| !new.overwrite) { EMPTY } else { DATA_START };
        let len = len.min(caps.len) as usize;
        let id = commands.push(Owner::Read(0), Command::Read { offset: 0, len });
        let state = State::Area { id, new };
        Self { config, caps, pool, mode, commands, state, report: Recovery::default() }
    }

    /// The next command for the device.
    pub fn next_command(&mut self) -> Option<(CommandId, Command)> {
        self.commands.next()
    }

    /// The log, once it is open, and what was found.
    pub fn finish(&mut self) -> Option<Result<(Log, Recovery), LogError>> {
        if !matches!(self.state, State::Done(_)) {
            return None;
        }
        let State::Done(result) = std::mem::replace(&mut self.state, State::Taken) else { return None };
        Some(result.map(|known| {
            let Known { superblock, newest, segments, slots, end, prepared, .. } = *known;
            let why = "open it without `mode=ro`, by the one process that may write";
            let read_only = self.mode.read_only.then_some(why);
            let (config, caps, pool) = (self.config.clone(), self.caps.clone(), self.pool.clone());
            let parts =
                Parts { config, caps, pool, superblock, newest, read_only, segments, slots, prepared, end };
            (Log::assemble(parts), self.report.clone())
        }))
    }

    /// Submit, and take what has completed at `now`; until [`finish`](Self::finish) gives something.
    pub fn turn<D: BlockDevice + ?Sized>(&mut self, device: &mut D, now: Instant) {
        let mut done = Vec::new();
        while let Some((id, command)) = self.next_command() {
            device.submit(id, command);
        }
        device.poll(now, &mut done);
        for done in done {
            self.complete(done);
        }
        while let Some((id, command)) = self.next_command() {
            device.submit(id, command);
        }
    }

    /// A command has completed.
    pub fn complete(&mut self, done: Done) {
        let Done { id, result } = done;
        let data = match result {
            Ok(data) => data,
            Err(error) => {
                let what = match &self.state {
                    State::Clearing(_) => "wiping segments that are given up",
                    State::Preparing(_) => "writing the first segment",
                    State::Writing(_) => "writing the superblock",
                    _ => "reading the log",
                };
                self.state = State::Done(Err(LogError::device(what, error)));
                return;
            }
        };
        let state = std::mem::replace(&mut self.state, State::Taken);
        let next = match state {
            State::Area { id: asked, new } if asked == id => self.area(new, &data),
            State::Headers(headers) => self.header(headers, id, &data),
            State::Walk(mut walking) => {
                walking.ahead.complete(id, data);
                self.walk(walking)
            }
            State::Survey(mut surveying) => {
                surveying.ahead.complete(id, data);
                self.survey(surveying)
            }
            State::Clearing(mut clearing) => {
                clearing.asked.retain(|asked| *asked != id);
                Ok(self.clear(clearing))
            }
            State::Preparing(preparing) => Ok(self.prepare(preparing)),
            State::Writing(writing) if writing.id == id => Ok(self.written(writing)),
            other => Ok(other),
        };
        self.state = next.unwrap_or_else(|error| State::Done(Err(error)));
    }

    fn area(&mut self, new: Option<NewLog>, area: &Sga) -> Result<State, LogError> {
        let area = area.to_vec();
        if let Some(new) = new {
            return self.create_on(new, &area);
        }
        let (superblock, newest) = Superblock::find(&area)?;
        let block = superblock.geometry.block();
        if block < self.caps.sector.into() {
            return Err(LogError::Sector { block, sector: self.caps.sector });
        }
        let slots = superblock.geometry.slots_in(self.caps.len);
        let stub = superblock.geometry.slot_offset(slots) + block <= self.caps.len;
        let stubs = slots + u64::from(stub);
        let (asked, found) = (VecDeque::new(), Vec::new());
        self.headers(Headers { superblock, newest, slots, stubs, next: 0, asked, found })
    }

    fn create_on(&mut self, new: NewLog, area: &[u8]) -> Result<State, LogError> {
        if self.mode.read_only {
            return Err(LogError::ReadOnly { why: "a log cannot be created where nothing can be written" });
        }
        if !new.overwrite && area.iter().any(|b| *b != 0) {
            let front = area.get(..DATA_START as usize).unwrap_or(area);
            let is_log = !matches!(Superblock::find(front), Err(FormatError::NotALog));
            return Err(LogError::NotEmpty { what: if is_log { "a log" } else { "something" } });
        }
        let (geometry, len) = (new.geometry, self.caps.max_len);
        if geometry.block() < self.caps.sector.into() {
            return Err(LogError::Sector { block: geometry.block(), sector: self.caps.sector });
        }
        let slots = geometry.slots_in(self.caps.len);
        if geometry.slots_in(len) < 2 || self.caps.len < DATA_START {
            return Err(LogError::TooSmall { len, needed: geometry.slot_offset(2) });
        }
        let superblock = Superblock {
            geometry,
            salt: new.salt,
            generation: 1,
            head: Lsn(0),
            created: new.created,
            tail: Lsn(0),
            epoch: 1,
        };
        let end = End { lsn: Lsn(0), offset: 0, turn: true, time: new.created };
        let (segments, beyond) = (Vec::new(), Vec::new());
        let (newest, told, prepared) = (1, Lsn(0), None);
        let mut known = Known { superblock, newest, segments, slots, end, beyond, told, prepared };
        if !self.caps.slow_when_new || slots == 0 {
            return Ok(self.write(known));
        }
        known.prepared = Some(0);
        Ok(self.prepare(Preparing { known, done: 0, zeros: space::zeros(&self.pool) }))
    }

    /// Later slots are prepared while the one before is filled; nobody has done that for the first.
    fn prepare(&mut self, mut preparing: Preparing) -> State {
        let geometry = preparing.known.superblock.geometry;
        let len = space::PREPARE.min(geometry.segment() - preparing.done);
        let data = preparing.zeros.as_ref().and_then(|zeros| space::repeated(zeros, len as usize));
        let Some(data) = data.filter(|_| len > 0) else { return self.write(preparing.known) };
        let offset = geometry.slot_offset(0) + preparing.done;
        self.commands.push(Owner::Prepare, Command::Write { offset, data, fua: false });
        preparing.done += len;
        State::Preparing(preparing)
    }

    /// Read the first block of every slot.
    fn headers(&mut self, mut headers: Headers) -> Result<State, LogError> {
        let geometry = headers.superblock.geometry;
        while headers.asked.len() < HEADERS && headers.next < headers.stubs {
            let slot = headers.next;
            let read = Command::Read { offset: geometry.slot_offset(slot), len: geometry.block() as usize };
            headers.asked.push_back((self.commands.push(Owner::Read(0), read), slot));
            headers.next += 1;
        }
        if headers.asked.is_empty() { self.indexed(headers) } else { Ok(State::Headers(headers)) }
    }

    fn header(&mut self, mut headers: Headers, id: CommandId, data: &Sga) -> Result<State, LogError> {
        let Some(at) = headers.asked.iter().position(|(asked, _)| *asked == id) else {
            return Ok(State::Headers(headers));
        };
        let slot = headers.asked.remove(at).map_or(0, |(_, slot)| slot);
        if let Some(header) = SegmentHeader::decode(&data.to_vec(), headers.superblock.salt) {
            headers.found.push(Found { slot, header });
        }
        self.headers(headers)
    }

    /// All headers are known: put them in order, and walk the last segment.
    fn indexed(&mut self, headers: Headers) -> Result<State, LogError> {
        let Headers { mut superblock, newest, slots, mut found, .. } = headers;
        let cut = self.mode.cut && !self.mode.read_only;
        let (head, tail) = (superblock.head, superblock.tail);
        let stub = found.iter().position(|s| s.slot >= slots).map(|at| found.swap_remove(at));
        let (segments, hole) = index::until_hole(found, head);
        let newest_sequence = segments.last().map(|s| s.header.sequence);
        let stub = stub.filter(|s| newest_sequence.is_none_or(|last| s.header.sequence > last));
        let mut beyond: Vec<u64> = stub.iter().map(|s| s.slot).collect();
        let told = stub.map_or(Lsn(0), |s| s.header.first);
        let mut behind_hole = Vec::new();
        self.report.head = head;
        self.report.segments = segments.len() as u64;
        let Some(last) = segments.last().copied() else {
            // Nothing was ever appended; or the segments are gone.
            let tail = tail.max(told);
            if tail > head || head > Lsn(0) {
                self.damaged(head, tail, 0)?;
            }
            if cut {
                // What is given up is below the head from now on, or every later opening would miss it again.
                superblock.head = head.max(tail);
                self.report.head = superblock.head;
            }
            let end = End { lsn: head.max(tail), offset: 0, turn: true, time: superblock.created };
            let known =
                Known { superblock, newest, segments: Vec::new(), slots, end, beyond, told, prepared: None };
            return Ok(self.found(known));
        };
        let first = segments[0].header;
        if first.first > head && !(first.continues && first.first.0.saturating_sub(1) == head.0) {
            self.damaged(head, first.first, 0)?;
            if cut {
                superblock.head = first.first;
                self.report.head = first.first;
            }
        }
        if let Some(index::Hole { error: hole, behind }) = hole {
            let FormatError::SegmentMissing { from, .. } = hole else { return Err(hole.into()) };
            beyond.extend(behind.iter().map(|s| s.slot));
            if segments.len() == 1 && last.header.first <= head {
                behind_hole = behind.into_iter().chain(stub).collect();
            }
            self.report.cut = Some(Cut {
                segment: last.header.sequence.saturating_add(1),
                offset: 0,
                lsn: Lsn(from),
                torn: false,
                behind: crate::Survivors::default(),
                missing: Some(hole.clone()),
            });
            if !self.mode.read_only && !self.mode.cut {
                return Err(hole.into());
            }
        }
        let id = (superblock.salt, superblock.epoch);
        let walker = Walker::new(superblock.geometry, id, last.header).keep(false);
        let base = superblock.geometry.slot_offset(last.slot);
        let block = superblock.geometry.block();
        let ahead = ReadAhead::new(Owner::Read(0), base, block, block, self.config.read_ahead);
        let end = End { lsn: walker.next_lsn(), offset: block, turn: false, time: last.header.time };
        let segments = segments.iter().map(|s| Segment::new(s.slot, s.header)).collect();
        let known = Known { superblock, newest, segments, slots, end, beyond, told, prepared: None };
        self.walk(Box::new(Walking { known, walker, ahead, input: Sga::new(), behind: behind_hole }))
    }

    fn walk(&mut self, mut walking: Box<Walking>) -> Result<State, LogError> {
        let segment = walking.known.superblock.geometry.segment();
        loop {
            let Walking { known, walker, ahead, input, .. } = &mut *walking;
            let offset = walker.offset();
            match walker.next(input) {
                Step::Record { header, .. } => {
                    known.end.time = known.end.time.max(header.time);
                    if let (0, Some(last)) = (header.fragment, known.segments.last_mut()) {
                        last.mark(header.lsn, offset);
                    }
                }
                Step::Need => {
                    if !ahead.take(input) {
                        ahead.ask(segment, &mut self.commands);
                        if ahead.is_idle() && ahead.asked() >= segment {
                            return Err(LogError::device("reading the log", short()));
                        }
                        return Ok(State::Walk(walking));
                    }
                    ahead.ask(segment, &mut self.commands);
                }
                Step::Jump => {
                    let geometry = known.superblock.geometry;
                    let base = geometry.slot_offset(last_segment(known).0);
                    let (owner, most) = (Owner::Read(0), self.config.read_ahead);
                    *ahead = ReadAhead::new(owner, base, walker.at(), geometry.block(), most);
                    *input = Sga::new();
                }
                Step::End(ending) => return self.walked(*walking, ending),
            }
        }
    }

    /// The end is found: look at what lies behind it.
    fn walked(&mut self, walking: Walking, ending: Ending) -> Result<State, LogError> {
        let Walking { mut known, walker, behind, .. } = walking;
        if !behind.is_empty() && walker.next_lsn() <= known.superblock.head {
            // What truncation left of a segment below the head: the one that the head is in is lost, and not those behind it.
            let Known { superblock, newest, slots, .. } = known;
            self.report = Recovery::default();
            let asked = VecDeque::new();
            let headers =
                Headers { superblock, newest, slots, stubs: slots, next: slots, asked, found: behind };
            return self.indexed(headers);
        }
        let geometry = known.superblock.geometry;
        // A unit that lacks its last fragment is cut as a whole, and what comes next begins a new segment: its first part may
        // share a block with records that were acknowledged.
        let turn = ending == Ending::Full || walker.is_mid_unit();
        known.end = End { lsn: walker.next_lsn(), offset: walker.offset(), turn, time: known.end.time };
        self.report.walked = walker.offset();
        let last = last_segment(&known);
        if ending == Ending::Torn && self.report.cut.is_none() {
            self.report.cut = Some(Cut {
                segment: last.1,
                offset: walker.offset(),
                lsn: walker.next_lsn(),
                torn: true,
                behind: crate::Survivors::default(),
                missing: None,
            });
        }
        let block = geometry.block();
        let from = walker.offset() / block * block;
        // What the end was found at may be one damaged unit as large as any, and acknowledged ones lie behind it.
        let unit = self.config.unit_limit as u64;
        let until = geometry.segment().min((from + SURVEY).saturating_add(unit) / block * block);
        let base = geometry.slot_offset(last.0);
        let ahead = ReadAhead::new(Owner::Read(0), base, from, block, self.config.read_ahead);
        self.survey(Box::new(Surveying { known, walker, ahead, until, data: Vec::new() }))
    }

    fn survey(&mut self, mut surveying: Box<Surveying>) -> Result<State, LogError> {
        let Surveying { ahead, until, data, .. } = &mut *surveying;
        loop {
            ahead.ask(*until, &mut self.commands);
            if ahead.is_idle() {
                break;
            }
            let mut chunk = Sga::new();
            if !ahead.take(&mut chunk) {
                return Ok(State::Survey(surveying));
            }
            chunk.iter().for_each(|part| data.extend_from_slice(part));
        }
        let Surveying { mut known, walker, data, .. } = *surveying;
        let behind = walker.survivors(&data);
        if self.caps.append_only {
            // Whatever it is, it takes space that the segment cannot be filled with.
            let block = known.superblock.geometry.block();
            let from = (walker.offset() % block) as usize;
            known.end.turn |= data.iter().skip(from).any(|byte| *byte != 0);
        }
        if behind.records > 0 || self.report.cut.is_some() {
            let cut = self.report.cut.get_or_insert(Cut {
                segment: known.segments.last().map_or(0, |s| s.header.sequence),
                offset: walker.offset(),
                lsn: walker.next_lsn(),
                torn: false,
                behind,
                missing: None,
            });
            cut.behind = behind;
        }
        let acknowledged = behind.durable.max(known.superblock.tail).max(known.told);
        if acknowledged > known.end.lsn {
            self.damaged(known.end.lsn, acknowledged, behind.records)?;
        }
        Ok(self.found(known))
    }

    /// Records that were acknowledged are missing: refuse to write here, unless told to go on.
    fn damaged(&self, from: Lsn, acknowledged: Lsn, whole_behind: u64) -> Result<(), LogError> {
        if self.mode.read_only || self.mode.cut {
            return Ok(());
        }
        Err(LogError::Damaged { from, acknowledged, whole_behind })
    }

    /// All is known: take possession by a new epoch.
    fn found(&mut self, mut known: Known) -> State {
        // The head never lies behind the end, also where records were lost. What comes next does not follow the last record then.
        if known.end.lsn < known.superblock.head {
            (known.end.lsn, known.end.turn) = (known.superblock.head, true);
        }
        self.report.tail = known.end.lsn;
        if self.mode.read_only {
            return State::Done(Ok(Box::new(known)));
        }
        known.superblock.epoch = known.superblock.epoch.saturating_add(1);
        known.superblock.generation = known.superblock.generation.saturating_add(1);
        known.superblock.tail = known.end.lsn;
        self.clear(Clearing { known, asked: Vec::new() })
    }

    /// Wipe the headers that are given up, and then write the superblock. A crash in between leaves a log that ends early, which
    /// is refused, as it was before.
    fn clear(&mut self, mut clearing: Clearing) -> State {
        let geometry = clearing.known.superblock.geometry;
        while clearing.asked.len() < HEADERS
            && let Some(slot) = clearing.known.beyond.pop()
        {
            let data = Sga::from(Buf::from(vec![0; geometry.block() as usize]));
            let write = Command::Write { offset: geometry.slot_offset(slot), data, fua: false };
            clearing.asked.push(self.commands.push(Owner::Superblock, write));
        }
        if clearing.asked.is_empty() { self.write(clearing.known) } else { State::Clearing(clearing) }
    }

    /// Write both copies of the superblock, the one that does not count first.
    fn write(&mut self, known: Known) -> State {
        let (copy, then) = (1 - known.newest, Some(known.newest));
        if self.caps.volatile_cache {
            // What was found may be in the device's cache only, if the process died and the machine did not.
            let id = self.commands.push(Owner::Superblock, Command::Flush);
            return State::Writing(Writing { known, copy: None, then: Some(copy), flushing: true, id });
        }
        let id = self.write_copy(&known.superblock, copy);
        State::Writing(Writing { known, copy: Some(copy), then, flushing: false, id })
    }

    fn write_copy(&mut self, superblock: &Superblock, copy: usize) -> CommandId {
        let offset = copy as u64 * superblock.geometry.block();
        let write = Command::Write { offset, data: block_of(superblock), fua: self.caps.fua };
        self.commands.push(Owner::Superblock, write)
    }

    fn written(&mut self, mut writing: Writing) -> State {
        if !writing.flushing && self.caps.volatile_cache && !self.caps.fua {
            writing.flushing = true;
            writing.id = self.commands.push(Owner::Superblock, Command::Flush);
            return State::Writing(writing);
        }
        let Some(then) = writing.then.take() else { return State::Done(Ok(Box::new(writing.known))) };
        match writing.copy {
            None => writing.then = Some(1 - then),
            Some(copy) => writing.known.newest = copy,
        }
        (writing.copy, writing.flushing) = (Some(then), false);
        writing.id = self.write_copy(&writing.known.superblock, then);
        State::Writing(writing)
    }
}
