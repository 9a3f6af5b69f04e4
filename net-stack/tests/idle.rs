//! What a connection costs that does nothing: memory, in bytes; and time, which `benches/peers` counts in instructions.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hemi_net::{Host, StackConfig, TcpConfig, TcpOptionsConfig, sim::Pipe};
use hemi_queue::{Pool, time::Instant};

/// Bytes that are allocated now.
static HELD: AtomicUsize = AtomicUsize::new(0);

struct Weighing;

// SAFETY: passes everything on to the system's allocator; the counter neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Weighing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Weighing = Weighing;

/// Connections; a multiple of what tables grow by, so that their spare room is not charged to anybody.
const MANY: usize = 3_000;

#[test]
fn an_idle_connection_takes_a_kibibyte_at_most() {
    let pool = Pool::new().expect("memory");
    let [first, second] = Pipe::pair(1500, false, &pool);
    let host = |pipe, address: &str, seed| {
        let mut config = StackConfig::with_addresses([address.parse().expect("valid")]);
        config.tcp = TcpConfig::default();
        Host::new(pipe, config, pool.clone(), seed)
    };
    let (mut a, mut b) = (host(first, "10.0.0.1/24", 1), host(second, "10.0.0.2/24", 2));
    let options = TcpOptionsConfig::default;
    let (listener, _) = b.stack.tcp_listen(([0, 0, 0, 0], 80).into(), 8, false, options()).expect("free");
    let mut now = Instant::ZERO;
    let mut open = |n: usize| {
        for _ in 0..n {
            let client =
                a.stack.tcp_connect(([10, 0, 0, 2], 80).into(), None, options(), now).expect("a port");
            let server = loop {
                now += Duration::from_micros(5);
                a.poll(now).expect("alive");
                b.poll(now).expect("alive");
                if let Some(server) = b.stack.tcp_accept(listener) {
                    break server;
                }
            };
            // It is used once, and then idle: what it needed for that is part of the price.
            for (from, to, conns) in [(0, 1, (client, server)), (1, 0, (server, client))] {
                let hosts = [&mut a, &mut b];
                let [a, b] = hosts;
                let (from, to) = if from < to { (a, b) } else { (b, a) };
                from.stack.tcp_push(conns.0, "a request".into(), now).map_err(|(e, _)| e).expect("room");
                from.flush(now).expect("alive");
                to.poll(now).expect("alive");
                assert!(to.stack.tcp_pop(conns.1, now).expect("open").is_some());
                from.poll(now).expect("alive");
            }
            while a.stack.poll_event().is_some() || b.stack.poll_event().is_some() {}
        }
        // Delayed acknowledgements and other appointments pass.
        now += Duration::from_secs(10);
        for _ in 0..4 {
            a.poll(now).expect("alive");
            b.poll(now).expect("alive");
        }
    };
    // Tables have found a size before, and grow by powers of two: weigh between two moments at which they are as full.
    open(MANY);
    let before = HELD.load(Ordering::Relaxed);
    open(MANY);
    let each = (HELD.load(Ordering::Relaxed) - before) / (2 * MANY);
    println!("an idle connection takes {each} bytes at each end");
    assert!(each <= 1024, "an idle connection takes {each} bytes");
}
