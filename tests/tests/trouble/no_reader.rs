//! A peer that never reads: pushes wait, memory is bounded, other connections are unharmed.

use std::{cell::Cell, io::Read, io::Write, rc::Rc};

use hemi::{Options, Pop, Push, Runtime, spawn};
use hemi_tests::{
    foreign::{self, connect},
    kernels, until,
};

const LIMIT: usize = 64 << 10;
const UNIT: usize = 16 << 10;
const UNITS: u64 = 2000; // 32 MiB

#[test]
fn pushes_wait_and_nothing_is_lost() {
    kernels::each(|runtime: Runtime| kernels::run(&runtime, case()));
}

async fn case() -> hemi::Result<()> {
    let pool = hemi::pool()?;
    let mut listener = Options::new().send_limit(LIMIT).send_buffer(LIMIT).listen_tcp("127.0.0.1:0").await?;
    let at = listener.local_addr()?;

    let silent = connect(at);
    socket2::SockRef::from(&silent).set_recv_buffer_size(LIMIT).unwrap();
    let mut conn = listener.pop().await?.expect("the listener is open");
    let done = Rc::new(Cell::new(0));
    let pushing = spawn({
        let (pool, done) = (pool.clone(), Rc::clone(&done));
        async move {
            for n in 0..UNITS {
                let mut unit = pool.alloc(UNIT).await?;
                unit.put(&foreign::pattern(n * UNIT as u64, UNIT));
                conn.push(unit).await?;
                done.set(n + 1);
            }
            conn.close().await
        }
    });
    until("the first pushes are done", || done.get() > 0).await;

    let other = foreign::thread(move || {
        let mut stream = connect(at);
        let mut answer = [0; 1024];
        for n in 0..500_u64 {
            stream.write_all(&foreign::pattern(n, 1024)).unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert!(foreign::check(n, &answer), "round trip {n}");
        }
    });
    let mut echo = listener.pop().await?.expect("the listener is open");
    while let Some(buf) = echo.pop().await? {
        echo.push(buf).await?;
    }
    other.await;

    // The kernel doubles what it is told to buffer, on both sides; then the limit; then nothing more.
    let accepted = done.get() * UNIT as u64;
    assert!(!pushing.is_finished() && accepted < 2 << 20, "{accepted} bytes were accepted");
    // Besides what waits to be sent a ring of buffers to receive into may be with the kernel.
    assert!(pool.stats().in_use <= 2 * LIMIT / UNIT + 64, "{:?}", pool.stats());

    // The peer reads after all.
    let total = foreign::thread(move || foreign::read_pattern(&silent).unwrap());
    pushing.await.expect("pushing does not panic")?;
    assert_eq!(total.await, UNITS * UNIT as u64);
    Ok(())
}
