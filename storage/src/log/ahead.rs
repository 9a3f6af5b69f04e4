//! [`ReadAhead`]: a stretch of a segment, read in chunks before it is needed.

use std::{collections::VecDeque, io};

use hemi_queue::Sga;

use super::command::{Commands, Owner};
use crate::{Command, CommandId};

/// Bytes per read.
pub(crate) const CHUNK: u64 = 64 << 10;

/// Reads forward from one offset of a segment.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    owner: Owner,
    /// Where the segment lies on the device.
    base: u64,
    /// The next byte to ask for, from the segment's first.
    asked: u64,
    /// Bytes at the front of the first chunk that lie before the offset.
    skip: usize,
    chunks: VecDeque<Chunk>,
    /// How many chunks to have in flight; doubles while reading goes on.
    window: usize,
    most: usize,
}

#[derive(Debug)]
enum Chunk {
    Asked(CommandId),
    Here(Sga),
}

impl ReadAhead {
    /// From `offset` of the segment at `base`; reads begin at a multiple of `block`.
    pub(crate) fn new(owner: Owner, base: u64, offset: u64, block: u64, most: usize) -> Self {
        let asked = offset / block * block;
        let skip = (offset - asked) as usize;
        Self { owner, base, asked, skip, chunks: VecDeque::new(), window: 1, most: most.max(1) }
    }

    /// Ask for what the window has room for, up to `end` of the segment.
    pub(crate) fn ask(&mut self, end: u64, commands: &mut Commands) {
        while self.chunks.len() < self.window && self.asked < end {
            // To the next multiple, so that later reads are whole chunks.
            let len = ((self.asked / CHUNK + 1) * CHUNK).min(end) - self.asked;
            let read = Command::Read { offset: self.base + self.asked, len: len as usize };
            self.chunks.push_back(Chunk::Asked(commands.push(self.owner, read)));
            self.asked += len;
        }
    }

    /// A read has completed. False: it was not one of these.
    pub(crate) fn complete(&mut self, id: CommandId, data: Sga) -> bool {
        for chunk in &mut self.chunks {
            if matches!(chunk, Chunk::Asked(asked) if *asked == id) {
                *chunk = Chunk::Here(data);
                return true;
            }
        }
        false
    }

    pub(crate) fn owns(&self, id: CommandId) -> bool {
        self.chunks.iter().any(|c| matches!(c, Chunk::Asked(asked) if *asked == id))
    }

    /// Add the next chunk to `input`, if it is here.
    pub(crate) fn take(&mut self, input: &mut Sga) -> bool {
        if !matches!(self.chunks.front(), Some(Chunk::Here(_))) {
            return false;
        }
        let Some(Chunk::Here(mut data)) = self.chunks.pop_front() else { return false };
        data.advance(std::mem::take(&mut self.skip));
        self.window = (self.window * 2).min(self.most);
        input.append(data);
        true
    }

    /// Whether nothing is asked for or waits to be taken.
    pub(crate) fn is_idle(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Everything up to here was asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }
}

/// A read that ended early: the device is shorter than it said.
pub(crate) fn short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the device ended inside a segment")
}
