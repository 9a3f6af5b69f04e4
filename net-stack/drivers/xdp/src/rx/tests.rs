//! The receiving half with the test as the kernel, honest and hostile.

use super::*;
use crate::ring::tests::{consumer, producer};

/// 1,024 chunks, of which half is lent.
fn half() -> (RxPath, Vec<u64>) {
    let umem = Umem::new(UmemShape::new(1500, 2 << 20).unwrap()).unwrap();
    let pool = Pool::with(&PoolConfig { limit: 4 << 20, ..PoolConfig::default() }).unwrap();
    let rx = RxPath::new(&umem, producer(1024), consumer(1024), &pool, RxChecksum::Unknown).unwrap();
    let lent = rx.fill.taken_by_the_kernel();
    (rx, lent)
}

/// The kernel has received a frame of `len` bytes, all `byte`, into the chunk at `address`.
fn receive(rx: &RxPath, address: u64, len: u32, byte: u8) {
    let at = address + 256;
    // SAFETY: a chunk that is lent, as the kernel writes to it; the pool's memory is mapped while `rx` is.
    unsafe {
        let memory = std::ptr::with_exposed_provenance_mut::<u8>(rx.base);
        std::ptr::write_bytes(memory.add(at as usize), byte, len as usize);
    }
    rx.ring.given_by_the_kernel(libc::xdp_desc { addr: at, len, options: 0 });
}

#[test]
fn frames_go_up_in_their_chunks_and_chunks_come_round() {
    let (mut rx, mut lent) = half();
    assert_eq!(lent.len(), 512);
    let mut counters = Counters::default();
    for round in 0..10 {
        for (n, address) in lent.drain(..).enumerate() {
            receive(&rx, address, 60 + n as u32, round);
        }
        let mut frames = Vec::new();
        assert_eq!(rx.burst(1000, &mut frames, &mut counters), Ok(512));
        for (n, frame) in frames.iter().enumerate() {
            assert_eq!(frame.bytes.len(), 60 + n);
            assert!(frame.bytes.iter().all(|&b| b == round));
        }
        lent = rx.fill.taken_by_the_kernel();
        assert_eq!((lent.len(), rx.lent_count), (512, 512));
    }
    assert_eq!((counters.rx_copied, counters.rx_bad_descriptor), (0, 0));
}

#[test]
fn the_kernel_keeps_its_share_whatever_the_application_holds() {
    let (mut rx, mut lent) = half();
    let mut counters = Counters::default();
    let mut hoard = Vec::new();
    while counters.rx_copied < 1000 {
        for address in lent.drain(..) {
            receive(&rx, address, 60, 7);
        }
        rx.burst(1000, &mut hoard, &mut counters).unwrap();
        lent.extend(rx.fill.taken_by_the_kernel());
        assert!(rx.lent_count >= rx.keep - 1, "{}", rx.lent_count);
    }
    // The pool for copies is drained as well: frames are dropped, the ring goes on.
    let pool = rx.pool.clone();
    let mut rest = Vec::new();
    for size in [64 << 10, 16 << 10, 2048, 256] {
        rest.extend(std::iter::from_fn(|| pool.try_alloc(size).ok()));
    }
    while counters.rx_no_memory < 10 {
        for address in lent.drain(..) {
            receive(&rx, address, 60, 7);
        }
        rx.burst(1000, &mut hoard, &mut counters).unwrap();
        lent.extend(rx.fill.taken_by_the_kernel());
    }
    assert!(counters.rx_reserve > 0);
    // And when all is given back, all is there.
    hoard.clear();
    assert_eq!(rx.chunks.stats().in_use, rx.lent_count);
    assert!(rx.lent_count >= rx.keep - 1);
}

#[test]
fn a_hostile_descriptor_gives_nothing() {
    let (mut rx, lent) = half();
    let mut counters = Counters::default();
    let mut frames = Vec::new();
    let free = (0..1024).map(|n| n * 2048).find(|at| !lent.contains(at)).unwrap();
    for (addr, len) in [
        (lent[0] + 256, 1793),
        (lent[0] + 2047, 2),
        (lent[0], u32::MAX),
        (free + 256, 60),
        (2 << 20, 60),
        (u64::MAX, 1),
        (1 << 63, u32::MAX),
    ] {
        rx.ring.given_by_the_kernel(libc::xdp_desc { addr, len, options: u32::MAX });
    }
    assert_eq!(rx.burst(100, &mut frames, &mut counters), Ok(0));
    assert_eq!((counters.rx_bad_descriptor, rx.lent_count), (7, 512));
    // One chunk twice: it is taken once.
    for _ in 0..2 {
        rx.ring.given_by_the_kernel(libc::xdp_desc { addr: lent[0] + 256, len: 60, options: 0 });
    }
    assert_eq!(rx.burst(100, &mut frames, &mut counters), Ok(1));
    assert_eq!(counters.rx_bad_descriptor, 8);
}

#[test]
fn random_descriptors_are_survived_and_no_chunk_is_lost() {
    let (mut rx, _) = half();
    let mut counters = Counters::default();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let (mut frames, mut received) = (Vec::new(), 0);
    for _ in 0..20_000 {
        let descriptor = libc::xdp_desc {
            addr: random() % (3 << 20),
            len: (random() % 2200) as u32,
            options: random() as u32,
        };
        rx.ring.given_by_the_kernel(descriptor);
        received += rx.burst(4, &mut frames, &mut counters).unwrap();
        for frame in &frames {
            assert!(frame.bytes.len() <= 2048);
            std::hint::black_box(frame.bytes.iter().fold(0_u8, |a, b| a ^ b));
        }
        if random() % 7 == 0 {
            frames.clear();
        }
        rx.fill.taken_by_the_kernel();
    }
    frames.clear();
    assert!(received > 1000 && counters.rx_bad_descriptor > 1000, "{received} {counters:?}");
    assert_eq!((rx.lent_count, rx.chunks.stats().in_use), (512, 512));
}
