//! Several queues of one device, one stack each.

use std::net::{SocketAddr, UdpSocket};

use hemi_net::DeviceQueue;
use hemi_netns::Station;
use hemi_queue::Pool;

use super::{HOST, KERNEL, try_open};

#[test]
fn flows_are_spread_over_queues_and_none_is_doubled() {
    let _net = hemi_netns::enter!();
    let pool = Pool::new().unwrap();
    let uri = format!("tap:hemi0?{HOST}");
    let mut stations = [0, 1].map(|index| {
        let device = try_open(&uri, &pool, DeviceQueue { index, of: 2 }).unwrap();
        Station::new(device, &pool, &["10.77.0.2/24"])
    });
    let at: SocketAddr = "10.77.0.2:7000".parse().unwrap();
    let sockets = stations.each_mut().map(|s| s.host.stack.udp_bind(at, 1 << 20, false).unwrap().0);
    let flows: Vec<_> = (0..64).map(|_| UdpSocket::bind((KERNEL[0], 0)).unwrap()).collect();
    let mut seen = [[0_u32; 64]; 2];
    let begin = std::time::Instant::now();
    let mut sent = 0;
    loop {
        // One datagram of each flow at a time; the first waits until the kernel has learned our address.
        if seen.iter().flatten().sum::<u32>() as usize == sent * flows.len() {
            if sent == 4 {
                break;
            }
            sent += 1;
            for (number, flow) in flows.iter().enumerate() {
                flow.send_to(&[number as u8], at).unwrap();
            }
        }
        for (queue, station) in stations.iter_mut().enumerate() {
            station.turn().unwrap();
            while let Ok(Some(datagram)) = station.host.stack.udp_recv(sockets[queue]) {
                seen[queue][usize::from(datagram.payload[0])] += 1;
            }
        }
        assert!(begin.elapsed().as_secs() < 120, "{seen:?}");
    }
    let [one, other] = &seen;
    for (flow, counts) in one.iter().zip(other).enumerate() {
        assert!(counts == (&4, &0) || counts == (&0, &4), "flow {flow}: {counts:?}");
    }
    assert!(seen.iter().all(|queue| queue.iter().sum::<u32>() > 0), "both have work: {seen:?}");
}
