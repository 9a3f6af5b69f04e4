//! Memory that the device's ring was told of once: the regions of pools, as registered buffers.
//!
//! A command whose data lies in one of them costs the kernel no look-up and no pinning of pages.

use std::io;

use hemi_queue::Pool;
use io_uring::{IoUring, cqueue, squeue};

pub(crate) type Uring = IoUring<squeue::Entry128, cqueue::Entry32>;

/// Regions that may be registered: far more than pools have.
const SLOTS: usize = 64;

/// The registered regions. It keeps the pools, and so the regions, for as long as they are registered.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pools: Vec<(Pool, usize)>,
    /// First address and length, by index of the registered buffer.
    ranges: Vec<(usize, usize)>,
    /// The kernel takes no more, and that was said.
    refused: bool,
}

impl Buffers {
    /// Prepare the ring's table.
    pub(crate) fn prepare(uring: &Uring) -> Self {
        let refused = uring.submitter().register_buffers_sparse(SLOTS as u32).is_err();
        Self { refused, ..Self::default() }
    }

    /// Register what this pool has, and will have.
    pub(crate) fn add(&mut self, uring: &Uring, pool: &Pool) {
        self.pools.push((pool.clone(), 0));
        self.look_again(uring);
    }

    /// The index of the registered buffer that holds these bytes.
    #[inline]
    pub(crate) fn find(&mut self, uring: &Uring, at: usize, len: usize) -> Option<u16> {
        let index = self.position(at, len);
        if index.is_some() || self.refused {
            return index;
        }
        if self.look_again(uring) { self.position(at, len) } else { None }
    }

    fn position(&self, at: usize, len: usize) -> Option<u16> {
        let holds = |&(base, length): &(usize, usize)| at >= base && at + len <= base + length;
        self.ranges.iter().position(holds).map(|index| index as u16)
    }

    /// Register regions that are new. True: there were some.
    #[cold]
    fn look_again(&mut self, uring: &Uring) -> bool {
        let before = self.ranges.len();
        for at in 0..self.pools.len() {
            let mut found = Vec::new();
            let mut seen = 0;
            self.pools[at].0.regions(|_, region| {
                if seen >= self.pools[at].1 {
                    found.push((region.base(), region.len()));
                }
                seen += 1;
            });
            self.pools[at].1 = seen;
            for (base, len) in found {
                if self.refused || self.ranges.len() == SLOTS {
                    continue;
                }
                let vec = libc::iovec { iov_base: base.as_ptr().cast(), iov_len: len };
                // SAFETY: the region lives as long as its pool, which is kept until the ring is gone.
                match unsafe {
                    uring.submitter().register_buffers_update(self.ranges.len() as u32, &[vec], None)
                } {
                    Ok(()) => self.ranges.push((base.as_ptr().addr(), len)),
                    Err(error) => self.refuse(&error),
                }
            }
        }
        self.ranges.len() > before
    }

    #[cold]
    fn refuse(&mut self, error: &io::Error) {
        self.refused = true;
        let hint = match error.raw_os_error() {
            Some(libc::ENOMEM) => "the locked-memory limit is too low: raise `ulimit -l`",
            _ => "the kernel refuses",
        };
        tracing::warn!(%error, "NVMe buffers are not registered ({hint}): each command pins its pages");
    }

    /// How many regions are registered.
    pub(crate) fn count(&self) -> usize {
        self.ranges.len()
    }
}
