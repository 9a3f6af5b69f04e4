//! Side by side with the kernel: what is not ours is the kernel's, and afterwards all is.

use std::{
    io::Read,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use hemi_net::DeviceQueue;
use hemi_netns::{Station, suite};
use hemi_queue::Pool;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{KERNEL, OURS, enter, link, station};

/// A packet socket, which sees what the kernel's stack is given on `interface`.
fn everything_on(interface: &str) -> Socket {
    const ETH_P_ALL: u16 = 3;
    let socket = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let index = rustix::net::netdevice::name_to_index(&socket, interface).unwrap();
    // SAFETY: the storage is zeroed and large enough for the address that is written to it, whose length is given.
    let made = unsafe {
        SockAddr::try_init(|storage, len| {
            let at = &mut *storage.cast::<libc::sockaddr_ll>();
            at.sll_family = libc::AF_PACKET as u16;
            at.sll_protocol = ETH_P_ALL.to_be();
            at.sll_ifindex = index as i32;
            *len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    };
    socket.bind(&made.unwrap().1).unwrap();
    socket
}

#[test]
fn frames_for_others_reach_the_kernel() {
    let net = enter!();
    link(&net);
    let kernel = everything_on("h0");
    let mut station = station("xdp:h0?mac=own&checksum=trust");
    let marker = b"for the kernel, not for hemi";
    net.ip("neigh add 10.77.0.9 lladdr 02:00:00:00:00:09 dev k0");
    let socket = UdpSocket::bind("10.77.0.1:0").unwrap();
    let sent = std::thread::spawn(move || {
        loop {
            let mut frame = [0; 2048];
            let n = (&kernel).read(&mut frame).expect("the frame in time");
            if frame[..n].ends_with(marker) {
                break;
            }
        }
    });
    station.until("the kernel has its frame", |_| {
        socket.send_to(marker, "10.77.0.9:9").unwrap();
        sent.is_finished()
    });
    sent.join().unwrap();
    suite::answers_echo_requests(&mut station, OURS[0].parse().unwrap());
    let counters = station.host.stack.counters();
    assert_eq!(counters.drop_eth_not_ours, 0, "{counters:?}");
}

#[test]
fn after_us_the_interface_is_as_before() {
    let net = enter!();
    link(&net);
    for _ in 0..3 {
        let mut station = station("xdp:h0?checksum=trust");
        assert!(net.ip("link show h0").contains("xdp"), "a program is attached");
        suite::answers_echo_requests(&mut station, OURS[0].parse().unwrap());
        drop(station);
        // A program that another test is starting right now holds our descriptors until it runs.
        let begun = std::time::Instant::now();
        while net.ip("link show h0").contains("xdp") {
            assert!(begun.elapsed() < Duration::from_secs(60), "a program is left behind");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn every_queue_has_its_frames() {
    let net = enter!();
    net.ip("link add h0 numrxqueues 2 numtxqueues 2 type veth peer name k0 numrxqueues 2 numtxqueues 2");
    net.ip("addr add 10.77.0.1/24 dev k0");
    net.ip("link set h0 up");
    net.ip("link set k0 up");
    let pool = Pool::new().unwrap();
    let mut stations = [0, 1].map(|index| {
        let uri = "xdp:h0?checksum=trust".parse().unwrap(); // a URI's parameters are taken once
        let device =
            hemi_xdp::open(&uri, &pool, DeviceQueue { index, of: 2 }).unwrap_or_else(|e| panic!("{e}"));
        Station::new(device, &pool, &["10.77.0.2/24"])
    });
    let mac = stations[0].host.device.caps().mac;
    net.ip(&format!("neigh add 10.77.0.2 lladdr {mac} dev k0"));
    let at: SocketAddr = "10.77.0.2:7000".parse().unwrap();
    let sockets = stations.each_mut().map(|s| s.host.stack.udp_bind(at, 1 << 20, false).unwrap().0);
    let flows: Vec<_> = (0..64).map(|_| UdpSocket::bind((KERNEL[0], 0)).unwrap()).collect();
    let mut seen = [0; 2];
    let begin = std::time::Instant::now();
    while seen.contains(&0) {
        for (number, flow) in flows.iter().enumerate() {
            flow.send_to(&[number as u8], at).unwrap();
        }
        for (queue, station) in stations.iter_mut().enumerate() {
            for _ in 0..3 {
                station.turn().unwrap();
            }
            while let Ok(Some(_)) = station.host.stack.udp_recv(sockets[queue]) {
                seen[queue] += 1;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{seen:?}\n{}", stations[1].report());
    }
}
