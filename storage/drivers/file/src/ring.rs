//! Operations as entries of the core's io_uring.

use std::{
    cell::{Cell, RefCell},
    fmt,
    os::fd::AsRawFd,
    rc::Rc,
};

use hemi_park::{Handler, HandlerId, Park};
use hemi_queue::{Pool, Result};
use io_uring::{opcode, squeue, types};

use crate::{
    device::{Kind, Op, Shared},
    registered::Registered,
};

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
    /// Nothing when it was not wanted.
    registered: RefCell<Option<Registered>>,
}

impl Ring {
    pub(crate) fn attach(shared: Rc<Shared>, park: &Rc<Park>, registered: bool) -> Result<Self> {
        let registered = park.ring().filter(|_| registered);
        let registered = registered.map(|ring| Registered::new(ring, shared.target.file.as_raw_fd()));
        let (park_again, id) = (Rc::downgrade(park), Cell::new(None));
        let handler = Completions { shared, park: park_again, id, registered: RefCell::new(registered) };
        let handler = Rc::new(handler);
        handler.id.set(Some(park.attach(Rc::clone(&handler) as Rc<dyn Handler>)?));
        Ok(Self { park: Rc::clone(park), handler })
    }

    /// What is written lies in memory of `pool`, mostly.
    pub(crate) fn register(&self, pool: &Pool) {
        if let Some(registered) = &mut *self.handler.registered.borrow_mut() {
            registered.add(pool);
        }
    }

    pub(crate) fn describe(&self) -> String {
        match &*self.handler.registered.borrow() {
            Some(Registered { file: Some(_), .. }) => "io_uring (registered file)".to_owned(),
            _ => "io_uring".to_owned(),
        }
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
        let mut registered = self.registered.borrow_mut();
        let (file, memory) = match &mut *registered {
            Some(registered) => {
                let memory = (op.kind == Kind::Write).then(|| registered.find(ring, &op.vecs)).flatten();
                (registered.file, memory)
            }
            None => (None, None),
        };
        let entry = entry(op, file, types::Fd(shared.target.file.as_raw_fd()), memory);
        // SAFETY: the descriptor, the vectors (in a box) and what they point to belong to the shared state, which this
        // handler keeps until the last completion; the operation stays under its key until then.
        unsafe { ring.push(id, key as u64, entry) };
    }
}

/// The file as one of the types that the builders of operations take.
macro_rules! build {
    ($file:expr, $op:expr, $memory:expr) => {{
        let (file, op) = ($file, $op);
        let (vecs, count) = (op.vecs.as_ptr(), op.vecs.len() as u32);
        match op.kind {
            Kind::Write => {
                let flags = if op.dsync { libc::RWF_DSYNC } else { 0 };
                match ($memory, &op.vecs[..]) {
                    (Some(at), [one]) => {
                        let (base, len) = (one.iov_base.cast_const().cast(), one.iov_len as u32);
                        opcode::WriteFixed::new(file, base, len, at).offset(op.offset).rw_flags(flags).build()
                    }
                    (Some(at), _) => opcode::WritevFixed::new(file, vecs, count, at)
                        .offset(op.offset)
                        .rw_flags(flags)
                        .build(),
                    (None, _) => {
                        opcode::Writev::new(file, vecs, count).offset(op.offset).rw_flags(flags).build()
                    }
                }
            }
            Kind::Read => opcode::Readv::new(file, vecs, count).offset(op.offset).build(),
            Kind::Sync => opcode::Fsync::new(file).flags(types::FsyncFlags::DATASYNC).build(),
            Kind::Allocate { len } => opcode::Fallocate::new(file, len).offset(op.offset).build(),
            Kind::Punch { len } => {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                opcode::Fallocate::new(file, len).offset(op.offset).mode(mode).build()
            }
            // Runs beside the ring.
            Kind::Trim { .. } => opcode::Nop::new().build(),
        }
    }};
}

fn entry(op: &Op, file: Option<types::Fixed>, fd: types::Fd, memory: Option<u16>) -> squeue::Entry {
    if let Some(file) = file { build!(file, op, memory) } else { build!(fd, op, memory) }
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

impl Drop for Completions {
    /// With the last completion, and not before: an operation that is queued and not submitted names places, and one that was given up may
    /// be another file's by then.
    fn drop(&mut self) {
        let registered = self.registered.get_mut().as_mut();
        if let (Some(registered), Some(park)) = (registered, self.park.upgrade())
            && let Some(ring) = park.ring()
        {
            registered.clear(ring);
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
