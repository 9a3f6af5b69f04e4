//! Operations on a helper thread, where io_uring is forbidden.

use std::{
    fmt, io,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
};

use hemi_park::Unparker;

use crate::{
    device::{Kind, Shared},
    sys,
};

/// One thread that makes one system call after the other.
pub(crate) struct Helper {
    jobs: Option<mpsc::Sender<Job>>,
    results: Arc<Mutex<Vec<(usize, i32)>>>,
    thread: Option<JoinHandle<()>>,
    /// Keeps what jobs point to until the thread is joined.
    kept: std::cell::RefCell<Option<Rc<Shared>>>,
}

struct Job {
    key: usize,
    fd: RawFd,
    kind: Kind,
    offset: u64,
    dsync: bool,
    vecs: *const libc::iovec,
    count: i32,
}

// SAFETY: the vectors and what they point to belong to an operation that stays where it is, untouched by its core, until the
// result of this job has been collected; `Helper::drop` joins the thread before it lets go of them.
unsafe impl Send for Job {}

impl Helper {
    pub(crate) fn start(unparker: Unparker) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let results = Arc::<Mutex<Vec<(usize, i32)>>>::default();
        let done = Arc::clone(&results);
        let thread = std::thread::Builder::new().name("hemi-log".into()).spawn(move || {
            for job in queue {
                let result = job.run();
                if let Ok(mut done) = done.lock() {
                    done.push((job.key, result));
                }
                unparker.unpark();
            }
        })?;
        Ok(Self { jobs: Some(jobs), results, thread: Some(thread), kept: std::cell::RefCell::default() })
    }

    pub(crate) fn push(&self, shared: &Rc<Shared>, key: usize) {
        self.kept.borrow_mut().get_or_insert_with(|| Rc::clone(shared));
        let gone = {
            let state = shared.state.borrow();
            let Some(op) = state.ops.get(key) else { return };
            let job = Job {
                key,
                fd: shared.target.file.as_raw_fd(),
                kind: op.kind,
                offset: op.offset,
                dsync: op.dsync,
                vecs: op.vecs.as_ptr(),
                count: op.vecs.len() as i32,
            };
            self.jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err())
        };
        if gone {
            // Only a panic of the thread comes here.
            shared.complete(key, -libc::EIO);
        }
    }

    /// Take what has completed.
    pub(crate) fn collect(&self, shared: &Rc<Shared>) {
        let results = match self.results.lock() {
            Ok(mut results) if !results.is_empty() => std::mem::take(&mut *results),
            _ => return,
        };
        for (key, result) in results {
            if shared.complete(key, result) {
                self.push(shared, key);
            }
        }
    }
}

impl Job {
    fn run(&self) -> i32 {
        let (fd, offset) = (self.fd, self.offset as i64);
        // SAFETY: see `Send`: the vectors are valid, and nobody touches what a read writes to meanwhile.
        unsafe {
            match self.kind {
                Kind::Write => {
                    let flags = if self.dsync { libc::RWF_DSYNC } else { 0 };
                    sys::as_result(libc::pwritev2(fd, self.vecs, self.count, offset, flags))
                }
                Kind::Read => sys::as_result(libc::preadv(fd, self.vecs, self.count, offset)),
                Kind::Sync => sys::as_result(libc::fdatasync(fd) as isize),
                Kind::Allocate { len } => sys::as_result(libc::fallocate(fd, 0, offset, len as i64) as isize),
                Kind::Punch { len } => {
                    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                    sys::as_result(libc::fallocate(fd, mode, offset, len as i64) as isize)
                }
                Kind::Trim { len } => sys::as_result(sys::discard(fd, self.offset, len) as isize),
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.jobs = None; // the thread ends behind its last job
        if let Some(thread) = self.thread.take() {
            // A panic there has nothing more to tell.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Helper")
    }
}
