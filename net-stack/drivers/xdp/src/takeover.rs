//! [`Takeover`]: rules on an interface whose frames another library takes (DPDK's `net_af_xdp`).
//!
//! ```text
//!   its program: everything ──► its XSKMAP        as we find it
//!   ours:        rules, then everything ──► its XSKMAP     while there are rules
//!   its program                                    again, before it detaches it
//! ```
//!
//! That library has opened the sockets and attached a program that feeds them. The sockets stay its own; we read from the kernel which map its program
//! uses, and put a program in its place that asks the rules first.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use hemi_link::Interface;
use hemi_net::{device::DatagramRule, wire::MacAddr};
use hemi_queue::Uri;

use crate::{
    bpf,
    filter::Rules,
    netlink::{self, Attached},
    program::{self, Others},
};

/// The program of another library, and the one that we put in its place. Its own is back when this is dropped.
#[derive(Debug)]
pub struct Takeover {
    interface: u32,
    mac: MacAddr,
    attached: Attached,
    /// Its program.
    theirs: OwnedFd,
    /// Its sockets, by their queues.
    sockets: OwnedFd,
    /// Ours, while it is in place.
    ours: Option<OwnedFd>,
    rejected: OwnedFd,
}

impl Takeover {
    /// The program on `interface`, of a station with this address.
    ///
    /// # Errors
    /// When there is no such interface, when no program with one map of sockets is attached to it by netlink (a dispatcher of libxdp's is not
    /// taken over), or without the right to ask (CAP_SYS_ADMIN).
    pub fn of(interface: &str, mac: MacAddr) -> io::Result<Self> {
        let uri: Uri =
            format!("xdp:{interface}").parse().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let found =
            Interface::of(&uri).map_err(|e| io::Error::new(io::ErrorKind::NotFound, e.to_string()))?;
        let none = || io::Error::new(io::ErrorKind::NotFound, "no XDP program that feeds AF_XDP sockets");
        let attached = netlink::attached(found.index)?.ok_or_else(none)?;
        let theirs = bpf::program_by_id(attached.program)?;
        let mut maps = Vec::new();
        for id in bpf::maps_of(theirs.as_fd())? {
            let map = bpf::map_by_id(id)?;
            if bpf::is_socket_map(map.as_fd())? {
                maps.push(map);
            }
        }
        let sockets = maps.pop().filter(|_| maps.is_empty()).ok_or_else(none)?;
        let rejected = bpf::counter()?;
        Ok(Self { interface: found.index, mac, attached, theirs, sockets, ours: None, rejected })
    }

    /// Reject and rewrite by `rules` from now on what comes by receive queue `queue`; none: its own program again. What is rejected goes to the
    /// kernel if `rejected_pass`. False, and nothing has changed, when the rules can't be translated, or the kernel refuses.
    pub fn filter(&mut self, queue: u32, rules: &[DatagramRule], rejected_pass: bool) -> bool {
        let rules = Rules::new(queue, rules, rejected_pass);
        if rules.is_empty() {
            return self.restore().is_ok();
        }
        let (sockets, rejected) = (self.sockets.as_fd(), self.rejected.as_fd());
        let Some(program) = program::for_station(self.mac, Others::Redirect, sockets, rejected, &rules)
        else {
            return false;
        };
        let put = bpf::load(&program).and_then(|new| {
            let old = self.ours.as_ref().unwrap_or(&self.theirs);
            netlink::replace(self.interface, self.attached, old.as_fd(), new.as_fd())?;
            self.ours = Some(new);
            Ok(())
        });
        put.inspect_err(|e| tracing::warn!("the kernel refuses queue filters ({e}); they run in software"))
            .is_ok()
    }

    fn restore(&mut self) -> io::Result<()> {
        if let Some(ours) = &self.ours {
            netlink::replace(self.interface, self.attached, ours.as_fd(), self.theirs.as_fd())?;
            self.ours = None;
        }
        Ok(())
    }

    /// Datagrams that rules have rejected so far.
    pub fn rejected(&self) -> u64 {
        bpf::count(self.rejected.as_fd()).unwrap_or(0)
    }
}

impl Drop for Takeover {
    fn drop(&mut self) {
        // The interface may be gone, and its program with it.
        let _ = self.restore();
    }
}
