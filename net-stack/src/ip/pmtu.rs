//! Path MTUs: what routers told us of (RFC 1191, RFC 8201), what a black hole left of them, and the search for what passes after all
//! (RFC 8899, RFC 4821).
//!
//! ```text
//!                     black hole: BASE_PLPMTU                 a router's word
//!                  ┌───────────────────────────┐           ┌──────────────────────┐
//!                  ▼      a probe passed, or   │           ▼                      │
//!              SEARCHING  was lost three times  │    SEARCH_COMPLETE ◄─────────────┤
//!                  │  ▲ └─► the next size       │           │  ▲                   │
//!                  │  └────────────────────────(absent: the interface's MTU passes)┘
//!                  │    PMTU_RAISE_TIMER: 600 s │           │  │
//!                  │  ▲─────────────────────────────────────┘  │ no larger size is worth a probe
//!                  └───────────────────────────────────────────┘
//! ```
//!
//! One entry for each destination: what one connection finds out serves all (RFC 8899 section 3, item 9). One probe is in flight to a
//! destination at a time. The entry decides what size to try; which data makes a probe, and what became of it, is the connection's to know
//! (`tcp/conn/search.rs`). No timer is kept: whoever sends looks at the clock.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use hemi_queue::time::Instant;

use crate::wire::Seq;

/// RFC 1191 section 6.3: an estimate older than ten minutes may be raised again; RFC 8899 section 5.1.1, PMTU_RAISE_TIMER: 600 s.
const LIFETIME: Duration = Duration::from_secs(600);
/// RFC 8899 section 5.1.2: "The default value of MAX_PROBES is 3."
const MAX_PROBES: u8 = 3;
/// RFC 8899 section 5.1.1, PROBE_TIMER: a probe of which nothing was heard for so long does not count. (A connection that lives notices a loss
/// long before; one that has ended never tells.)
const PROBE_TIMER: Duration = Duration::from_secs(15);
/// RFC 8899 section 5.3.2: "a minimum useful gain in PLPMTU".
const GAIN: u16 = 16;
/// RFC 8899 section 5.3.2: "a table of common PMTU sizes": IPv6's least, tunnels in 1500 bytes, DSL, Ethernet, FDDI, jumbo frames.
const COMMON: [u16; 16] =
    [1280, 1360, 1400, 1420, 1438, 1450, 1462, 1472, 1480, 1492, 1500, 2002, 4352, 8166, 8950, 9000];
/// Destinations remembered. A peer can add entries only for addresses that we really send to.
const LIMIT: usize = 4096;
/// What waits to be told. A core that misses it is told by the router.
const NEWS: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// PLPMTU: what passes.
    mtu: u16,
    /// What does not, as far as is known; 0: nothing is.
    fails: u16,
    /// Since when this is known, or (SEARCH_COMPLETE) that there is no more to know.
    since: Instant,
    searching: bool,
    /// PROBE_COUNT: probes of the size that is tried which were lost.
    lost: u8,
    probe: Option<Probe>,
}

/// A probe in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// PROBED_SIZE, in bytes of IP packet.
    pub(crate) size: u16,
    pub(crate) sent: Instant,
    /// Whose it is: the connection's ports, ours first.
    pub(crate) ports: (u16, u16),
    /// The data in it.
    pub(crate) start: Seq,
    pub(crate) end: Seq,
}

/// A bounded cache of what is less than the link's MTU.
#[derive(Debug, Default)]
pub(crate) struct PathMtus {
    by_destination: BTreeMap<IpAddr, Entry>,
    /// What other cores are to be told, if there are any.
    pub(crate) news: Option<VecDeque<(IpAddr, u16)>>,
}

impl PathMtus {
    /// The least MTU that is believed for a family: RFC 791's 68 octets would have us send tiny segments at an attacker's
    /// word (RFC 5927 section 7.2), so for IPv4 RFC 1122's EMTU_R; RFC 8201 section 4: never below the IPv6 minimum.
    pub(crate) fn floor(dst: IpAddr) -> u16 {
        if dst.is_ipv4() { 552 } else { 1280 }
    }

    /// What is known of the way to `dst`, for a sender that cannot probe: after a while it has to try again what failed.
    pub(crate) fn get(&self, dst: IpAddr, now: Instant) -> Option<u16> {
        self.by_destination.get(&dst).filter(|entry| now - entry.since < LIFETIME).map(|entry| entry.mtu)
    }

    /// The same for one that can: what is known stays, and `true` says to look whether it can be raised.
    pub(crate) fn get_to_search(&self, dst: IpAddr, now: Instant) -> Option<(u16, bool)> {
        let entry = self.by_destination.get(&dst)?;
        Some((entry.mtu, entry.searching || now - entry.since >= LIFETIME))
    }

    /// A router said that `mtu` is all that passes.
    pub(crate) fn learn(&mut self, dst: IpAddr, mtu: u16, now: Instant) {
        self.tell(dst, mtu);
        self.learn_of(dst, mtu, now);
    }

    /// The same, heard of from another core.
    pub(crate) fn learn_of(&mut self, dst: IpAddr, mtu: u16, now: Instant) {
        let mtu = mtu.max(Self::floor(dst));
        self.insert(dst, Entry { mtu, fails: 0, since: now, searching: false, lost: 0, probe: None }, now);
    }

    /// Packets of `fails` bytes vanish on the way to `dst` without a word. RFC 8899 section 5.2: "Black hole detected": BASE, and as soon as
    /// that is acknowledged, SEARCHING.
    pub(crate) fn fall_into_black_hole(&mut self, dst: IpAddr, base: u16, fails: u16, now: Instant) {
        self.tell(dst, base);
        let mtu = base.max(Self::floor(dst));
        self.insert(dst, Entry { mtu, fails, since: now, searching: true, lost: 0, probe: None }, now);
    }

    /// The size to probe the way to `dst` with, if it is time to; no larger than `most`, which interface and peer can take.
    pub(crate) fn next_probe(&mut self, dst: IpAddr, most: u16, now: Instant) -> Search {
        let Some(entry) = self.by_destination.get_mut(&dst) else { return Search::Complete };
        if !entry.searching {
            if now - entry.since < LIFETIME {
                return Search::Complete;
            }
            // "PMTU_RAISE_TIMER expiry": the path may have changed, and what failed may pass.
            *entry = Entry { fails: 0, since: now, searching: true, lost: 0, probe: None, ..*entry };
        }
        if entry.probe.is_some_and(|probe| now - probe.sent < PROBE_TIMER) {
            return Search::Wait;
        }
        entry.probe = None;
        let ceiling = if entry.fails == 0 { most } else { most.min(entry.fails - 1) };
        if let Some(size) = candidate(entry.mtu, ceiling, entry.fails == 0) {
            return Search::Probe(size);
        }
        (entry.searching, entry.since) = (false, now);
        Search::Complete
    }

    /// A probe is on its way to `dst`.
    pub(crate) fn probe_sent(&mut self, dst: IpAddr, probe: Probe) {
        if let Some(entry) = self.by_destination.get_mut(&dst) {
            entry.probe = Some(probe);
        }
    }

    /// The probe that the connection with these ports has in flight to `dst`, if it has one.
    pub(crate) fn probe_of(&self, dst: IpAddr, ports: (u16, u16)) -> Option<Probe> {
        self.by_destination.get(&dst)?.probe.filter(|probe| probe.ports == ports)
    }

    /// It was acknowledged: "the PROBE_COUNT is set to zero, the PLPMTU is set to the PROBED_SIZE". Returns the new MTU.
    pub(crate) fn probe_passed(&mut self, dst: IpAddr, now: Instant) -> Option<u16> {
        let entry = self.by_destination.get_mut(&dst)?;
        let probe = entry.probe.take()?;
        (entry.mtu, entry.lost, entry.since) = (probe.size.max(entry.mtu), 0, now);
        let mtu = entry.mtu;
        self.tell(dst, mtu);
        Some(mtu)
    }

    /// It was lost: "the PROBE_COUNT is incremented". Up to MAX_PROBES that may have been chance.
    pub(crate) fn probe_lost(&mut self, dst: IpAddr) {
        let Some(entry) = self.by_destination.get_mut(&dst) else { return };
        let Some(probe) = entry.probe.take() else { return };
        entry.lost += 1;
        if entry.lost >= MAX_PROBES {
            (entry.fails, entry.lost) = (probe.size, 0);
        }
    }

    /// Nothing can be concluded from it: other packets were lost as well, or its data was sent again before it was heard of.
    pub(crate) fn probe_was_inconclusive(&mut self, dst: IpAddr) {
        if let Some(entry) = self.by_destination.get_mut(&dst) {
            entry.probe = None;
        }
    }

    /// A router said of the probe that only `mtu` passes. Whether that was news.
    ///
    /// > RFC 8899 section 4.6.2: PLPMTU < PL_PTB_SIZE < PROBED_SIZE: The PLPMTU is not updated. The PL can use the reported PL_PTB_SIZE from the
    /// > PTB message as the next search point. [...] PL_PTB_SIZE >= PROBED_SIZE: [...] discarded without further processing.
    pub(crate) fn probe_was_too_big(&mut self, dst: IpAddr, mtu: u16) -> bool {
        let Some(entry) = self.by_destination.get_mut(&dst) else { return false };
        if !entry.probe.is_some_and(|probe| entry.mtu <= mtu && mtu < probe.size) {
            return false;
        }
        (entry.probe, entry.fails, entry.lost) = (None, mtu + 1, 0);
        true
    }

    /// A sender that cannot probe wants to try again what failed: by RFC 1191, when it is old enough.
    pub(crate) fn forget_if_old(&mut self, dst: IpAddr, now: Instant) -> bool {
        let old = self.by_destination.get(&dst).is_some_and(|entry| now - entry.since >= LIFETIME);
        if old {
            self.by_destination.remove(&dst);
        }
        old
    }

    fn insert(&mut self, dst: IpAddr, entry: Entry, now: Instant) {
        if self.by_destination.len() >= LIMIT && !self.by_destination.contains_key(&dst) {
            self.by_destination.retain(|_, entry| now - entry.since < LIFETIME);
            if self.by_destination.len() >= LIMIT {
                return;
            }
        }
        self.by_destination.insert(dst, entry);
    }

    fn tell(&mut self, dst: IpAddr, mtu: u16) {
        if let Some(news) = self.news.as_mut().filter(|news| news.len() < NEWS) {
            news.push_back((dst, mtu));
        }
    }
}

/// What [`PathMtus::next_probe`] answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// Send a packet of so many bytes.
    Probe(u16),
    /// One is in flight.
    Wait,
    /// There is no larger size worth a probe, for now.
    Complete,
}

/// The size to try between `mtu`, which passes, and `ceiling`, the largest that may; `fresh`: nothing is known to fail.
///
/// > RFC 8899 section 5.3.2: Implementations SHOULD select the set of probe packet sizes to maximize the gain in PLPMTU from each search step.
///
/// So the first is the largest, which is what passes if the path has recovered; then the common size nearest to the middle.
fn candidate(mtu: u16, ceiling: u16, fresh: bool) -> Option<u16> {
    if ceiling < mtu.saturating_add(GAIN) {
        return None;
    }
    if fresh {
        return Some(ceiling);
    }
    let middle = mtu + (ceiling - mtu).div_ceil(2);
    let common = COMMON.into_iter().filter(|size| (mtu + 1..=ceiling).contains(size));
    Some(common.min_by_key(|size| size.abs_diff(middle)).unwrap_or(middle))
}

/// RFC 1191 section 7.1: a router that gives no MTU: the next lower plateau.
pub(crate) fn plateau_below(total_len: u16) -> u16 {
    [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 552].into_iter().find(|p| *p < total_len).unwrap_or(552)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn probe(size: u16, sent: Instant) -> Probe {
        Probe { size, sent, ports: (1, 2), start: Seq(0), end: Seq(1) }
    }

    /// Probe a path that carries `real` until the search is over; what it found, and with how many probes.
    fn search(mtus: &mut PathMtus, real: u16, most: u16, now: Instant) -> (u16, usize) {
        for probes in 0..200 {
            match mtus.next_probe(DST, most, now) {
                Search::Complete => return (mtus.get_to_search(DST, now).expect("known").0, probes),
                Search::Wait => panic!("nothing is in flight"),
                Search::Probe(size) => {
                    assert!(size <= most, "{size}");
                    mtus.probe_sent(DST, probe(size, now));
                    assert_eq!(mtus.next_probe(DST, most, now), Search::Wait);
                    if size <= real {
                        mtus.probe_passed(DST, now);
                    } else {
                        mtus.probe_lost(DST);
                    }
                }
            }
        }
        panic!("the search never ends");
    }

    #[test]
    fn the_search_ends_just_below_what_passes() {
        let now = Instant::ZERO;
        for real in 1024..=1500 {
            let mut mtus = PathMtus::default();
            mtus.fall_into_black_hole(DST, 1024, 1501, now);
            let (found, probes) = search(&mut mtus, real, 1500, now);
            assert!(found <= real && real - found <= GAIN, "{real}: {found}");
            assert!(probes <= 24, "{real}: {probes} probes");
        }
        for real in [1500, 4000, 8999, 9000] {
            let mut mtus = PathMtus::default();
            mtus.fall_into_black_hole(DST, 1024, 9001, now);
            let (found, probes) = search(&mut mtus, real, 9000, now);
            assert!(found <= real && real - found <= GAIN && probes < 40, "{real}: {found}, {probes} probes");
        }
    }

    #[test]
    fn a_path_that_has_recovered_takes_one_probe() {
        let mut mtus = PathMtus::default();
        mtus.learn(DST, 1000, Instant::ZERO);
        let now = Instant::ZERO + LIFETIME * 9 / 10;
        assert_eq!(mtus.next_probe(DST, 1500, now), Search::Complete);
        let now = Instant::ZERO + LIFETIME;
        assert_eq!((mtus.get(DST, now), mtus.get_to_search(DST, now)), (None, Some((1000, true))));
        assert_eq!(search(&mut mtus, 1500, 1500, now), (1500, 1));
        assert_eq!(mtus.get_to_search(DST, now), Some((1500, false)));
    }

    #[test]
    fn a_probe_that_nobody_tells_of_is_forgotten() {
        let (mut mtus, now) = (PathMtus::default(), Instant::ZERO);
        mtus.fall_into_black_hole(DST, 1024, 1500, now);
        mtus.probe_sent(DST, probe(1280, now));
        assert_eq!(mtus.next_probe(DST, 1500, now + PROBE_TIMER / 2), Search::Wait);
        assert_eq!(mtus.next_probe(DST, 1500, now + PROBE_TIMER), Search::Probe(1280));
    }

    #[test]
    fn a_router_may_say_what_to_try_next_but_not_raise_anything() {
        let (mut mtus, now) = (PathMtus::default(), Instant::ZERO);
        mtus.fall_into_black_hole(DST, 1024, 1500, now);
        assert!(!mtus.probe_was_too_big(DST, 1200), "no probe is in flight");
        mtus.probe_sent(DST, probe(1280, now));
        assert!(!mtus.probe_was_too_big(DST, 1280), "no smaller than the probe");
        assert!(!mtus.probe_was_too_big(DST, 1000), "smaller than what passes");
        assert!(mtus.probe_was_too_big(DST, 1200));
        assert_eq!(mtus.get(DST, now), Some(1024));
        assert_eq!(search(&mut mtus, 1200, 1500, now).0.abs_diff(1200) / GAIN, 0);
    }
}
