//! [`FastOpenPeers`]: what a client knows of the servers that it has met (RFC 7413 section 4.1.3).

use std::{collections::BTreeMap, net::IpAddr};

use hemi_queue::time::Instant;

use crate::{tcp::demux::Tuple, wire::FastOpen};

/// What the SYN of a Fast Open may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// Nothing: it has failed on this way lately.
    Disabled,
    /// The wish for a cookie; in the form of RFC 6994, if so.
    Ask { experimental: bool },
    /// This cookie, and data.
    Cookie(FastOpen),
}

/// How a server took to being asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    /// It has not been asked in vain.
    #[default]
    No,
    /// It did not answer the option of RFC 7413: try the older form once.
    TryExperimental,
    /// It answered neither.
    InVain,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    cookie: Option<FastOpen>,
    /// What it told in its last SYN-ACK, 0 when it is not known.
    mss: u16,
    asked: Asked,
    used: u64,
}

/// A bounded memory of cookies, and of where Fast Open has failed.
///
/// RFC 7413 section 4.1.3, in our words: cookies depend on the client's and the server's address, so at most one (the most recently received) is kept for each
/// pair; with it the MSS that the server has told, which says how much data a SYN can carry.
///
/// Failures are kept by port, too: "Since TFO is enabled on a per-service port basis" (section 4.1.3.1).
#[derive(Debug, Default)]
pub(crate) struct FastOpenPeers {
    known: BTreeMap<(IpAddr, IpAddr), Peer>,
    failed: BTreeMap<(IpAddr, IpAddr, u16), Instant>,
    clock: u64,
    limit: usize,
}

impl FastOpenPeers {
    /// A memory of so many servers.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), ..Self::default() }
    }

    /// What a SYN to this server may carry.
    pub(crate) fn hint(&mut self, tuple: &Tuple, now: Instant) -> Hint {
        if self.failed.get(&way(tuple)).is_some_and(|until| now < *until) {
            return Hint::Disabled;
        }
        self.clock += 1;
        match self.known.get_mut(&pair(tuple)) {
            Some(peer) => {
                peer.used = self.clock;
                match peer.cookie {
                    Some(cookie) => Hint::Cookie(cookie),
                    None => Hint::Ask { experimental: peer.asked == Asked::TryExperimental },
                }
            }
            None => Hint::Ask { experimental: false },
        }
    }

    /// The MSS that a server told the last time.
    pub(crate) fn mss(&self, tuple: &Tuple) -> Option<u16> {
        self.known.get(&pair(tuple)).map(|peer| peer.mss).filter(|mss| *mss > 0)
    }

    /// A server answered a Fast Open: with its MSS, and perhaps a cookie.
    pub(crate) fn learn(&mut self, tuple: &Tuple, mss: u16, cookie: Option<FastOpen>) {
        let peer = self.peer(tuple);
        peer.mss = mss;
        if cookie.is_some() {
            (peer.cookie, peer.asked) = (cookie, Asked::No);
        }
    }

    /// It was asked for a cookie, in the form of RFC 6994 or not, and gave none. The other form is to be tried once.
    pub(crate) fn asked_in_vain(&mut self, tuple: &Tuple, experimental: bool) {
        let peer = self.peer(tuple);
        peer.asked = match peer.asked {
            Asked::No if !experimental => Asked::TryExperimental,
            _ => Asked::InVain,
        };
    }

    /// Fast Open failed on this way: no more of it until then.
    pub(crate) fn fail(&mut self, tuple: &Tuple, until: Instant, now: Instant) {
        if self.failed.len() >= self.limit {
            self.failed.retain(|_, until| now < *until);
            if self.failed.len() >= self.limit {
                let first = self.failed.iter().min_by_key(|(_, until)| **until).map(|(way, _)| *way);
                first.map(|way| self.failed.remove(&way));
            }
        }
        self.failed.insert(way(tuple), until);
    }

    fn peer(&mut self, tuple: &Tuple) -> &mut Peer {
        self.clock += 1;
        let (used, pair) = (self.clock, pair(tuple));
        if self.known.len() >= self.limit && !self.known.contains_key(&pair) {
            // The one that was not needed for the longest time makes way.
            let oldest = self.known.iter().min_by_key(|(_, peer)| peer.used).map(|(pair, _)| *pair);
            oldest.map(|pair| self.known.remove(&pair));
        }
        let peer = self.known.entry(pair).or_insert(Peer { cookie: None, mss: 0, asked: Asked::No, used });
        peer.used = used;
        peer
    }
}

fn pair(tuple: &Tuple) -> (IpAddr, IpAddr) {
    (tuple.remote, tuple.local)
}

fn way(tuple: &Tuple) -> (IpAddr, IpAddr, u16) {
    (tuple.remote, tuple.local, tuple.remote_port)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::wire::Cookie;

    fn server(last: u8, remote_port: u16) -> Tuple {
        let local = IpAddr::from([10, 0, 0, 1]);
        Tuple { local, remote: IpAddr::from([10, 0, 1, last]), local_port: 5000, remote_port }
    }

    fn cookie(byte: u8) -> FastOpen {
        FastOpen { cookie: Cookie::new(&[byte; 8]), experimental: false }
    }

    #[test]
    fn the_last_cookie_counts_whatever_the_port() {
        let mut peers = FastOpenPeers::new(8);
        let now = Instant::ZERO;
        assert_eq!(peers.hint(&server(1, 80), now), Hint::Ask { experimental: false });
        peers.learn(&server(1, 80), 1460, Some(cookie(1)));
        peers.learn(&server(1, 80), 1000, None);
        assert_eq!(peers.hint(&server(1, 443), now), Hint::Cookie(cookie(1)));
        assert_eq!(peers.mss(&server(1, 80)), Some(1000));
        peers.learn(&server(1, 443), 1000, Some(cookie(2)));
        assert_eq!(peers.hint(&server(1, 80), now), Hint::Cookie(cookie(2)));
        assert_eq!(peers.hint(&server(2, 80), now), Hint::Ask { experimental: false });
    }

    #[test]
    fn failures_are_of_a_port_and_pass() {
        let mut peers = FastOpenPeers::new(8);
        let until = Instant::ZERO + Duration::from_secs(900);
        peers.learn(&server(1, 80), 1460, Some(cookie(1)));
        peers.fail(&server(1, 80), until, Instant::ZERO);
        assert_eq!(peers.hint(&server(1, 80), Instant::ZERO), Hint::Disabled);
        assert_eq!(peers.hint(&server(1, 81), Instant::ZERO), Hint::Cookie(cookie(1)));
        assert_eq!(peers.hint(&server(1, 80), until), Hint::Cookie(cookie(1)));
    }

    #[test]
    fn the_older_form_is_tried_once() {
        let mut peers = FastOpenPeers::new(8);
        let to = server(1, 80);
        let asks = [false, true, false, false].map(|expected| {
            let hint = peers.hint(&to, Instant::ZERO);
            assert_eq!(hint, Hint::Ask { experimental: expected });
            peers.asked_in_vain(&to, expected);
        });
        assert_eq!(asks.len(), 4);
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_used() {
        let mut peers = FastOpenPeers::new(4);
        for last in 0..100 {
            peers.learn(&server(last, 80), 1460, Some(cookie(last)));
            peers.fail(&server(last, 81), Instant::from_nanos(1000 + u64::from(last)), Instant::ZERO);
            assert_eq!(peers.hint(&server(0, 80), Instant::ZERO), Hint::Cookie(cookie(0)));
        }
        assert_eq!((peers.known.len(), peers.failed.len()), (4, 4));
        assert_eq!(peers.hint(&server(99, 81), Instant::ZERO), Hint::Disabled);
        assert_eq!(peers.hint(&server(3, 80), Instant::ZERO), Hint::Ask { experimental: false });
    }
}
