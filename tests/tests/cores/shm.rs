//! Two cores share one interface in shared memory; the client is another stack, on a core of its own.

use std::{rc::Rc, sync::mpsc, thread};

use futures::{FutureExt, select_biased};
use hemi::{Conn, Options, Pop, Push, Result, Runtime, shutdown};
use hemi_examples::echo;

use crate::program::{HANG, PORT, all_worked, serve};

#[test]
fn two_cores_share_one_link() {
    const CLIENTS: usize = 60;
    let link = format!("shm:cores-{}", std::process::id());
    let client = format!("{link}?ip=10.77.0.1/24");
    let cores = serve(2, &format!("{link}?ip=10.77.0.2/24"), move || {
        let runtime = Runtime::builder().net(client).build().expect("the other side");
        runtime.block_on(async {
            for number in 0..CLIENTS {
                there_and_back(number).await.unwrap_or_else(|e| panic!("connection {number}: {e}"));
            }
        });
    });
    all_worked(&cores, CLIENTS as u64);
    assert_eq!(cores[1].counter("rx_frames"), 0, "core 0 has the queue");
}

/// The core that has the device ends first: it goes on to pass on what is for the other one.
#[test]
fn a_core_that_ends_is_no_black_hole() {
    let link = format!("shm:ends-{}", std::process::id());
    let (ready, started) = mpsc::channel();
    let builder = Runtime::builder().cores(2).net(format!("{link}?ip=10.77.0.2/24"));
    let server = thread::spawn(move || {
        builder.run(move || {
            let ready = ready.clone();
            async move {
                if hemi::core_index() == 0 {
                    return Ok(());
                }
                let listener = Options::new().raw().listen(("10.77.0.2", PORT)).await?;
                ready.send(shutdown::token()).expect("the test waits");
                select_biased! {
                    () = shutdown::begun().fuse() => Ok(()),
                    ended = echo::serve(listener, Rc::default()).fuse() => ended,
                }
            }
        })
    });
    let stop = started.recv_timeout(HANG).expect("core 1 listens");
    let client = Runtime::builder().net(format!("{link}?ip=10.77.0.1/24")).build().expect("the other side");
    client.block_on(async {
        for number in 0..20 {
            there_and_back(number).await.unwrap_or_else(|e| panic!("connection {number}: {e}"));
        }
    });
    stop.begin();
    let ends: Vec<Result<()>> = server.join().expect("no panic").expect("set up");
    assert!(ends.iter().all(Result::is_ok), "{ends:?}");
}

async fn there_and_back(number: usize) -> Result<()> {
    let mut conn: Conn = Options::new().raw().connect(("10.77.0.2", PORT)).await?;
    let sent: Vec<u8> = (0..200 + number * 131).map(|i| (i * 31 + number) as u8).collect();
    conn.push(sent.clone()).await?;
    let mut got = Vec::new();
    while got.len() < sent.len() {
        got.extend(conn.pop().await?.expect("not the end").to_vec());
    }
    assert!(got == sent, "{} bytes of {}", got.len(), sent.len());
    conn.close().await
}
