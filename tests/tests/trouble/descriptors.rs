//! Too many open files: the listener survives, and recovers when descriptors are free again.

use std::net::TcpStream;

use futures::future::{Either, select};
use hemi::{Pop, Push, Runtime, TcpListener, TcpQueue};
use hemi_tests::{foreign::connect, kernels};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{pin::pin, time::Duration};

const CLIENTS: usize = 40;
const SPARE: usize = 8;

fn limit_to(descriptors: Option<u64>) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: descriptors.or(maximum), maximum }).unwrap();
}

#[test]
fn a_listener_survives_and_recovers() {
    hemi_tests::alone!(); // lowers its limit
    kernels::each(|runtime: Runtime| {
        let usual = getrlimit(Resource::Nofile).current;
        kernels::run(&runtime, case());
        limit_to(usual);
    });
}

async fn case() -> hemi::Result<()> {
    // Before the listener is made: io_uring takes the limit as it was when an accept was submitted. There is room for
    // the listener, the clients, and a few connections.
    limit_to(Some(room_for(1 + CLIENTS + SPARE)));
    let mut listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    // The kernel completes their handshakes; nothing is accepted before the next turn.
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(at)).collect();

    // Hold what can be accepted, until the limit is met.
    let mut held = Vec::new();
    while listener.transient_failures() == 0 {
        let moment = pin!(hemi::time::sleep(Duration::from_millis(1)));
        match select(listener.pop(), moment).await {
            Either::Left((conn, _)) => held.push(conn?.expect("the listener goes on")),
            Either::Right(_) => {}
        }
    }
    assert!(held.len() < CLIENTS, "the limit was not met");
    let refused = TcpQueue::connect(at).await.expect_err("there is no descriptor for it");
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()), "{refused}");
    assert!(refused.to_string().contains("ulimit -n"), "{refused}");

    // Everything that is let go makes room for a client that waits.
    for n in 0..CLIENTS {
        let mut conn = match held.pop() {
            Some(conn) => conn,
            None => listener.pop().await?.expect("the listener goes on"),
        };
        conn.push(format!("{n}")).await?;
        conn.close().await?;
    }
    limit_to(None);
    let mut said = Vec::new();
    for client in clients {
        said.push(std::io::read_to_string(client).unwrap().parse::<usize>().unwrap());
    }
    said.sort_unstable();
    assert_eq!(said, (0..CLIENTS).collect::<Vec<_>>(), "everybody was served, once");
    Ok(())
}

/// The limit that leaves `more` descriptors to be had: it bounds their numbers, not their count, and there may be gaps (a
/// shell leaves its number 255 open to what it starts).
fn room_for(more: usize) -> u64 {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut taken: Vec<u64> =
        fds.filter_map(|fd| fd.unwrap().file_name().to_str().unwrap().parse().ok()).collect();
    taken.sort_unstable();
    taken.iter().fold(more as u64, |limit, fd| limit + u64::from(*fd < limit))
}
