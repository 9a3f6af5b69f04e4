//! Two cores over kernel sockets: the kernel spreads connections over the listeners of one port (SO_REUSEPORT).

use std::{
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread,
};

use hemi::{Listener, Options, Pop, Push, Runtime, cross, shutdown};

use crate::program::HANG;

#[test]
fn both_cores_accept_at_one_port() {
    const CLIENTS: usize = 200;
    let port = cross::queue::<SocketAddr>(1);
    let (ready, started) = mpsc::channel();
    let (accepted, seen) = mpsc::channel();
    let server = thread::spawn(move || {
        Runtime::builder().cores(2).net("kernel:").run(move || {
            let (mut port, ready, accepted) = (port.clone(), ready.clone(), accepted.clone());
            async move {
                // The first one is given a port, which the second joins.
                let mut listener: Listener;
                if hemi::core_index() == 0 {
                    listener = Options::new().listen("127.0.0.1:0").await?;
                    port.push(listener.local_addr()?.ip().expect("an IP address")).await?;
                } else {
                    let at = port.pop().await?.expect("the first core sends it");
                    listener = Options::new().listen(at.to_string()).await?;
                    ready.send((shutdown::token(), at)).expect("the test waits");
                }
                let mut count = 0_usize;
                loop {
                    futures::select_biased! {
                        () = futures::FutureExt::fuse(shutdown::begun()) => return Ok::<_, hemi::Error>(count),
                        conn = futures::FutureExt::fuse(listener.pop()) => {
                            drop(conn?);
                            count += 1;
                            accepted.send(()).expect("the test counts");
                        }
                    }
                }
            }
        })
    });
    let (stop, at) = started.recv_timeout(HANG).expect("both listen");
    let clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(at).expect("connected")).collect();
    for _ in &clients {
        seen.recv_timeout(HANG).expect("every connection is accepted");
    }
    stop.begin();
    let counts: Vec<_> =
        server.join().expect("no panic").expect("set up").into_iter().map(|c| c.expect("no error")).collect();
    assert_eq!(counts.iter().sum::<usize>(), CLIENTS);
    assert!(counts.iter().all(|n| *n > 0), "both accept: {counts:?}");
}
