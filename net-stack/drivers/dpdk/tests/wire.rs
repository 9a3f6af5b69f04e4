//! The user-level stack over DPDK's virtual devices: memif between two processes, TAP to the Linux kernel.
#![cfg(feature = "dpdk")]

#[path = "wire/memif.rs"]
mod memif;
#[path = "wire/netns.rs"]
mod netns;
#[path = "wire/ports.rs"]
mod ports;

use hemi_net::DeviceQueue;
use hemi_netns::Station;
use hemi_queue::Pool;

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
