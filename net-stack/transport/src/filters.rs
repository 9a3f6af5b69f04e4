//! Predicates and rewrites of datagram sockets, handed down to a device that runs them.
//!
//! All rules go down together whenever one changes, or when a socket comes, goes or is connected: a device then has no
//! state of its own to repair, filters compose, and the end of one restores what was before.

use std::num::NonZeroU32;

use hemi_net::device::{DatagramRule, MarkedRewrite};
use hemi_queue::program::{Changes, Program, RunsIn};

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

    /// `socket` has a new rewrite, or none any more.
    pub(crate) fn install_rewrite(&self, socket: &Datagram, changes: Option<&Changes>) -> RunsIn {
        let changes = changes.filter(|changes| !changes.is_empty());
        let new = changes.map(|changes| MarkedRewrite { changes: changes.clone(), mark: self.next_mark() });
        let before = socket.replace_rewrite(new);
        if before.is_none() && changes.is_none() {
            return RunsIn::Software;
        }
        match (self.hand_down(), changes) {
            (Some(by), Some(_)) => RunsIn::Device(by),
            (Some(_), None) => RunsIn::Software,
            (None, _) => {
                socket.replace_rewrite(None);
                self.filters_changed();
                RunsIn::Software
            }
        }
    }

    /// A mark that no other rewrite has, or had.
    fn next_mark(&self) -> NonZeroU32 {
        let mark = self.marks.get().checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.marks.replace(mark)
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
            let (program, rewrite) = (socket.filter.borrow().clone(), socket.rewrite.borrow().clone());
            if program.is_none() && rewrite.is_none() {
                continue;
            }
            let program = program.unwrap_or_else(Program::everything);
            let (to, from) =
                self.stack(|stack, _| (stack.udp_destinations(socket.id), stack.udp_peer(socket.id)));
            rules.extend(to.into_iter().map(|to| DatagramRule {
                to,
                from,
                program: program.clone(),
                rewrite: rewrite.clone(),
            }));
        }
        if self.shares_device() {
            // A rule is for all queues of a device: ours would drop what is for sockets of other cores.
            return rules.is_empty().then_some("nothing");
        }
        self.device(|device| device.filter_datagrams(&rules))
    }
}
