//! [`Queue`]: NVMe commands in flight, and the memory that they use.
//!
//! One operation of the log's is one command or several: a device limits how much a command moves, and a command's data lies in one
//! piece of memory. It completes with the last of them.

use std::{fmt, io, mem, os::fd::AsRawFd, path::Path, rc::Rc};

use hemi_park::Park;
use hemi_queue::{Buf, BufMut, Error, Pool, Result, Sga};
use hemi_storage::CommandId;
use io_uring::{opcode, types};
use slab::Slab;
use smallvec::{SmallVec, smallvec};

use crate::{
    Access, Identity, Opcode, Passthrough, Tap, Ticket,
    command::{Range, ZoneAction},
    ring::Ring,
    status,
    target::Target,
};

/// `NVME_URING_CMD_IO`.
const URING_CMD_IO: u32 = 0xc048_4e80;
/// Lower half of a completion's name: the operation.
const KEY: u64 = u32::MAX as u64;

/// A namespace, and what is asked of it.
pub(crate) struct Queue {
    ring: Ring,
    pub(crate) target: Target,
    pub(crate) pool: Pool,
    ops: Slab<Op>,
    done: Vec<Finished>,
    tap: Option<Rc<dyn Tap>>,
}

/// A completed operation.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) id: CommandId,
    /// What was read, and the device's value: of an append, the block it lies at.
    pub(crate) result: io::Result<(Sga, u64)>,
}

struct Op {
    id: CommandId,
    /// Commands that have not completed.
    left: usize,
    failed: Option<io::Error>,
    value: u64,
    memory: Memory,
    /// Of each command, where somebody listens.
    tickets: Vec<Ticket>,
}

/// Keeps what the device reads and writes.
enum Memory {
    Nothing,
    Unit(#[allow(dead_code)] Sga), // held, not looked at
    Pooled(BufMut, usize),
    Own(Vec<u8>, usize),
    Range(#[allow(dead_code)] Box<Range>), // held, not looked at
}

/// A piece of memory for one or more commands.
#[derive(Clone, Copy)]
struct Piece {
    at: *mut u8,
    len: usize,
}

type Pieces = SmallVec<[Piece; 8]>;

impl Queue {
    pub(crate) fn open(path: &Path, access: Access, pool: &Pool, park: &Rc<Park>) -> Result<Self> {
        let target = Target::open(path, access)?;
        let mut ring = Ring::new(park).map_err(|e| Error::io("make the io_uring of", path.display(), e))?;
        ring.register(pool);
        Ok(Self { ring, target, pool: pool.clone(), ops: Slab::new(), done: Vec::new(), tap: None })
    }

    pub(crate) fn register(&mut self, pool: &Pool) {
        self.ring.register(pool);
    }

    pub(crate) fn set_tap(&mut self, tap: Rc<dyn Tap>) {
        self.tap = Some(tap);
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.target.identity
    }

    pub(crate) fn describe(&self) -> String {
        let Target { path, identity, .. } = &self.target;
        let regions = self.ring.buffers.count();
        format!(
            "{} ({}), NVMe passthrough, blocks of {} bytes, {regions} regions registered",
            path.display(),
            identity.model,
            identity.block
        )
    }

    /// Whether commands wait for the next [`poll`](Self::poll) to be told to the kernel, or answers to be taken.
    pub(crate) fn is_pending(&self) -> bool {
        self.ring.is_pending() || !self.done.is_empty()
    }

    /// Tell the kernel of what is queued; what has completed.
    pub(crate) fn poll(&mut self) -> std::vec::Drain<'_, Finished> {
        if self.ring.in_flight() > 0 {
            self.ring.turn();
            while let Some((name, result, value)) = self.ring.next() {
                self.complete(name, result, value);
            }
        }
        self.done.drain(..)
    }

    /// The operation ends before it has begun.
    #[cold]
    pub(crate) fn fail(&mut self, id: CommandId, error: io::Error) {
        self.done.push(Finished { id, result: Err(error) });
    }

    fn lba(&self, offset: u64) -> u64 {
        offset / u64::from(self.target.identity.block)
    }

    /// Write `data` at `offset`.
    pub(crate) fn write(&mut self, id: CommandId, offset: u64, data: Sga, fua: bool) {
        let (pieces, memory) = self.pieces(data);
        self.transfer(id, Opcode::Write, offset, &pieces, memory, fua);
    }

    /// Append `data`, no more than one command may move, to the zone that begins at `zone`.
    pub(crate) fn append(&mut self, id: CommandId, zone: u64, data: Sga, fua: bool) {
        let (mut pieces, mut memory) = self.pieces(data);
        if let (2.., Memory::Unit(data)) = (pieces.len(), &memory) {
            // One command, so one piece.
            let (piece, own) = owned(data);
            (pieces, memory) = (smallvec![piece], own);
        }
        self.transfer(id, Opcode::ZoneAppend, zone, &pieces, memory, fua);
    }

    /// Read `len` bytes at `offset`, a multiple of the block. False: there is no buffer; try again later.
    pub(crate) fn read(&mut self, id: CommandId, offset: u64, len: usize) -> bool {
        let block = self.target.identity.block as usize;
        let end = self.target.identity.len();
        let wanted = len.min(usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX));
        if wanted == 0 {
            self.done.push(Finished { id, result: Ok((Sga::new(), 0)) });
            return true;
        }
        let asked = wanted.next_multiple_of(block);
        let Ok(mut buffer) = self.pool.try_alloc(asked.min(self.pool.largest())) else { return false };
        let (at, memory) = if buffer.capacity() >= asked {
            (buffer.as_mut_ptr(), Memory::Pooled(buffer, wanted))
        } else {
            let mut own = vec![0; asked];
            (own.as_mut_ptr(), Memory::Own(own, wanted))
        };
        self.transfer(id, Opcode::Read, offset, &[Piece { at, len: asked }], memory, false);
        true
    }

    pub(crate) fn flush(&mut self, id: CommandId) {
        let command = Passthrough::flush(self.target.nsid);
        self.single(id, command, Memory::Nothing, None);
    }

    /// Blocks that are not needed any more.
    pub(crate) fn deallocate(&mut self, id: CommandId, offset: u64, len: u64) {
        let (first, blocks) = (self.lba(offset), self.lba(len));
        let Ok(blocks) = u32::try_from(blocks) else {
            self.done.push(Finished { id, result: Ok((Sga::new(), 0)) }); // advice: a smaller one may be taken
            return;
        };
        let mut range = Box::new(Range { attributes: 0, blocks, first });
        let piece = Piece { at: (&raw mut *range).cast(), len: size_of::<Range>() };
        self.single(id, Passthrough::deallocate(self.target.nsid), Memory::Range(range), Some(piece));
    }

    /// Change the state of the zone that begins at `zone`.
    pub(crate) fn zone(&mut self, id: CommandId, zone: u64, action: ZoneAction) {
        let command = Passthrough::zone(self.target.nsid, self.lba(zone), action);
        self.single(id, command, Memory::Nothing, None);
    }

    /// Where the data is, in pieces of whole blocks; copied where it is not in whole blocks.
    fn pieces(&self, data: Sga) -> (Pieces, Memory) {
        let mut pieces = Pieces::new();
        for part in data.iter().filter(|part: &&Buf| !part.is_empty()) {
            match pieces.last_mut() {
                // Neighbours in memory: a batch is frozen in several parts of one buffer.
                Some(last) if last.at.wrapping_add(last.len).addr() == part.as_ptr().addr() => {
                    last.len += part.len();
                }
                _ => pieces.push(Piece { at: part.as_ptr().cast_mut(), len: part.len() }),
            }
        }
        let block = self.target.identity.block as usize;
        if pieces.iter().all(|piece| piece.len.is_multiple_of(block)) {
            return (pieces, Memory::Unit(data));
        }
        let (piece, memory) = owned(&data);
        (smallvec![piece], memory)
    }

    /// One operation: reads or writes of whole blocks, as many commands as the device's limit asks for.
    fn transfer(
        &mut self,
        id: CommandId,
        opcode: Opcode,
        offset: u64,
        pieces: &[Piece],
        memory: Memory,
        fua: bool,
    ) {
        let (nsid, block) = (self.target.nsid, self.target.identity.block as usize);
        let most = self.target.identity.transfer as usize;
        let key = self.ops.insert(Op {
            id,
            left: pieces.iter().map(|piece| piece.len.div_ceil(most)).sum(),
            failed: None,
            value: 0,
            memory,
            tickets: Vec::new(),
        });
        let mut lba = self.lba(offset);
        let mut sub = 0;
        for piece in pieces {
            let mut taken = 0;
            while taken < piece.len {
                let len = most.min(piece.len - taken);
                let command = Passthrough::transfer(opcode, nsid, lba, (len / block) as u32, fua);
                self.start(key, sub, command, Some(Piece { at: piece.at.wrapping_add(taken), len }));
                (taken, lba, sub) = (taken + len, lba + (len / block) as u64, sub + 1);
            }
        }
    }

    /// One operation, one command.
    fn single(&mut self, id: CommandId, command: Passthrough, memory: Memory, piece: Option<Piece>) {
        let op = Op { id, left: 1, failed: None, value: 0, memory, tickets: Vec::new() };
        let key = self.ops.insert(op);
        self.start(key, 0, command, piece);
    }

    fn start(&mut self, key: usize, sub: usize, mut command: Passthrough, piece: Option<Piece>) {
        let mut registered = None;
        if let Some(Piece { at, len }) = piece {
            command.addr = at.expose_provenance() as u64;
            command.data_len = len as u32;
            registered = self.ring.registered(at.addr(), len);
        }
        if let Some(tap) = &self.tap {
            let outwards = !command.is(Opcode::Read);
            let data = match piece.filter(|_| outwards) {
                // SAFETY: the operation holds this memory, and nobody writes to it.
                Some(Piece { at, len }) => unsafe { std::slice::from_raw_parts(at, len) },
                None => &[],
            };
            let ticket = tap.submitted(&command, data);
            if let Some(op) = self.ops.get_mut(key) {
                op.tickets.push(ticket);
            }
        }
        let entry = opcode::UringCmd80::new(types::Fd(self.target.file.as_raw_fd()), URING_CMD_IO)
            .cmd(command.to_entry())
            .buf_index(registered)
            .build()
            .user_data(key as u64 | (sub as u64) << 32);
        // SAFETY: the descriptor belongs to this queue, which waits for its commands when it is dropped; the memory is held by the
        // operation until its last completion.
        unsafe { self.ring.push(entry) };
    }

    fn complete(&mut self, name: u64, result: i32, value: u64) {
        let key = (name & KEY) as usize;
        let Some(op) = self.ops.get_mut(key) else { return };
        if let (Some(tap), Some(ticket)) = (&self.tap, op.tickets.get((name >> 32) as usize)) {
            tap.completed(*ticket, result, value);
        }
        if let Err(error) = status::outcome(result) {
            op.failed.get_or_insert(error);
        }
        op.value = value;
        op.left -= 1;
        if op.left == 0 {
            let op = self.ops.remove(key);
            let value = op.value;
            let result = match op.failed {
                Some(error) => Err(error),
                None => Ok((op.memory.into_data(), value)),
            };
            self.done.push(Finished { id: op.id, result });
        }
    }
}

/// A copy of all of it, in one piece.
fn owned(data: &Sga) -> (Piece, Memory) {
    let mut own = vec![0; data.len()];
    data.copy_to(&mut own);
    (Piece { at: own.as_mut_ptr(), len: own.len() }, Memory::Own(own, 0))
}

impl Memory {
    /// What a read has brought.
    fn into_data(self) -> Sga {
        match self {
            Self::Pooled(mut buffer, len) => {
                buffer.set_len(len);
                buffer.into()
            }
            Self::Own(mut own, len) if len > 0 => {
                own.truncate(len);
                own.into()
            }
            _ => Sga::new(),
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if !self.ring.drain() {
            tracing::warn!("NVMe commands did not complete; their memory is leaked");
            mem::forget(mem::take(&mut self.ops));
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("target", &self.target).finish_non_exhaustive()
    }
}
