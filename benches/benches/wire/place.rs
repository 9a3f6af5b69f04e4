//! The three devices, each with the kernel on the other side, and hemi on them.

use std::{fs::File, net::SocketAddr};

use hemi_bench::{
    contestants::{Contestant, Failure, hemi::Hemi},
    scenario::Transport,
    stop::Stop,
};
use hemi_net::{Device, DeviceQueue};
use hemi_netns::Namespace;
use hemi_queue::{Pool, Result, Uri};

/// A device in the namespace of the run, and the kernel's end of it.
pub(crate) struct Place {
    /// As the URI's scheme.
    pub(crate) name: &'static str,
    /// Make the interfaces, and tell the kernel who is there, so that nobody is asked for an address while it is measured.
    pub(crate) prepare: fn(&Namespace),
    /// The device as a file of frames, where there is such a thing.
    pub(crate) bare: Option<fn() -> Result<File>>,
    /// hemi's device.
    pub(crate) open: fn(&Pool) -> Result<Box<dyn Device>>,
    /// hemi's transport.
    uri: &'static str,
    /// Our address and port.
    at: ([u8; 4], u16),
}

impl Place {
    /// Where the echo is.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at.into()
    }
}

const TAP: &str = "tap:hemi0?mac=02:00:00:09:01:02";
const PACKET: &str = "packet:h0?mac=02:00:00:09:02:02";
/// On a veth the kernel leaves checksums to hardware that there is not.
const XDP: &str = "xdp:h1?checksum=trust&mac=02:00:00:09:03:02";

pub(crate) const PLACES: [Place; 3] = [
    Place {
        name: "tap",
        prepare: |ground| {
            ground.ip("tuntap add dev hemi0 mode tap");
            ground.ip("link set hemi0 up");
            ground.ip("addr add 10.9.1.1/24 dev hemi0");
            ground.ip("neigh replace 10.9.1.2 lladdr 02:00:00:09:01:02 dev hemi0 nud permanent");
        },
        bare: Some(|| hemi_tap::bare("hemi0")),
        open: |pool| hemi_tap::open(&TAP.parse()?, pool, DeviceQueue::ONLY),
        uri: "tap:hemi0?mac=02:00:00:09:01:02&ip=10.9.1.2/24",
        at: ([10, 9, 1, 2], 7),
    },
    Place {
        name: "packet",
        prepare: |ground| {
            veth(ground, "h0", "k0");
            ground.ip("addr add 10.9.2.1/24 dev k0");
            ground.ip("neigh replace 10.9.2.2 lladdr 02:00:00:09:02:02 dev k0 nud permanent");
        },
        bare: Some(|| hemi_packet::bare(&PACKET.parse::<Uri>()?)),
        open: |pool| hemi_packet::open(&PACKET.parse()?, pool, DeviceQueue::ONLY),
        uri: "packet:h0?mac=02:00:00:09:02:02&ip=10.9.2.2/24",
        at: ([10, 9, 2, 2], 7),
    },
    Place {
        name: "xdp",
        prepare: |ground| {
            veth(ground, "h1", "k1");
            ground.ip("addr add 10.9.3.1/24 dev k1");
            ground.ip("neigh replace 10.9.3.2 lladdr 02:00:00:09:03:02 dev k1 nud permanent");
        },
        bare: None,
        open: |pool| hemi_xdp::open(&XDP.parse()?, pool, DeviceQueue::ONLY),
        uri: "xdp:h1?checksum=trust&mac=02:00:00:09:03:02&ip=10.9.3.2/24",
        at: ([10, 9, 3, 2], 7),
    },
];

/// A pair of interfaces with one queue each.
fn veth(ground: &Namespace, ours: &str, kernels: &str) {
    let queues = "numrxqueues 1 numtxqueues 1";
    ground.ip(&format!("link add {ours} {queues} type veth peer name {kernels} {queues}"));
    for interface in [ours, kernels] {
        // No addresses of the kernel's own making, which it would ask around about. Not every kernel has IPv6.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{interface}/addr_gen_mode"), "1");
        ground.ip(&format!("link set {interface} up"));
    }
}

/// hemi's echo server on a device.
pub(crate) struct Stack {
    hemi: Hemi,
    at: SocketAddr,
}

impl Stack {
    pub(crate) fn on(place: &Place) -> Self {
        Self { hemi: Hemi::busy(Some(place.uri)), at: place.at() }
    }
}

impl Contestant for Stack {
    fn name(&self) -> &str {
        self.hemi.name()
    }

    fn about(&self) -> &str {
        self.hemi.about()
    }

    fn serves(&self, transport: Transport) -> bool {
        self.hemi.serves(transport)
    }

    fn serve(
        &self,
        transport: Transport,
        _: SocketAddr,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> std::result::Result<(), Failure> {
        self.hemi.serve(transport, self.at, ready, stop)
    }
}
