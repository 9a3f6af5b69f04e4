//! What the protocol costs for an echoed unit: a message in, the unit popped and pushed back, the work request out.
//!
//! `cargo bench -p hemi-rdma --bench echo` prints nanoseconds; with arguments (`echo BYTES ROUNDS`) it runs so many rounds, for
//! callgrind: `--toggle-collect='*one_echo*'` counts the server's part and nothing else.

use std::{hint::black_box, time::Instant as Clock};

use hemi_queue::{AllocError, Buf, BufMut, Pool, time::Instant};
use hemi_rdma::{Config, Connection, Hello, Keys, Memory, Popped, ReceiveBudget, WorkId};

struct Registered(Pool);

impl Memory for Registered {
    fn keys(&self, _: &Buf) -> Option<Keys> {
        Some(Keys { local: 1, remote: 2 })
    }
    fn alloc(&self, len: usize) -> Result<(BufMut, Keys), AllocError> {
        Ok((self.0.try_alloc(len)?, Keys { local: 1, remote: 2 }))
    }
}

/// What the connection does for one unit. What is to be completed, if anything.
#[inline(never)]
fn one_echo(conn: &mut Connection, memory: &Registered, imm: u32, data: Buf, now: Instant) -> Option<WorkId> {
    conn.received(Some(imm), data, now);
    if let Ok(Popped::Unit(unit)) = conn.pop() {
        drop(conn.push(unit));
    }
    let mut signalled = None;
    while let Some(work) = conn.next_work(memory) {
        if work.signalled {
            signalled = Some(work.id);
        }
        black_box(&work);
    }
    conn.posted();
    if let Some(id) = signalled {
        conn.completed(id, Ok(()), now);
    }
    black_box(conn.take_changes());
    signalled
}

fn run(bytes: usize, rounds: usize) {
    let memory = Registered(Pool::new().expect("memory"));
    let budget = ReceiveBudget::new(32);
    let hello =
        Hello { window: 32, credits: 32, buffer: 16 << 10, rendezvous_from: 20_000, largest_unit: 1 << 20 };
    let mut conn = Connection::accepting(7, Config::default(), &budget, hello).expect("room");
    budget.posted(budget.wanted());
    conn.hello();
    let now = Instant::from_nanos(1);
    conn.established(None, now);
    for round in 0..rounds {
        let mut data = memory.0.try_alloc(bytes).expect("memory");
        data.set_len(bytes);
        // A unit, numbered, from a peer that has received everything.
        let imm = 1 << 28 | (round as u32 & 255) << 16 | (round as u32 + 32) & 0xffff;
        one_echo(&mut conn, &memory, imm, data.freeze(), now);
        budget.posted(budget.wanted());
    }
    assert_eq!(conn.stats().popped, rounds as u64);
    assert!(conn.failure().is_none());
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|n| n.parse().ok()).collect();
    if let [bytes, rounds] = numbers[..] {
        return run(bytes, rounds);
    }
    for bytes in [64, 8192] {
        let rounds = 1_000_000;
        let begin = Clock::now();
        run(bytes, rounds);
        let each = begin.elapsed().as_nanos() as f64 / rounds as f64;
        println!("{bytes} bytes: {each:.1} ns for an echoed unit, with its receive buffer");
    }
}
