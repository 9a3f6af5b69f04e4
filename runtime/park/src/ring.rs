//! The core's io_uring: set-up, submission, reaping.
//!
//! `SINGLE_ISSUER | DEFER_TASKRUN | TASKRUN_FLAG`: the kernel posts completions only inside our own `io_uring_enter` and sets a
//! flag in shared memory when there are any to post. So an idle turn reads that one word and nothing else, and
//! completions come in batches. Kernels before 6.1 get `COOP_TASKRUN` and one more read per turn.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt, io,
    os::fd::AsRawFd,
    time::Duration,
};

use hemi_queue::Progress;
use io_uring::{EnterFlags, IoUring, Parameters, Submitter, cqueue, squeue, types};

use crate::{
    dispatch::{Handler, HandlerId, Handlers, MAX_HANDLERS, OWN},
    registered::Registered,
    watch::Watches,
};

/// Completions dispatched per poll; the rest waits for the next turn, so that tasks and other reactors get theirs.
const BURST: usize = 512;

/// The core's io_uring, shared by its drivers.
///
/// # How it is driven
/// Drivers [`push`](Self::push) entries; nothing reaches the kernel until the end of the turn, when
/// [`Park::poll`](crate::Park::poll) submits all of them in one system call and dispatches what has completed.
pub struct Ring {
    uring: IoUring,
    /// Entries in the submission queue that the kernel has not been told of.
    queued: Cell<u32>,
    /// Entries that did not fit into a full submission queue that the kernel would not take from.
    backlog: RefCell<VecDeque<squeue::Entry>>,
    /// The completion queue may hold something although no flag says so.
    reap: Cell<bool>,
    deferred: bool,
    no_iowait: bool,
    in_flight: Box<[Cell<u32>; MAX_HANDLERS]>,
    total: Cell<usize>,
    registered: Registered,
}

impl Ring {
    pub(crate) fn new(sq: u32, cq: u32) -> io::Result<Self> {
        let (uring, deferred) = match Self::build(sq, cq, true) {
            Ok(uring) => (uring, true),
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => (Self::build(sq, cq, false)?, false),
            Err(e) => return Err(e),
        };
        let p = uring.params();
        if !p.is_feature_ext_arg() || !p.is_feature_nodrop() || !p.is_feature_fast_poll() {
            return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
        }
        let no_iowait = p.is_feature_no_iowait();
        Ok(Self {
            uring,
            queued: Cell::new(0),
            backlog: RefCell::default(),
            reap: Cell::new(false),
            deferred,
            no_iowait,
            in_flight: Box::new([const { Cell::new(0) }; MAX_HANDLERS]),
            total: Cell::new(0),
            registered: Registered::default(),
        })
    }

    fn build(sq: u32, cq: u32, deferred: bool) -> io::Result<IoUring> {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_submit_all().setup_cqsize(cq.max(sq)).setup_taskrun_flag();
        if deferred {
            builder.setup_single_issuer().setup_defer_taskrun();
        } else {
            builder.setup_coop_taskrun();
        }
        builder.build(sq)
    }

    /// How the ring was set up and what the kernel can do.
    pub fn params(&self) -> &Parameters {
        self.uring.params()
    }

    pub(crate) fn registered(&self) -> &Registered {
        &self.registered
    }

    /// For registrations of buffer rings and probes; for files and memory see [`register_file`](Self::register_file). Do not submit
    /// through it.
    pub fn registrar(&self) -> Submitter<'_> {
        self.uring.submitter()
    }

    /// Whether completions are posted only when this core asks for them (`DEFER_TASKRUN`).
    pub fn is_deferred(&self) -> bool {
        self.deferred
    }

    /// Queue an operation of handler `id`, named `key`; its `user_data` is set here. Submitted with the turn's other
    /// operations. Never fails: what the kernel does not take at once waits its turn in order.
    ///
    /// # Safety
    /// Memory and descriptors that the entry names stay valid until its last completion. Memory owned by the handler does,
    /// also when the handler is detached or the park dropped.
    #[inline]
    pub unsafe fn push(&self, id: HandlerId, key: u64, entry: squeue::Entry) {
        let entry = entry.user_data(id.user_data(key));
        let count = &self.in_flight[id.index()];
        count.set(count.get() + 1);
        self.total.set(self.total.get() + 1);
        if !self.backlog.borrow().is_empty() || !self.try_push(&entry) {
            self.push_full(entry);
        }
    }

    #[inline]
    fn try_push(&self, entry: &squeue::Entry) -> bool {
        // SAFETY: no other view of the submission queue exists: it is made and dropped within single calls of this type,
        // which is neither `Sync` nor re-entrant here.
        let mut sq = unsafe { self.uring.submission_shared() };
        // SAFETY: validity of the operation's memory is the contract of `push`.
        let pushed = unsafe { sq.push(entry) }.is_ok();
        if pushed {
            self.queued.set(self.queued.get() + 1);
        }
        pushed
    }

    #[cold]
    fn push_full(&self, entry: squeue::Entry) {
        self.backlog.borrow_mut().push_back(entry);
        self.submit();
    }

    /// Tell the kernel now of what is queued, without waiting for the end of the turn.
    pub fn submit(&self) {
        loop {
            let before = self.queued.get();
            if before > 0 {
                self.enter();
            }
            let mut backlog = self.backlog.borrow_mut();
            while let Some(entry) = backlog.pop_front() {
                if !self.try_push(&entry) {
                    backlog.push_front(entry);
                    break;
                }
            }
            if backlog.is_empty() || self.queued.get() == 0 || before == self.queued.get() {
                return;
            }
        }
    }

    /// Operations of `id` that have not completed.
    pub fn in_flight(&self, id: HandlerId) -> usize {
        self.in_flight[id.index()].get() as usize
    }

    /// Whether a turn has anything to do: reads one word that the kernel writes.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        if self.queued.get() > 0 || self.reap.get() {
            return true;
        }
        // SAFETY: see `try_push`.
        let sq = unsafe { self.uring.submission_shared() };
        if sq.taskrun() || sq.cq_overflow() {
            return true;
        }
        // SAFETY: no other view of the completion queue exists: made and dropped within single calls, and never held
        // across a handler's `complete`.
        !self.deferred && !unsafe { self.uring.completion_shared() }.is_empty()
    }

    /// Submit, run deferred work, dispatch at most a burst.
    pub(crate) fn turn(&self, handlers: &Handlers, watches: &Watches) -> Progress {
        if !self.backlog.borrow().is_empty() {
            self.submit();
        }
        self.enter();
        self.dispatch(handlers, watches)
    }

    /// Block until a completion or the timeout.
    pub(crate) fn sleep(&self, timeout: Option<Duration>, watches: &Watches) {
        watches.arm(self);
        if !self.backlog.borrow().is_empty() {
            self.submit();
        }
        // SAFETY: see `has_work`.
        if !unsafe { self.uring.completion_shared() }.is_empty() {
            self.reap.set(true);
            return;
        }
        self.enter_and_wait(timeout);
    }

    /// One `io_uring_enter` that does not block.
    fn enter(&self) {
        let to_submit = self.queued.get();
        let flags = EnterFlags::GETEVENTS.bits();
        // SAFETY: no argument structure; entries were pushed under the contract of `push`.
        let result = unsafe { self.uring.submitter().enter::<libc::sigset_t>(to_submit, 0, flags, None) };
        self.entered(to_submit, result);
    }

    /// One `io_uring_enter` that waits for a completion.
    fn enter_and_wait(&self, timeout: Option<Duration>) {
        let to_submit = self.queued.get();
        let spec = timeout.map(types::Timespec::from);
        let mut args = types::SubmitArgs::new();
        if let Some(spec) = &spec {
            args = args.timespec(spec);
        }
        let iowait = if self.no_iowait { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG | iowait).bits();
        // SAFETY: `args` and `spec` are locals that outlive the call; EXT_ARG is supported (checked in `new`).
        let result = unsafe { self.uring.submitter().enter(to_submit, 1, flags, Some(&args)) };
        self.entered(to_submit, result);
    }

    /// Errors are passing (a signal, a full completion queue, the timeout) and answered by the next turn.
    fn entered(&self, to_submit: u32, result: io::Result<usize>) {
        self.reap.set(true);
        let e = match result {
            Ok(taken) => return self.queued.set(to_submit.saturating_sub(taken as u32)),
            Err(e) => e,
        };
        // What was taken before an error is told by the queue itself.
        // SAFETY: see `try_push`.
        self.queued.set(unsafe { self.uring.submission_shared() }.len() as u32);
        let passing = [libc::ETIME, libc::EINTR, libc::EBUSY, libc::EAGAIN];
        if !e.raw_os_error().is_some_and(|e| passing.contains(&e)) {
            tracing::error!(error = %e, fd = self.uring.as_raw_fd(), "io_uring_enter");
        }
    }

    fn dispatch(&self, handlers: &Handlers, watches: &Watches) -> Progress {
        let mut current: Option<(HandlerId, std::rc::Rc<dyn Handler>)> = None;
        let mut done = 0;
        while done < BURST {
            // SAFETY: see `has_work`; the view ends before the handler runs.
            let Some(cqe) = unsafe { self.uring.completion_shared() }.next() else {
                self.reap.set(false);
                break;
            };
            done += 1;
            let (id, key) = HandlerId::split(cqe.user_data());
            let (result, flags) = (cqe.result(), cqe.flags());
            if !cqueue::more(flags) {
                let count = &self.in_flight[id.index()];
                count.set(count.get().saturating_sub(1));
                self.total.set(self.total.get().saturating_sub(1));
            }
            if id == OWN {
                watches.complete(key);
                continue;
            }
            if current.as_ref().is_none_or(|(have, _)| *have != id) {
                current = handlers.get(id).map(|h| (id, h));
            }
            if let Some((_, handler)) = &current {
                handler.complete(key, result, flags);
            }
        }
        handlers.sweep(|id| self.in_flight(id));
        if done > 0 { Progress::Busy } else { Progress::Idle }
    }

    /// Cancel everything and wait for the last completions. False: some did not come within a second.
    pub(crate) fn drain(&self, handlers: &Handlers, watches: &Watches) -> bool {
        let mut patience = 100;
        while self.total.get() > 0 {
            self.submit();
            let all = types::CancelBuilder::any().all();
            let _ =
                self.uring.submitter().register_sync_cancel(Some(types::Timespec::from(Duration::ZERO)), all);
            self.enter_and_wait(Some(Duration::from_millis(10)));
            if self.dispatch(handlers, watches) == Progress::Idle {
                patience -= 1;
                if patience == 0 {
                    return false;
                }
            }
        }
        true
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("in_flight", &self.total.get())
            .field("deferred", &self.deferred)
            .finish()
    }
}
