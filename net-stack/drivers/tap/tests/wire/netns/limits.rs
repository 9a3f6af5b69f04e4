//! A drained pool.

use std::net::UdpSocket;

use hemi_netns::suite;
use hemi_queue::{Pool, PoolConfig};

use super::{HOST, OURS, station_with};

#[test]
fn with_a_drained_pool_long_frames_are_dropped_and_short_ones_behind_them_heard() {
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
    let mut lengths = Vec::new();
    station.until("the short one comes", |station| {
        lengths.extend(station.host.stack.udp_recv(socket).unwrap().map(|d| d.payload.len()));
        !lengths.is_empty()
    });
    assert_eq!((lengths, station.counter("rx_no_memory") > 0), (vec![5], true), "{}", station.report());
    drop(held);
    suite::accepts_and_transfers(&mut station, OURS[0].parse().unwrap(), 1 << 20);
}
