//! Peers that reset at every stage of a connection.

use std::{future::Future, net::TcpStream, pin::pin, task::Poll};

use futures::{StreamExt as _, poll, stream::FuturesUnordered};
use hemi::{Buf, Error, Options, Pop, Push, Runtime, TcpListener, TcpQueue, spawn};
use hemi_tests::{
    foreign::{self, connect, reset},
    kernels,
};

/// A connection between a plain client and the server side under test, whose send buffer is small.
async fn pair() -> hemi::Result<(TcpStream, TcpQueue)> {
    let mut listener = TcpListener::bind("127.0.0.1:0").await?;
    let peer = connect(listener.local_addr()?);
    let conn = listener.pop().await?.expect("the listener is open");
    conn.set_send_buffer(16 << 10)?;
    Ok((peer, conn))
}

fn each<F: Future<Output = hemi::Result<()>>>(case: impl Fn() -> F) {
    kernels::each(|runtime: Runtime| {
        let pool = kernels::run(&runtime, async {
            case().await?;
            hemi::pool()
        });
        drop(runtime);
        assert_eq!(pool.stats().in_use, 0, "buffers are still held");
    });
}

/// A reset of a peer whose reading has ended may be seen as either, by what the kernel was told first.
fn is_the_peers_end(error: &Error) -> bool {
    matches!(error, Error::Reset | Error::BrokenPipe)
}

#[test]
fn before_it_is_accepted() {
    each(async || {
        let mut listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        for _ in 0..20 {
            reset(connect(at));
        }
        let mut good = connect(at);
        let good_at = good.local_addr().unwrap();
        loop {
            let mut conn = listener.pop().await?.expect("the listener goes on");
            if conn.peer_addr().is_ok_and(|peer| peer == good_at) {
                conn.push("hello").await?;
                conn.close().await?;
                break;
            }
            let popped = conn.pop().await;
            assert!(matches!(popped, Err(Error::Reset)), "{popped:?}");
        }
        assert_eq!(std::io::read_to_string(&mut good).unwrap(), "hello");
        Ok(())
    });
}

#[test]
fn after_it_is_accepted() {
    each(async || {
        let (peer, mut conn) = pair().await?;
        reset(peer);
        let popped = conn.pop().await;
        assert!(matches!(popped, Err(Error::Reset)), "{popped:?}");
        // It stays over, in both directions.
        assert!(!matches!(conn.pop().await, Ok(Some(_))));
        let pushed = conn.push("too late").await.expect_err("nobody is there");
        assert!(is_the_peers_end(&pushed), "{pushed:?}");
        Ok(())
    });
}

#[test]
fn with_data_on_the_way_which_comes_first() {
    each(async || {
        let mut listener = TcpListener::bind("127.0.0.1:0").await?;
        let peer = connect(listener.local_addr()?);
        foreign::write_pattern(&peer, 5000).unwrap();
        reset(peer);
        let mut conn = listener.pop().await?.unwrap();
        let mut total = 0;
        let end = loop {
            match conn.pop().await {
                Ok(Some(buf)) => {
                    assert!(foreign::check(total, &buf));
                    total += buf.len() as u64;
                }
                other => break other,
            }
        };
        assert!(matches!(end, Err(Error::Reset)), "{end:?}");
        assert_eq!(total, 5000);
        Ok(())
    });
}

#[test]
fn during_a_pop() {
    each(async || {
        let (peer, mut conn) = pair().await?;
        let mut pop = pin!(conn.pop());
        assert!(poll!(&mut pop).is_pending());
        reset(peer);
        let popped = pop.await;
        assert!(matches!(popped, Err(Error::Reset)), "{popped:?}");
        Ok(())
    });
}

#[test]
fn during_a_push() {
    each(async || {
        let (peer, mut conn) = pair().await?;
        let error = loop {
            let unit = hemi::pool()?.alloc(16 << 10).await?;
            let mut push = pin!(conn.push(full(unit)));
            match poll!(&mut push) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(e)) => panic!("nobody has reset yet: {e}"),
                Poll::Pending => {
                    reset(peer); // which did not read one byte
                    break push.await.expect_err("it has nowhere to go");
                }
            }
        };
        assert!(is_the_peers_end(&error), "{error:?}");
        Ok(())
    });
}

#[test]
fn during_a_close() {
    each(async || {
        let (peer, mut conn) = pair().await?;
        loop {
            let unit = hemi::pool()?.alloc(16 << 10).await?;
            if poll!(pin!(conn.push(full(unit)))).is_pending() {
                break; // more is accepted than the kernel takes; the push goes on
            }
        }
        let mut close = pin!(conn.close());
        assert!(poll!(&mut close).is_pending(), "the peer has not read");
        reset(peer);
        if let Err(error) = close.await {
            assert!(is_the_peers_end(&error), "{error:?}"); // it may tell that not everything arrived
        }
        Ok(())
    });
}

#[test]
fn of_a_server() {
    each(async || {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut conn = TcpQueue::connect(server.local_addr().unwrap()).await?;
        let accepted = server.accept().unwrap().0;
        conn.push("request").await?;
        reset(accepted);
        let popped = conn.pop().await;
        assert!(matches!(popped, Err(Error::Reset)), "{popped:?}");
        Ok(())
    });
}

#[test]
fn others_are_unharmed() {
    each(async || {
        let mut listener = Options::new().recv_limit(64 << 10).listen_tcp("127.0.0.1:0").await?;
        let at = listener.local_addr()?;
        let server = spawn(async move {
            while let Some(mut conn) = listener.pop().await? {
                spawn(async move {
                    while let Some(buf) = conn.pop().await? {
                        conn.push(buf).await?;
                    }
                    conn.close().await
                });
            }
            Ok::<_, Error>(())
        });
        let good = foreign::thread(move || echo(at, 2 << 20));
        let bad = (0..4).map(|seed| {
            foreign::thread(move || {
                for n in 0..25_u64 {
                    let peer = connect(at);
                    // Some reset with requests on the way, some with answers on the way, some at once.
                    let _ = foreign::write_pattern(&peer, (n * 3 + seed) % 5 * 20_000);
                    reset(peer);
                }
            })
        });
        let mut bad: FuturesUnordered<_> = bad.collect();
        while bad.next().await.is_some() {}
        assert_eq!(good.await, 2 << 20);
        server.abort();
        let _ = server.await;
        Ok(())
    });
}

/// A plain client that sends and gets back `len` bytes.
fn echo(at: std::net::SocketAddr, len: u64) -> u64 {
    let peer = connect(at);
    let writer = peer.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        foreign::write_pattern(&writer, len).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let total = foreign::read_pattern(&peer).unwrap();
    writing.join().unwrap();
    total
}

fn full(mut unit: hemi::BufMut) -> Buf {
    unit.set_len(unit.capacity());
    unit.freeze()
}
