//! Tests that make network namespaces (the test command's suite `netns`).

mod errors;
mod kernel;
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
    let device = hemi_xdp::open(&uri, pool, DeviceQueue::ONLY).unwrap_or_else(|e| panic!("{e}"));
    uri.finish().expect("nothing left over");
    device
}

/// A station on `h0`.
fn station(uri: &str) -> Station {
    let pool = Pool::new().expect("memory");
    Station::new(open(uri, &pool), &pool, &["10.77.0.2/24", "fd77::2/64"])
}

/// A namespace in which AF_XDP works, or a skip.
macro_rules! enter {
    () => {{
        let net = hemi_netns::enter!();
        if let Some(why) = crate::netns::no_xdp() {
            hemi_skip::skip!("{why}");
        }
        net
    }};
}
pub(crate) use enter;

/// Why AF_XDP does not work here, if it does not: a kernel without it, or a container that forbids bpf(2).
pub(crate) fn no_xdp() -> Option<String> {
    // SAFETY: no pointers; the descriptor is closed at once.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Some(format!("no AF_XDP here: {}", std::io::Error::last_os_error()));
    }
    // SAFETY: opened above.
    unsafe { libc::close(fd) };
    // BPF_MAP_CREATE of an array of one entry.
    let attributes: [u32; 4] = [2, 4, 4, 1];
    // SAFETY: the attributes are a local of the size given, and name no memory.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 0, attributes.as_ptr(), size_of_val(&attributes)) };
    if fd < 0 {
        return Some(format!("no bpf(2) here: {}", std::io::Error::last_os_error()));
    }
    // SAFETY: opened above.
    unsafe { libc::close(fd as i32) };
    None
}
