//! Connections of which one direction has ended.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::{fd::AsFd, unix::net::UnixStream},
};

use hemi::{Buf, Pop, Push, Runtime, TcpListener, UnixListener};
use hemi_tests::{foreign, kernels};

const LEN: u64 = 3 << 20;

/// The peer ends its direction, then everything of ours still arrives.
async fn peer_first<Q>(mut conn: Q) -> hemi::Result<()>
where
    Q: Pop<Unit = Buf> + Push<Unit = Buf>,
{
    let request = conn.pop().await?.expect("the request comes before the end");
    assert_eq!(request.as_ref(), b"give");
    assert!(conn.pop().await?.is_none());
    assert!(conn.pop().await?.is_none(), "the end is not taken by being popped");
    for from in (0..LEN).step_by(8192) {
        conn.push(foreign::pattern(from, 8192)).await?;
    }
    conn.finish().await
}

/// We end our direction first, then pop everything of the peer's.
async fn we_first<Q>(mut conn: Q) -> hemi::Result<()>
where
    Q: Pop<Unit = Buf> + Push<Unit = Buf>,
{
    conn.push("give").await?;
    conn.finish().await?;
    let mut total = 0;
    while let Some(buf) = conn.pop().await? {
        assert!(foreign::check(total, &buf));
        total += buf.len() as u64;
    }
    assert_eq!(total, LEN);
    assert!(conn.push("more").await.is_err(), "this direction has ended");
    Ok(())
}

/// Asks, ends its direction, and reads to the end.
fn ask(mut stream: impl Read + Write + AsFd) -> u64 {
    stream.write_all(b"give").unwrap();
    socket2::SockRef::from(&stream).shutdown(Shutdown::Write).unwrap();
    foreign::read_pattern(stream).unwrap()
}

/// Reads to the end, and only then answers.
fn give(mut stream: impl Read + Write + AsFd) {
    let mut request = String::new();
    stream.read_to_string(&mut request).unwrap();
    assert_eq!(request, "give");
    foreign::write_pattern(stream, LEN).unwrap();
}

#[test]
fn of_tcp() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let mut listener = TcpListener::bind("127.0.0.1:0").await?;
            let at = listener.local_addr()?;
            let peer = foreign::thread(move || ask(foreign::connect(at)));
            peer_first(listener.pop().await?.expect("open")).await?;
            assert_eq!(peer.await, LEN);
            let peer = foreign::thread(move || give(foreign::connect(at)));
            we_first(listener.pop().await?.expect("open")).await?;
            peer.await;
            Ok(())
        });
    });
}

#[test]
fn of_unix_streams() {
    kernels::each(|runtime: Runtime| {
        let path = foreign::fresh_path("half");
        kernels::run(&runtime, async {
            let mut listener = UnixListener::bind(&path)?;
            let at = path.to_path_buf();
            let peer = foreign::thread(move || ask(UnixStream::connect(at).unwrap()));
            peer_first(listener.pop().await?.expect("open")).await?;
            assert_eq!(peer.await, LEN);
            let at = path.to_path_buf();
            let peer = foreign::thread(move || give(UnixStream::connect(at).unwrap()));
            we_first(listener.pop().await?.expect("open")).await?;
            peer.await;
            Ok(())
        });
    });
}

/// Both directions end, one after the other, with nothing in between.
#[test]
fn of_both_directions_at_once() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let mut listener = TcpListener::bind("127.0.0.1:0").await?;
            let peer = foreign::connect(listener.local_addr()?);
            let mut conn = listener.pop().await?.expect("open");
            peer.shutdown(Shutdown::Write).unwrap();
            conn.finish().await?;
            assert!(conn.pop().await?.is_none());
            assert_eq!(foreign::read_pattern(&peer).unwrap(), 0);
            conn.close().await
        });
    });
}
