//! The device's io_uring: wide entries, one look per idle turn.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    time::{Duration, Instant},
};

use hemi_park::Park;
use io_uring::{EnterFlags, IoUring, squeue, types};

use crate::buffers::{Buffers, Uring};

const ENTRIES: u32 = 64;
/// How long a device that is closed is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A small ring beside the core's, watched by it.
pub(crate) struct Ring {
    /// First, so that it is gone before the regions that it knows.
    uring: Uring,
    pub(crate) buffers: Buffers,
    park: Rc<Park>,
    /// Entries that the kernel has not been told of.
    queued: usize,
    backlog: VecDeque<squeue::Entry128>,
    in_flight: usize,
}

/// A completion: the name, the kernel's result, and the device's.
pub(crate) type Completion = (u64, i32, u64);

impl Ring {
    pub(crate) fn new(park: &Rc<Park>) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder
            .setup_clamp()
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag();
        let uring: Uring = builder.build(ENTRIES).map_err(|e| match e.raw_os_error() {
            Some(libc::EINVAL | libc::ENOSYS) => {
                let why = "NVMe passthrough needs io_uring with deferred work and wide entries: Linux 6.2 or later";
                io::Error::new(io::ErrorKind::Unsupported, why)
            }
            Some(libc::EPERM | libc::EACCES) => {
                let why = "io_uring is forbidden here (container profile or kernel.io_uring_disabled), and NVMe passthrough needs it";
                io::Error::new(e.kind(), why)
            }
            _ => e,
        })?;
        park.watch(uring.as_raw_fd()).map_err(|e| io::Error::other(e.to_string()))?;
        let buffers = Buffers::prepare(&uring);
        let park = Rc::clone(park);
        Ok(Self { uring, buffers, park, queued: 0, backlog: VecDeque::new(), in_flight: 0 })
    }

    /// The index of the registered buffer that holds these bytes.
    #[inline]
    pub(crate) fn registered(&mut self, at: usize, len: usize) -> Option<u16> {
        self.buffers.find(&self.uring, at, len)
    }

    /// Register the regions of `pool`.
    pub(crate) fn register(&mut self, pool: &hemi_queue::Pool) {
        self.buffers.add(&self.uring, pool);
    }

    /// Queue an entry; the kernel is told by the next [`turn`](Self::turn).
    ///
    /// # Safety
    /// Memory and descriptors that the entry names stay valid until its completion.
    #[inline]
    pub(crate) unsafe fn push(&mut self, entry: squeue::Entry128) {
        self.in_flight += 1;
        // SAFETY: the caller's promise.
        if !self.backlog.is_empty() || unsafe { self.uring.submission().push(&entry) }.is_err() {
            self.backlog.push_back(entry);
        } else {
            self.queued += 1;
        }
    }

    /// Something waits to be told to the kernel.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.queued > 0
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Tell the kernel of what is queued and let it post completions. Without either it is a look at shared memory.
    #[inline]
    pub(crate) fn turn(&mut self) {
        loop {
            if self.queued > 0 || self.uring.submission().taskrun() || self.uring.submission().cq_overflow() {
                self.enter(0, None);
            }
            if self.backlog.is_empty() || self.queued > 0 {
                return;
            }
            while let Some(entry) = self.backlog.pop_front() {
                // SAFETY: promised when it was pushed.
                if unsafe { self.uring.submission().push(&entry) }.is_err() {
                    self.backlog.push_front(entry);
                    break;
                }
                self.queued += 1;
            }
        }
    }

    /// The next completion that is here.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Completion> {
        let entry = self.uring.completion().next()?;
        self.in_flight -= 1;
        Some((entry.user_data(), entry.result(), entry.big_cqe()[0]))
    }

    fn enter(&mut self, wait: u32, timeout: Option<Duration>) {
        let spec = timeout.map(types::Timespec::from);
        let mut args = types::SubmitArgs::new();
        if let Some(spec) = &spec {
            args = args.timespec(spec);
        }
        let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits();
        // SAFETY: `args` and `spec` are locals that outlive the call; deferred work implies that EXT_ARG is known.
        let result = unsafe { self.uring.submitter().enter(self.queued as u32, wait, flags, Some(&args)) };
        match result {
            Ok(taken) => self.queued = self.queued.saturating_sub(taken),
            Err(e) => {
                // What was taken before an error is told by the queue itself.
                self.queued = self.uring.submission().len();
                let passing = [libc::ETIME, libc::EINTR, libc::EBUSY, libc::EAGAIN];
                if !e.raw_os_error().is_some_and(|e| passing.contains(&e)) {
                    tracing::error!(error = %e, "io_uring_enter for an NVMe device");
                }
            }
        }
    }

    /// Wait until nothing is in flight, for a while. True: so it is, and no memory is touched any more.
    pub(crate) fn drain(&mut self) -> bool {
        let begun = Instant::now();
        while self.in_flight > 0 && begun.elapsed() < PATIENCE {
            self.turn();
            if self.next().is_none() {
                self.enter(1, Some(Duration::from_millis(100)));
            }
        }
        self.in_flight == 0
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.park.unwatch(self.uring.as_raw_fd());
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }
}
