//! [`NvmeDevice`]: a namespace of plain blocks.

use std::{collections::VecDeque, fmt, path::Path, rc::Rc};

use hemi_park::Park;
use hemi_queue::{Error, Pool, Progress, Result, Sga, Wakeup, time::Instant};
use hemi_storage::{BlockDevice, Command, CommandId, DeviceCaps, Done};

use crate::{Access, Identity, NvmeOptions, Sync, Tap, queue::Queue};

/// An NVMe namespace on this core, as a log's block device.
pub struct NvmeDevice {
    queue: Queue,
    options: NvmeOptions,
    /// Reads that found no buffer.
    waiting: VecDeque<(CommandId, u64, usize)>,
}

impl NvmeDevice {
    /// Open the namespace whose character device is `path` (`/dev/ng0n1`); reads go to buffers of `pool`, and completions wake
    /// `park`.
    ///
    /// # Errors
    /// [`Io`](hemi_queue::Error::Io) names the path and says what is wrong: not there, not a namespace, not permitted, in use by
    /// another process, a format that no log can lie on, no io_uring; zones, which want another driver.
    pub fn open(
        path: &Path,
        access: Access,
        options: NvmeOptions,
        pool: &Pool,
        park: &Rc<Park>,
    ) -> Result<Self> {
        let queue = Queue::open(path, access, pool, park)?;
        if queue.identity().zoned.is_some() {
            let why = std::io::Error::new(std::io::ErrorKind::Unsupported, "the namespace has zones");
            return Err(Error::io("open as plain blocks", path.display(), why));
        }
        Ok(Self { queue, options, waiting: VecDeque::new() })
    }

    /// What the device says of itself.
    pub fn identity(&self) -> &Identity {
        self.queue.identity()
    }

    /// Tell the device once of the memory that batches are written from.
    pub fn register(&mut self, pool: &Pool) {
        self.queue.register(pool);
    }

    /// Tell `tap` of every command from now on.
    pub fn set_tap(&mut self, tap: Rc<dyn Tap>) {
        self.queue.set_tap(tap);
    }

    fn read(&mut self, id: CommandId, offset: u64, len: usize) {
        if !self.queue.read(id, offset, len) {
            self.waiting.push_back((id, offset, len));
        }
    }
}

impl BlockDevice for NvmeDevice {
    fn caps(&self) -> DeviceCaps {
        let identity = self.queue.identity();
        let len = identity.len().min(self.options.limit);
        DeviceCaps {
            len,
            max_len: len,
            sector: identity.block,
            fua: self.options.sync == Sync::Fua && identity.volatile_cache,
            volatile_cache: identity.volatile_cache,
            discard: identity.deallocate && !self.queue.target.read_only,
            slow_when_new: false,
            append_only: false,
            // Whole blocks in one piece: headers and payloads are copied together, once, into memory that the device knows.
            gather: usize::MAX,
            read_only: self.queue.target.read_only,
        }
    }

    fn submit(&mut self, id: CommandId, command: Command) {
        match command {
            Command::Write { offset, data, fua } => self.queue.write(id, offset, data, fua),
            Command::Read { offset, len } => self.read(id, offset, len),
            Command::Flush => self.queue.flush(id),
            Command::Extend { .. } => {
                self.queue.fail(id, std::io::Error::other("a namespace does not grow"));
            }
            Command::Discard { offset, len } => self.queue.deallocate(id, offset, len),
        }
    }

    fn poll(&mut self, _: Instant, done: &mut Vec<Done>) -> Progress {
        for _ in 0..self.waiting.len() {
            if let Some((id, offset, len)) = self.waiting.pop_front() {
                self.read(id, offset, len);
            }
        }
        let before = done.len();
        done.extend(self.queue.poll().map(|finished| {
            let result = finished.result.map(|(data, _): (Sga, u64)| data);
            Done { id: finished.id, result }
        }));
        if done.len() > before { Progress::Busy } else { Progress::Idle }
    }

    fn deadline(&self) -> Option<Instant> {
        // What was submitted after the turn's poll has not reached the device.
        self.queue.is_pending().then_some(Instant::ZERO)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Core // which watches the ring
    }

    fn describe(&self) -> String {
        self.queue.describe()
    }
}

impl fmt::Debug for NvmeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NvmeDevice").field(&self.describe()).finish()
    }
}
