//! The cache's state machine.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use hemi_queue::time::Instant;

use crate::{cores::Told, frame::TxFrame, ip::Net, timer::Timer, wire::MacAddr};

/// Of time.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// RFC 4861 section 10: REACHABLE_TIME, DELAY_FIRST_PROBE_TIME, RETRANS_TIMER, MAX_UNICAST_SOLICIT.
const REACHABLE: Duration = Duration::from_secs(30);
const DELAY: Duration = Duration::from_secs(5);
const RETRANS: Duration = Duration::from_secs(1);
const TRIES: u8 = 3;
/// An address is not moved by mere gossip so soon after it was learnt (as Linux has it: locktime).
const LOCK: Duration = Duration::from_secs(1);
/// Entries kept.
const LIMIT: usize = 8192;
/// RFC 5227 section 1.1: DEFEND_INTERVAL.
const DEFEND: Duration = Duration::from_secs(10);
/// Frames that wait for one neighbour (RFC 1122 section 2.3.2.2: at least one, the latest).
const WAITING: usize = 16;

/// The answer to [`Net::resolve`].
pub(crate) enum Resolved {
    /// Send there, and ask again at `until`.
    Mac { mac: MacAddr, until: Instant },
    /// A question is on its way; frames may wait.
    Pending,
}

#[derive(Debug)]
enum State {
    Incomplete { tries: u8, waiting: Vec<TxFrame> },
    Reachable { until: Instant },
    Stale,
    Delay { until: Instant },
    Probe { tries: u8 },
}

#[derive(Debug)]
struct Entry {
    state: State,
    mac: MacAddr,
    /// Our address that questions are asked from.
    from: IpAddr,
    learnt: Instant,
    used: Instant,
    /// When the state changes by itself.
    due: Instant,
}

/// The neighbour cache of one interface.
#[derive(Debug)]
pub(crate) struct Neighbors {
    entries: BTreeMap<IpAddr, Entry>,
    /// When an address of ours was last defended.
    defended: Option<Instant>,
}

/// How an address was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learnt {
    /// It answered a question of ours.
    Answer,
    /// It asked for one of our addresses: it will want an answer.
    Question,
    /// It told everyone (gratuitous ARP, unsolicited advertisement): it has moved, or has just come.
    Announcement,
    /// It told something to someone else, or answered what was not asked: true perhaps, or an attack.
    Gossip,
}

impl Neighbors {
    pub(crate) fn new() -> Self {
        Self { entries: BTreeMap::new(), defended: None }
    }

    /// Whether an address of ours may be defended now.
    pub(super) fn may_defend(&mut self, now: Instant) -> bool {
        let may = self.defended.is_none_or(|at| now - at >= DEFEND);
        if may {
            self.defended = Some(now);
        }
        may
    }

    /// How many addresses are known or asked for.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether an answer from `ip` would answer a question of ours.
    fn is_asked(&self, ip: IpAddr) -> bool {
        self.entries
            .get(&ip)
            .is_some_and(|e| matches!(e.state, State::Incomplete { .. } | State::Probe { .. }))
    }

    fn make_room(&mut self) {
        if self.entries.len() < LIMIT {
            return;
        }
        // The least recently used entry that nothing waits for; questions of an address scan come and go first.
        let oldest = self
            .entries
            .iter()
            .min_by_key(|(_, e)| (!matches!(e.state, State::Incomplete { .. } | State::Stale), e.used))
            .map(|(ip, _)| *ip);
        if let Some(ip) = oldest {
            self.entries.remove(&ip);
        }
    }
}

impl Net {
    /// The MAC address of a station on the link, asked for if it is not known. `confirmed`: the transport has lately heard
    /// from beyond it.
    pub(crate) fn resolve(&mut self, hop: IpAddr, from: IpAddr, now: Instant, confirmed: bool) -> Resolved {
        if self.is_tentative(hop.is_ipv4()) {
            return self.resolve_later(hop, from, now);
        }
        if let Some(mac) = fixed_mac(hop, |ip| self.addresses.iter().any(|c| c.broadcast() == Some(ip))) {
            return Resolved::Mac { mac, until: Instant::FAR_FUTURE };
        }
        let Some(entry) = self.neighbors.entries.get_mut(&hop) else {
            self.neighbors.make_room();
            let due = now + RETRANS;
            let state = State::Incomplete { tries: 1, waiting: Vec::new() };
            let entry = Entry { state, mac: MacAddr::default(), from, learnt: now, used: now, due };
            self.neighbors.entries.insert(hop, entry);
            self.timers.insert(due, Timer::Neighbor(hop));
            self.ask(hop, from, None);
            return Resolved::Pending;
        };
        entry.used = now;
        let mac = entry.mac;
        match entry.state {
            State::Incomplete { .. } => Resolved::Pending,
            State::Reachable { until } if now < until => Resolved::Mac { mac, until },
            State::Probe { .. } | State::Delay { .. } | State::Stale | State::Reachable { .. }
                if confirmed =>
            {
                let until = now + REACHABLE;
                entry.state = State::Reachable { until };
                Resolved::Mac { mac, until }
            }
            State::Reachable { .. } | State::Stale => {
                // RFC 4861 section 7.3.3: the first time a node sends a packet to a neighbor whose entry is STALE, the
                // sender changes the state to DELAY and sets a timer to expire in DELAY_FIRST_PROBE_TIME seconds.
                let until = now + DELAY;
                entry.state = State::Delay { until };
                entry.due = until;
                self.timers.insert(until, Timer::Neighbor(hop));
                Resolved::Mac { mac, until }
            }
            State::Delay { until } => Resolved::Mac { mac, until: until.max(now + RETRANS) },
            State::Probe { .. } => Resolved::Mac { mac, until: now + RETRANS },
        }
    }

    /// Our own address is tentative (see `dad.rs`): frames wait, and the question with them.
    #[cold]
    fn resolve_later(&mut self, hop: IpAddr, from: IpAddr, now: Instant) -> Resolved {
        if !self.neighbors.entries.contains_key(&hop) {
            self.neighbors.make_room();
            let state = State::Incomplete { tries: 0, waiting: Vec::new() };
            let due = Instant::FAR_FUTURE;
            let entry = Entry { state, mac: MacAddr::default(), from, learnt: now, used: now, due };
            self.neighbors.entries.insert(hop, entry);
        }
        Resolved::Pending
    }

    /// Our addresses of a family may be used: ask for the neighbours that frames wait for.
    pub(super) fn ask_what_waited(&mut self, v4: bool, now: Instant) {
        let waits = |(ip, entry): (&IpAddr, &Entry)| {
            let asks = matches!(entry.state, State::Incomplete { tries: 0, .. });
            (asks && ip.is_ipv4() == v4).then_some(*ip)
        };
        let hops: Vec<IpAddr> = self.neighbors.entries.iter().filter_map(waits).collect();
        for hop in hops {
            let Some(Entry { from, state: State::Incomplete { waiting, .. }, .. }) =
                self.neighbors.entries.remove(&hop)
            else {
                continue;
            };
            match self.resolve(hop, from, now, false) {
                Resolved::Pending => {
                    for frame in waiting {
                        self.wait_for_neighbor(hop, frame, now);
                    }
                }
                // A group's or everybody's address needs no question.
                Resolved::Mac { mac, .. } => {
                    for frame in waiting {
                        self.send_to(mac, frame);
                    }
                }
            }
        }
    }

    /// Keep a frame until `hop` answers.
    pub(crate) fn wait_for_neighbor(&mut self, hop: IpAddr, frame: TxFrame, _now: Instant) {
        if let Some(Entry { state: State::Incomplete { waiting, .. }, .. }) =
            self.neighbors.entries.get_mut(&hop)
        {
            if waiting.len() >= WAITING {
                waiting.remove(0);
                self.counters.drop_tx_neighbor_unreachable += 1;
            }
            waiting.push(frame);
        }
    }

    /// A station was seen to have `ip` at `mac`.
    pub(super) fn neighbor_seen(&mut self, ip: IpAddr, mac: MacAddr, how: Learnt, now: Instant) {
        if !mac.is_unicast() || !self.addresses.is_valid_peer(ip) {
            self.counters.drop_neighbor_unsolicited += 1;
            return;
        }
        if self.cores.is_some() {
            // Another core may have asked; or it knows the station, which has moved.
            let known = self.neighbors.entries.get(&ip).is_some_and(|e| e.mac == mac);
            if how == Learnt::Answer && self.neighbors.is_asked(ip) {
                self.tell(Told::Resolved { ip, mac });
            } else if how == Learnt::Answer || !known {
                self.tell(Told::Seen { ip, mac, how });
            }
        }
        self.neighbor_overheard(ip, mac, how, now);
    }

    /// The same; it was another core that saw it, and has told the others.
    pub(crate) fn neighbor_overheard(&mut self, ip: IpAddr, mac: MacAddr, how: Learnt, now: Instant) {
        let answers = how == Learnt::Answer && self.neighbors.is_asked(ip);
        if answers && self.cores.is_some() {
            self.tell(Told::Resolved { ip, mac });
        }
        self.neighbor_learnt(ip, mac, how, answers, now);
    }

    /// It has answered the question of another core, by whose rules that was an answer: as good as our own.
    pub(crate) fn neighbor_resolved(&mut self, ip: IpAddr, mac: MacAddr, now: Instant) {
        if !self.neighbors.entries.contains_key(&ip) {
            self.neighbor_learnt(ip, mac, Learnt::Question, false, now);
        }
        self.neighbor_learnt(ip, mac, Learnt::Answer, true, now);
    }

    fn neighbor_learnt(&mut self, ip: IpAddr, mac: MacAddr, how: Learnt, answers: bool, now: Instant) {
        let Some(entry) = self.neighbors.entries.get_mut(&ip) else {
            if how == Learnt::Question {
                // RFC 826: if the target is us, "add the triplet to the translation table". It will want an answer.
                self.neighbors.make_room();
                let from = ip;
                let entry = Entry {
                    state: State::Stale,
                    mac,
                    from,
                    learnt: now,
                    used: now,
                    due: Instant::FAR_FUTURE,
                };
                self.neighbors.entries.insert(ip, entry);
            } else {
                self.counters.neighbor_announcements_ignored += 1;
            }
            return;
        };
        let moved = entry.mac != mac;
        let incomplete = matches!(entry.state, State::Incomplete { .. });
        let gossip = how == Learnt::Gossip || (how == Learnt::Answer && !answers);
        if moved && !incomplete && gossip && now - entry.learnt < LOCK {
            self.counters.drop_neighbor_unsolicited += 1;
            return;
        }
        let waiting = match &mut entry.state {
            State::Incomplete { waiting, .. } => std::mem::take(waiting),
            _ => Vec::new(),
        };
        if moved {
            entry.mac = mac;
            entry.learnt = now;
            // Paths that hold the old address must ask again.
            self.epoch = self.epoch.wrapping_add(1);
        }
        if answers {
            entry.state = State::Reachable { until: now + REACHABLE };
            entry.due = Instant::FAR_FUTURE;
        } else if moved || incomplete {
            entry.state = State::Stale;
            entry.due = Instant::FAR_FUTURE;
        }
        for frame in waiting {
            self.send_to(mac, frame);
        }
    }

    /// Send a frame that has waited for a neighbour's address.
    fn send_to(&mut self, mac: MacAddr, mut frame: TxFrame) {
        let len = frame.head().len();
        if let Some(dst) = frame.head_mut(len).first_chunk_mut() {
            *dst = mac.0;
        }
        self.send_raw(frame);
    }

    /// A neighbour answered a question of ours without telling its MAC address, or with another one that it says not to take.
    /// `solicited`: in answer to a question, which proves that the way there works.
    pub(super) fn neighbor_answered(
        &mut self,
        ip: IpAddr,
        mac: Option<MacAddr>,
        solicited: bool,
        now: Instant,
    ) {
        self.tell(Told::Answered { ip, mac, solicited });
        self.neighbor_confirmed(ip, mac, solicited, now);
    }

    /// The same, whichever core had asked.
    pub(crate) fn neighbor_confirmed(
        &mut self,
        ip: IpAddr,
        mac: Option<MacAddr>,
        solicited: bool,
        now: Instant,
    ) {
        let Some(entry) = self.neighbors.entries.get_mut(&ip) else { return };
        match entry.state {
            // Nothing to send to yet.
            State::Incomplete { .. } => {}
            // RFC 4861 section 7.2.5: If the Override flag is clear and the supplied link-layer address differs from that in the cache, [...]
            // if the state of the entry is REACHABLE, set it to STALE, but do not update the entry in any other way.
            _ if mac.is_some_and(|mac| mac != entry.mac) => {
                if matches!(entry.state, State::Reachable { .. }) {
                    (entry.state, entry.due) = (State::Stale, Instant::FAR_FUTURE);
                    self.epoch = self.epoch.wrapping_add(1);
                }
            }
            _ if !solicited => {}
            // "If the Solicited flag is set, the state of the entry MUST be set to REACHABLE."
            _ => {
                entry.state = State::Reachable { until: now + REACHABLE };
                entry.due = Instant::FAR_FUTURE;
            }
        }
    }

    /// Whether both are known to be one station.
    pub(super) fn is_same_station(&self, one: IpAddr, other: IpAddr) -> bool {
        let mac = |ip| {
            self.neighbors
                .entries
                .get(&ip)
                .filter(|e| !matches!(e.state, State::Incomplete { .. }))
                .map(|e| e.mac)
        };
        mac(one).is_some_and(|one| mac(other) == Some(one))
    }

    /// Whether frames wait for `ip`'s address.
    pub(super) fn is_incomplete(&self, ip: IpAddr) -> bool {
        self.neighbors.entries.get(&ip).is_some_and(|e| matches!(e.state, State::Incomplete { .. }))
    }

    /// The timer of `ip`'s entry fired. Frames that waited in vain are given back, so that their connections hear of it.
    pub(crate) fn neighbor_timer(&mut self, ip: IpAddr, now: Instant) -> Vec<TxFrame> {
        let Some(entry) = self.neighbors.entries.get_mut(&ip) else { return Vec::new() };
        if now < entry.due {
            return Vec::new();
        }
        let (from, mac) = (entry.from, entry.mac);
        let tries = match &mut entry.state {
            State::Delay { .. } => {
                entry.state = State::Probe { tries: 1 };
                Some(1)
            }
            State::Incomplete { tries, .. } | State::Probe { tries } => {
                *tries += 1;
                Some(*tries)
            }
            State::Reachable { .. } | State::Stale => None,
        };
        match tries {
            None => Vec::new(),
            Some(tries) if tries > TRIES => {
                self.epoch = self.epoch.wrapping_add(1);
                self.redirects.forget_hop(ip);
                match self.neighbors.entries.remove(&ip).map(|e| e.state) {
                    Some(State::Incomplete { waiting, .. }) => {
                        self.counters.drop_tx_neighbor_unreachable += waiting.len() as u64;
                        waiting
                    }
                    _ => Vec::new(),
                }
            }
            Some(_) => {
                entry.due = now + RETRANS;
                let unicast = matches!(entry.state, State::Probe { .. }).then_some(mac);
                self.timers.insert(now + RETRANS, Timer::Neighbor(ip));
                self.ask(ip, self.addresses.source_for(ip).unwrap_or(from), unicast);
                Vec::new()
            }
        }
    }

    fn ask(&mut self, ip: IpAddr, from: IpAddr, unicast: Option<MacAddr>) {
        match (ip, from) {
            (IpAddr::V4(ip), IpAddr::V4(from)) => self.send_arp_request(ip, from, unicast),
            (IpAddr::V6(ip), IpAddr::V6(from)) => self.send_solicitation(ip, from, unicast),
            _ => {}
        }
    }
}

/// Addresses that need no question: broadcast, and multicast by RFC 1112 section 6.4 and RFC 2464 section 7.
fn fixed_mac(ip: IpAddr, is_broadcast: impl Fn(std::net::Ipv4Addr) -> bool) -> Option<MacAddr> {
    match ip {
        IpAddr::V4(ip) if ip.is_broadcast() || is_broadcast(ip) => Some(MacAddr::BROADCAST),
        IpAddr::V4(ip) if ip.is_multicast() => {
            let [_, b, c, d] = ip.octets();
            Some(MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(ip) if ip.is_multicast() => {
            let [.., a, b, c, d] = ip.octets();
            Some(MacAddr([0x33, 0x33, a, b, c, d]))
        }
        _ => None,
    }
}
