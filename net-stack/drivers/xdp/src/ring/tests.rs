//! Rings in memory of our own, in which the test plays the kernel, also a hostile one.

use super::*;

const SIZE: u32 = 8;
const AT: libc::xdp_ring_offset = libc::xdp_ring_offset { producer: 0, consumer: 64, desc: 192, flags: 128 };

fn shared() -> Shared<u64> {
    Shared::new(Mapping::anonymous(4096).unwrap(), &AT, SIZE).unwrap()
}

#[test]
fn a_producer_has_room_for_what_the_kernel_has_taken() {
    let mut ring = Producer::new(shared());
    for round in 0..100_u64 {
        assert_eq!(ring.room(SIZE), Ok(SIZE));
        for n in 0..u64::from(SIZE) {
            ring.write(round * 100 + n);
        }
        assert_eq!(ring.room(1), Ok(0));
        ring.publish();
        assert!(ring.is_waiting());
        // The kernel takes five, then the rest.
        let consumer = ring.shared.consumer();
        consumer.store(consumer.load(Ordering::Relaxed).wrapping_add(5), Ordering::Release);
        // SAFETY: within the ring's memory.
        assert_eq!(unsafe { ring.shared.entry(ring.written.wrapping_sub(1)).read() }, round * 100 + 7);
        assert_eq!(ring.room(1), Ok(5));
        let consumer = ring.shared.consumer();
        consumer.store(ring.written, Ordering::Release);
        assert!(!ring.is_waiting());
    }
}

#[test]
fn a_consumer_reads_what_the_kernel_has_written() {
    let mut ring = Consumer::new(shared());
    for round in 0..100_u64 {
        assert_eq!(ring.waiting(), Ok(0));
        for n in 0..3 {
            // SAFETY: within the ring's memory.
            unsafe { ring.shared.entry(ring.read.wrapping_add(n)).write(round + u64::from(n)) };
        }
        ring.shared.producer().store(ring.read.wrapping_add(3), Ordering::Release);
        assert_eq!(ring.waiting(), Ok(3));
        assert_eq!([ring.read(), ring.read(), ring.read()], [round, round + 1, round + 2]);
        ring.release();
        assert_eq!(ring.shared.consumer().load(Ordering::Relaxed), ring.read);
    }
}

#[test]
fn indices_wrap_around() {
    let first = shared();
    first.producer().store(u32::MAX - 2, Ordering::Relaxed);
    first.consumer().store(u32::MAX - 2, Ordering::Relaxed);
    let mut ring = Producer::new(first);
    assert_eq!(ring.room(SIZE), Ok(SIZE));
    (0..u64::from(SIZE)).for_each(|n| ring.write(n));
    ring.publish();
    assert_eq!(ring.shared.producer().load(Ordering::Relaxed), 5);
    assert_eq!(ring.room(1), Ok(0));
}

#[test]
fn impossible_indices_are_corrupt() {
    let mut ring = Producer::new(shared());
    ring.write(1);
    ring.publish();
    for consumer in [2, 9, u32::MAX - 9, 1 << 31] {
        ring.shared.consumer().store(consumer, Ordering::Relaxed);
        assert_eq!(ring.room(SIZE), Err(Corrupt), "{consumer}");
    }
    ring.shared.consumer().store(1, Ordering::Relaxed);
    assert_eq!(ring.room(SIZE), Ok(SIZE));

    let ring = Consumer::new(shared());
    for producer in [SIZE + 1, u32::MAX, 1 << 31] {
        ring.shared.producer().store(producer, Ordering::Relaxed);
        assert_eq!(ring.waiting(), Err(Corrupt), "{producer}");
    }
    ring.shared.producer().store(SIZE, Ordering::Relaxed);
    assert_eq!(ring.waiting(), Ok(SIZE));
}

#[test]
fn offsets_outside_of_the_memory_are_refused() {
    let make = |at: libc::xdp_ring_offset, size| {
        Shared::<u64>::new(Mapping::anonymous(4096).unwrap(), &at, size).is_ok()
    };
    assert!(make(AT, SIZE));
    assert!(!make(AT, 7), "not a power of two");
    assert!(!make(AT, 512), "more entries than fit");
    assert!(!make(libc::xdp_ring_offset { producer: 4094, ..AT }, SIZE));
    assert!(!make(libc::xdp_ring_offset { consumer: u64::MAX, ..AT }, SIZE));
    assert!(!make(libc::xdp_ring_offset { flags: 2, ..AT }, SIZE), "not aligned");
    assert!(!make(libc::xdp_ring_offset { desc: 4095, ..AT }, SIZE));
}

/// A producer and a consumer over memory of their own, and what plays the kernel's side of them.
pub(crate) fn producer<T: Copy>(size: u32) -> Producer<T> {
    Producer::new(Shared::new(Mapping::anonymous(1 << 16).unwrap(), &AT, size).unwrap())
}

pub(crate) fn consumer<T: Copy>(size: u32) -> Consumer<T> {
    Consumer::new(Shared::new(Mapping::anonymous(1 << 16).unwrap(), &AT, size).unwrap())
}

impl<T: Copy> Producer<T> {
    /// What the kernel finds, all of it.
    pub(crate) fn taken_by_the_kernel(&self) -> Vec<T> {
        let (from, to) = (self.shared.consumer().load(Ordering::Relaxed), self.written);
        self.shared.consumer().store(to, Ordering::Release);
        // SAFETY: within the ring's memory, written before.
        (0..to.wrapping_sub(from))
            .map(|n| unsafe { self.shared.entry(from.wrapping_add(n)).read() })
            .collect()
    }
}

impl<T: Copy> Consumer<T> {
    /// The kernel gives an entry.
    pub(crate) fn given_by_the_kernel(&self, entry: T) {
        let at = self.shared.producer().load(Ordering::Relaxed);
        // SAFETY: within the ring's memory.
        unsafe { self.shared.entry(at).write(entry) };
        self.shared.producer().store(at.wrapping_add(1), Ordering::Release);
    }
}
