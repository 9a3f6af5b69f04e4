//! [`Log`]: the log engine, a state machine that does no I/O.
//!
//! ```text
//!   push ─► pending ─► laid out (Appender) ─► writes in flight ─► written ─► flushed or FUA ─► durable
//!            │ waits for the write before it,   │ up to `writes`,           └ in order of LSN, whatever
//!            │ or for a full batch              │ any order                   order completions come in
//!            └ or for a segment: the one before must be durable
//! ```
//!
//! | what | where |
//! |---|---|
//! | opening, creating, recovery | `opening.rs` |
//! | batches, writes, flushes, what is durable | `commit.rs` |
//! | segments: taking, growing, giving back | `space.rs` |
//! | the superblock's two copies | `master.rs` |
//! | readers | `cursor.rs`, `ahead.rs`, `recent.rs` |
//!
//! It leaves out clocks (times are passed in), waiting (callers look at [`Log::durable`] and are told which cursors to look
//! at), and threads.

pub(crate) mod ahead;
pub(crate) mod command;
mod commit;
mod config;
mod cursor;
mod master;
mod opening;
mod recent;
mod space;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use hemi_queue::{Buf, Pool, Progress, Sga, time::Instant};
use slab::Slab;

pub use config::{Cut, LogConfig, NewLog, OpenMode, Recovery};
pub use cursor::{CursorId, Popped, Record};
pub use opening::Opening;

use crate::{
    Appender, BlockDevice, Command, CommandId, DeviceCaps, Done, Geometry, LogError, Lsn, SegmentHeader,
    Superblock,
};
use command::{Commands, Owner};
use commit::Write;
use cursor::Cursor;
use master::Master;
use recent::Recent;
use space::Space;

/// A segment of the log, and places in it where records are known to begin.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) slot: u64,
    pub(crate) header: SegmentHeader,
    /// In order, about one per [`MARK`] bytes.
    pub(crate) marks: Vec<(Lsn, u64)>,
}

/// Bytes between marks.
const MARK: u64 = 1 << 20;

impl Segment {
    pub(crate) fn new(slot: u64, header: SegmentHeader) -> Self {
        Self { slot, header, marks: Vec::new() }
    }

    fn mark(&mut self, lsn: Lsn, offset: u64) {
        if self.marks.last().is_none_or(|(_, last)| offset >= last + MARK) {
            self.marks.push((lsn, offset));
        }
    }
}

/// A log on a [`BlockDevice`](crate::BlockDevice), sans-IO.
///
/// # How it is driven
/// Made by [`Opening`]. Any number of calls ([`push`](Self::push), [`pop`](Self::pop), [`truncate_head`](Self::truncate_head), ...);
/// then, once per turn, [`pump`](Self::pump) and submit what [`next_command`](Self::next_command) gives. Hand completions to
/// [`complete`](Self::complete), and pump again. A push of LSN n is durable when [`durable`](Self::durable) is above n, and
/// written when [`written`](Self::written) is; [`poison`](Self::poison) says that neither will move any more.
#[derive(Debug)]
pub struct Log {
    config: LogConfig,
    caps: DeviceCaps,
    geometry: Geometry,
    /// Buffers that batches are gathered in. Its own, so that what waits to be pushed cannot hold them.
    pool: Pool,
    commands: Commands,
    space: Space,
    master: Master,
    appender: Appender,
    /// The current segment is full: the next is begun when all is durable.
    turning: bool,
    next_sequence: u64,
    /// The header of the last segment is not durable: the one before it is all that a crash would find.
    header_at_risk: bool,
    /// What was durable when the last segment was begun, until the superblock is asked to tell of more.
    turned_at: Option<Lsn>,
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    /// The LSN of the next push.
    next: Lsn,
    last_time: u64,
    writes: VecDeque<Write>,
    /// Writes that have not completed.
    flying: usize,
    write_serial: u64,
    /// Everything laid out below it is sealed.
    sealed: Lsn,
    /// The unit that is laid out in part wants to be durable.
    unit_durable: bool,
    /// Of what is laid out and not sealed, something wants to be durable.
    batch_wanted: bool,
    written: Lsn,
    durable: Lsn,
    /// The end of what is written of the last segment.
    written_offset: u64,
    /// Above the last push that wants to be durable.
    wanted: Lsn,
    flush_wanted: Lsn,
    flush: Option<commit::Flush>,
    visible: Lsn,
    starved: bool,
    poison: Option<LogError>,
    read_only: Option<&'static str>,
    closing: bool,
    /// What was made durable in the current segment: batches, and their bytes.
    commits: (u64, u64),
    /// To prepare space with.
    zeros: Option<Buf>,
    cursors: Slab<Cursor>,
    recent: Recent,
    /// Cursors that wait for the next unit.
    tailing: Vec<CursorId>,
    woken: Vec<CursorId>,
    stats: Stats,
}

/// A unit that is not laid out.
#[derive(Debug)]
struct Pending {
    unit: Sga,
    time: u64,
    durable: bool,
}

/// What a log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Units accepted.
    pub pushed: u64,
    /// Writes submitted: of batches, not of the superblock.
    pub writes: u64,
    /// Those that were to be durable by themselves.
    pub fua: u64,
    /// Bytes of them.
    pub written_bytes: u64,
    /// Flushes submitted for batches.
    pub flushes: u64,
    /// Payload bytes that were copied into a batch's buffer.
    pub copied_bytes: u64,
}

impl Log {
    /// Append one unit at `time` (nanoseconds since the Unix epoch; never goes back). Its LSN is the push's name: `durable`
    /// pushes are complete when [`durable`](Self::durable) is above it, others when [`written`](Self::written) is. Nothing is written
    /// before the next [`pump`](Self::pump), so that pushes of one turn share a write.
    ///
    /// # Errors
    /// The unit comes back: [`LogError::Busy`], [`LogError::UnitTooLarge`], [`LogError::Poisoned`], [`LogError::ReadOnly`],
    /// [`LogError::Closed`], [`LogError::Full`] where [`LogConfig::fail_when_full`] says so.
    #[inline]
    pub fn push(&mut self, unit: Sga, time: u64, durable: bool) -> Result<Lsn, (LogError, Sga)> {
        let mut unit = Some(unit);
        self.push_from(&mut unit, time, durable).map_err(|error| (error, unit.unwrap_or_default()))
    }

    /// The same out of `unit`, where it stays when it is refused; nothing there is an empty unit.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    #[inline]
    pub fn push_from(&mut self, unit: &mut Option<Sga>, time: u64, durable: bool) -> Result<Lsn, LogError> {
        let len = unit.as_ref().map_or(0, Sga::len);
        if let Some(error) = self.refusal(len) {
            return Err(error);
        }
        let unit = unit.take().unwrap_or_default();
        let lsn = self.next;
        self.next = lsn.next();
        self.last_time = self.last_time.max(time);
        if durable {
            self.wanted = self.next;
        }
        if !self.cursors.is_empty() {
            self.recent.push(lsn, self.last_time, &unit);
        }
        self.pending_bytes += len;
        self.pending.push_back(Pending { unit, time: self.last_time, durable });
        self.stats.pushed += 1;
        Ok(lsn)
    }

    #[inline]
    fn refusal(&self, len: usize) -> Option<LogError> {
        let idle = self.poison.is_none() && self.read_only.is_none() && !self.closing;
        let fits = len <= self.config.unit_limit && self.pending_bytes < 2 * self.config.pending_limit;
        if idle && fits && !self.space.full { None } else { self.refusal_slow(len) }
    }

    #[cold]
    fn refusal_slow(&self, len: usize) -> Option<LogError> {
        let limit = (self.config.unit_limit as u64).min(self.space.capacity(self.geometry));
        if let Some(poison) = &self.poison {
            return Some(poison.clone());
        }
        if let Some(why) = self.read_only {
            return Some(LogError::ReadOnly { why });
        }
        if self.closing {
            return Some(LogError::Closed);
        }
        if len as u64 > limit {
            return Some(LogError::UnitTooLarge { got: len as u64, limit });
        }
        if self.refuses_for_space() {
            return Some(self.full());
        }
        let busy = self.pending_bytes >= 2 * self.config.pending_limit;
        busy.then_some(LogError::Busy { waiting: self.pending_bytes })
    }

    /// Whether a push is taken now, and would not be over the limit of what may wait.
    #[inline]
    pub fn takes_more(&self) -> bool {
        self.poison.is_none() && !self.closing && self.has_room()
    }

    /// Whether a push would not be over the limit of what may wait, and the log is not full.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.pending_bytes < self.config.pending_limit && !self.space.full
    }

    /// Whether pushes are refused because there is no space, rather than made to wait for it.
    pub fn refuses_for_space(&self) -> bool {
        self.space.full && (self.config.fail_when_full || self.space.growth_failed.is_some())
    }

    /// Why all segments are in use, when a unit waits for one.
    pub fn full(&self) -> LogError {
        LogError::Full {
            segments: self.space.slots(),
            segment: self.geometry.segment(),
            cause: self.space.growth_failed.clone(),
        }
    }

    /// Whether a unit waits for space: only a truncation, or a device that grows, helps.
    pub fn is_full(&self) -> bool {
        self.space.full
    }

    /// Make everything pushed so far durable: when [`durable`](Self::durable) has reached what this returns.
    pub fn flush(&mut self) -> Lsn {
        self.flush_wanted = self.next;
        self.next
    }

    /// Drop records below `to`, and give their space back once the new head is durable: when [`head`](Self::head) has
    /// reached what this returns, which is no more than what is durable.
    ///
    /// # Errors
    /// [`LogError::Poisoned`], [`LogError::ReadOnly`], [`LogError::Closed`].
    pub fn truncate_head(&mut self, to: Lsn) -> Result<Lsn, LogError> {
        if let Some(error) = self
            .refusal(0)
            .filter(|e| self.poison.is_some() || matches!(e, LogError::ReadOnly { .. } | LogError::Closed))
        {
            return Err(error);
        }
        let to = to.min(self.durable);
        Ok(self.master.want_head(to))
    }

    /// Close: pushes are refused from now on, what was accepted is made durable, and the superblock tells where the log ends.
    /// What waits for space in a full log is given up then: [`poison`](Self::poison) says [`LogError::Full`].
    pub fn close(&mut self) {
        if !self.closing {
            self.closing = true;
            self.flush();
        }
    }

    /// Whether a [`close`](Self::close) is complete, or nothing can complete it any more.
    pub fn is_closed(&self) -> bool {
        let done = self.durable == self.next && self.master.is_idle() && self.master.tail() == self.durable;
        // What is in flight holds the device's lock.
        let done = done && self.space.is_idle();
        self.closing && (self.poison.is_some() || self.read_only.is_some() || done)
    }

    /// The first record: what is below was truncated.
    pub fn head(&self) -> Lsn {
        self.master.head()
    }

    /// The LSN of the next push.
    pub fn tail(&self) -> Lsn {
        self.next
    }

    /// Records below it are durable.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Records below it are written: readable, and lost only with the device's cache.
    pub fn written(&self) -> Lsn {
        self.written
    }

    /// Records below it can be popped: they are as safe as their pushers asked for.
    pub fn visible(&self) -> Lsn {
        self.visible
    }

    /// The failed write or flush after which nothing is acknowledged any more; or that the log was full when it was closed.
    pub fn poison(&self) -> Option<&LogError> {
        self.poison.as_ref()
    }

    /// Why nothing can be pushed, if that is so.
    pub fn read_only(&self) -> Option<&'static str> {
        self.read_only
    }

    /// A batch waits for buffers: pump again when some may have come back.
    pub fn is_starved(&self) -> bool {
        self.starved
    }

    /// What it has done.
    pub fn stats(&self) -> Stats {
        Stats { copied_bytes: self.appender.copied(), ..self.stats }
    }

    /// Its sizes.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// What the superblock says.
    pub fn superblock(&self) -> &Superblock {
        self.master.current()
    }

    /// Segments that hold records, and how many there are in all.
    pub fn segments(&self) -> (u64, u64) {
        (self.space.segments.len() as u64, self.space.slots())
    }

    /// Begin what can be begun. Once per turn, after pushes and completions.
    #[inline]
    pub fn pump(&mut self) {
        if self.poison.is_none() && self.read_only.is_none() {
            self.lay_out();
            self.flush_if_needed();
            self.grow_ahead();
            self.prepare_ahead();
            self.pump_master();
            self.give_up_if_full();
        }
    }

    /// What is waited for before a close is complete: all that was pushed, or what of it there is space for.
    fn end(&self) -> Lsn {
        let stuck = self.closing && self.space.full && self.master.is_idle();
        if stuck && !self.appender.is_mid_unit() { self.appender.next_lsn() } else { self.next }
    }

    /// A full log is being closed, and nobody can truncate it any more: what has no space is not waited for.
    #[inline]
    fn give_up_if_full(&mut self) {
        if self.closing && self.space.full {
            let end = self.end();
            let complete = end == self.durable && self.master.is_idle() && self.master.tail() == end;
            if complete && end < self.next {
                self.pending.clear();
                self.pending_bytes = 0;
                self.poison = Some(self.full());
                self.wake_tailing();
            }
        }
    }

    /// The next command for the device.
    #[inline]
    pub fn next_command(&mut self) -> Option<(CommandId, Command)> {
        self.commands.next()
    }

    /// All of the above in one: pump, submit, and take what has completed at `now`, by way of `done`, which is emptied.
    pub fn turn<D: BlockDevice + ?Sized>(
        &mut self,
        device: &mut D,
        now: Instant,
        done: &mut Vec<Done>,
    ) -> Progress {
        self.pump_into(device);
        let progress = device.poll(now, done);
        if !done.is_empty() {
            for done in done.drain(..) {
                self.complete(done);
            }
            self.pump_into(device);
        }
        progress
    }

    #[inline]
    fn pump_into<D: BlockDevice + ?Sized>(&mut self, device: &mut D) {
        self.pump();
        while let Some((id, command)) = self.next_command() {
            device.submit(id, command);
        }
    }

    /// A command has completed.
    pub fn complete(&mut self, done: Done) {
        let Done { id, result } = done;
        match Owner::of(id) {
            Some(Owner::Write) => self.write_done(id, result.map(drop)),
            Some(Owner::Flush) => self.flush_done(id, result.map(drop)),
            Some(Owner::Superblock) => self.master_done(id, result.map(drop)),
            Some(Owner::Extend) => self.extend_done(result.map(drop)),
            Some(Owner::Discard(slot)) => self.space.give_back(slot.into(), self.caps.slow_when_new),
            // Zeros that did not arrive are not missed: the space is used as it is.
            Some(Owner::Prepare) => self.prepare_more(),
            Some(Owner::Read(cursor)) => self.read_done(CursorId(cursor), id, result),
            None => {}
        }
    }

    /// Nothing is acknowledged any more.
    #[cold]
    fn poison_with(&mut self, what: &'static str, error: std::io::Error) {
        if self.poison.is_none() {
            let error = LogError::Poisoned { what, source: Arc::new(error), durable: self.durable };
            self.poison = Some(error);
            self.wake_tailing();
        }
    }

    /// The cursors to look at: they waited, and something has changed for them.
    pub fn woken(&mut self) -> std::vec::Drain<'_, CursorId> {
        self.woken.drain(..)
    }

    /// What a log is made of, when it is opened.
    fn assemble(parts: Parts) -> Self {
        let Parts { config, caps, pool, superblock, newest, read_only, segments, slots, prepared, end } =
            parts;
        let geometry = superblock.geometry;
        let last = segments.last().map(|s| s.header);
        let header = last.unwrap_or(SegmentHeader {
            sequence: 0,
            first: end.lsn,
            continues: false,
            epoch: superblock.epoch,
            time: 0,
        });
        let id = (superblock.salt, superblock.epoch);
        let mut appender = Appender::resume(geometry, id, header, end.offset, end.lsn);
        appender.gather_from(caps.gather);
        let written_offset = appender.offset().min(end.offset.next_multiple_of(geometry.block()));
        let used: BTreeSet<u64> = segments.iter().map(|s| s.slot).collect();
        let free = (0..slots).filter(|s| !used.contains(s)).collect();
        let space = Space::new(segments, free, prepared, &caps, geometry);
        let recent = Recent::new(config.recent);
        Self {
            config,
            geometry,
            pool,
            commands: Commands::default(),
            space,
            master: Master::new(superblock, newest),
            appender,
            turning: end.turn,
            next_sequence: last.map_or(0, |s| s.sequence.saturating_add(1)),
            header_at_risk: false,
            // Nothing is in the segment that was found: its loss would not be seen.
            turned_at: last.filter(|s| s.first >= end.lsn).map(|_| end.lsn),
            pending: VecDeque::new(),
            pending_bytes: 0,
            next: end.lsn,
            last_time: end.time,
            writes: VecDeque::new(),
            flying: 0,
            write_serial: 0,
            sealed: end.lsn,
            unit_durable: false,
            batch_wanted: false,
            written: end.lsn,
            durable: end.lsn,
            written_offset,
            wanted: end.lsn,
            flush_wanted: end.lsn,
            flush: None,
            visible: end.lsn,
            starved: false,
            poison: None,
            read_only,
            closing: false,
            commits: (0, 0),
            zeros: None,
            cursors: Slab::new(),
            recent,
            tailing: Vec::new(),
            woken: Vec::new(),
            stats: Stats::default(),
            caps,
        }
    }
}

/// What opening found.
struct Parts {
    config: LogConfig,
    caps: DeviceCaps,
    pool: Pool,
    superblock: Superblock,
    /// Which copy of the superblock is the newest.
    newest: usize,
    read_only: Option<&'static str>,
    segments: Vec<Segment>,
    slots: u64,
    /// The slot that was filled with zeros.
    prepared: Option<u64>,
    end: End,
}

/// Where a log ends.
#[derive(Clone, Copy, Debug)]
struct End {
    lsn: Lsn,
    /// In the last segment.
    offset: u64,
    /// What comes next begins a new segment.
    turn: bool,
    /// Of the last record.
    time: u64,
}
