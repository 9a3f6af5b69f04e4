//! A peer that sends without end to an owner that never pops.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hemi::{Options, Pop, Push, Runtime, spawn};
use hemi_tests::{
    foreign::{self, connect},
    kernels, until,
};

/// What a connection may hold of our memory, in bytes.
const LIMIT: usize = 64 << 10;
const FLOODS: usize = 4;
/// Far more than the limits and the kernel's buffers hold.
const MOST: u64 = 64 << 20;

/// Sends the pattern until the connection is shut down under it.
fn flood(mut stream: &TcpStream, sent: &AtomicU64) {
    while let from @ ..MOST = sent.load(Ordering::Relaxed) {
        match stream.write(&foreign::pattern(from, 32 << 10)) {
            Ok(len) => sent.fetch_add(len as u64, Ordering::Relaxed),
            Err(_) => return,
        };
    }
}

#[test]
fn the_memory_is_bounded_and_the_others_make_progress() {
    kernels::each(|runtime: Runtime| kernels::run(&runtime, case()));
}

async fn case() -> hemi::Result<()> {
    let pool = hemi::pool()?;
    let mut listener = Options::new()
        .recv_limit(LIMIT)
        .recv_buffer(LIMIT) // the kernel's own, so that the flood's end comes soon
        .listen_tcp("127.0.0.1:0")
        .await?;
    let at = listener.local_addr()?;
    let mut floods = Vec::new();
    let mut owners = Vec::new();
    for _ in 0..FLOODS {
        let stream = connect(at);
        let sent = Arc::new(AtomicU64::new(0));
        let thread = foreign::thread({
            let (stream, sent) = (stream.try_clone().unwrap(), Arc::clone(&sent));
            move || flood(&stream, &sent)
        });
        let mut owner = listener.pop().await?.expect("the listener is open");
        let first = owner.pop().await?.expect("the flood begins"); // now receiving is going on
        assert!(foreign::check(0, &first));
        owners.push((owner, first.len() as u64));
        floods.push((stream, sent, thread));
    }
    // Where the rest waits is the backend's choice: in our memory up to the limit, or with the kernel.
    let is_pressing = |sent: &Arc<AtomicU64>| sent.load(Ordering::Relaxed) > LIMIT as u64;
    until("the floods press", || floods.iter().all(|(_, sent, _)| is_pressing(sent))).await;

    // The others: 500 round trips, while the floods go on pressing.
    let good = foreign::thread(move || {
        let mut stream = connect(at);
        let mut answer = [0; 1024];
        for n in 0..500_u64 {
            stream.write_all(&foreign::pattern(n, 1024)).unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert!(foreign::check(n, &answer), "round trip {n}");
        }
    });
    let mut conn = listener.pop().await?.expect("the listener is open");
    let most = spawn(async move {
        let mut most = 0;
        while let Some(buf) = conn.pop().await? {
            conn.push(buf).await?;
            most = most.max(hemi::pool()?.stats().in_use);
        }
        Ok::<_, hemi::Error>(most)
    });
    good.await;
    let most = most.await.expect("the echo does not panic")?;
    // A buffer has at least 256 bytes, so this many are the limit in the smallest ones, for each connection; receiving
    // may be some buffers ahead of it.
    assert!(most <= (FLOODS + 1) * (LIMIT / 256 + 64), "{most} buffers are held");
    // The classes' first regions (2 MiB each), not one region more for each flood.
    assert!(pool.stats().mapped <= 16 << 20, "{} bytes are mapped", pool.stats().mapped);
    for (_, sent, _) in &floods {
        let sent = sent.load(Ordering::Relaxed);
        assert!(sent < MOST, "the peer was never held back");
    }

    // Nothing was lost: the owners pop after all, and find what was sent.
    for ((mut owner, mut popped), (stream, sent, thread)) in owners.into_iter().zip(floods) {
        stream.shutdown(Shutdown::Write).unwrap();
        thread.await;
        while let Some(buf) = owner.pop().await? {
            assert!(foreign::check(popped, &buf), "wrong bytes after {popped}");
            popped += buf.len() as u64;
        }
        assert_eq!(popped, sent.load(Ordering::Relaxed));
    }
    Ok(())
}
