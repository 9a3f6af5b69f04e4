//! An echoed message allocates nothing in steady state: executor, queues, framing and driver together.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};

use hemi::{Listener, Pop, Push, Runtime, TcpListener};

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

const WARM: usize = 1000;
const MESSAGES: usize = 4000;
/// Queues that find their size late: far below one for each message.
const GROWTH: u64 = 16;

/// Send `message` and wait for it to come back, `WARM + MESSAGES` times.
fn client(at: SocketAddr, message: &'static [u8]) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut conn = TcpStream::connect(at).unwrap();
        conn.set_nodelay(true).unwrap();
        let mut got = vec![0; message.len()];
        for _ in 0..WARM + MESSAGES {
            conn.write_all(message).unwrap();
            conn.read_exact(&mut got).unwrap();
            assert_eq!(got, message);
        }
    })
}

fn on_every_backend(test: impl AsyncFn() -> u64) {
    for net in ["kernel:?backend=uring", "kernel:?backend=epoll", "kernel:?backend=poll"] {
        let runtime = match Runtime::builder().net(net).build() {
            Ok(runtime) => runtime,
            Err(e) if net.contains("uring") => {
                hemi_skip::skip_part!(net, "{e}");
                continue;
            }
            Err(e) => panic!("{net}: {e}"),
        };
        let counted = runtime.block_on(test());
        assert!(counted <= GROWTH, "{net}: {counted} allocations for {MESSAGES} messages");
    }
}

/// Echo until the peer ends; how often the messages after the first `WARM` allocated.
async fn echo<Q: Pop + Push<Unit = <Q as Pop>::Unit>>(mut conn: Q) -> u64 {
    let (mut echoed, mut before) = (0, 0);
    while let Some(unit) = conn.pop().await.unwrap() {
        conn.push(unit).await.unwrap();
        echoed += 1;
        if echoed == WARM {
            before = COUNT.with(Cell::get);
        }
        if echoed == WARM + MESSAGES {
            return COUNT.with(Cell::get) - before;
        }
    }
    panic!("the client ended after {echoed} messages");
}

#[test]
fn bytes_over_tcp() {
    on_every_backend(async || {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = client(listener.local_addr().unwrap(), &[7; 64]);
        let counted = hemi::spawn(echo(listener.pop().await.unwrap().unwrap())).await.unwrap();
        peer.join().unwrap();
        counted
    });
}

#[test]
fn units_behind_their_length() {
    on_every_backend(async || {
        let mut listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().ip().unwrap();
        let peer = client(at, b"\0\0\0\x08one unit");
        let counted = hemi::spawn(echo(listener.pop().await.unwrap().unwrap())).await.unwrap();
        peer.join().unwrap();
        counted
    });
}
