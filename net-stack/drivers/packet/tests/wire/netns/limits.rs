//! A full ring, a drained pool, several queues.

use std::net::{SocketAddr, UdpSocket};

use hemi_net::{
    DeviceQueue,
    cores::{Steered, Steering},
};
use hemi_netns::{Station, suite};
use hemi_queue::{Pool, PoolConfig};

use super::{KERNEL, OURS, link, station, station_with};

#[test]
fn a_ring_that_overflowed_goes_on() {
    let net = hemi_netns::enter!();
    link(&net);
    let mut station = station("packet:h0?ring=65536");
    suite::answers_echo_requests(&mut station, OURS[0].parse().unwrap());
    let socket = UdpSocket::bind("10.77.0.1:0").unwrap();
    for _ in 0..500 {
        socket.send_to(&[7; 1000], "10.77.0.2:9").unwrap();
    }
    // Without a turn that would make room; what was sent may still be on its way through the kernel.
    station.counts("rx_ring_full");
    suite::accepts_and_transfers(&mut station, OURS[0].parse().unwrap(), 1 << 20);
}

#[test]
fn with_a_drained_pool_short_frames_are_still_heard() {
    let net = hemi_netns::enter!();
    link(&net);
    let pool = Pool::with(&PoolConfig { limit: 4 << 20, ..PoolConfig::default() }).unwrap();
    let mut station = station_with("packet:h0", &pool);
    suite::answers_echo_requests(&mut station, OURS[0].parse().unwrap());
    let mut held = Vec::new();
    for size in [64 << 10, 16 << 10, 2 << 10, 64] {
        while let Ok(buf) = pool.try_alloc(size) {
            held.push(buf);
        }
    }
    let socket = UdpSocket::bind("10.77.0.1:0").unwrap();
    station.until("a short frame comes in the reserve", |station| {
        socket.send_to(b"short", "10.77.0.2:9").unwrap();
        station.counter("rx_reserve") > 0
    });
    station.until("a long one is dropped", |station| {
        socket.send_to(&[7; 1000], "10.77.0.2:9").unwrap();
        station.counter("rx_no_memory") > 0
    });
    drop(held);
    suite::accepts_and_transfers(&mut station, OURS[0].parse().unwrap(), 1 << 20);
}

#[test]
fn flows_are_spread_over_queues_and_none_is_doubled() {
    let net = hemi_netns::enter!();
    link(&net);
    let pool = Pool::new().unwrap();
    let mut stations = [0, 1].map(|index| {
        let uri = "packet:h0".parse().unwrap(); // a URI's parameters are taken once
        let device = hemi_packet::open(&uri, &pool, DeviceQueue { index, of: 2 }).unwrap();
        Station::new(device, &pool, &["10.77.0.2/24"])
    });
    let rule = Steering::random(2, 7);
    for station in &mut stations {
        let answer = station.host.device.steer(&rule);
        assert!(matches!(answer, Steered::Exactly), "{answer:?}");
    }
    let mac = stations[0].host.device.caps().mac;
    assert_eq!(stations[1].host.device.caps().mac, mac);
    net.ip(&format!("neigh add 10.77.0.2 lladdr {mac} dev k0"));
    let at: SocketAddr = "10.77.0.2:7000".parse().unwrap();
    let sockets = stations.each_mut().map(|s| s.host.stack.udp_bind(at, 1 << 20, false).unwrap().0);
    let flows: Vec<_> = (0..64).map(|_| UdpSocket::bind((KERNEL[0], 0)).unwrap()).collect();
    for (number, flow) in flows.iter().enumerate() {
        for _ in 0..4 {
            flow.send_to(&[number as u8], at).unwrap();
        }
    }
    let mut seen = [[0; 64]; 2];
    for round in 0.. {
        for (queue, station) in stations.iter_mut().enumerate() {
            station.turn().unwrap();
            while let Ok(Some(datagram)) = station.host.stack.udp_recv(sockets[queue]) {
                seen[queue][usize::from(datagram.payload[0])] += 1;
            }
        }
        if seen.iter().flatten().sum::<u32>() >= 256 && round > 50 {
            break;
        }
        assert!(round < 100_000, "{seen:?}");
    }
    let [one, other] = &seen;
    for (flow, counts) in one.iter().zip(other).enumerate() {
        assert!(counts == (&4, &0) || counts == (&0, &4), "flow {flow}: {counts:?}");
    }
    for (number, flow) in flows.iter().enumerate() {
        let core = rule.core_of(flow.local_addr().unwrap(), at);
        assert_eq!(seen[core][number], 4, "each flow goes to its core");
    }
    assert!(seen.iter().all(|queue| queue.iter().sum::<u32>() > 0), "both have work");
}
