//! Every service of the testbed, over every device, by the kernel's sockets.

use std::{
    io::{Read, Write},
    net::{IpAddr, TcpListener, UdpSocket},
};

use super::guest::{self, Device, HANG, V4, V6, connect, exchange, pattern};

fn serves(device: Device) {
    let net = hemi_netns::enter!();
    let guest = guest::start(&net, device, "", "testbed", &["--port", "7000"]);
    for (host, kernel) in [(V4, "10.99.0.2"), (V6, "fd99::2")] {
        let host: IpAddr = host.parse().expect("valid");
        for port in 7000..7003 {
            exchange(connect((host, port)), &pattern(port.into(), 100_003));
        }
        // It closes first when it is told to.
        let mut stream = connect((host, 7000));
        stream.write_all(b"good bye QUIT\n").expect("it is taken");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("the end");
        assert_eq!(all, b"good bye QUIT\n");

        let socket = UdpSocket::bind((kernel, 0)).expect("a port");
        socket.set_read_timeout(Some(HANG)).expect("a timeout");
        for len in [0, 1, 1000, 3000] {
            let bytes = pattern(1, len);
            let mut got = [0; 4000];
            socket.send_to(&bytes, (host, 7000)).expect("sent");
            let (n, from) = socket.recv_from(&mut got).expect("the echo");
            assert_eq!((&got[..n], from.port()), (&bytes[..], 7000));
        }
        // It connects where it is told to, and echoes there.
        let listener = TcpListener::bind((kernel, 0)).expect("a port");
        let at = listener.local_addr().expect("an address");
        socket.send_to(format!("C {} {}", at.ip(), at.port()).as_bytes(), (host, 7003)).expect("sent");
        let (stream, from) = listener.accept().expect("it connects");
        assert_eq!(from.ip(), host);
        stream.set_read_timeout(Some(HANG)).expect("a timeout");
        exchange(stream, &pattern(2, 10_007));
    }
    hemi_skip::program!("ping", "iputils-ping");
    for host in [V4, V6] {
        net.run("ping", &["-c", "3", "-i", "0.2", "-W", "60", "-s", "2000", host]);
    }
    guest.stop();
}

#[test]
fn the_testbed_serves_over_tap() {
    serves(Device::Tap);
}

#[test]
fn the_testbed_serves_over_packet() {
    serves(Device::Packet);
}

#[test]
fn the_testbed_serves_over_xdp() {
    hemi_skip::program!("ethtool", "ethtool");
    serves(Device::Xdp);
}

/// Both ways through loss, duplication, reordering and corruption, and nothing is missing.
#[test]
fn bulk_arrives_whole_through_a_bad_link() {
    let net = hemi_netns::enter!();
    let bad = "&loss=5%&dup=2%&reorder=5%&corrupt=1%&rto_min=50ms";
    let guest = guest::start(&net, Device::Tap, bad, "testbed", &["--port", "7000"]);
    for (seed, host) in [(1, V4), (2, V6)] {
        let host: IpAddr = host.parse().expect("valid");
        exchange(connect((host, 7000)), &pattern(seed, 1_000_003));
    }
    guest.stop();
}
