//! [`Directory`]: which cores have bound which port.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP: listeners.
    Tcp,
    /// UDP: sockets.
    Udp,
}

/// Why an address can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// This core has it already, or another one that does not share it.
    #[error("the address is in use")]
    InUse,
    /// No port is free.
    #[error("no port is free")]
    NoPorts,
}

/// Connections may live on other cores than the rule says.
const MIXED: u64 = 1 << 63;
/// The port is bound at several addresses: look at the list.
const SEVERAL: u64 = 1 << 62;
const CORES: u64 = SEVERAL - 1;

/// One bound address.
#[derive(Debug)]
struct Claim {
    ip: IpAddr,
    only_v6: bool,
    /// The cores that have it.
    cores: u64,
    /// The cores that have ever had it.
    joined: u64,
    shared: bool,
    /// Its port was chosen: by the how manyth such call.
    chosen: Option<u64>,
}

impl Claim {
    fn takes(&self, local: IpAddr) -> bool {
        self.ip == local
            || (self.ip.is_unspecified()
                && (self.ip.is_ipv4() == local.is_ipv4() || (self.ip.is_ipv6() && !self.only_v6)))
    }

    fn overlaps(&self, ip: IpAddr) -> bool {
        self.ip == ip
            || (self.ip.is_ipv4() == ip.is_ipv4() && (self.ip.is_unspecified() || ip.is_unspecified()))
    }
}

/// Which cores have bound which port: listeners are bound once, and shared.
///
/// A word for each port is read for each packet, without a lock; the list behind it changes when sockets are opened and closed.
pub struct Directory {
    words: [Box<[AtomicU64]>; 2],
    claims: Mutex<BTreeMap<(Protocol, u16), Vec<Claim>>>,
    /// How many ports were chosen; changed with the claims locked.
    choices: AtomicU64,
    /// Cores that have ended.
    ended: AtomicU64,
}

impl Directory {
    /// An empty one.
    pub fn new() -> Self {
        let words = || (0..1 << 16).map(|_| AtomicU64::new(0)).collect();
        Self {
            words: [words(), words()],
            claims: Mutex::default(),
            choices: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    fn claims(&self) -> MutexGuard<'_, BTreeMap<(Protocol, u16), Vec<Claim>>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn word(&self, protocol: Protocol, port: u16) -> &AtomicU64 {
        &self.words[protocol as usize][usize::from(port)]
    }

    /// Bind `at` on `core`; returns where, with the port.
    ///
    /// An address that another core has bound is joined if both share it. Port 0, shared, is the port that the others have got for the same
    /// call, the first that this core has not joined yet; else a free one of `ports`, searched from `start`.
    ///
    /// # Errors
    /// When it can't be had.
    pub fn claim(
        &self,
        protocol: Protocol,
        mut at: SocketAddr,
        only_v6: bool,
        core: usize,
        shared: bool,
        (ports, start): ((u16, u16), u64),
    ) -> Result<SocketAddr, ClaimError> {
        let (mut claims, bit, chosen) = (self.claims(), 1_u64 << core, at.port() == 0);
        if chosen {
            let same = |c: &&Claim| shared && c.shared && c.ip == at.ip() && c.joined & bit == 0;
            let theirs =
                claims.iter().filter(|((of, _), _)| *of == protocol).filter_map(|((_, port), list)| {
                    Some((list.iter().filter(same).filter_map(|c| c.chosen).min()?, *port))
                });
            let port = if let Some((_, port)) = theirs.min() {
                port
            } else {
                let span = u64::from(ports.1.saturating_sub(ports.0)) + 1;
                let all = (0..span).map(|i| ports.0 + ((start % span + i) % span) as u16);
                all.filter(|p| *p > 0)
                    .find(|p| !claims.contains_key(&(protocol, *p)))
                    .ok_or(ClaimError::NoPorts)?
            };
            at.set_port(port);
        }
        let list = claims.entry((protocol, at.port())).or_default();
        if let Some(same) = list.iter_mut().find(|c| c.ip == at.ip()) {
            if same.cores & bit != 0 || !shared || !same.shared {
                return Err(ClaimError::InUse);
            }
            same.cores |= bit;
            same.joined |= bit;
        } else if list.iter().any(|c| c.overlaps(at.ip())) {
            return Err(ClaimError::InUse);
        } else {
            let chosen = chosen.then(|| self.choices.fetch_add(1, Ordering::Relaxed));
            list.push(Claim { ip: at.ip(), only_v6, cores: bit, joined: bit, shared, chosen });
        }
        self.publish(protocol, at.port(), list);
        Ok(at)
    }

    /// `core` has closed what it had bound at `at`.
    pub fn release(&self, protocol: Protocol, at: SocketAddr, core: usize) {
        let mut claims = self.claims();
        let Some(list) = claims.get_mut(&(protocol, at.port())) else { return };
        list.iter_mut().filter(|c| c.ip == at.ip()).for_each(|c| c.cores &= !(1 << core));
        self.tidy(protocol, at.port(), list);
        if list.is_empty() {
            claims.remove(&(protocol, at.port()));
        }
    }

    /// `core` ends: nothing is steered to it any more.
    pub fn leave(&self, core: usize) {
        let mut claims = self.claims();
        self.ended.fetch_or(1 << core, Ordering::AcqRel);
        claims.retain(|(protocol, port), list| {
            for claim in list.iter_mut() {
                claim.cores &= !(1 << core);
            }
            self.tidy(*protocol, *port, list);
            !list.is_empty()
        });
    }

    fn tidy(&self, protocol: Protocol, port: u16, list: &mut Vec<Claim>) {
        list.retain(|c| c.cores != 0);
        self.publish(protocol, port, list);
    }

    fn publish(&self, protocol: Protocol, port: u16, list: &[Claim]) {
        let cores = list.iter().fold(0, |all, c| all | c.cores);
        let several = if list.len() > 1 { SEVERAL } else { 0 };
        let word = self.word(protocol, port);
        let _ =
            word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(old & MIXED | several | cores));
    }

    /// The cores that have bound `port` at `local`, as bits.
    #[inline]
    pub(super) fn cores(&self, protocol: Protocol, local: SocketAddr) -> u64 {
        let word = self.word(protocol, local.port()).load(Ordering::Acquire);
        if word & SEVERAL == 0 { word & CORES } else { self.look_up(protocol, local) }
    }

    #[cold]
    fn look_up(&self, protocol: Protocol, local: SocketAddr) -> u64 {
        let claims = self.claims();
        let list = claims.get(&(protocol, local.port())).into_iter().flatten();
        list.filter(|c| c.takes(local.ip())).max_by_key(|c| !c.ip.is_unspecified()).map_or(0, |c| c.cores)
    }

    /// Whether any core has bound `port`.
    pub(crate) fn is_claimed(&self, protocol: Protocol, port: u16) -> bool {
        self.word(protocol, port).load(Ordering::Acquire) & CORES != 0
    }

    /// Whether TCP connections at `port` may live on other cores than the rule says.
    #[inline]
    pub(super) fn is_mixed(&self, port: u16) -> bool {
        self.word(Protocol::Tcp, port).load(Ordering::Acquire) & MIXED != 0
    }

    /// A connection at `port` will live on another core than the rule says.
    pub(crate) fn mix(&self, port: u16) {
        self.word(Protocol::Tcp, port).fetch_or(MIXED, Ordering::AcqRel);
    }

    /// Cores that have ended, as bits.
    #[inline]
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("claims", &*self.claims()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: ((u16, u16), u64) = ((49_152, 65_535), 5);

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn bind(d: &Directory, text: &str, core: usize) -> Result<SocketAddr, ClaimError> {
        d.claim(Protocol::Tcp, at(text), false, core, true, PORTS)
    }

    #[test]
    fn one_address_is_one_listener_of_all_cores() {
        let d = Directory::new();
        for core in 0..3 {
            assert_eq!(bind(&d, "0.0.0.0:80", core), Ok(at("0.0.0.0:80")));
            assert_eq!(bind(&d, "0.0.0.0:80", core), Err(ClaimError::InUse), "twice on one core");
        }
        assert_eq!(bind(&d, "10.0.0.1:80", 3), Err(ClaimError::InUse), "it is in the other");
        assert_eq!(d.cores(Protocol::Tcp, at("10.0.0.1:80")), 7);
        assert_eq!(d.cores(Protocol::Udp, at("10.0.0.1:80")), 0);
        d.release(Protocol::Tcp, at("0.0.0.0:80"), 1);
        assert_eq!(d.cores(Protocol::Tcp, at("10.0.0.1:80")), 5);
        d.leave(0);
        d.leave(2);
        assert!(!d.is_claimed(Protocol::Tcp, 80));
        assert_eq!(bind(&d, "10.0.0.1:80", 3), Ok(at("10.0.0.1:80")));
    }

    #[test]
    fn port_0_is_the_same_port_on_all_cores_call_by_call() {
        let d = Directory::new();
        let first = bind(&d, "0.0.0.0:0", 0).unwrap();
        let lower = (PORTS.0, 0);
        let second = d.claim(Protocol::Tcp, at("0.0.0.0:0"), false, 0, true, lower).unwrap();
        assert!(first.port() > second.port());
        let theirs = [bind(&d, "0.0.0.0:0", 1).unwrap(), bind(&d, "0.0.0.0:0", 1).unwrap()];
        assert_eq!([first, second], theirs);
        d.release(Protocol::Tcp, first, 1);
        let third = bind(&d, "0.0.0.0:0", 1).unwrap();
        assert!(third != first && third != second, "a listener that was closed is not come back to");
        let alone = d.claim(Protocol::Tcp, at("0.0.0.0:0"), false, 1, false, PORTS).unwrap();
        assert_eq!(d.cores(Protocol::Tcp, alone), 2);
        assert_eq!(d.claim(Protocol::Tcp, alone, false, 0, true, PORTS), Err(ClaimError::InUse));
    }

    #[test]
    fn a_port_at_several_addresses_is_told_apart() {
        let d = Directory::new();
        bind(&d, "10.0.0.1:80", 0).unwrap();
        bind(&d, "10.0.0.2:80", 1).unwrap();
        bind(&d, "[::]:80", 2).unwrap();
        for (local, cores) in
            [("10.0.0.1:80", 1), ("10.0.0.2:80", 2), ("10.0.0.3:80", 4), ("[fd00::1]:80", 4)]
        {
            assert_eq!(d.cores(Protocol::Tcp, at(local)), cores, "{local}");
        }
        d.mix(80);
        d.release(Protocol::Tcp, at("10.0.0.1:80"), 0);
        assert!(d.is_mixed(80) && !d.is_mixed(81));
    }

    #[test]
    fn ports_run_out_and_come_back() {
        let d = Directory::new();
        let few = ((10, 12), 1);
        let mut got: Vec<_> = (0..3)
            .map(|_| d.claim(Protocol::Udp, at("0.0.0.0:0"), false, 0, false, few).unwrap().port())
            .collect();
        got.sort_unstable();
        assert_eq!(got, [10, 11, 12]);
        assert_eq!(d.claim(Protocol::Udp, at("0.0.0.0:0"), false, 0, false, few), Err(ClaimError::NoPorts));
        d.release(Protocol::Udp, at("0.0.0.0:11"), 0);
        assert_eq!(d.claim(Protocol::Udp, at("0.0.0.0:0"), false, 1, false, few), Ok(at("0.0.0.0:11")));
    }
}
