//! [`Zoned`]: a device of zones as the block device that a log lies on.
//!
//! A zone is written at its write pointer only, and emptied as a whole. A log is almost made for that; this is the rest of
//! the way:
//!
//! | of the log | in zones |
//! |---|---|
//! | segment slot n | zone n + 2; a segment is as large as a zone's capacity |
//! | a batch | one zone append, or several; the completion tells where it lies (`map.rs`) |
//! | the superblock's copies | appended to zones 0 and 1 in turn (`area.rs`) |
//! | giving a slot back | zone reset |
//! | turning to the next segment | zone finish of the one before |
//! | recovery | a zone's records sorted by LSN, cut at the first gap (`scan.rs`) |
//!
//! Several appends are in flight at a time, and the device places them in any order. That order is found again because each
//! of them begins with a record, and records carry their LSN. What does not (the later parts of a batch too large for one append) is
//! appended alone, right behind what it belongs to; and so is a segment's header, which is always the first block of its zone.
//!
//! Below a zone's write pointer may lie what is no part of the log any more: a torn append, an orphan behind a gap. Its space is lost
//! until the zone is reset, so after such a recovery the log begins a new segment ([`DeviceCaps::append_only`]).
//!
//! It leaves out conventional zones, and zones of which some hold more than others: drivers give the least.

mod area;
mod device;
mod lane;
mod map;
mod scan;
mod seen;

use std::io;

use hemi_queue::{Buf, Progress, Sga, Wakeup, program::Payload as _, time::Instant};
use slab::Slab;

pub use device::{ZoneCaps, ZoneCommand, ZoneDevice, ZoneDone};

use crate::{
    BlockDevice, Command, CommandId, DATA_START, DeviceCaps, Done, RecordHeader, SegmentHeader, Superblock,
    record::RECORD_HEADER,
};
use lane::{Lane, Todo, Work};
use map::{Map, Place};
use scan::Scan;
use seen::Seen;

/// A segment is a multiple of the largest block.
const LARGEST_BLOCK: u64 = 32 << 10;
/// Superblocks are read in pieces of this.
const CHUNK: u64 = 64 << 10;

/// A device of zones as a [`BlockDevice`].
///
/// # How it is driven
/// As any block device. A log on it has segments of [`segment`](Self::segment) bytes.
#[derive(Debug)]
pub struct Zoned<D> {
    device: D,
    caps: ZoneCaps,
    segment: u64,
    zones: Vec<Zone>,
    /// By zone; both zones of superblocks share the first.
    lanes: Vec<Lane>,
    superblock: Option<Superblock>,
    /// Which of the two zones takes superblocks.
    current: u32,
    area: Option<ReadingArea>,
    ops: Slab<Op>,
    writes: Slab<Writing>,
    reads: Slab<Reading>,
    seen: Seen,
    done: Vec<Done>,
    answers: Vec<ZoneDone>,
}

#[derive(Debug, Default)]
struct Zone {
    /// Below the write pointer, as far as completions told.
    written: u64,
    /// The same, with all that is on its way.
    planned: u64,
    map: Map,
    /// The byte of the segment where the next record begins: behind everything that was submitted.
    boundary: u64,
    /// What was found here when the device was opened is not all mapped.
    unknown: Unknown,
    /// Reads that wait for the map.
    waiting: Vec<(CommandId, u64, usize)>,
}

#[derive(Debug, Default)]
enum Unknown {
    /// All is mapped.
    #[default]
    Nothing,
    /// Nobody has asked.
    Everything,
    /// The segment's header is being read.
    Header,
    Scanning(Box<Scan>),
}

/// What a command in flight was for.
#[derive(Debug)]
enum Op {
    Append {
        zone: u32,
        write: usize,
        logical: u64,
        len: u64,
    },
    Reset {
        zone: u32,
        tell: Option<CommandId>,
    },
    Finish {
        zone: u32,
    },
    Read {
        read: usize,
        part: usize,
    },
    /// Of the map's making.
    Scan {
        zone: u32,
    },
    Area,
    Flush(CommandId),
}

/// A write of the log's.
#[derive(Debug)]
struct Writing {
    id: CommandId,
    left: usize,
    failed: Option<io::Error>,
}

/// A read of the log's: its parts, in order.
#[derive(Debug)]
struct Reading {
    id: CommandId,
    parts: Vec<Sga>,
    left: usize,
    failed: Option<io::Error>,
}

/// The superblocks are being read.
#[derive(Debug)]
struct ReadingArea {
    id: CommandId,
    len: usize,
    zone: u32,
    at: u64,
    found: area::Found,
}

static ZEROS: [u8; 4096] = [0; 4096];
static GARBAGE: [u8; 4096] = [0xff; 4096];

fn fill(with: &'static [u8], mut len: u64) -> Sga {
    let mut unit = Sga::new();
    while len > 0 {
        let n = len.min(with.len() as u64);
        unit.push(Buf::from_static(&with[..n as usize]));
        len -= n;
    }
    unit
}

/// The fewest zones that a log can lie on: those of superblocks, and two segments.
pub const LEAST_ZONES: u32 = area::ZONES + 2;

impl<D: ZoneDevice> Zoned<D> {
    /// The log's view of `device`.
    pub fn new(device: D) -> Self {
        let caps = device.caps();
        let most = (1 << 32) - LARGEST_BLOCK;
        let segment = caps.capacity.min(most) / LARGEST_BLOCK * LARGEST_BLOCK;
        let zone = |n| {
            let written = device.written(n);
            let unknown = if written > 0 { Unknown::Everything } else { Unknown::Nothing };
            Zone { written, planned: written, unknown, ..Zone::default() }
        };
        let zones: Vec<_> = (0..caps.zones).map(zone).collect();
        let lanes = zones.iter().map(|_| Lane::default()).collect();
        Self {
            device,
            caps,
            segment,
            zones,
            lanes,
            superblock: None,
            current: 0,
            area: None,
            ops: Slab::new(),
            writes: Slab::new(),
            reads: Slab::new(),
            seen: Seen::default(),
            done: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Bytes of a segment: what a zone holds.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// The device below.
    pub fn device(&self) -> &D {
        &self.device
    }

    fn slots(&self) -> u64 {
        u64::from(self.caps.zones.saturating_sub(area::ZONES))
    }

    /// Zone and byte of an offset behind the superblocks.
    fn place(&self, offset: u64) -> (u32, u64) {
        let data = offset - DATA_START;
        ((data / self.segment) as u32 + area::ZONES, data % self.segment)
    }

    fn block(&self) -> u64 {
        self.superblock.as_ref().map_or(u64::from(self.caps.sector), |s| s.geometry.block())
    }

    #[cold]
    fn fail(&mut self, id: CommandId, why: String) {
        self.done.push(Done { id, result: Err(io::Error::other(why)) });
    }

    fn command(&mut self, op: Op, command: ZoneCommand) {
        let key = self.ops.insert(op);
        self.device.submit(CommandId(key as u64), command);
    }

    fn lane(&mut self, zone: u32) -> &mut Lane {
        &mut self.lanes[if zone < area::ZONES { 0 } else { zone as usize }]
    }

    /// Begin what may begin on a zone.
    fn pump(&mut self, zone: u32) {
        while let Some(Todo { zone, work, .. }) = self.lane(zone).begin() {
            match work {
                Work::Append { write, logical, data, fua } => {
                    let op = Op::Append { zone, write, logical, len: data.len() as u64 };
                    self.command(op, ZoneCommand::Append { zone, data, fua });
                }
                Work::Reset { tell } => self.command(Op::Reset { zone, tell }, ZoneCommand::Reset { zone }),
                Work::Finish => self.command(Op::Finish { zone }, ZoneCommand::Finish { zone }),
            }
        }
    }

    // ---- writing ----

    fn write(&mut self, id: CommandId, offset: u64, data: Sga, fua: bool) {
        if offset < DATA_START {
            return self.write_superblock(id, data, fua);
        }
        // The log is open: whatever it walks from now on was not scanned just before.
        self.seen.forget();
        let (zone, logical) = self.place(offset);
        let len = data.len() as u64;
        let z = &self.zones[zone as usize];
        let room = if logical == 0 { self.segment } else { self.caps.capacity.saturating_sub(z.planned) };
        if len > room {
            let why = format!("{len} bytes for zone {zone}, which has room for {room}");
            return self.fail(id, why);
        }
        if logical == 0 {
            let mut first = [0; 80];
            data.copy_to(&mut first);
            self.open_zone(zone);
            if first.iter().all(|b| *b == 0) && len <= self.block() {
                // A header that is given up: an empty zone reads as zeros.
                return self.finish_empty(id, zone);
            }
        }
        let block = self.block();
        let z = &mut self.zones[zone as usize];
        let (begins, ends) =
            (logical == z.boundary && logical > 0, advance(&mut z.boundary, logical, &data, block));
        z.planned += len;
        let write = self.writes.insert(Writing { id, left: 0, failed: None });
        let alone = !begins || !ends || len > self.caps.append.into();
        self.append(zone, write, logical, data, fua, alone);
    }

    /// A new segment begins in this zone. Those that are written in part are finished.
    fn open_zone(&mut self, zone: u32) {
        for other in area::ZONES..self.caps.zones {
            let z = &mut self.zones[other as usize];
            if other != zone && z.planned > 0 && z.planned < self.caps.capacity {
                z.planned = self.caps.capacity;
                self.lane(other).push(other, Work::Finish, true);
                self.pump(other);
            }
        }
        self.reset(zone, None);
    }

    fn reset(&mut self, zone: u32, tell: Option<CommandId>) {
        self.seen.forget();
        let z = &mut self.zones[zone as usize];
        let used = z.planned > 0;
        z.map.clear();
        (z.planned, z.boundary, z.unknown) = (0, 0, Unknown::Nothing);
        if used {
            self.lane(zone).push(zone, Work::Reset { tell }, true);
            self.pump(zone);
        } else if let Some(id) = tell {
            self.done.push(Done { id, result: Ok(Sga::new()) });
        }
    }

    /// Complete when the zone is empty.
    fn finish_empty(&mut self, id: CommandId, zone: u32) {
        // Behind the reset that may be in flight; another one does no harm.
        self.lane(zone).push(zone, Work::Reset { tell: Some(id) }, true);
        self.pump(zone);
    }

    /// Cut a write into appends. Where there are several, each is right behind the one before: alone.
    fn append(&mut self, zone: u32, write: usize, mut logical: u64, mut data: Sga, fua: bool, alone: bool) {
        while !data.is_empty() {
            let piece = data.split_to((self.caps.append as usize).min(data.len()));
            let len = piece.len() as u64;
            self.writes[write].left += 1;
            self.lane(zone).push(zone, Work::Append { write, logical, data: piece, fua }, alone);
            logical += len;
        }
        self.pump(zone);
    }

    fn write_superblock(&mut self, id: CommandId, data: Sga, fua: bool) {
        let mut first = [0; 80];
        data.copy_to(&mut first);
        let Ok(superblock) = Superblock::decode(&first) else {
            return self.fail(id, "only superblocks are written in front of the segments".into());
        };
        if superblock.geometry.segment() != self.segment {
            let (log, zone) = (superblock.geometry.segment(), self.segment);
            return self.fail(id, format!("segments of {log} bytes, and zones of {zone}"));
        }
        let known = self.superblock.as_ref();
        // The two copies have one generation.
        let follows =
            |known: &Superblock| known.salt == superblock.salt && known.generation <= superblock.generation;
        if !known.is_some_and(follows) {
            // Another log begins: nothing of what was here may pass for its superblock.
            (0..area::ZONES).for_each(|zone| self.reset(zone, None));
            self.current = 0;
        }
        let (len, limit) = (data.len() as u64, area::LIMIT.min(self.caps.capacity));
        if self.zones[self.current as usize].planned + len > limit {
            let full = self.current;
            self.current = 1 - full;
            self.reset(self.current, None);
            if self.zones[full as usize].planned < self.caps.capacity {
                self.zones[full as usize].planned = self.caps.capacity;
                self.lane(full).push(full, Work::Finish, true);
            }
        }
        let zone = self.current;
        self.zones[zone as usize].planned += len;
        self.superblock = Some(superblock);
        let write = self.writes.insert(Writing { id, left: 0, failed: None });
        self.append(zone, write, 0, data, fua, true);
    }

    fn appended(&mut self, zone: u32, write: usize, (logical, len): (u64, u64), result: io::Result<u64>) {
        match result {
            Ok(at) => {
                let z = &mut self.zones[zone as usize];
                z.written = z.written.max(at + len);
                if zone >= area::ZONES {
                    z.map.insert(logical, Place::At(at), len);
                }
                if zone >= area::ZONES && (logical == 0) != (at == 0) {
                    let why = format!("zone {zone} is written by somebody else, too");
                    self.writes[write].failed.get_or_insert(io::Error::other(why));
                }
            }
            Err(error) => {
                self.writes[write].failed.get_or_insert(error);
            }
        }
        self.writes[write].left -= 1;
        if self.writes[write].left == 0 {
            let Writing { id, failed, .. } = self.writes.remove(write);
            self.done.push(Done { id, result: failed.map_or_else(|| Ok(Sga::new()), Err) });
        }
    }

    // ---- reading ----

    fn read(&mut self, id: CommandId, offset: u64, len: usize) {
        if offset < DATA_START {
            let found = area::Found::default();
            self.area = Some(ReadingArea { id, len, zone: 0, at: 0, found });
            return self.read_area();
        }
        let (zone, from) = self.place(offset);
        if u64::from(zone) >= self.slots() + u64::from(area::ZONES) {
            self.done.push(Done { id, result: Ok(Sga::new()) });
            return;
        }
        let len = len.min((self.segment - from) as usize);
        let block = self.block();
        let z = &mut self.zones[zone as usize];
        let known = match &z.unknown {
            Unknown::Nothing => true,
            Unknown::Scanning(scan) => from + len as u64 <= scan.mapped(),
            Unknown::Everything | Unknown::Header => false,
        };
        if known {
            return self.serve(id, zone, from, len);
        }
        if from + len as u64 <= block {
            // A segment's header lies where it seems to, whatever lies behind it.
            let read = self.reads.insert(Reading { id, parts: vec![Sga::new()], left: 1, failed: None });
            return self.command(Op::Read { read, part: 0 }, ZoneCommand::Read { zone, offset: from, len });
        }
        z.waiting.push((id, from, len));
        if matches!(z.unknown, Unknown::Everything) {
            z.unknown = Unknown::Header;
            self.command(Op::Scan { zone }, ZoneCommand::Read { zone, offset: 0, len: block as usize });
        }
    }

    fn serve(&mut self, id: CommandId, zone: u32, from: u64, len: usize) {
        let read = self.reads.insert(Reading { id, parts: Vec::new(), left: 0, failed: None });
        let (mut at, end) = (from, from + len as u64);
        while at < end {
            let (place, len) = self.zones[zone as usize].map.find(at, end - at);
            let part = self.reads[read].parts.len();
            let seen = match place {
                Place::At(offset) => self.seen.find(zone, offset, len),
                Place::Nothing | Place::Garbage => None,
            };
            if let Some(seen) = seen {
                at += seen.len() as u64;
                self.reads[read].parts.push(seen);
                continue;
            }
            let known = match place {
                Place::Nothing => fill(&ZEROS, len),
                Place::Garbage => fill(&GARBAGE, len),
                Place::At(offset) => {
                    self.reads[read].left += 1;
                    let command = ZoneCommand::Read { zone, offset, len: len as usize };
                    self.command(Op::Read { read, part }, command);
                    Sga::new()
                }
            };
            self.reads[read].parts.push(known);
            at += len;
        }
        self.read_done(read);
    }

    fn read_done(&mut self, read: usize) {
        if self.reads[read].left == 0 {
            let Reading { id, parts, failed, .. } = self.reads.remove(read);
            let mut all = Sga::new();
            for part in parts {
                all.append(part);
            }
            self.done.push(Done { id, result: failed.map_or_else(|| Ok(all), Err) });
        }
    }

    /// A part of a zone was read, to find out what is where.
    fn scanned(&mut self, zone: u32, result: io::Result<Sga>) {
        let z = &mut self.zones[zone as usize];
        let data = match result {
            Ok(data) => data,
            Err(error) => return self.scan_failed(zone, &error),
        };
        let scan = match std::mem::take(&mut z.unknown) {
            Unknown::Scanning(mut scan) => {
                if let Some((at, _)) = scan.wants() {
                    self.seen.add(zone, at, &data, z.written);
                }
                if let Err(error) = scan.feed(data, &mut z.map) {
                    z.unknown = Unknown::Scanning(scan);
                    return self.scan_failed(zone, &error);
                }
                scan
            }
            Unknown::Header => {
                let superblock = self.superblock.as_ref();
                let begun =
                    superblock.and_then(|s| Some((s, SegmentHeader::decode(&data.to_vec(), s.salt)?)));
                let Some((superblock, header)) = begun else {
                    return self.serve_waiting(zone); // nothing of this log: zeros
                };
                z.map.insert(0, Place::At(0), superblock.geometry.block());
                let id = (superblock.salt, superblock.epoch);
                let mut scan = Box::new(Scan::new(superblock.geometry, id, header, z.written));
                if scan.wants().is_none()
                    && let Err(error) = scan.feed(Sga::new(), &mut z.map)
                {
                    z.unknown = Unknown::Scanning(scan);
                    return self.scan_failed(zone, &error);
                }
                scan
            }
            other => {
                z.unknown = other; // the zone was reset meanwhile
                return self.serve_waiting(zone);
            }
        };
        if let Some((offset, len)) = scan.wants() {
            z.unknown = Unknown::Scanning(scan);
            self.command(Op::Scan { zone }, ZoneCommand::Read { zone, offset, len });
        } else {
            z.boundary = scan.resumes_at();
        }
        self.serve_waiting(zone);
    }

    /// What is where was not found out; the next read tries again.
    fn scan_failed(&mut self, zone: u32, error: &io::Error) {
        let z = &mut self.zones[zone as usize];
        if !matches!(z.unknown, Unknown::Header | Unknown::Scanning(_)) {
            return self.serve_waiting(zone); // the zone was reset meanwhile
        }
        z.unknown = Unknown::Everything;
        z.map.clear();
        let (kind, why) = (error.kind(), error.to_string());
        for (id, ..) in std::mem::take(&mut z.waiting) {
            self.done.push(Done { id, result: Err(io::Error::new(kind, why.clone())) });
        }
    }

    fn serve_waiting(&mut self, zone: u32) {
        for (id, from, len) in std::mem::take(&mut self.zones[zone as usize].waiting) {
            let offset = DATA_START + u64::from(zone - area::ZONES) * self.segment + from;
            self.read(id, offset, len);
        }
    }

    /// Read the next piece of the superblocks' zones, or say what was found.
    fn read_area(&mut self) {
        let Some(reading) = &mut self.area else { return };
        while reading.zone < area::ZONES {
            let written = self.zones.get(reading.zone as usize).map_or(0, |zone| zone.written);
            let end = written.min(area::LIMIT);
            if reading.at < end {
                let (zone, offset) = (reading.zone, reading.at);
                let len = CHUNK.min(end - offset) as usize;
                reading.at += len as u64;
                return self.command(Op::Area, ZoneCommand::Read { zone, offset, len });
            }
            (reading.zone, reading.at) = (reading.zone + 1, 0);
        }
        let Some(ReadingArea { id, len, found, .. }) = self.area.take() else { return };
        if let Some(superblock) = found.superblock() {
            if superblock.geometry.segment() != self.segment {
                let (log, zone) = (superblock.geometry.segment(), self.segment);
                let why = format!(
                    "the log has segments of {log} bytes, and the device zones of {zone}: it is another device's"
                );
                return self.fail(id, why);
            }
            self.superblock = Some(superblock.clone());
            self.current = found.zone;
        }
        let mut image = found.image();
        image.truncate(len);
        self.done.push(Done { id, result: Ok(image.into()) });
    }

    fn area_done(&mut self, result: io::Result<Sga>) {
        let Some(reading) = &mut self.area else { return };
        match result {
            Ok(data) => {
                reading.found.look(reading.zone, &data, self.caps.sector as usize);
                self.read_area();
            }
            Err(error) => {
                let id = reading.id;
                self.area = None;
                self.done.push(Done { id, result: Err(error) });
            }
        }
    }

    fn complete(&mut self, ZoneDone { id, result }: ZoneDone) {
        let Some(op) = self.ops.try_remove(id.0 as usize) else { return };
        match op {
            Op::Append { zone, write, logical, len } => {
                self.lane(zone).end();
                self.appended(zone, write, (logical, len), result.map(|(_, at)| at));
                self.pump(zone);
            }
            Op::Reset { zone, tell } => {
                self.lane(zone).end();
                if result.is_ok() {
                    self.zones[zone as usize].written = 0;
                }
                if let Some(id) = tell {
                    self.done.push(Done { id, result: result.map(|_| Sga::new()) });
                }
                // Where it failed, the append behind it will tell.
                self.pump(zone);
            }
            Op::Finish { zone } => {
                // A device that does not finish it keeps it open: that costs a place, and no data.
                self.lane(zone).end();
                self.pump(zone);
            }
            Op::Read { read, part } => {
                let reading = &mut self.reads[read];
                match result {
                    Ok((data, _)) => reading.parts[part] = data,
                    Err(error) => {
                        reading.failed.get_or_insert(error);
                    }
                }
                reading.left -= 1;
                self.read_done(read);
            }
            Op::Scan { zone } => self.scanned(zone, result.map(|(data, _)| data)),
            Op::Area => self.area_done(result.map(|(data, _)| data)),
            Op::Flush(id) => self.done.push(Done { id, result: result.map(|_| Sga::new()) }),
        }
    }
}

/// Move `boundary` over the records of `data`, which belongs at `logical` of its segment. True: it ends where a record ends.
fn advance(boundary: &mut u64, logical: u64, data: &Sga, block: u64) -> bool {
    let end = logical + data.len() as u64;
    // The segment's header has a block for itself.
    let mut at = if logical == 0 { block } else { (*boundary).max(logical) };
    while at < end {
        let tail = (at + 1).next_multiple_of(block) - at;
        if tail < RECORD_HEADER as u64 {
            at += tail;
            continue;
        }
        let mut bytes = [0; RECORD_HEADER];
        let whole = data.read_at((at - logical) as usize, &mut bytes);
        let Some(header) = RecordHeader::peek(&bytes).filter(|_| whole) else {
            at = end;
            break;
        };
        at += header.footprint() as u64;
    }
    *boundary = at;
    at == end
}

impl<D: ZoneDevice> BlockDevice for Zoned<D> {
    fn caps(&self) -> DeviceCaps {
        let len = DATA_START + self.slots() * self.segment;
        DeviceCaps {
            len,
            max_len: len,
            sector: self.caps.sector,
            fua: self.caps.fua,
            volatile_cache: self.caps.volatile_cache,
            discard: !self.caps.read_only,
            slow_when_new: false,
            append_only: true,
            gather: usize::MAX,
            read_only: self.caps.read_only,
        }
    }

    fn submit(&mut self, id: CommandId, command: Command) {
        match command {
            Command::Write { offset, data, fua } => self.write(id, offset, data, fua),
            Command::Read { offset, len } => self.read(id, offset, len),
            Command::Flush => self.command(Op::Flush(id), ZoneCommand::Flush),
            Command::Extend { .. } => self.fail(id, "zones do not grow".into()),
            Command::Discard { offset, .. } => {
                let (zone, _) = self.place(offset);
                self.reset(zone, Some(id));
            }
        }
    }

    fn poll(&mut self, now: Instant, done: &mut Vec<Done>) -> Progress {
        let mut answers = std::mem::take(&mut self.answers);
        self.device.poll(now, &mut answers);
        for answer in answers.drain(..) {
            self.complete(answer);
        }
        self.answers = answers;
        if self.done.is_empty() {
            return Progress::Idle;
        }
        done.append(&mut self.done);
        Progress::Busy
    }

    fn deadline(&self) -> Option<Instant> {
        if self.done.is_empty() { self.device.deadline() } else { Some(Instant::ZERO) }
    }

    fn wakeup(&self) -> Wakeup {
        self.device.wakeup()
    }

    fn describe(&self) -> String {
        format!("{}, {} zones of {} bytes", self.device.describe(), self.caps.zones, self.caps.capacity)
    }
}
