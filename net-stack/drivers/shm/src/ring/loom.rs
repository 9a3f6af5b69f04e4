//! Every interleaving of a producer and a consumer over a ring of eight lines: frames arrive whole and in order, no byte is
//! read before it was published or written while it is read, and the producer is never left without room.

use std::sync::Arc;

use ::loom::{
    cell::UnsafeCell,
    model,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::*;

const LINES: usize = 8;

/// A ring whose lines are checked: each line's bytes are one cell.
struct Checked {
    words: [AtomicU64; LINES],
    head: AtomicU64,
    lines: [UnsafeCell<u8>; LINES],
}

// SAFETY: what the cells are guarded by is what the test checks: loom fails it if an access is not ordered.
unsafe impl Sync for Checked {}
// SAFETY: as above.
unsafe impl Send for Checked {}

impl Checked {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            words: std::array::from_fn(|_| AtomicU64::new(0)),
            head: AtomicU64::new(0),
            lines: std::array::from_fn(|_| UnsafeCell::new(0)),
        })
    }

    fn index(line: u64) -> usize {
        line as usize % LINES
    }
}

impl Memory for Arc<Checked> {
    fn lines(&self) -> u64 {
        LINES as u64
    }
    fn load(&self, line: u64) -> u64 {
        self.words[Checked::index(line)].load(Ordering::Acquire)
    }
    fn store(&self, line: u64, word: u64) {
        // A header is written into a line of the producer's: nobody reads its bytes.
        // SAFETY: checked by loom.
        self.lines[Checked::index(line)].with_mut(|_| ());
        self.words[Checked::index(line)].store(word, Ordering::Release);
    }
    fn load_head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }
    fn store_head(&self, head: u64) {
        self.head.store(head, Ordering::Release);
    }
    fn write(&self, line: u64, at: usize, bytes: &[u8]) {
        let (first, last) = ((PREFIX + at) / LINE, (PREFIX + at + bytes.len() - 1) / LINE);
        for i in first..=last {
            // SAFETY: checked by loom.
            self.lines[Checked::index(line + i as u64)].with_mut(|cell| unsafe { *cell = bytes[0] });
        }
    }
    fn read(&self, line: u64, len: usize, out: &mut [u8]) {
        for i in 0..lines(len) {
            // SAFETY: checked by loom.
            out[i as usize] = self.lines[Checked::index(line + i)].with(|cell| unsafe { *cell });
        }
    }
}

/// Send frames of these many lines; each carries its number in every line.
fn check(frames: &'static [u64]) {
    model(move || {
        let memory = Checked::new();
        let theirs = Arc::clone(&memory);
        let sender = thread::spawn(move || {
            let mut producer = Producer::new(theirs);
            for (number, lines) in frames.iter().enumerate() {
                let bytes = vec![number as u8 + 1; *lines as usize * LINE - PREFIX];
                while !producer.has_room(bytes.len()).unwrap() {
                    thread::yield_now();
                }
                producer.push(Header { len: bytes.len(), unfinished: false }, std::iter::once(&bytes[..]));
            }
        });
        let mut consumer = Consumer::new(memory);
        for (number, lines) in frames.iter().enumerate() {
            let header = loop {
                match consumer.peek().unwrap() {
                    Some(header) => break header,
                    None => thread::yield_now(),
                }
            };
            let mut out = [0; LINES];
            consumer.take(header, &mut out);
            consumer.tell();
            assert_eq!(out[..*lines as usize], vec![number as u8 + 1; *lines as usize]);
        }
        sender.join().unwrap();
        assert_eq!(consumer.peek(), Ok(None));
    });
}

#[test]
fn two_small_frames() {
    check(&[1, 1]);
}

#[test]
fn frames_of_several_lines_that_wrap_around() {
    check(&[3, 4, 2]);
}

#[test]
fn more_than_the_ring_holds() {
    check(&[6, 6]);
}
