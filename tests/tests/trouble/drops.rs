//! A runtime that is dropped with operations in flight: it ends, and all that it held is given back.

use std::{
    cell::Cell,
    net::{SocketAddr, TcpListener as StdListener, TcpStream},
    pin::pin,
    rc::Rc,
};

use hemi::{Pool, Pop, Push, Runtime, TcpListener, TcpQueue, UdpQueue, spawn, time::sleep, yield_now};
use hemi_tests::{foreign, kernels, meter};
use std::time::Duration;

/// Tells when it is dropped.
struct Witness(Rc<Cell<u32>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// A listener of which the backlog is full: connecting to it goes on for ever.
fn black_hole() -> (StdListener, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = StdListener::from(socket);
    let at = listener.local_addr().unwrap();
    // The first fills the queue of length "0"; the others' handshakes are never completed.
    let full = (0..3).map(|_| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&at.into()); // in progress
        TcpStream::from(socket)
    });
    let full = full.collect();
    (listener, full)
}

/// What the foreign side has in its hands when the runtime goes.
struct Outside {
    silent: TcpStream,
    waiting: TcpStream,
    pool: Pool,
    ended: Rc<Cell<u32>>,
}

const TASKS: u32 = 6;

async fn begin_everything(hole: SocketAddr) -> hemi::Result<Outside> {
    let pool = hemi::pool()?;
    let ended = Rc::new(Cell::new(0));
    let witness = || Witness(Rc::clone(&ended));
    let mut listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;

    // A push of megabytes, to a peer that does not read.
    let silent = foreign::connect(at);
    let mut conn = listener.pop().await?.expect("open");
    conn.set_send_buffer(64 << 10)?;
    let blocked = Rc::new(Cell::new(false));
    drop(spawn({
        let (pool, blocked, witness) = (pool.clone(), Rc::clone(&blocked), witness());
        async move {
            let _witness = witness;
            for from in (0..u64::MAX).step_by(16 << 10) {
                let mut unit = pool.alloc(16 << 10).await?;
                unit.put(&foreign::pattern(from, 16 << 10));
                let mut push = pin!(conn.push(unit));
                if futures::poll!(&mut push).is_pending() {
                    blocked.set(true);
                    push.await?;
                }
            }
            Ok::<_, hemi::Error>(())
        }
    }));

    // A pop, with data that nobody has popped yet behind it; one that was submitted; and one in each other state.
    let waiting = foreign::connect(at);
    let mut conn = listener.pop().await?.expect("open");
    foreign::write_pattern(&waiting, 10_000).unwrap();
    drop(spawn({
        let witness = witness();
        async move {
            let _witness = witness;
            let first = conn.pop().await?;
            while let Some(more) = conn.pop().await? {
                drop(more);
            }
            Ok::<_, hemi::Error>(first) // never: it holds a buffer while it waits
        }
    }));
    let mut udp = UdpQueue::bind("127.0.0.1:0").await?;
    drop(spawn({
        let witness = witness();
        async move {
            let _witness = witness;
            udp.pop_from().await
        }
    }));

    // An accept.
    drop(spawn({
        let witness = witness();
        async move {
            let _witness = witness;
            listener.pop().await
        }
    }));

    // A connect that does not come to an end, and a timer.
    drop(spawn({
        let witness = witness();
        async move {
            let _witness = witness;
            TcpQueue::connect(hole).await
        }
    }));
    drop(spawn({
        let witness = witness();
        async move {
            let _witness = witness;
            sleep(Duration::from_secs(3600)).await;
        }
    }));

    hemi_tests::until("the push is held back", || blocked.get()).await;
    for _ in 0..10 {
        yield_now().await;
    }
    assert_eq!(ended.get(), 0, "everything is in flight");
    Ok(Outside { silent, waiting, pool, ended })
}

#[test]
fn with_everything_in_flight() {
    hemi_tests::alone!(); // counts descriptors
    let (hole, full) = black_hole();
    let hole_at = hole.local_addr().unwrap();
    // Once before counting, for what a process opens only once.
    drop(Runtime::builder().build().unwrap());
    for uri in kernels::BACKENDS {
        let before = meter::descriptors();
        let Ok(runtime) = Runtime::builder().net(uri).build() else {
            assert!(uri.ends_with("uring"));
            hemi_skip::skip_part!(uri, "not to be had");
            continue;
        };
        eprintln!("-- {uri}");
        let outside = kernels::run(&runtime, begin_everything(hole_at));
        assert!(outside.pool.stats().in_use > 0, "buffers are in flight");
        drop(runtime);

        assert_eq!(outside.ended.get(), TASKS, "every task was dropped");
        assert_eq!(outside.pool.stats().in_use, 0, "buffers are still held");
        let Outside { silent, waiting, .. } = outside;
        assert_eq!(meter::descriptors() - 2, before, "descriptors are still open");
        // The peers learn of it, and nothing that is not in order ever arrived.
        let _ = foreign::read_pattern(&silent); // its end, or a reset
        let _ = foreign::read_pattern(&waiting);
    }
    drop((hole, full));
}

/// Handles and tokens may outlive the runtime: they answer errors.
#[test]
fn before_its_queues() {
    kernels::each(|runtime: Runtime| {
        let (mut conn, peer, token) = kernels::run(&runtime, async {
            let mut listener = TcpListener::bind("127.0.0.1:0").await?;
            let peer = foreign::connect(listener.local_addr()?);
            let conn = listener.pop().await?.expect("open");
            let token = conn.submit_pop()?;
            Ok((conn, peer, token))
        });
        drop(runtime);
        assert_eq!(foreign::read_pattern(&peer).unwrap_or(0), 0, "its end, or a reset");
        let next = Runtime::builder().build().unwrap();
        next.block_on(async {
            assert!(!matches!(conn.pop().await, Ok(Some(_))));
            assert!(conn.push("nobody carries it").await.is_err());
            assert!(matches!(token.await, Err(hemi::Error::ForeignToken)));
        });
    });
}
