//! Who else can write to EAL's memory.
//!
//! All memory of EAL's is one heap. `virtio_user`, and a memif client with `zero-copy=yes`, hand the whole of it to the process on the
//! other side, which can from then on write to everything in it, whenever it likes. A `&[u8]` over such memory would be unsound, so nothing
//! received into it is handed up: it is copied once, into a pool of the core's own. The other way round, what has been handed up in
//! EAL's memory must stay private: such a port is refused while there is any.
//!
//! That protects the data only. DPDK's own structures (mbufs, mempools, the driver's queues) lie in the same memory, and DPDK follows their
//! pointers: a hostile peer of a `virtio_user` can still take the process over. What this crate itself reads there (`rx`) it checks.
//!
//! Whoever trusts the other process as it trusts its own threads says `peer=trusted`.

use std::sync::{Mutex, PoisonError};

use dpdk_sys as sys;

/// Which memory a driver can send from, and whether its own is private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traits {
    pub(crate) reach: Reach,
    /// The other side maps this process's EAL memory.
    pub(crate) exposes: bool,
    /// It cuts segments as it says it does. (tap of 22.11 refuses those that fill the MTU, for ever.)
    pub(crate) cuts: bool,
}

/// Which memory behind a header a driver sends as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Any: the CPU copies it while it is sent.
    Any,
    /// EAL's.
    Eal,
    /// None that was seen to arrive whole.
    None,
}

impl Traits {
    /// Of the driver called `driver` with these arguments: what was seen to work with DPDK 22.11, and for the rest what is safe.
    pub(crate) fn of(driver: &str, arguments: &str) -> Self {
        let (reach, exposes) = match driver {
            "net_memif" if is_zero_copy_client(arguments) => (Reach::Eal, true),
            "net_virtio_user" => (Reach::Eal, true),
            "net_memif" | "net_af_packet" | "net_null" | "net_tap" | "net_vhost" => (Reach::Any, false),
            // af_xdp corrupts chained packets; of others nothing is known.
            virtual_one if virtual_one.starts_with("net_") && is_software(virtual_one) => {
                (Reach::None, false)
            }
            _ => (Reach::Eal, false),
        };
        // A device that is not given virtual addresses would have to be told others for every buffer.
        // SAFETY: no arguments; EAL has been started.
        let virtual_addresses = unsafe { sys::rte_eal_iova_mode() } == sys::RTE_IOVA_VA;
        let reach = if virtual_addresses || reach == Reach::Any { reach } else { Reach::None };
        Self { reach, exposes, cuts: driver != "net_tap" }
    }
}

/// Whether a port that is made by this name, with these arguments, hands EAL's memory to another process: known before it does.
/// (A driver's name may also be within another's arguments: `dev(net_virtio_user0,...)`.)
pub(crate) fn is_told_to(name: &str, arguments: &str) -> bool {
    let starts = |text: &str, driver: &str| {
        ["net_", "eth_", ""].iter().any(|kind| text.strip_prefix(kind).is_some_and(|t| t.starts_with(driver)))
    };
    let named = |driver| starts(name, driver) || arguments.split([',', '(', '=']).any(|t| starts(t, driver));
    named("virtio_user") || named("memif") && is_zero_copy_client(arguments)
}

/// Of a memif's arguments. (What is said twice counts in either sense: DPDK takes the last.)
fn is_zero_copy_client(arguments: &str) -> bool {
    let all = |key: &'static str| arguments.split(',').filter_map(move |argument| argument.strip_prefix(key));
    let server = all("role=").next().is_some() && all("role=").all(|role| role == "server");
    all("zero-copy=").any(|yes| yes.contains("yes")) && !server
}

fn is_software(driver: &str) -> bool {
    const SOFTWARE: [&str; 6] =
        ["net_af_xdp", "net_ring", "net_pcap", "net_bonding", "net_failsafe", "net_softnic"];
    SOFTWARE.contains(&driver)
}

#[derive(Debug)]
struct State {
    /// Pools from which buffers may be handed up.
    private: usize,
    /// A process that nobody vouched for has had all of the memory. It may still have.
    exposed: bool,
}

static STATE: Mutex<State> = Mutex::new(State { private: 0, exposed: false });

/// A pool's word that its memory is this process's alone, or a trusted peer's. While there is one, nothing may be exposed.
#[derive(Debug)]
pub(crate) struct Private(());

impl Private {
    /// `None` when the memory is not private.
    pub(crate) fn new() -> Option<Self> {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        if state.exposed {
            return None;
        }
        state.private += 1;
        Some(Self(()))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        STATE.lock().unwrap_or_else(PoisonError::into_inner).private -= 1;
    }
}

/// Another process gets all of the memory, for ever; false: that must not be, because received data is being handed up in it.
pub(crate) fn expose() -> bool {
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.exposed |= state.private == 0;
    state.exposed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposure_is_known_from_the_name() {
        for (name, arguments) in [
            ("net_virtio_user0", "path=/x"),
            ("virtio_user3", ""),
            ("net_memif0", "zero-copy=yes"),
            ("eth_memif0", "role=client,zero-copy=yes"),
            ("net_memif0", "role=server,zero-copy=yes,role=client"),
            ("net_memif0", "zero-copy=no,zero-copy=yes"),
            ("net_failsafe0", "dev(net_virtio_user0,path=/x)"),
        ] {
            assert!(is_told_to(name, arguments), "{name},{arguments}");
        }
        for (name, arguments) in [
            ("net_memif0", "role=client"),
            ("net_memif0", "role=server,zero-copy=yes"),
            ("net_memif0", "zero-copy=no"),
            ("net_vhost0", "iface=/tmp/virtio_user0.sock"),
            ("0000:3b:00.1", ""),
        ] {
            assert!(!is_told_to(name, arguments), "{name},{arguments}");
        }
    }
}
