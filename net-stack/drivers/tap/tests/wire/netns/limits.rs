//! A drained pool.

use std::net::UdpSocket;

use hemi_netns::suite;
use hemi_queue::{Pool, PoolConfig};

use super::{HOST, OURS, station_with};

#[test]
fn with_a_drained_pool_frames_wait_and_none_is_lost_here() {
    let _net = hemi_netns::enter!();
    let pool = Pool::with(&PoolConfig { limit: 8 << 20, ..PoolConfig::default() }).unwrap();
    let mut station = station_with(&format!("tap:hemi0?{HOST}"), &pool);
    suite::answers_echo_requests(&mut station, OURS[0].parse().unwrap());
    let (socket, at) = station.host.stack.udp_bind("10.77.0.2:0".parse().unwrap(), 1 << 20, false).unwrap();
    let mut held = Vec::new();
    for size in [64 << 10, 16 << 10, 2 << 10, 64] {
        while let Ok(buf) = pool.try_alloc(size) {
            held.push(buf);
        }
    }
    let kernel = UdpSocket::bind("10.77.0.1:0").unwrap();
    kernel.send_to(&[1; 1200], at).unwrap();
    kernel.send_to(b"short", at).unwrap();
    station.until("the long one waits for memory", |station| station.counter("rx_no_memory") > 0);
    assert_eq!(station.host.stack.udp_recv(socket).unwrap().map(|d| d.payload.len()), None);
    drop(held);
    let mut lengths = Vec::new();
    station.until("both come", |station| {
        lengths.extend(station.host.stack.udp_recv(socket).unwrap().map(|d| d.payload.len()));
        lengths.len() == 2
    });
    assert_eq!(lengths, [1200, 5]);
    suite::accepts_and_transfers(&mut station, OURS[0].parse().unwrap(), 1 << 20);
}
