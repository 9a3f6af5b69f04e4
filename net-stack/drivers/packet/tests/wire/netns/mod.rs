//! Tests that make network namespaces (the test command's suite `netns`).

mod errors;
mod frames;
mod limits;
mod services;

use hemi_net::{Device, DeviceQueue};
use hemi_netns::{Namespace, Station};
use hemi_queue::Pool;

/// The kernel's addresses on `k0`, ours on `h0`.
const KERNEL: [&str; 2] = ["10.77.0.1", "fd77::1"];
const OURS: [&str; 2] = ["10.77.0.2", "fd77::2"];

/// `h0` joined to `k0`, where the kernel has its addresses.
fn link(net: &Namespace) {
    net.veth("h0", "k0");
    net.ip("addr add 10.77.0.1/24 dev k0");
    net.ip("-6 addr add fd77::1/64 dev k0 nodad");
}

fn open(uri: &str, pool: &Pool) -> Box<dyn Device> {
    let uri = uri.parse().expect("a URI");
    let device = hemi_packet::open(&uri, pool, DeviceQueue::ONLY).unwrap_or_else(|e| panic!("{e}"));
    uri.finish().expect("nothing left over");
    device
}

/// A station on `h0`.
fn station(uri: &str) -> Station {
    let pool = Pool::new().expect("memory");
    station_with(uri, &pool)
}

fn station_with(uri: &str, pool: &Pool) -> Station {
    Station::new(open(uri, pool), pool, &["10.77.0.2/24", "fd77::2/64"])
}
