//! [`Registered`]: the file and its log's memory, as places in the tables of the core's io_uring.
//!
//! A write that lies in one registered region costs the kernel no look-up of pages: a sixth less of its CPU time for 4 KiB, a quarter for
//! 64 KiB (`benches/README.md`).

use std::os::fd::RawFd;

use hemi_park::Ring;
use hemi_queue::Pool;
use io_uring::{opcode, types};

use crate::sys;

/// What the ring was told of.
#[derive(Debug, Default)]
pub(crate) struct Registered {
    pub(crate) file: Option<types::Fixed>,
    /// Keeps the regions.
    pool: Option<Pool>,
    regions: Vec<Region>,
    /// How many of the pool's regions were looked at.
    seen: usize,
    /// Bytes that may be locked beside those that are.
    left: usize,
    /// Several pieces of one region in one write: Linux 6.15.
    pub(crate) vectors: bool,
}

#[derive(Debug)]
struct Region {
    base: usize,
    len: usize,
    at: u16,
}

impl Registered {
    /// Register `fd`.
    pub(crate) fn new(ring: &Ring, fd: RawFd) -> Self {
        let mut probe = io_uring::Probe::new();
        let vectors = ring.registrar().register_probe(&mut probe).is_ok()
            && probe.is_supported(opcode::WritevFixed::CODE);
        Self { file: ring.register_file(fd), vectors, ..Self::default() }
    }

    /// Register what `pool` has and will have: at most half of what the process may lock, for others want some, too.
    pub(crate) fn add(&mut self, pool: &Pool) {
        self.left = sys::lockable() / 2;
        self.pool = Some(pool.clone());
    }

    /// The place of the region that all of `vecs` lie in.
    #[inline]
    pub(crate) fn find(&mut self, ring: &Ring, vecs: &[libc::iovec]) -> Option<u16> {
        if vecs.is_empty() || vecs.len() > 1 && !self.vectors {
            return None;
        }
        self.position(vecs).or_else(|| self.look_again(ring).then(|| self.position(vecs)).flatten())
    }

    fn position(&self, vecs: &[libc::iovec]) -> Option<u16> {
        let holds = |region: &&Region| {
            vecs.iter().all(|vec| {
                let at = vec.iov_base.addr();
                at >= region.base && at + vec.iov_len <= region.base + region.len
            })
        };
        self.regions.iter().find(holds).map(|region| region.at)
    }

    /// Register regions that are new. True: there were some.
    fn look_again(&mut self, ring: &Ring) -> bool {
        let Some(pool) = self.pool.clone() else { return false };
        let before = self.regions.len();
        let mut n = 0;
        pool.regions(|_, region| {
            n += 1;
            if n <= self.seen || region.len() > self.left {
                return;
            }
            let vec = libc::iovec { iov_base: region.base().as_ptr().cast(), iov_len: region.len() };
            // SAFETY: the pool, which is kept until the place is given up, keeps its regions.
            match unsafe { ring.register_buffer(vec) } {
                Ok(at) => {
                    self.left -= region.len();
                    self.regions.push(Region { base: vec.iov_base.addr(), len: vec.iov_len, at });
                }
                Err(error) => {
                    tracing::debug!(%error, "a log's memory is not registered: each write looks its pages up");
                    self.left = 0;
                }
            }
        });
        self.seen = n;
        self.regions.len() > before
    }

    /// Give up all places.
    pub(crate) fn clear(&mut self, ring: &Ring) {
        if let Some(file) = self.file.take() {
            ring.unregister_file(file);
        }
        for region in self.regions.drain(..) {
            ring.unregister_buffer(region.at);
        }
        self.pool = None;
    }
}
