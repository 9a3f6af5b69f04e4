//! An echoed message allocates nothing in steady state: executor, queues, framing and driver together.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};

use hemi::{Listener, Pop, Push, Runtime, TcpListener};
use hemi_meter::{Counting, Steady, Verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WINDOW: usize = 500;

/// Send `message` and wait for it to come back, until the server ends the connection.
fn client(at: SocketAddr, message: &'static [u8]) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut conn = TcpStream::connect(at).unwrap();
        conn.set_nodelay(true).unwrap();
        let mut got = vec![0; message.len()];
        while conn.write_all(message).is_ok() && conn.read_exact(&mut got).is_ok() {
            assert_eq!(got, message);
        }
    })
}

fn on_every_backend(test: impl AsyncFn() -> Verdict) {
    for net in ["kernel:?backend=uring", "kernel:?backend=epoll", "kernel:?backend=poll"] {
        let runtime = match Runtime::builder().net(net).build() {
            Ok(runtime) => runtime,
            Err(e) if net.contains("uring") => {
                hemi_skip::skip_part!(net, "{e}");
                continue;
            }
            Err(e) => panic!("{net}: {e}"),
        };
        let verdict = runtime.block_on(test());
        assert!(verdict.is_clean(), "{net}: {verdict}");
    }
}

/// Echo until the meter has a verdict.
async fn echo<Q: Pop + Push<Unit = <Q as Pop>::Unit>>(mut conn: Q) -> Verdict {
    let mut steady = Steady::over(WINDOW);
    while let Some(unit) = conn.pop().await.unwrap() {
        conn.push(unit).await.unwrap();
        if let Some(verdict) = steady.operation() {
            return verdict;
        }
    }
    panic!("the client ended: {steady:?}");
}

#[test]
fn bytes_over_tcp() {
    on_every_backend(async || {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = client(listener.local_addr().unwrap(), &[7; 64]);
        let verdict = hemi::spawn(echo(listener.pop().await.unwrap().unwrap())).await.unwrap();
        hemi::spawn_blocking(|| peer.join().unwrap()).await.unwrap();
        verdict
    });
}

#[test]
fn units_behind_their_length() {
    on_every_backend(async || {
        let mut listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().ip().unwrap();
        let peer = client(at, b"\0\0\0\x08one unit");
        let verdict = hemi::spawn(echo(listener.pop().await.unwrap().unwrap())).await.unwrap();
        hemi::spawn_blocking(|| peer.join().unwrap()).await.unwrap();
        verdict
    });
}
