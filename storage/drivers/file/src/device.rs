//! [`FileDevice`]: commands to operations, and operations to completions.

use std::{cell::RefCell, collections::VecDeque, fmt, io, path::Path, rc::Rc};

use hemi_park::Park;
use hemi_queue::{BufMut, Pool, Progress, Result, Sga, Wakeup, time::Instant};
use hemi_storage::{BlockDevice, Command, CommandId, DeviceCaps, Done};
use slab::Slab;

use crate::{
    Access, FileOptions, Sync, Tap, Ticket,
    aligned::{ALIGNMENT, Aligned},
    ring::Ring,
    target::Target,
    thread::Helper,
};

/// The most parts of one write that are handed to the kernel as they are.
pub(crate) const MAX_PARTS: usize = 256;
/// The most that one read brings: less than the kernel moves at once, and far more than anything in a log is long.
const MAX_READ: usize = 1 << 30;

/// A file or block device on this core.
pub struct FileDevice {
    shared: Rc<Shared>,
    engine: Engine,
    aside: Aside,
    park: Rc<Park>,
    /// Reads that found no buffer.
    waiting: VecDeque<(CommandId, u64, usize)>,
}

enum Engine {
    Ring(Ring),
    Thread(Helper),
}

/// Runs what io_uring has no operation for, once there is any.
type Aside = std::cell::OnceCell<Option<Helper>>;

/// What completions arrive at. Lives until the last one has.
pub(crate) struct Shared {
    pub(crate) target: Target,
    pool: Pool,
    pub(crate) state: RefCell<State>,
    tap: RefCell<Option<Rc<dyn Tap>>>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) ops: Slab<Box<Op>>,
    done: Vec<Done>,
    len: u64,
    /// Operations in flight that a thread works on.
    threaded: usize,
}

/// An operation in flight, and all the memory that the kernel was told of.
pub(crate) struct Op {
    id: CommandId,
    pub(crate) kind: Kind,
    pub(crate) offset: u64,
    /// What a write has left, or where a read goes.
    pub(crate) vecs: Vec<libc::iovec>,
    pub(crate) dsync: bool,
    moved: usize,
    wanted: usize,
    memory: Memory,
    ticket: Option<Ticket>,
    /// A thread works on it: the helper, or one of the kernel's.
    threaded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Read,
    Sync,
    Allocate {
        len: u64,
    },
    /// Give the space of a file's range back.
    Punch {
        len: u64,
    },
    /// The same of a block device.
    Trim {
        len: u64,
    },
}

/// Keeps what the kernel reads and writes.
enum Memory {
    Nothing,
    Unit(#[allow(dead_code)] Sga), // held, not looked at
    Pooled(BufMut),
    Own(Aligned),
}

impl FileDevice {
    /// Open `path`; reads go to buffers of `pool`, and completions wake `park`.
    ///
    /// # Errors
    /// [`Io`](hemi_queue::Error::Io) names the path and says what is wrong: not there, there already, a directory, not permitted,
    /// locked by another process, no space.
    pub fn open(
        path: &Path,
        access: Access,
        options: &FileOptions,
        pool: &Pool,
        park: &Rc<Park>,
    ) -> Result<Self> {
        let target = Target::open(path, access, options)?;
        let state = State { len: target.len, ..State::default() };
        let shared = Rc::new(Shared {
            target,
            pool: pool.clone(),
            state: RefCell::new(state),
            tap: RefCell::default(),
        });
        let engine = if park.ring().is_some() {
            Engine::Ring(Ring::attach(Rc::clone(&shared), park, options.registered)?)
        } else {
            Engine::Thread(
                Helper::start(park.unparker())
                    .map_err(|e| hemi_queue::Error::io("start the helper thread of", path.display(), e))?,
            )
        };
        let (aside, park) = (Aside::new(), Rc::clone(park));
        Ok(Self { shared, engine, aside, park, waiting: VecDeque::new() })
    }

    /// What is written lies in memory of `pool`, mostly: io_uring is told of it once, rather than with every write.
    pub fn register(&self, pool: &Pool) {
        if let Engine::Ring(ring) = &self.engine {
            ring.register(pool);
        }
    }

    /// Tell `tap` of every write and sync from now on.
    pub fn set_tap(&self, tap: Rc<dyn Tap>) {
        *self.shared.tap.borrow_mut() = Some(tap);
    }

    /// Whether it goes past the page cache.
    pub fn is_direct(&self) -> bool {
        self.shared.target.direct
    }

    /// Its length now.
    pub fn len(&self) -> u64 {
        self.shared.state.borrow().len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn start(&self, mut op: Box<Op>) {
        self.shared.tell(&mut op);
        let trims = matches!(op.kind, Kind::Trim { .. });
        op.threaded = matches!(self.engine, Engine::Thread(_)) || self.shared.target.hands_over(&op);
        let key = {
            let mut state = self.shared.state.borrow_mut();
            state.threaded += usize::from(op.threaded);
            state.ops.insert(op)
        };
        match &self.engine {
            Engine::Ring(_) if trims => match self.aside() {
                Some(helper) => helper.push(&self.shared, key),
                None => drop(self.shared.complete(key, -libc::EOPNOTSUPP)),
            },
            Engine::Ring(ring) => ring.push(&self.shared, key),
            Engine::Thread(helper) => helper.push(&self.shared, key),
        }
    }

    fn aside(&self) -> Option<&Helper> {
        let start = || Helper::start(self.park.unparker()).ok();
        self.aside.get_or_init(start).as_ref()
    }

    /// The command ends before it has begun.
    #[cold]
    fn fail(&self, id: CommandId, error: io::Error) {
        self.shared.state.borrow_mut().done.push(Done { id, result: Err(error) });
    }

    fn read(&mut self, id: CommandId, offset: u64, len: usize) {
        let target = &self.shared.target;
        // Direct I/O reads whole sectors; what lies behind the end does not come.
        let asked = len.checked_next_multiple_of(target.sector as usize).filter(|&asked| asked <= MAX_READ);
        let Some(asked) = asked else {
            let why = format!("a read of {len} bytes; at most {MAX_READ} at once");
            return self.fail(id, io::Error::new(io::ErrorKind::InvalidInput, why));
        };
        let Ok(mut buffer) = self.shared.pool.try_alloc(asked.min(self.shared.pool.largest())) else {
            self.waiting.push_back((id, offset, len));
            return;
        };
        let at = buffer.as_mut_ptr();
        let fits = buffer.capacity() >= asked;
        let aligned = !target.direct || at.addr().is_multiple_of(target.sector as usize);
        let (at, memory) = if fits && aligned {
            (at, Memory::Pooled(buffer))
        } else {
            let mut own = match Aligned::zeroed(asked) {
                Ok(own) => own,
                Err(e) => return self.fail(id, e),
            };
            (own.bytes_mut().as_mut_ptr(), Memory::Own(own))
        };
        let vecs = vec![libc::iovec { iov_base: at.cast(), iov_len: asked }];
        self.start(Op::new(id, Kind::Read, offset, vecs, len, memory));
    }

    fn write(&self, id: CommandId, offset: u64, data: Sga, dsync: bool) {
        let target = &self.shared.target;
        let len = data.len();
        let align = if target.direct { target.sector as usize } else { 1 };
        let fits = data.parts() <= MAX_PARTS
            && data.iter().all(|p| p.as_ptr().addr().is_multiple_of(align) && p.len().is_multiple_of(align));
        let (vecs, memory) = if fits {
            let vec = |part: &hemi_queue::Buf| libc::iovec {
                iov_base: part.as_ptr().cast_mut().cast(),
                iov_len: part.len(),
            };
            (data.iter().map(vec).collect(), Memory::Unit(data))
        } else {
            let mut own = match Aligned::zeroed(len) {
                Ok(own) => own,
                Err(e) => return self.fail(id, e),
            };
            data.copy_to(own.bytes_mut());
            let at = own.bytes().as_ptr().cast_mut();
            (vec![libc::iovec { iov_base: at.cast(), iov_len: len }], Memory::Own(own))
        };
        let mut op = Op::new(id, Kind::Write, offset, vecs, len, memory);
        op.dsync = dsync;
        self.start(op);
    }
}

impl Op {
    fn new(
        id: CommandId,
        kind: Kind,
        offset: u64,
        vecs: Vec<libc::iovec>,
        wanted: usize,
        memory: Memory,
    ) -> Box<Self> {
        Box::new(Self {
            id,
            kind,
            offset,
            vecs,
            dsync: false,
            moved: 0,
            wanted,
            memory,
            ticket: None,
            threaded: false,
        })
    }

    /// Take `n` bytes off the front of what is left.
    fn advance(&mut self, mut n: usize) {
        self.moved += n;
        self.offset += n as u64;
        while let Some(first) = self.vecs.first_mut() {
            if n < first.iov_len {
                first.iov_base = first.iov_base.wrapping_byte_add(n);
                first.iov_len -= n;
                return;
            }
            n -= first.iov_len;
            self.vecs.remove(0);
        }
    }

    /// What a read has brought.
    fn into_data(self) -> Sga {
        let got = self.moved.min(self.wanted);
        match self.memory {
            Memory::Pooled(mut buffer) if self.kind == Kind::Read => {
                buffer.set_len(got);
                buffer.into()
            }
            Memory::Own(own) if self.kind == Kind::Read => Sga::from(own.bytes()[..got].to_vec()),
            _ => Sga::new(),
        }
    }
}

impl Shared {
    /// Tell the tap of what the kernel is about to be told.
    fn tell(&self, op: &mut Op) {
        let Some(tap) = &*self.tap.borrow() else { return };
        op.ticket = match op.kind {
            Kind::Write => {
                let mut bytes = Vec::new();
                for vec in &op.vecs {
                    // SAFETY: the vectors point into memory that the operation holds.
                    bytes.extend_from_slice(unsafe {
                        std::slice::from_raw_parts(vec.iov_base.cast::<u8>(), vec.iov_len)
                    });
                }
                Some(tap.write(op.offset, &bytes, op.dsync))
            }
            Kind::Sync => Some(tap.sync()),
            Kind::Read | Kind::Allocate { .. } | Kind::Punch { .. } | Kind::Trim { .. } => None,
        };
    }

    /// The kernel has answered. `true`: the operation has bytes left, and must be started again under the same key.
    pub(crate) fn complete(&self, key: usize, mut result: i32) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(op) = state.ops.get_mut(key) else { return false };
        if let (Kind::Allocate { len }, true) = (op.kind, result == -libc::EOPNOTSUPP) {
            result = self.target.grow(op.offset.saturating_add(len));
        }
        if result == -libc::EINTR || result == -libc::EAGAIN {
            return true;
        }
        if let (Kind::Punch { .. } | Kind::Trim { .. }, true) = (op.kind, result < 0) {
            // Advice: a device that does not take it loses nothing.
            let error = io::Error::from_raw_os_error(-result);
            tracing::debug!(%error, "the device discards nothing");
            result = 0;
        }
        let mut failed = (result < 0).then(|| io::Error::from_raw_os_error(-result));
        if let (Kind::Write | Kind::Read, Ok(n)) = (op.kind, usize::try_from(result)) {
            op.advance(n);
            let more = op.moved < op.wanted;
            let step = self.target.sector as usize;
            // A read that ends inside a sector is at the end of the file; a write that wrote nothing never will.
            if more && n > 0 && (op.kind == Kind::Write || n.is_multiple_of(step)) {
                return true;
            }
            if more && op.kind == Kind::Write {
                failed = Some(io::Error::new(io::ErrorKind::WriteZero, "the device takes no more bytes"));
            }
        }
        let op = state.ops.remove(key);
        state.threaded -= usize::from(op.threaded);
        if let (Kind::Allocate { len }, None) = (op.kind, &failed) {
            state.len = state.len.max(op.offset + len);
        }
        if let (Some(ticket), Some(tap)) = (op.ticket, &*self.tap.borrow()) {
            tap.done(ticket, failed.is_none());
        }
        let id = op.id;
        let result = failed.map_or_else(|| Ok(op.into_data()), Err);
        state.done.push(Done { id, result });
        false
    }
}

impl BlockDevice for FileDevice {
    fn caps(&self) -> DeviceCaps {
        let target = &self.shared.target;
        DeviceCaps {
            len: self.len(),
            max_len: target.max_len,
            sector: target.sector.min(ALIGNMENT as u32),
            fua: target.sync == Sync::Dsync,
            volatile_cache: true,
            // A hole in a file is space that others may take: a log that was given it before would fail to write there, not be full.
            discard: target.is_device && !target.read_only,
            // Block devices know no difference that could be told.
            append_only: false,
            slow_when_new: !target.is_device && target.direct,
            // Direct I/O needs whole aligned sectors: headers and payloads are copied together, once.
            gather: if target.direct { usize::MAX } else { 4096 },
            read_only: target.read_only,
        }
    }

    fn submit(&mut self, id: CommandId, command: Command) {
        match command {
            Command::Write { offset, data, fua } => self.write(id, offset, data, fua),
            Command::Read { offset, len } => self.read(id, offset, len),
            Command::Flush => {
                self.start(Op::new(id, Kind::Sync, 0, Vec::new(), 0, Memory::Nothing));
            }
            Command::Extend { len } => {
                let from = self.len();
                let kind = Kind::Allocate { len: len.saturating_sub(from) };
                self.start(Op::new(id, kind, from, Vec::new(), 0, Memory::Nothing));
            }
            Command::Discard { offset, len } => {
                let is_device = self.shared.target.is_device;
                let kind = if is_device { Kind::Trim { len } } else { Kind::Punch { len } };
                self.start(Op::new(id, kind, offset, Vec::new(), 0, Memory::Nothing));
            }
        }
    }

    fn poll(&mut self, _: Instant, done: &mut Vec<Done>) -> Progress {
        for _ in 0..self.waiting.len() {
            if let Some((id, offset, len)) = self.waiting.pop_front() {
                self.read(id, offset, len);
            }
        }
        if let Engine::Thread(helper) = &self.engine {
            helper.collect(&self.shared);
        }
        if let Some(Some(helper)) = self.aside.get() {
            helper.collect(&self.shared);
        }
        let completed = &mut self.shared.state.borrow_mut().done;
        if completed.is_empty() {
            return Progress::Idle;
        }
        done.append(completed);
        Progress::Busy
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Core
    }

    fn is_served_by_thread(&self) -> bool {
        self.shared.state.borrow().threaded > 0
    }

    fn describe(&self) -> String {
        let target = &self.shared.target;
        let how = match &self.engine {
            Engine::Ring(ring) => ring.describe(),
            Engine::Thread(_) => "a helper thread".to_owned(),
        };
        let cache = if target.direct { "direct" } else { "through the page cache" };
        format!("{}, {how}, {cache}, sectors of {} bytes", target.path.display(), target.sector)
    }
}

impl fmt::Debug for FileDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileDevice").field(&self.describe()).finish()
    }
}

#[cfg(test)]
mod tests;
