//! Commands that wait to be submitted, and whose completions are whose.

use std::collections::VecDeque;

use crate::{Command, CommandId};

/// Who is told of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Write,
    Flush,
    Superblock,
    Extend,
    /// Zeros, in a slot that will be needed.
    Prepare,
    /// Of a slot.
    Discard(u32),
    /// Of a cursor, by its index; while opening, of the walk.
    Read(u32),
}

const OWNER: u32 = 56;
const INDEX: u32 = 32;

/// What is to be submitted next.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    queue: VecDeque<(CommandId, Command)>,
    serial: u32,
}

impl Commands {
    pub(crate) fn push(&mut self, owner: Owner, command: Command) -> CommandId {
        let (kind, index) = match owner {
            Owner::Write => (0, 0),
            Owner::Flush => (1, 0),
            Owner::Superblock => (2, 0),
            Owner::Extend => (3, 0),
            Owner::Discard(slot) => (4, slot),
            Owner::Read(cursor) => (5, cursor),
            Owner::Prepare => (6, 0),
        };
        self.serial = self.serial.wrapping_add(1);
        // 24 bits of index: neither slots nor cursors come to so many.
        let index = u64::from(index & 0x00ff_ffff);
        let id = CommandId(kind << OWNER | index << INDEX | u64::from(self.serial));
        self.queue.push_back((id, command));
        id
    }

    pub(crate) fn next(&mut self) -> Option<(CommandId, Command)> {
        self.queue.pop_front()
    }
}

impl Owner {
    pub(crate) fn of(id: CommandId) -> Option<Self> {
        let index = (id.0 >> INDEX) as u32 & 0x00ff_ffff;
        Some(match id.0 >> OWNER {
            0 => Self::Write,
            1 => Self::Flush,
            2 => Self::Superblock,
            3 => Self::Extend,
            4 => Self::Discard(index),
            5 => Self::Read(index),
            6 => Self::Prepare,
            _ => return None,
        })
    }
}
