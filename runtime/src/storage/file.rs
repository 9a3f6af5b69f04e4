//! [`FileQueue`]: a plain file, or a block device, at any offset.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    io,
    rc::Rc,
    task::Poll,
};

use hemi_log_file::{Access, FileDevice};
use hemi_queue::{Error, Progress, Result, Sga, Uri, Waiter, Wakeup, time::Instant};
use hemi_storage::{BlockDevice, Command, CommandId, Done};
use slab::Slab;

use super::{Storage, open, reactor::Served};
use crate::context;

/// A file or block device: reads and writes at any offset, many at a time, on the core's io_uring.
///
/// With `O_DIRECT` (the default where the file system has it) data goes between the device and the pool's aligned buffers; writes then
/// begin and end at multiples of [`sector`](Self::sector), reads may be anywhere. `?direct=false` goes through the page cache.
/// No lock is taken; writes to the same place must not be in flight together.
///
/// ```
/// # let runtime = hemi::Runtime::builder().build()?;
/// # runtime.block_on(async {
/// # let path = std::env::temp_dir().join(format!("hemi-doc-file-{}", std::process::id()));
/// # let uri = format!("file:{}?direct=false", path.display());
/// let file = hemi::FileQueue::create(&uri).await?; // uri: "file:PATH?direct=false"
/// file.write_at(5, "world").await?;
/// file.write_at(0, "hello").await?;
/// file.fsync().await?;
/// assert_eq!(file.read_at(3, 4).await?.to_vec(), b"lowo");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct FileQueue {
    shared: Rc<Shared>,
}

struct Shared {
    state: RefCell<State>,
    path: String,
    /// The handle has gone.
    closing: Cell<bool>,
}

struct State {
    device: FileDevice,
    /// Operations that have not been claimed.
    pending: Slab<Pending>,
    done: Vec<Done>,
}

#[derive(Default)]
struct Pending {
    waiter: Rc<Waiter>,
    outcome: Option<io::Result<Sga>>,
    /// The outcome has come.
    over: bool,
    /// Nobody wants it any more.
    forgotten: bool,
}

impl FileQueue {
    /// Open the file at `uri` (`file:PATH`), which is there.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path: not there, a directory, not permitted.
    pub async fn open(uri: impl AsRef<str>) -> Result<Self> {
        Self::at(uri.as_ref(), Access::Write).await
    }

    /// Open it for reading only.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub async fn open_read(uri: impl AsRef<str>) -> Result<Self> {
        Self::at(uri.as_ref(), Access::Read).await
    }

    /// Make a file at `uri`, which is not there yet.
    ///
    /// # Errors
    /// [`Error::Io`] naming the path: there already, no such folder, no space, not permitted.
    pub async fn create(uri: impl AsRef<str>) -> Result<Self> {
        Self::at(uri.as_ref(), Access::Create).await
    }

    #[allow(clippy::unused_async)] // opening blocks the core for a moment; a later version may not
    async fn at(uri: &str, access: Access) -> Result<Self> {
        let core = context::current()?;
        let uri: Uri = uri.parse()?;
        if !matches!(uri.scheme(), "file" | "log") {
            return Err(uri.error("a file is named `file:PATH`").into());
        }
        let device = open::plain(&core, &uri, access)?;
        let state = State { device, pending: Slab::new(), done: Vec::new() };
        let path = uri.path().to_owned();
        let shared = Rc::new(Shared { state: RefCell::new(state), path, closing: Cell::new(false) });
        Storage::add(&core, Rc::clone(&shared) as Rc<dyn Served>);
        Ok(Self { shared })
    }

    /// What writes are aligned to: 1 through the page cache.
    pub fn sector(&self) -> u64 {
        let state = self.shared.state.borrow();
        if state.device.is_direct() { state.device.caps().sector.into() } else { 1 }
    }

    /// Read up to `len` bytes at `offset`: fewer at the end of the file. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn read_at(&self, offset: u64, len: usize) -> Result<Sga> {
        // Whole sectors, and then the part that was asked for.
        let sector = self.sector();
        let (from, to) = (offset / sector * sector, (offset + len as u64).next_multiple_of(sector));
        let command = Command::Read { offset: from, len: (to - from) as usize };
        let mut data = self.run("read", command).await?;
        data.advance((offset - from) as usize);
        data.truncate(len);
        Ok(data)
    }

    /// Write `unit` at `offset`; all of it. Completes when it is written, which is not durable: see [`fsync`](Self::fsync). A write
    /// that was begun is not retracted by dropping the future.
    ///
    /// # Errors
    /// [`Error::Io`]: not a multiple of the sector, no space, the device failed.
    pub async fn write_at(&self, offset: u64, unit: impl Into<Sga>) -> Result<()> {
        let data = unit.into();
        let sector = self.sector();
        if !offset.is_multiple_of(sector) || !(data.len() as u64).is_multiple_of(sector) {
            let why = format!(
                "direct writes begin and end at multiples of {sector} bytes; write whole sectors or use direct=false"
            );
            let error = io::Error::new(io::ErrorKind::InvalidInput, why);
            return Err(Error::io("write", &self.shared.path, error));
        }
        self.run("write", Command::Write { offset, data, fua: false }).await.map(drop)
    }

    /// Make every write that has completed durable.
    ///
    /// # Errors
    /// [`Error::Io`]: then nothing that was written since the last `fsync` can be relied on, whatever a later one says.
    pub async fn fsync(&self) -> Result<()> {
        self.run("sync", Command::Flush).await.map(drop)
    }

    /// A line for people about the device.
    pub fn describe(&self) -> String {
        self.shared.state.borrow().device.describe()
    }

    async fn run(&self, op: &'static str, command: Command) -> Result<Sga> {
        let (key, waiter) = {
            let state = &mut *self.shared.state.borrow_mut();
            let pending = Pending::default();
            let waiter = Rc::clone(&pending.waiter);
            let key = state.pending.insert(pending);
            state.device.submit(CommandId(key as u64), command);
            (key, waiter)
        };
        let claim = Claim { shared: &self.shared, key };
        let outcome = poll_fn(|cx| {
            let outcome = claim.shared.state.borrow_mut().pending.get_mut(key).and_then(|p| p.outcome.take());
            if let Some(outcome) = outcome {
                return Poll::Ready(outcome);
            }
            waiter.register(cx.waker());
            Poll::Pending
        })
        .await;
        outcome.map_err(|e| Error::io(op, &self.shared.path, e))
    }
}

/// The place of an operation's outcome: given up when its future is dropped.
struct Claim<'s> {
    shared: &'s Shared,
    key: usize,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state.borrow_mut();
        let Some(pending) = state.pending.get_mut(self.key) else { return };
        pending.forgotten = true;
        if pending.over {
            state.pending.remove(self.key);
        }
    }
}

impl Served for Shared {
    fn poll(&self, now: Instant) -> Progress {
        let mut state = self.state.borrow_mut();
        let State { device, done, .. } = &mut *state;
        let progress = device.poll(now, done);
        let mut ready = Vec::new();
        for Done { id, result } in std::mem::take(&mut state.done) {
            let key = id.0 as usize;
            let Some(pending) = state.pending.get_mut(key) else { continue };
            if pending.forgotten {
                state.pending.remove(key);
            } else {
                (pending.outcome, pending.over) = (Some(result), true);
                ready.push(Rc::clone(&pending.waiter));
            }
        }
        drop(state);
        for waiter in ready {
            waiter.wake();
        }
        progress
    }

    fn deadline(&self) -> Option<Instant> {
        self.state.borrow().device.deadline()
    }

    fn wakeup(&self) -> Wakeup {
        self.state.borrow().device.wakeup()
    }

    fn yields_core(&self) -> bool {
        self.state.borrow().device.is_served_by_thread()
    }

    fn is_over(&self) -> bool {
        self.closing.get() && self.state.borrow().pending.is_empty()
    }

    fn shutdown(&self) {
        self.closing.set(true);
    }
}

impl Drop for FileQueue {
    fn drop(&mut self) {
        self.shared.closing.set(true);
    }
}

impl fmt::Debug for FileQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FileQueue").field(&self.describe()).finish()
    }
}
