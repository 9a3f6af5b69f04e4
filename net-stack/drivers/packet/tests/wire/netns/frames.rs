//! Frames that are not plain: of several packets, with tags, of others.

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    thread,
};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{link, station};

#[test]
fn datagrams_that_the_kernel_sends_as_one_frame_come_apart() {
    let net = hemi_netns::enter!();
    link(&net);
    let mut station = station("packet:h0");
    for (ours, any) in [("10.77.0.2:7000", "0.0.0.0:0"), ("[fd77::2]:7000", "[::]:0")] {
        let at: SocketAddr = ours.parse().unwrap();
        let (socket, _) = station.host.stack.udp_bind(at, 1 << 20, false).unwrap();
        let before = station.counter("rx_cut");
        let kernel = thread::spawn(move || {
            let socket = UdpSocket::bind(any).unwrap();
            socket.connect(at).unwrap();
            let size: i32 = 1000;
            let len = size_of::<i32>() as libc::socklen_t;
            // SAFETY: the value is a local of the length given.
            let r = unsafe {
                let fd = socket.as_raw_fd();
                libc::setsockopt(fd, libc::IPPROTO_UDP, libc::UDP_SEGMENT, (&raw const size).cast(), len)
            };
            assert_eq!(r, 0, "{}", std::io::Error::last_os_error());
            let bytes: Vec<u8> = (0..40_500_u32).map(|i| (i / 1000) as u8).collect();
            assert_eq!(socket.send(&bytes).unwrap(), bytes.len());
        });
        let mut lengths = Vec::new();
        station.until("41 datagrams come", |station| {
            while let Ok(Some(datagram)) = station.host.stack.udp_recv(socket) {
                let number = lengths.len() as u8;
                assert!(datagram.payload.iter().all(|&b| b == number), "datagram {number}");
                lengths.push(datagram.payload.len());
            }
            lengths.len() >= 41
        });
        kernel.join().unwrap();
        assert_eq!(lengths[..40], [1000; 40]);
        assert_eq!(lengths[40..], [500]);
        assert_eq!(station.counter("rx_cut"), before + 1, "it was one frame");
    }
}

#[test]
fn a_vlan_tag_is_put_back_and_not_ours() {
    let net = hemi_netns::enter!();
    link(&net);
    let mut station = station("packet:h0");
    // Not every kernel has VLAN interfaces; a packet socket can send the tag itself, and the kernel takes it out on arrival.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1, 0x81, 0, 0, 5, 0x08, 0x06]);
    frame.extend([0; 46]);
    let index = rustix::net::netdevice::name_to_index(&socket, "k0").unwrap();
    // SAFETY: the storage is zeroed and large enough for the address that is written to it, whose length is given.
    let ((), to) = unsafe {
        SockAddr::try_init(|storage, len| {
            let at = &mut *storage.cast::<libc::sockaddr_ll>();
            at.sll_family = libc::AF_PACKET as u16;
            at.sll_ifindex = index as i32;
            *len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }
    .unwrap();
    station.until("a tagged broadcast", |station| {
        socket.send_to(&frame, &to).unwrap();
        station.counter("rx_vlan") > 0
    });
    station.until("the stack takes it for what it is", |station| {
        station.host.stack.counters().drop_eth_unknown_type > 0
    });
}

#[test]
fn frames_for_others_do_not_reach_us() {
    let net = hemi_netns::enter!();
    link(&net);
    let mut station = station("packet:h0");
    // The kernel believes 10.77.0.9 to be at another address on this link.
    net.ip("neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev k0");
    let socket = UdpSocket::bind("10.77.0.1:0").unwrap();
    for _ in 0..100 {
        socket.send_to(b"not for you", "10.77.0.9:9").unwrap();
    }
    hemi_netns::suite::answers_echo_requests(&mut station, "10.77.0.2".parse().unwrap());
    let counters = station.host.stack.counters();
    assert_eq!(counters.drop_eth_not_ours, 0, "the socket filter keeps them out");
}
