//! Connections that come and go by the thousand leave nothing behind.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use hemi::{Pop, Push, Runtime, TcpListener, spawn};
use hemi_tests::{
    foreign::{self, connect, reset},
    kernels, meter, until,
};

const CONNECTIONS: u32 = 10_000;

/// Opens connections and ends them in three ways, a few at a time.
fn clients(at: SocketAddr) {
    for n in 0..CONNECTIONS {
        let mut stream = connect(at);
        match n % 3 {
            0 => reset(stream),
            1 => drop(stream), // before it has sent anything
            _ => {
                stream.write_all(b"x").unwrap();
                assert_eq!(stream.read(&mut [0; 8]).unwrap(), 1);
                assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "the server ends it");
            }
        }
    }
}

#[test]
fn ten_thousand_connections_leave_nothing_behind() {
    hemi_tests::alone!(); // counts descriptors
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let pool = hemi::pool()?;
            let mut listener = TcpListener::bind("127.0.0.1:0").await?;
            let at = listener.local_addr()?;
            // One first, so that what is made once is there.
            drop(connect(at));
            let mut first = listener.pop().await?.expect("open");
            assert!(first.pop().await?.is_none());
            first.close().await?;
            let before = (meter::descriptors(), pool.stats());

            let clients = foreign::thread(move || clients(at));
            let mut served = 0;
            let mut tasks = Vec::new();
            for _ in 0..CONNECTIONS {
                let mut conn = listener.pop().await?.expect("open");
                tasks.push(spawn(async move {
                    // Errors are the resets; every end of a connection is fine here.
                    let Ok(Some(buf)) = conn.pop().await else { return 0 };
                    u32::from(conn.push(buf).await.is_ok())
                }));
            }
            for task in tasks {
                served += task.await.expect("no task panics");
            }
            clients.await;
            assert_eq!(served, CONNECTIONS / 3); // 2, 5, 8, ... 9,998
            until("all descriptors are closed", || meter::descriptors() <= before.0).await;
            let after = pool.stats();
            assert_eq!(after.in_use, before.1.in_use);
            assert!(after.mapped <= before.1.mapped + (8 << 20), "{} bytes mapped", after.mapped);
            Ok(())
        });
    });
}
