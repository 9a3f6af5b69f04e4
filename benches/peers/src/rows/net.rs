//! User-level TCP: both ends on one in-memory wire that copies every frame once, as DMA would; every byte received is read.
//!
//! Both stacks compute and verify all checksums, and time is virtual for both: it advances by 300 ns per turn.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::peer::Link;

/// Bytes of a request, and of a response.
pub const MESSAGE: usize = 64;
/// Bytes per operation of the bulk row.
pub const CHUNK: usize = 64 << 10;

const WARM_UP: u64 = 200;

/// A request of 64 bytes and its response, `ops` times, beside `idle` connections.
pub fn request<L: Link>(idle: usize, ops: u64) -> Duration {
    let mut link = L::new(1500, idle);
    (0..WARM_UP).for_each(|_| link.request());
    let start = Instant::now();
    (0..ops).for_each(|_| link.request());
    start.elapsed()
}

/// A connection is opened and closed by both ends, `ops` times.
pub fn setup<L: Link>(ops: u64) -> Duration {
    let mut link = L::new(1500, 0);
    (0..WARM_UP).for_each(|_| link.open_and_close());
    let start = Instant::now();
    (0..ops).for_each(|_| link.open_and_close());
    start.elapsed()
}

/// 64 KiB in one direction, `ops` times, on one connection whose frames carry `mtu` bytes.
pub fn bulk<L: Link>(mtu: u16, ops: u64) -> Duration {
    let mut link = L::new(mtu, 0);
    (0..WARM_UP).for_each(|_| link.transfer());
    let start = Instant::now();
    (0..ops).for_each(|_| link.transfer());
    start.elapsed()
}

/// The same on a link that vouches for checksums and takes the largest frames.
pub fn offloaded<L: Link>(ops: u64) -> Duration {
    let mut link = L::offloading();
    (0..WARM_UP).for_each(|_| link.transfer());
    let start = Instant::now();
    (0..ops).for_each(|_| link.transfer());
    start.elapsed()
}

/// What any wire and any reader must do with the bytes of [`offloaded`], and nothing else: the memory's limit. 64 KiB are copied to the
/// next of as many buffers as the wire has in flight, and read there.
pub fn memory(ops: u64) -> Duration {
    const IN_FLIGHT: usize = 4;
    let source = vec![7; CHUNK];
    let mut buffers = vec![vec![0; CHUNK]; IN_FLIGHT];
    let mut transfer = |n: u64| {
        let buffer = &mut buffers[n as usize % IN_FLIGHT];
        buffer.copy_from_slice(black_box(&source));
        read(buffer);
    };
    (0..WARM_UP).for_each(&mut transfer);
    let start = Instant::now();
    (0..ops).for_each(&mut transfer);
    start.elapsed()
}

/// Touch every byte.
pub fn read(bytes: &[u8]) {
    let (words, tail) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word)));
    black_box(sum + tail.iter().map(|byte| u64::from(*byte)).sum::<u64>());
}
