//! [`Recorder`]: what the device was asked for, command by command, and what a power cut may leave of it.
//!
//! It believes nothing but the commands' bytes and their completions: a write is durable when it completed with FUA, or when a flush that was
//! submitted after its completion has completed.

use std::cell::{Cell, RefCell};

use hemi_log_mem::MemZone;
use hemi_log_nvme::{Opcode, Passthrough, Tap, Ticket};

/// How the namespace is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Bytes of a block.
    pub(crate) block: usize,
    /// Blocks from zone to zone, how many zones, and bytes that each holds; nothing where there are none.
    pub(crate) zones: Option<(u64, usize, usize)>,
}

/// The commands since the recorder began.
pub(crate) struct Recorder {
    layout: Layout,
    commands: RefCell<Vec<Recorded>>,
    /// Flushes in flight: which commands had completed when each was asked for.
    flushes: RefCell<Vec<(Ticket, Vec<Ticket>)>>,
    next: Cell<Ticket>,
    /// Counts what happened.
    pub(crate) events: Cell<u64>,
}

#[derive(Clone)]
struct Recorded {
    ticket: Ticket,
    command: Passthrough,
    data: Vec<u8>,
    /// Completed, and where: an append's block.
    at: Option<u64>,
    durable: bool,
}

impl Recorder {
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            layout,
            commands: RefCell::default(),
            flushes: RefCell::default(),
            next: Cell::new(0),
            events: Cell::new(0),
        }
    }

    /// Nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.flushes.borrow().is_empty() && self.commands.borrow().iter().all(|c| c.at.is_some())
    }

    /// A namespace of blocks as a power cut now may leave it; `lucky` says which blocks survive that nothing had made durable.
    pub(crate) fn cut(&self, len: usize, mut lucky: impl FnMut() -> bool) -> Vec<u8> {
        let mut image = vec![0; len];
        for write in self.commands.borrow().iter().filter(|c| c.command.is(Opcode::Write)) {
            for (n, block) in write.data.chunks(self.layout.block).enumerate() {
                if write.durable || lucky() {
                    let at = (write.command.lba() as usize + n) * self.layout.block;
                    image[at..at + block.len()].copy_from_slice(block);
                }
            }
        }
        image
    }

    /// The zones as a power cut now may leave them; `lucky` says what survives of appends that nothing had made durable, and which
    /// resets and finishes have happened that have not completed.
    pub(crate) fn cut_zones(&self, mut lucky: impl FnMut() -> bool) -> Vec<MemZone> {
        let (size, count, capacity) = self.layout.zones.expect("zones");
        let block = self.layout.block;
        let commands = self.commands.borrow();
        let mut cut_zone = |zone: usize| {
            let first = zone as u64 * size;
            let mine = || commands.iter().filter(move |c| c.command.lba() == first);
            // All that is in the zone or on its way, and no more than it holds. An append may be further behind than what we know of: a
            // device that lies about a reset gets it before the zone was empty.
            let appends = || mine().filter(|c| c.command.is(Opcode::ZoneAppend));
            let ends = appends().filter_map(|c| Some((c.at? - first) as usize * block + c.data.len()));
            let known = mine().map(|c| c.data.len()).sum::<usize>();
            let most = known.max(ends.max().unwrap_or(0)).min(capacity);
            let mut bytes = vec![0; most];
            let mut taken = vec![false; most / block];
            let (mut pointer, mut finished) = (0, false);
            let mut unplaced = Vec::new();
            for c in appends() {
                let Some(at) = c.at else {
                    unplaced.push(c);
                    continue;
                };
                let at = (at - first) as usize;
                for (n, data) in c.data.chunks(block).enumerate() {
                    taken[at + n] = true;
                    if c.durable || lucky() {
                        bytes[(at + n) * block..][..block].copy_from_slice(data);
                        pointer = pointer.max((at + n + 1) * block);
                    }
                }
            }
            // What has not completed may lie in any hole that it fits into, or behind everything.
            let behind = taken.iter().rposition(|taken| *taken).map_or(0, |last| last + 1);
            for c in unplaced.into_iter().filter(|_| lucky()) {
                let blocks = c.data.len() / block;
                let fits = |at: &usize| !taken[*at..*at + blocks].iter().any(|taken| *taken);
                let Some(at) = (0..=behind.min(taken.len() - blocks)).find(fits) else { continue };
                taken[at..at + blocks].fill(true);
                bytes[at * block..][..c.data.len()].copy_from_slice(&c.data);
                pointer = pointer.max(at * block + c.data.len());
            }
            for c in mine().filter(|c| c.command.is(Opcode::ZoneManagementSend)) {
                let happened = c.at.is_some() || lucky();
                if c.command.is_reset() && happened {
                    bytes.fill(0); // of what came before it: what comes behind waits for it
                    pointer = 0;
                } else {
                    finished |= happened;
                }
            }
            bytes.truncate(pointer);
            MemZone::new(bytes, finished)
        };
        (0..count).map(&mut cut_zone).collect()
    }
}

impl Tap for Recorder {
    fn submitted(&self, command: &Passthrough, data: &[u8]) -> Ticket {
        self.events.set(self.events.get() + 1);
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        let mut commands = self.commands.borrow_mut();
        if command.is(Opcode::Flush) {
            let covered = commands.iter().filter(|c| c.at.is_some()).map(|c| c.ticket).collect();
            self.flushes.borrow_mut().push((ticket, covered));
        } else if !command.is(Opcode::Read) {
            let (command, data) = (*command, data.to_vec());
            commands.push(Recorded { ticket, command, data, at: None, durable: false });
        }
        ticket
    }

    fn completed(&self, ticket: Ticket, result: i32, value: u64) {
        self.events.set(self.events.get() + 1);
        assert_eq!(result, 0, "the guest's device does not fail");
        let mut commands = self.commands.borrow_mut();
        if let Some(at) = commands.iter().position(|c| c.ticket == ticket) {
            let command = commands[at].command;
            if command.is_reset() {
                // Nothing of the zone from before is there any more.
                commands.retain(|c| c.command.lba() != command.lba() || c.ticket > ticket);
                return;
            }
            commands[at].at = Some(value);
            commands[at].durable |= command.fua();
        }
        let mut flushes = self.flushes.borrow_mut();
        if let Some(at) = flushes.iter().position(|(t, _)| *t == ticket) {
            let (_, covered) = flushes.remove(at);
            commands.iter_mut().filter(|c| covered.contains(&c.ticket)).for_each(|c| c.durable = true);
        }
    }
}
