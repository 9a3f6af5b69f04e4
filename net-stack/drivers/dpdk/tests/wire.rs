//! The user-level stack over DPDK's virtual devices: memif and vhost between two processes, TAP to the Linux kernel.
#![cfg(feature = "dpdk")]

#[path = "wire/memif.rs"]
mod memif;
#[path = "wire/netns.rs"]
mod netns;
#[path = "wire/other.rs"]
mod other;
#[path = "wire/ports.rs"]
mod ports;
#[path = "wire/trouble.rs"]
mod trouble;
#[path = "wire/vhost.rs"]
mod vhost;

use std::time::{Duration, Instant};

use hemi_net::{DeviceQueue, TcpOptionsConfig};
use hemi_netns::Station;
use hemi_queue::Pool;

use other::{ECHO, OURS, Other, exchange};

/// A station over a DPDK port; `None` in a build that found no DPDK.
fn station(uri: &str, addresses: &[&str]) -> Option<Station> {
    let pool = Pool::new().expect("memory");
    let parsed = uri.parse().expect("a URI");
    match hemi_dpdk::open(&parsed, &pool, DeviceQueue::ONLY) {
        Ok(device) => Some(Station::new(device, &pool, addresses)),
        Err(hemi_queue::Error::Unsupported(_)) => None,
        Err(e) => panic!("{uri}: {e}"),
    }
}

/// The other process is killed, with data under way, and started again, as often as `HEMI_DPDK_DEATHS` says: each time the link comes back.
/// Our device `ours` is opened once the other is there, unless it is already.
fn deaths(station: &mut Option<Station>, theirs: &str, ours: &str) {
    let times = std::env::var("HEMI_DPDK_DEATHS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    for _ in 0..times {
        let other = Other::start(theirs);
        let station = station.get_or_insert_with(|| self::station(ours, &[OURS]).expect("DPDK"));
        exchange(station, 20_000);
        let now = station.now();
        let options = TcpOptionsConfig::default();
        let stack = &mut station.host.stack;
        let conn = stack.tcp_connect(ECHO.parse().unwrap(), None, options, now).unwrap();
        let begin = Instant::now();
        let mut other = Some(other);
        while begin.elapsed() < Duration::from_millis(60) {
            station.turn().unwrap();
            let now = station.now();
            let stack = &mut station.host.stack;
            while stack.tcp_state(conn).is_synchronized() && stack.tcp_send_room(conn) > 0 {
                let Ok(buf) = stack.pool().copy_from(&[7; 5000]) else { break };
                if stack.tcp_push(conn, buf, now).is_err() {
                    break;
                }
            }
            while let Ok(Some(_)) = stack.tcp_pop(conn, now) {}
            if begin.elapsed() > Duration::from_millis(30) {
                other = None; // killed
            }
        }
        drop(other);
        let now = station.now();
        station.host.stack.tcp_abort(conn, now);
    }
    println!("{times} of {times} survived");
}
