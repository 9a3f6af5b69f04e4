//! The runtime on the user-level stack over the kernel's devices, in network namespaces of their own (root).

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    rc::Rc,
    sync::mpsc,
    thread,
    time::Duration,
};

use futures::{FutureExt, select_biased};
use hemi::{Options, Pop, Result, Runtime, UdpQueue, shutdown, spawn, time::sleep};
use hemi_examples::echo;
use hemi_netns::Namespace;
use hemi_tests::{suite::World, transport_suite};

mod netns {
    use super::*;

    transport_suite!(packet, packet());
    transport_suite!(tap, tap());
    transport_suite!(xdp, xdp());

    /// Two hosts at the ends of a cable, both by AF_PACKET.
    fn packet() -> Result<World, String> {
        let ground = Namespace::enter()?;
        ground.veth("ha", "hb");
        let world = World::real_pair("packet:ha?ip=10.77.0.1/24", "packet:hb?ip=10.77.0.2/24")?;
        Ok(world.standing_on(ground))
    }

    /// The same, both by AF_XDP.
    fn xdp() -> Result<World, String> {
        let ground = Namespace::enter()?;
        ground.veth("ha", "hb");
        let world = World::real_pair("xdp:ha?ip=10.77.0.1/24", "xdp:hb?ip=10.77.0.2/24")?;
        Ok(world.standing_on(ground))
    }

    /// Two hosts, each on a TAP device of its own, with the kernel's bridge between them.
    fn tap() -> Result<World, String> {
        let ground = Namespace::enter()?;
        ground.try_ip("link add bridge type bridge stp_state 0 forward_delay 0")?;
        ground.ip("link set bridge up");
        for tap in ["ta", "tb"] {
            ground.try_ip(&format!("tuntap add dev {tap} mode tap vnet_hdr"))?;
            ground.ip(&format!("link set {tap} master bridge up"));
        }
        let world = World::real_pair("tap:ta?ip=10.77.0.1/24", "tap:tb?ip=10.77.0.2/24")?;
        Ok(world.standing_on(ground))
    }

    #[test]
    fn echo_on_tap_serves_the_kernel_through_loss() {
        let _ground = hemi_netns::enter!();
        serves_the_kernel("tap:hemi0?host=10.77.0.1/24&host=fd77::1/64");
    }

    #[test]
    fn echo_on_xdp_serves_the_kernel_through_loss() {
        hemi_skip::program!("ethtool", "ethtool");
        let ground = hemi_netns::enter!();
        ground.veth("ha", "hb");
        ground.ip("addr add 10.77.0.1/24 dev hb");
        ground.ip("addr add fd77::1/64 dev hb nodad");
        // On a veth the kernel leaves checksums and segmentation to whoever takes the packet off it; a program there does neither.
        ground.run("ethtool", &["-K", "hb", "tx", "off", "tso", "off", "gso", "off"]);
        serves_the_kernel("xdp:ha?");
    }

    /// Every queue gets an error, and the core is not kept awake by a descriptor that is readable for ever.
    #[test]
    fn a_device_that_is_removed_gives_errors_and_no_busy_core() {
        let ground = hemi_netns::enter!();
        for (device, remove) in [
            ("tap:hemi0?host=10.77.0.1/24", "link del hemi0"),
            ("packet:ha?", "link del ha"),
            ("xdp:ha?", "link del ha"),
        ] {
            if !device.starts_with("tap") {
                ground.veth("ha", "hb");
            }
            let runtime =
                Runtime::builder().net(format!("{device}&ip=10.77.0.2/24")).build().expect("a device");
            runtime.block_on(async {
                let mut listener = Options::new().listen(("10.77.0.2", PORT)).await.expect("a listener");
                ground.ip(remove);
                let e = hemi::time::timeout(HANG, listener.pop()).await.expect("no hang").unwrap_err();
                assert!(e.to_string().contains("which is gone"), "{e}");
                let begin = cpu_time();
                sleep(Duration::from_secs(1)).await;
                let used = cpu_time().saturating_sub(begin);
                assert!(
                    used < Duration::from_millis(500),
                    "{device} burns {used:?} in a second when it is gone"
                );
            });
        }
    }

    #[test]
    fn echo_on_packet_serves_the_kernel_through_loss() {
        let ground = hemi_netns::enter!();
        ground.veth("ha", "hb");
        ground.ip("addr add 10.77.0.1/24 dev hb");
        ground.ip("addr add fd77::1/64 dev hb nodad");
        serves_the_kernel("packet:ha?");
    }
}

const PORT: u16 = 7000;
/// For what hangs, not for what is slow.
const HANG: Duration = Duration::from_secs(120);

/// The echo example, on a host with a bad cable, is given bytes and datagrams by the kernel.
fn serves_the_kernel(device: &str) {
    let uri = format!("{device}&ip=10.77.0.2/24&ip=fd77::2/64&loss=5%&dup=1%&reorder=2%&rto_min=10ms");
    let (ready, started) = mpsc::channel();
    let server = thread::spawn(move || {
        Runtime::builder().net(uri).build()?.block_on(async {
            let listener = Options::new().raw().listen(("::", PORT)).await?;
            let socket = UdpQueue::bind(("::", PORT)).await?;
            ready.send(shutdown::token()).expect("the test waits");
            spawn(echo::serve_datagrams(socket, Rc::default()));
            select_biased! {
                () = shutdown::begun().fuse() => Ok(()),
                ended = echo::serve(listener, Rc::default()).fuse() => ended,
            }
        })
    });
    let Ok(stop) = started.recv() else {
        let outcome: Result<()> = server.join().expect("no panic");
        panic!("the server did not start: {outcome:?}");
    };
    for ip in ["10.77.0.2", "fd77::2"] {
        let to = SocketAddr::new(ip.parse::<IpAddr>().expect("an address"), PORT);
        bytes(to);
        datagrams(to);
    }
    stop.begin();
    server.join().expect("no panic").expect("no error");
}

fn bytes(to: SocketAddr) {
    let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let sent = sent.clone();
            thread::spawn(move || {
                let mut stream = TcpStream::connect_timeout(&to, HANG).expect("connected");
                stream.set_read_timeout(Some(HANG)).expect("an option");
                let mut writes = stream.try_clone().expect("a handle");
                let expected = sent.clone();
                let writing = thread::spawn(move || {
                    writes.write_all(&sent).expect("written");
                    writes.shutdown(Shutdown::Write).expect("shut down");
                });
                let mut got = Vec::new();
                stream.read_to_end(&mut got).expect("read");
                writing.join().expect("no panic");
                assert!(got == expected, "{} bytes of {}", got.len(), expected.len());
            })
        })
        .collect();
    for client in clients {
        client.join().expect("no panic");
    }
}

fn datagrams(to: SocketAddr) {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("a socket");
    socket.connect(to).expect("connected");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("an option");
    for len in [1, 500, 1400, 4000] {
        let sent = vec![len as u8; len];
        let mut got = [0; 8192];
        let back = (0..100).any(|_| {
            socket.send(&sent).expect("sent");
            // Answers to earlier tries are as good, if they are of this length.
            matches!(socket.recv(&mut got), Ok(n) if got[..n] == sent)
        });
        assert!(back, "a hundred datagrams of {len} bytes, and none came back");
    }
}

/// What this thread has used of its CPU.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
