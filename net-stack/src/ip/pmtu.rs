//! Path MTUs that routers told us of (RFC 1191, RFC 8201).

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use hemi_queue::time::Instant;

/// RFC 1191 section 6.3: an estimate older than ten minutes may be raised again.
const LIFETIME: Duration = Duration::from_secs(600);
/// Destinations remembered. A peer can add entries only for addresses that we really send to.
const LIMIT: usize = 4096;
/// What waits to be told. A core that misses it is told by the router.
const NEWS: usize = 64;

/// A bounded cache of what is less than the link's MTU.
#[derive(Debug, Default)]
pub(crate) struct PathMtus {
    by_destination: BTreeMap<IpAddr, (u16, Instant)>,
    /// What other cores are to be told, if there are any.
    pub(crate) news: Option<VecDeque<(IpAddr, u16)>>,
}

impl PathMtus {
    /// The least MTU that is believed for a family: RFC 791's 68 octets would have us send tiny segments at an attacker's
    /// word (RFC 5927 section 7.2), so for IPv4 RFC 1122's EMTU_R; RFC 8201 section 4: never below the IPv6 minimum.
    pub(crate) fn floor(dst: IpAddr) -> u16 {
        if dst.is_ipv4() { 552 } else { 1280 }
    }

    /// What is known of the way to `dst`.
    pub(crate) fn get(&self, dst: IpAddr, now: Instant) -> Option<u16> {
        self.by_destination.get(&dst).filter(|(_, at)| now - *at < LIFETIME).map(|(mtu, _)| *mtu)
    }

    /// A router said that `mtu` is all that passes.
    pub(crate) fn learn(&mut self, dst: IpAddr, mtu: u16, now: Instant) {
        if let Some(news) = self.news.as_mut().filter(|news| news.len() < NEWS) {
            news.push_back((dst, mtu));
        }
        self.learn_of(dst, mtu, now);
    }

    /// The same, heard of from another core.
    pub(crate) fn learn_of(&mut self, dst: IpAddr, mtu: u16, now: Instant) {
        if self.by_destination.len() >= LIMIT && !self.by_destination.contains_key(&dst) {
            self.by_destination.retain(|_, (_, at)| now - *at < LIFETIME);
            if self.by_destination.len() >= LIMIT {
                return;
            }
        }
        self.by_destination.insert(dst, (mtu.max(Self::floor(dst)), now));
    }
}

/// RFC 1191 section 7.1: a router that gives no MTU: the next lower plateau.
pub(crate) fn plateau_below(total_len: u16) -> u16 {
    [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 552].into_iter().find(|p| *p < total_len).unwrap_or(552)
}
