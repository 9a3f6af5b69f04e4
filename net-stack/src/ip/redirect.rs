//! Redirects: a gateway knows a better first hop (RFC 1122 section 3.2.2.2, RFC 4861 section 8).

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hemi_queue::{Buf, time::Instant};

use super::Net;
use crate::{
    cores::Told,
    wire::{Ipv4Header, icmpv4::IcmpV4},
};

/// How long a gateway's word is kept: routes come back, and the gateway says it again if need be.
const LIFETIME: Duration = Duration::from_secs(600);
/// Destinations remembered.
const LIMIT: usize = 1024;

/// First hops that gateways told of, by destination.
#[derive(Debug, Default)]
pub(crate) struct Redirects {
    by_destination: BTreeMap<IpAddr, (IpAddr, Instant)>,
    /// Nobody's word is taken.
    pub(crate) ignored: bool,
}

impl Redirects {
    fn get(&self, dst: IpAddr, now: Instant) -> Option<IpAddr> {
        self.by_destination.get(&dst).filter(|(_, at)| now - *at < LIFETIME).map(|(via, _)| *via)
    }

    fn learn(&mut self, dst: IpAddr, via: IpAddr, now: Instant) {
        if self.by_destination.len() >= LIMIT && !self.by_destination.contains_key(&dst) {
            self.by_destination.retain(|_, (_, at)| now - *at < LIFETIME);
            if self.by_destination.len() >= LIMIT {
                return;
            }
        }
        self.by_destination.insert(dst, (via, now));
    }

    /// `via` does not answer: the gateway that told of it is asked again.
    pub(crate) fn forget_hop(&mut self, via: IpAddr) {
        self.by_destination.retain(|_, (hop, _)| *hop != via);
    }
}

impl Net {
    /// The station on the link to hand a packet for `dst` to.
    pub(crate) fn next_hop(&self, dst: IpAddr, now: Instant) -> Option<IpAddr> {
        let hop = self.routes.next_hop(&self.addresses, dst)?;
        if hop == dst { Some(dst) } else { Some(self.redirects.get(dst, now).unwrap_or(hop)) }
    }

    /// An ICMP Redirect from `src`.
    ///
    /// > RFC 1122 section 3.2.2.2: A Redirect message SHOULD be silently discarded if the new gateway address it specifies is not on the same
    /// > connected (sub-) net through which the Redirect arrived, or if the source of the Redirect is not the current first-hop gateway for the
    /// > specified destination.
    ///
    /// Of a network (codes 0 and 2) only the destination quoted is believed: the mask is not told.
    #[cold]
    pub(super) fn on_redirect(&mut self, src: IpAddr, message: &Buf, now: Instant) {
        let quoted = message
            .get(IcmpV4::LEN..)
            .and_then(|quote| quote[..].first_chunk::<{ Ipv4Header::LEN }>().copied());
        let (Some(ip), Some(via)) =
            (quoted, message[..].get(4..8).and_then(|octets| octets.first_chunk::<4>()))
        else {
            self.counters.drop_icmp_malformed += 1;
            return;
        };
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = ip;
        let (from, to, via) =
            (IpAddr::from([s0, s1, s2, s3]), IpAddr::from([d0, d1, d2, d3]), IpAddr::from(*via));
        let on_link = self.addresses.iter().any(|c| c.contains(via));
        // It is about a packet of ours.
        let ours = self.addresses.is_ours(from);
        if !ours || !on_link || self.next_hop(to, now) != Some(src) {
            self.counters.drop_redirect_invalid += 1;
            return;
        }
        self.redirect(to, via, now);
    }

    /// From now on packets for `to` go by `via`.
    pub(crate) fn redirect(&mut self, to: IpAddr, via: IpAddr, now: Instant) {
        // What is on the link goes by nobody: it is no gateway that says so. "Not us, and not a station that can't be one."
        let on_link = self.routes.next_hop(&self.addresses, to) == Some(to);
        let unfit = self.addresses.is_ours(via) || !self.addresses.is_valid_peer(via);
        if self.redirects.ignored || on_link || unfit {
            self.counters.drop_redirect_invalid += 1;
            return;
        }
        self.tell(Told::Redirected { to, via });
        self.redirected(to, via, now);
    }

    /// The same; another core has heard of it.
    pub(crate) fn redirected(&mut self, to: IpAddr, via: IpAddr, now: Instant) {
        self.counters.redirects_followed += 1;
        self.redirects.learn(to, via, now);
        // Paths that lead by the old gateway must ask again.
        self.epoch = self.epoch.wrapping_add(1);
    }
}
