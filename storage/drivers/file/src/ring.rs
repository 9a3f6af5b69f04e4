//! Operations as entries of the core's io_uring.

use std::{cell::Cell, fmt, os::fd::AsRawFd, rc::Rc};

use hemi_park::{Handler, HandlerId, Park};
use hemi_queue::Result;
use io_uring::{opcode, squeue, types};

use crate::device::{Kind, Op, Shared};

/// The device's place at the core's ring.
pub(crate) struct Ring {
    park: Rc<Park>,
    handler: Rc<Completions>,
}

/// Where completions arrive; kept by the park until the last one, and with it the memory of every operation.
struct Completions {
    shared: Rc<Shared>,
    park: std::rc::Weak<Park>,
    id: Cell<Option<HandlerId>>,
}

impl Ring {
    pub(crate) fn attach(shared: Rc<Shared>, park: &Rc<Park>) -> Result<Self> {
        let handler = Rc::new(Completions { shared, park: Rc::downgrade(park), id: Cell::new(None) });
        handler.id.set(Some(park.attach(Rc::clone(&handler) as Rc<dyn Handler>)?));
        Ok(Self { park: Rc::clone(park), handler })
    }

    /// Start the operation under `key`.
    pub(crate) fn push(&self, shared: &Shared, key: usize) {
        self.handler.start(&self.park, shared, key);
    }
}

impl Completions {
    fn start(&self, park: &Park, shared: &Shared, key: usize) {
        let (Some(id), Some(ring)) = (self.id.get(), park.ring()) else { return };
        let state = shared.state.borrow();
        let Some(op) = state.ops.get(key) else { return };
        let entry = entry(op, types::Fd(shared.target.file.as_raw_fd()));
        // SAFETY: the descriptor, the vectors (in a box) and what they point to belong to the shared state, which this
        // handler keeps until the last completion; the operation stays under its key until then.
        unsafe { ring.push(id, key as u64, entry) };
    }
}

fn entry(op: &Op, fd: types::Fd) -> squeue::Entry {
    let (vecs, count) = (op.vecs.as_ptr(), op.vecs.len() as u32);
    match op.kind {
        Kind::Write => {
            let flags = if op.dsync { libc::RWF_DSYNC } else { 0 };
            opcode::Writev::new(fd, vecs, count).offset(op.offset).rw_flags(flags).build()
        }
        Kind::Read => opcode::Readv::new(fd, vecs, count).offset(op.offset).build(),
        Kind::Sync => opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build(),
        Kind::Allocate { len } => opcode::Fallocate::new(fd, len).offset(op.offset).build(),
        Kind::Punch { len } => {
            let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
            opcode::Fallocate::new(fd, len).offset(op.offset).mode(mode).build()
        }
        // Runs beside the ring.
        Kind::Trim { .. } => opcode::Nop::new().build(),
    }
}

impl Handler for Completions {
    fn complete(&self, key: u64, result: i32, _: u32) {
        let key = key as usize;
        if self.shared.complete(key, result)
            && let Some(park) = self.park.upgrade()
        {
            self.start(&park, &self.shared, key);
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(id) = self.handler.id.get() {
            self.park.detach(id);
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ring")
    }
}
