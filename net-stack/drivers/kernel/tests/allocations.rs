//! No allocation per message in steady state, on any backend.

#[path = "suite/rig.rs"]
mod rig;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    task::{Context, Poll},
    thread,
};

use hemi_queue::transport::{SocketOptions, Transport};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(p, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    COUNT.with(Cell::get)
}

#[test]
fn an_echoed_message_allocates_nothing() {
    const WARM: usize = 9000; // every connection has met its largest burst by then
    const MESSAGES: usize = 3000;
    for conns in [1, 20] {
        rig::each(|rig| {
            let l = rig.listen("127.0.0.1:0", &SocketOptions::default());
            let at = l.local_addr().unwrap().ip().unwrap();
            let client = thread::spawn(move || {
                let mut all: Vec<_> = (0..conns).map(|_| std::net::TcpStream::connect(at).unwrap()).collect();
                let mut got = [0; 64];
                for _ in 0..(WARM + MESSAGES) / conns {
                    for c in &mut all {
                        c.write_all(&[7; 64]).unwrap();
                    }
                    for c in &mut all {
                        c.read_exact(&mut got).unwrap();
                    }
                }
            });
            let open: Vec<_> = (0..conns).map(|_| rig.accept(&l)).collect();
            let waker = rig.waker();
            let mut cx = Context::from_waker(&waker);
            let (mut bytes, mut before) = (0, None);
            let start = std::time::Instant::now();
            while bytes < (WARM + MESSAGES) / conns * conns * 64 {
                for s in &open {
                    if let Poll::Ready(Ok(Some(unit))) = s.poll_pop(&mut cx) {
                        bytes += unit.len();
                        s.start_push(unit).unwrap();
                    }
                }
                if before.is_none() && bytes >= WARM * 64 {
                    before = Some(allocations());
                }
                rig.turn();
                assert!(start.elapsed().as_secs() < 20, "hung at {bytes} of {}", (WARM + MESSAGES) * 64);
            }
            // Queues may still grow to their working size now and then; nothing is allocated by message.
            let grown = allocations() - before.unwrap();
            assert!(
                grown <= 12,
                "{grown} in {MESSAGES} messages, {conns} connections, {}",
                rig.kernel.describe()
            );
            rig.until_true(|| client.is_finished()); // the last echoes go out
            client.join().unwrap();
        });
    }
}
