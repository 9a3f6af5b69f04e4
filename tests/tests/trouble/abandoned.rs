//! Operations that are dropped in flight, by `select!` and by hand, on every type of queue: nothing is lost, nothing
//! comes twice.

use std::{
    cell::Cell,
    future::poll_fn,
    io::Write,
    net::{Shutdown, UdpSocket},
    os::unix::net::{UnixDatagram as StdUnixDatagram, UnixStream},
    pin::pin,
    task::Poll,
};

use futures::future::{Either, select};
use hemi::{
    Buf, Conn, Error, Listener, Options, Pop, Push, Runtime, Sga, TcpListener, UdpQueue, UnixDatagram,
    UnixListener, framing::Framed, framing::Lines, queue, spawn, yield_now,
};
use hemi_tests::{foreign, kernels};

const LEN: u64 = 1 << 20;

/// Pops, and drops the pop whenever a turn went by before it was done. Counts them.
async fn pop<Q: Pop>(queue: &mut Q, dropped: &Cell<u32>) -> hemi::Result<Option<Q::Unit>> {
    loop {
        match select(queue.pop(), pin!(yield_now())).await {
            Either::Left((popped, _)) => return popped,
            Either::Right(((), in_flight)) => {
                drop(in_flight);
                dropped.set(dropped.get() + 1);
            }
        }
    }
}

/// Pushes as soon as there is room, and drops the push as soon as it is begun. True: it was in flight then.
async fn push<Q: Push>(queue: &mut Q, unit: Q::Unit) -> hemi::Result<bool> {
    poll_fn(|cx| queue.poll_ready(cx)).await?;
    match futures::poll!(pin!(queue.push(unit))) {
        Poll::Ready(pushed) => pushed.map(|_| false),
        Poll::Pending => Ok(true),
    }
}

/// Both directions of a byte stream at once, against a plain peer.
async fn bytes<Q>(mut queue: Q) -> hemi::Result<()>
where
    Q: Pop<Unit = Buf> + Push<Unit = Buf>,
{
    let dropped = Cell::new(0);
    let mut total = 0;
    while let Some(buf) = pop(&mut queue, &dropped).await? {
        assert!(foreign::check(total, &buf), "wrong bytes after {total}");
        total += buf.len() as u64;
    }
    assert_eq!(total, LEN);
    assert!(dropped.get() > 0, "no pop was ever in flight");
    let mut in_flight = 0;
    for from in (0..4 * LEN).step_by(32 << 10) {
        in_flight += u32::from(push(&mut queue, foreign::pattern(from, 32 << 10).into()).await?);
    }
    assert!(in_flight > 0, "no push was ever in flight");
    queue.finish().await
}

#[test]
fn of_tcp() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let mut listener =
                Options::new().send_limit(64 << 10).send_buffer(64 << 10).listen_tcp("127.0.0.1:0").await?;
            let at = listener.local_addr()?;
            let peer = foreign::thread(move || {
                let peer = foreign::connect(at);
                foreign::write_pattern(&peer, LEN).unwrap();
                peer.shutdown(Shutdown::Write).unwrap();
                foreign::read_pattern(&peer).unwrap()
            });
            let conn = pop(&mut listener, &Cell::new(0)).await?.expect("open");
            bytes(conn).await?;
            assert_eq!(peer.await, 4 * LEN);
            Ok(())
        });
    });
}

#[test]
fn of_unix_streams() {
    kernels::each(|runtime: Runtime| {
        let path = foreign::fresh_path("abandoned");
        kernels::run(&runtime, async {
            let mut listener: UnixListener =
                Options::new().send_limit(64 << 10).send_buffer(64 << 10).listen_unix(&path)?;
            let at = path.to_path_buf();
            let peer = foreign::thread(move || {
                let peer = UnixStream::connect(at).unwrap();
                foreign::write_pattern(&peer, LEN).unwrap();
                peer.shutdown(Shutdown::Write).unwrap();
                foreign::read_pattern(&peer).unwrap()
            });
            bytes(listener.pop().await?.expect("open")).await?;
            assert_eq!(peer.await, 4 * LEN);
            Ok(())
        });
    });
}

/// Accepts: no connection is lost.
#[test]
fn of_a_listener() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let mut listener = TcpListener::bind("127.0.0.1:0").await?;
            let at = listener.local_addr()?;
            let peers = foreign::thread(move || {
                for n in 0..100_u8 {
                    let mut peer = foreign::connect(at);
                    peer.write_all(&[n]).unwrap();
                    assert_eq!(foreign::read_pattern(&peer).unwrap(), 0); // until the server has it
                }
            });
            let dropped = Cell::new(0);
            for n in 0..100 {
                let mut conn = pop(&mut listener, &dropped).await?.expect("open");
                assert_eq!(conn.pop().await?.expect("its number").as_ref(), [n]);
            }
            assert!(dropped.get() > 0, "no accept was ever in flight");
            peers.await;
            Ok(())
        });
    });
}

/// Units of the portable connection, in both directions at once.
#[test]
fn of_units() {
    const UNITS: u32 = 300;
    fn unit(n: u32) -> Vec<u8> {
        foreign::pattern(u64::from(n), (n as usize * 37) % 5000)
    }
    async fn both(mut conn: Conn) -> hemi::Result<u32> {
        let dropped = Cell::new(0);
        let mut in_flight = 0;
        for n in 0..UNITS {
            in_flight += u32::from(push(&mut conn, Sga::from(unit(n))).await?);
            assert_eq!(pop(&mut conn, &dropped).await?.expect("a unit").to_vec(), unit(n), "unit {n}");
        }
        conn.finish().await?;
        assert!(pop(&mut conn, &dropped).await?.is_none());
        conn.close().await?;
        Ok(dropped.get() + in_flight)
    }
    let everywhere = |runtime: Runtime| {
        kernels::run(&runtime, async {
            let mut listener = Listener::bind("127.0.0.1:0").await?;
            let client = Conn::connect(listener.local_addr()?.ip().expect("an address")).await?;
            let server = spawn(both(listener.pop().await?.expect("open")));
            let dropped = both(client).await? + server.await.expect("no panic")?;
            assert!(dropped > 0, "nothing was ever in flight");
            Ok(())
        });
    };
    kernels::each(everywhere);
    everywhere(Runtime::builder().net("mem:?latency=10us&stream=bytes&mss=100").build().unwrap());
}

#[test]
fn of_udp() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let mut socket = UdpQueue::bind("127.0.0.1:0").await?;
            let at = socket.local_addr()?;
            let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
            peer.set_read_timeout(Some(kernels::HANG)).unwrap();
            peer.connect(at).unwrap();
            socket.connect(peer.local_addr().unwrap()).await?;
            // One at a time: UDP may lose what nobody takes in time.
            let peer = foreign::thread(move || {
                let mut answer = [0; 2000];
                for n in 0..200_usize {
                    let datagram = foreign::pattern(n as u64, n * 7);
                    peer.send(&datagram).unwrap();
                    let len = foreign::recv(&peer, &mut answer);
                    assert_eq!(answer[..len], datagram, "datagram {n}");
                }
            });
            let dropped = Cell::new(0);
            for _ in 0..200 {
                let datagram = pop(&mut socket, &dropped).await?.expect("open");
                push(&mut socket, datagram).await?;
            }
            peer.await;
            assert!(dropped.get() > 0, "no pop was ever in flight");
            Ok(())
        });
    });
}

#[test]
fn of_unix_datagrams() {
    kernels::each(|runtime: Runtime| {
        let (ours, theirs) = (foreign::fresh_path("ours"), foreign::fresh_path("theirs"));
        kernels::run(&runtime, async {
            let mut socket = UnixDatagram::bind(&ours)?;
            let peer = StdUnixDatagram::bind(&theirs).unwrap();
            peer.set_read_timeout(Some(kernels::HANG)).unwrap();
            peer.connect(&ours).unwrap();
            socket.connect(&theirs)?;
            // Unix datagrams are reliable: the sender waits. All at once, then.
            let sending = peer.try_clone().unwrap();
            let sending = foreign::thread(move || {
                for n in 0..300_usize {
                    sending.send(&foreign::pattern(n as u64, 1 + n * 7)).unwrap();
                }
            });
            let dropped = Cell::new(0);
            for n in 0..300_usize {
                let datagram = pop(&mut socket, &dropped).await?.expect("open").to_vec();
                assert_eq!(datagram, foreign::pattern(n as u64, 1 + n * 7), "datagram {n}");
            }
            sending.await;
            let receiving = foreign::thread(move || {
                let mut datagram = [0; 4000];
                for n in 0..300_usize {
                    let len = peer.recv(&mut datagram).unwrap();
                    assert_eq!(datagram[..len], foreign::pattern(n as u64, 1 + n * 7), "datagram {n}");
                }
            });
            for n in 0..300_usize {
                push(&mut socket, foreign::pattern(n as u64, 1 + n * 7).into()).await?;
            }
            receiving.await;
            Ok(())
        });
    });
}

/// Units that a decoder has half read.
#[test]
fn of_framed_queues() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let mut listener = TcpListener::bind("127.0.0.1:0").await?;
            let at = listener.local_addr()?;
            let peer = foreign::thread(move || {
                let mut peer = foreign::connect(at);
                peer.set_nodelay(true).unwrap();
                for n in 0..200 {
                    for part in ["line ".to_owned(), format!("{n}"), format!("\nline {n}"), "b\n".to_owned()]
                    {
                        peer.write_all(part.as_bytes()).unwrap();
                    }
                }
            });
            let mut lines = Framed::new(listener.pop().await?.expect("open"), Lines::new());
            let dropped = Cell::new(0);
            for n in 0..200 {
                for expected in [format!("line {n}"), format!("line {n}b")] {
                    let line = pop(&mut lines, &dropped).await?.expect("a line");
                    assert_eq!(line.to_vec(), expected.as_bytes());
                }
            }
            assert!(pop(&mut lines, &dropped).await?.is_none());
            assert!(dropped.get() > 0, "no pop was ever in flight");
            peer.await;
            Ok(())
        });
    });
}

#[test]
fn of_queues_in_memory() {
    const UNITS: u32 = 1000;
    let runtime = Runtime::builder().simulated(3).build().unwrap();
    kernels::run(&runtime, async {
        for capacity in [1, 2, 7] {
            let units = queue::<u32>(capacity);
            let pushing = spawn({
                let units = units.clone();
                async move {
                    let mut in_flight = 0;
                    for n in 0..UNITS {
                        // Not asked for room first: what was begun takes its turn without its future, until as many
                        // again have piled up.
                        loop {
                            match futures::poll!(pin!(units.push(n))) {
                                Poll::Ready(Err(Error::Busy)) => yield_now().await,
                                Poll::Ready(pushed) => break pushed?,
                                Poll::Pending => break in_flight += 1,
                            }
                        }
                    }
                    units.close();
                    Ok::<u32, Error>(in_flight)
                }
            });
            let (mut units, dropped) = (units, Cell::new(0));
            for n in 0..UNITS {
                assert_eq!(pop(&mut units, &dropped).await?, Some(n), "capacity {capacity}");
            }
            assert_eq!(pop(&mut units, &dropped).await?, None);
            assert!(pushing.await.expect("no panic")? > 0, "no push was ever in flight");
        }
        Ok(())
    });
}
