//! Predicates of datagram sockets, handed down to a device that runs them.
//!
//! All rules go down together whenever one changes, or when a socket comes, goes or is connected: a device then has no
//! state of its own to repair, filters compose, and the end of one restores what was before.

use hemi_net::device::DatagramRule;
use hemi_queue::program::{Program, RunsIn};

use crate::{datagram::Datagram, inner::Inner};

impl Inner {
    /// `socket` has a new predicate, or none any more.
    pub(crate) fn install_filter(&self, socket: &Datagram, program: Option<&Program>) -> RunsIn {
        let before = socket.filter.replace(program.cloned());
        if before.is_none() && program.is_none() {
            return RunsIn::Software;
        }
        let taken = self.hand_down();
        if taken.is_none() {
            socket.filter.replace(None);
            self.filters_changed();
        }
        match (taken, program) {
            (Some(by), Some(_)) => RunsIn::Device(by),
            _ => RunsIn::Software,
        }
    }

    /// Which datagram reaches which socket has changed.
    pub(crate) fn filters_changed(&self) {
        if self.hand_down().is_none() {
            // Rules that were right before may drop another's datagrams now. Without any, the sockets' own tests do it all.
            self.device(|device| device.filter_datagrams(&[]));
        }
    }

    fn hand_down(&self) -> Option<&'static str> {
        let mut rules = Vec::new();
        for socket in self.datagrams() {
            let Some(program) = socket.filter.borrow().clone() else { continue };
            let (to, from) =
                self.stack(|stack, _| (stack.udp_destinations(socket.id), stack.udp_peer(socket.id)));
            rules.extend(to.into_iter().map(|to| DatagramRule { to, from, program: program.clone() }));
        }
        if self.shares_device() {
            // A rule is for all queues of a device: ours would drop what is for sockets of other cores.
            return rules.is_empty().then_some("nothing");
        }
        self.device(|device| device.filter_datagrams(&rules))
    }
}
