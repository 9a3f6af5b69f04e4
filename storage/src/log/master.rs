//! The superblock's two copies, written one after the other.
//!
//! ```text
//!   idle ─► the older copy written ─► flushed: counts ─► the newer copy written ─► flushed ─► idle
//! ```
//! The copy that counts is never the one being written, so a torn write loses nothing. A new head counts when the first of the
//! two is durable; only then is space given back.

use std::io;

use hemi_queue::{Buf, Sga};

use super::{Log, command::Owner};
use crate::{Command, CommandId, Lsn, Superblock};

#[derive(Debug)]
pub(super) struct Master {
    current: Superblock,
    /// Which copy is the newest.
    newest: usize,
    wanted_head: Lsn,
    wants_tail: bool,
    task: Option<Task>,
}

#[derive(Debug)]
struct Task {
    block: Superblock,
    /// Copies to be written after this one.
    then: Option<usize>,
    copy: usize,
    /// It is written, and being flushed.
    flushing: bool,
    id: CommandId,
}

impl Master {
    pub(super) fn new(current: Superblock, newest: usize) -> Self {
        let wanted_head = current.head;
        Self { current, newest, wanted_head, wants_tail: false, task: None }
    }

    pub(super) fn current(&self) -> &Superblock {
        &self.current
    }

    /// What the log's records are told by.
    pub(super) fn id(&self) -> (u64, u32) {
        (self.current.salt, self.current.epoch)
    }

    pub(super) fn head(&self) -> Lsn {
        self.current.head
    }

    pub(super) fn tail(&self) -> Lsn {
        self.current.tail
    }

    pub(super) fn is_idle(&self) -> bool {
        self.task.is_none()
    }

    pub(super) fn want_head(&mut self, to: Lsn) -> Lsn {
        self.wanted_head = self.wanted_head.max(to);
        self.wanted_head
    }

    pub(super) fn want_tail(&mut self) {
        self.wants_tail = true;
    }
}

/// The bytes of a superblock's whole block.
pub(super) fn block_of(superblock: &Superblock) -> Sga {
    let mut block = superblock.encode().to_vec();
    block.resize(superblock.geometry.block() as usize, 0);
    Sga::from(Buf::from(block))
}

impl Log {
    pub(super) fn pump_master(&mut self) {
        let closing = self.closing && self.durable == self.end() && self.master.tail() != self.durable;
        let master = &mut self.master;
        let wanted = master.wanted_head > master.current.head || master.wants_tail || closing;
        if master.task.is_some() || !wanted {
            return;
        }
        let mut block = master.current.clone();
        block.generation = block.generation.saturating_add(1);
        block.head = master.wanted_head;
        block.tail = self.durable;
        master.wants_tail = false;
        let copy = 1 - master.newest;
        let then = Some(master.newest);
        let id = self.write_copy(&block, copy);
        self.master.task = Some(Task { block, then, copy, flushing: false, id });
    }

    fn write_copy(&mut self, block: &Superblock, copy: usize) -> CommandId {
        let offset = copy as u64 * self.geometry.block();
        let write = Command::Write { offset, data: block_of(block), fua: self.caps.fua };
        self.commands.push(Owner::Superblock, write)
    }

    pub(super) fn master_done(&mut self, id: CommandId, result: io::Result<()>) {
        let Some(mut task) = self.master.task.take_if(|task| task.id == id) else { return };
        if let Err(e) = result {
            return self.poison_with("a write of the superblock", e);
        }
        if self.poison.is_some() {
            return;
        }
        if !task.flushing && self.caps.volatile_cache && !self.caps.fua {
            task.flushing = true;
            task.id = self.commands.push(Owner::Superblock, Command::Flush);
            self.master.task = Some(task);
            return;
        }
        // This copy is durable.
        if let Some(then) = task.then.take() {
            self.master.newest = task.copy;
            self.master.current = task.block.clone();
            self.release(task.block.head);
            task.copy = then;
            task.flushing = false;
            task.id = self.write_copy(&task.block, then);
            self.master.task = Some(task);
        }
    }
}
