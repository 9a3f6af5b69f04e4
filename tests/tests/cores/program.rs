//! The echo example on several cores, and clients for it.

use std::{
    cell::Cell,
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};

use futures::{FutureExt, select_biased};
use hemi::{Options, Result, Runtime, UdpQueue, net::StackSnapshot, shutdown, spawn};
use hemi_examples::echo::{self, Totals};

/// For what hangs, not for what is slow.
pub(crate) const HANG: Duration = Duration::from_secs(120);
pub(crate) const PORT: u16 = 7000;

/// What one core has done.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) streams: Totals,
    pub(crate) datagrams: Totals,
    pub(crate) stack: Option<StackSnapshot>,
}

impl Core {
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let stack = self.stack.as_ref().expect("a user-level stack");
        stack.counters.iter().find(|(n, _)| *n == name).expect("a counter").1
    }
}

/// Echo bytes and datagrams at port 7000 on `cores` cores over `uri` while `clients` runs; what each core did.
pub(crate) fn serve(cores: usize, uri: &str, clients: impl FnOnce()) -> Vec<Core> {
    let (ready, started) = mpsc::channel();
    let builder = Runtime::builder().cores(cores).net(uri);
    let server = thread::spawn(move || {
        builder.run(move || {
            let ready = ready.clone();
            async move {
                let (streams, datagrams) = (Rc::new(Cell::default()), Rc::new(Cell::default()));
                let listener = Options::new().raw().listen(("::", PORT)).await?;
                let socket = UdpQueue::bind(("::", PORT)).await?;
                ready.send(shutdown::token()).expect("the test waits");
                spawn(echo::serve_datagrams(socket, Rc::clone(&datagrams)));
                select_biased! {
                    () = shutdown::begun().fuse() => {},
                    ended = echo::serve(listener, Rc::clone(&streams)).fuse() => ended?,
                }
                let stack = hemi::net::snapshot("").ok();
                Ok(Core { streams: streams.get(), datagrams: datagrams.get(), stack })
            }
        })
    });
    let tokens: Vec<_> = (0..cores).map_while(|_| started.recv().ok()).collect();
    if tokens.len() == cores {
        clients();
        tokens[0].begin();
    }
    let all: Result<Vec<Result<Core>>> = server.join().expect("no panic");
    all.and_then(|cores| cores.into_iter().collect()).unwrap_or_else(|e| panic!("{uri}: {e}"))
}

/// `count` connections to each of `ips`, some at a time, each with bytes of its own there and back.
pub(crate) fn connections(ips: &[&str], count: usize) {
    const AT_ONCE: usize = 6;
    let clients: Vec<_> = (0..AT_ONCE)
        .map(|client| {
            let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().expect("an address")).collect();
            thread::spawn(move || {
                for ip in &ips {
                    for n in (client..count).step_by(AT_ONCE) {
                        there_and_back(SocketAddr::new(*ip, PORT), n);
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.join().expect("intact");
    }
}

fn there_and_back(to: SocketAddr, number: usize) {
    let len = 200 + number * 977 % 20_000;
    let sent: Vec<u8> = (0..len as u32)
        .map(|i| (i.wrapping_add(number as u32).wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut stream =
        TcpStream::connect_timeout(&to, HANG).unwrap_or_else(|e| panic!("connection {number} to {to}: {e}"));
    stream.set_read_timeout(Some(HANG)).expect("an option");
    stream.write_all(&sent).expect("written");
    stream.shutdown(Shutdown::Write).expect("shut down");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap_or_else(|e| panic!("connection {number} to {to}: {e}"));
    assert!(got == sent, "connection {number} to {to}: {} bytes of {len}", got.len());
}

/// Datagrams from `count` sockets to each of `ips`, every third larger than a frame.
pub(crate) fn datagrams(ips: &[&str], count: usize) {
    for ip in ips {
        let to = SocketAddr::new(ip.parse().expect("an address"), PORT);
        for number in 0..count {
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).expect("a socket");
            socket.connect(to).expect("connected");
            socket.set_read_timeout(Some(Duration::from_millis(500))).expect("an option");
            let sent = vec![number as u8; if number % 3 == 0 { 4000 } else { 500 }];
            let mut got = [0; 8192];
            let back = (0..100).any(|_| {
                socket.send(&sent).expect("sent");
                matches!(socket.recv(&mut got), Ok(n) if got[..n] == sent)
            });
            assert!(back, "a hundred datagrams to {to}, and none came back");
        }
    }
}

/// Both at work, nothing lost between them.
pub(crate) fn all_worked(cores: &[Core], connections: u64) {
    let accepted: Vec<_> = cores.iter().map(|core| core.streams.connections).collect();
    assert_eq!(accepted.iter().sum::<u64>(), connections, "{accepted:?}");
    assert!(accepted.iter().all(|n| *n > 0), "every core accepts: {accepted:?}");
    for core in cores.iter().filter(|core| core.stack.is_some()) {
        assert_eq!(core.counter("drop_cores_ring_full"), 0);
        assert_eq!(core.counter("tcp_passive_opens"), core.streams.connections);
    }
}
