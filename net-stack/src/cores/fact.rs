//! What one core learns and all should know.

use std::net::IpAddr;

use hemi_queue::time::Instant;

use crate::{ip::Net, neighbor::Learnt, wire::MacAddr};

/// Facts that wait to be told.
pub(super) const LIMIT: usize = 256;

/// Something that a core has learned of the network. A fact that is lost costs a question: a neighbour is asked for again, a packet that is too
/// large is answered again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact(pub(crate) Told);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A station said that it has this address. It may be the answer to another core's question, by that core's rules.
    Seen { ip: IpAddr, mac: MacAddr, how: Learnt },
    /// A neighbour answered a question without telling its address anew.
    Answered { ip: IpAddr, mac: Option<MacAddr>, solicited: bool },
    /// It answered this core's question: nobody else has to ask.
    Resolved { ip: IpAddr, mac: MacAddr },
    /// A router said that the way to a host carries no more, about a packet that this core had sent.
    PathMtu { to: IpAddr, mtu: u16 },
    /// A gateway said that packets for a host should go by another first hop.
    Redirected { to: IpAddr, via: IpAddr },
}

impl Net {
    /// What another core has learned.
    pub(crate) fn learn(&mut self, Fact(told): Fact, now: Instant) {
        self.counters.cores_facts_learned += 1;
        match told {
            Told::Seen { ip, mac, how } => self.neighbor_overheard(ip, mac, how, now),
            Told::Answered { ip, mac, solicited } => self.neighbor_confirmed(ip, mac, solicited, now),
            Told::Resolved { ip, mac } => self.neighbor_resolved(ip, mac, now),
            Told::Redirected { to, via } => self.redirected(to, via, now),
            Told::PathMtu { to, mtu } => {
                self.pmtu.learn_of(to, mtu, now);
                self.epoch = self.epoch.wrapping_add(1); // paths look again
            }
        }
    }

    pub(crate) fn tell(&mut self, told: Told) {
        if let Some(cores) = &mut self.cores {
            cores.tell(Fact(told));
        }
    }
}
