//! [`Filters`]: queue filters on a port.
//!
//! * `net_af_xdp`: compiled to XDP by `hemi-xdp`, in the place of the program that DPDK's libxdp has attached ([`Takeover`]). Frames that the rules are not
//!   about go on to DPDK's sockets, as before.
//! * Everything else: in software. `rte_flow` has no rule for what a predicate asks: it drops what matches, a predicate what does *not*, so a rule that lets
//!   pass must come before one that drops, by priorities, with the payload in a RAW item. Of the drivers that run without a NIC none takes that (memif,
//!   vhost, af_packet, virtio_user and af_xdp have no flow rules at all, tap knows no RAW item), and a translation that nothing has ever run
//!   would be a way to lose datagrams.

use hemi_net::{device::DatagramRule, wire::MacAddr};
use hemi_xdp::Takeover;

/// What of a port's datagrams is rejected or rewritten before they come up.
#[derive(Debug)]
pub(crate) struct Filters {
    on: Option<Interface>,
    mac: MacAddr,
    /// What is rejected goes to the kernel (`xdp_pass=kernel`).
    rejected_pass: bool,
    rules: Vec<DatagramRule>,
    takeover: Option<Takeover>,
}

/// The interface that an AF_XDP port is on, and the receive queue of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    name: String,
    queue: u32,
}

impl Interface {
    /// That of the arguments of a `net_af_xdp`.
    pub(crate) fn of(arguments: &str) -> Option<Self> {
        let value = |key: &str| arguments.split(',').find_map(|argument| argument.strip_prefix(key));
        let queue = value("start_queue=").map_or(Some(0), |queue| queue.parse().ok())?;
        Some(Self { name: value("iface=")?.to_owned(), queue })
    }
}

impl Filters {
    pub(crate) fn new(on: Option<Interface>, mac: MacAddr, rejected_pass: bool) -> Self {
        Self { on, mac, rejected_pass, rules: Vec::new(), takeover: None }
    }

    /// Take these rules instead of those before; what runs them. `None`, and nothing has changed, when nothing can.
    pub(crate) fn set(&mut self, rules: &[DatagramRule]) -> Option<&'static str> {
        if self.rules == rules {
            return Some("XDP");
        }
        let on = self.on.as_ref()?;
        if self.takeover.is_none() {
            let taken = Takeover::of(&on.name, self.mac);
            self.takeover =
                taken.inspect_err(|e| tracing::info!("{}: {e}: filters run in software", on.name)).ok();
        }
        if !self.takeover.as_mut()?.filter(on.queue, rules, self.rejected_pass) {
            return None;
        }
        self.rules = rules.to_vec();
        Some("XDP")
    }

    /// Datagrams that were rejected; `None` where nothing rejects any.
    pub(crate) fn rejected(&self) -> Option<u64> {
        self.takeover.as_ref().map(Takeover::rejected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interface_is_where_the_driver_reads_it() {
        let on = |name: &str, queue| Some(Interface { name: name.to_owned(), queue });
        assert_eq!(Interface::of("iface=h0,busy_budget=0"), on("h0", 0));
        assert_eq!(Interface::of("start_queue=3,iface=eth1"), on("eth1", 3));
        assert_eq!(Interface::of("start_queue=x,iface=eth1"), None);
        assert_eq!(Interface::of(""), None);
    }
}
