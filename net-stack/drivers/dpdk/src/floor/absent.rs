//! Bare frames over a port, in a build that found no DPDK: there are none.

use std::convert::Infallible;

use hemi_queue::{Result, Uri};

/// Frames per call of a driver.
pub const BURST: usize = 32;

/// The first queue pair of a port, which no build without DPDK has.
#[derive(Debug)]
pub struct Frames(Infallible);

impl Frames {
    /// # Errors
    /// [`Unsupported`](hemi_queue::Error::Unsupported), with what is missing.
    pub fn open(uri: &Uri, _: &[u8]) -> Result<Self> {
        let pool = hemi_queue::Pool::new()?;
        crate::open(uri, &pool, hemi_net::DeviceQueue::ONLY)?;
        Err(hemi_queue::Error::unsupported("bare frames", "dpdk", "build on a system with libdpdk"))
    }

    /// Never called.
    pub fn send(&mut self, _: usize) -> usize {
        match self.0 {}
    }

    /// Never called.
    pub fn send_chains(&mut self, _: usize, _: usize) -> usize {
        match self.0 {}
    }

    /// Never called.
    pub fn receive(&mut self) -> usize {
        match self.0 {}
    }

    /// Never called.
    pub fn bounce(&mut self) -> usize {
        match self.0 {}
    }
}
