//! From a segment's addresses and ports to what it is for.

use std::net::{IpAddr, SocketAddr};

use crate::util::rng::Rng;

/// A connection's name: both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tuple {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
}

impl Tuple {
    /// Our end.
    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(self.local, self.local_port)
    }

    /// The other end.
    pub(crate) fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote, self.remote_port)
    }
}

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A slot of the connection table.
    Connection(u32),
    /// A slot of the half-open table.
    HalfOpen(u32),
    /// A slot of the TIME-WAIT table.
    TimeWait(u32),
}

impl Target {
    const SHIFT: u32 = 30;
    /// A slot's number is at most this.
    pub(crate) const SLOTS: u32 = (1 << Self::SHIFT) - 1;

    fn pack(self) -> u32 {
        match self {
            Self::Connection(slot) => slot,
            Self::HalfOpen(slot) => 1 << Self::SHIFT | slot,
            Self::TimeWait(slot) => 2 << Self::SHIFT | slot,
        }
    }

    #[inline]
    fn unpack(word: u32) -> Self {
        let slot = word & ((1 << Self::SHIFT) - 1);
        match word >> Self::SHIFT {
            0 => Self::Connection(slot),
            1 => Self::HalfOpen(slot),
            _ => Self::TimeWait(slot),
        }
    }
}

#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    target: u32,
}

const EMPTY: u32 = u32::MAX;

/// A hash table with open addressing, from tuples to targets.
///
/// The hash is Thorup's vector multiply-shift (*High Speed Hashing for Integers and Strings*, section 3.3) with secret random
/// coefficients: strongly universal, so an attacker who picks the tuples without seeing the coefficients can make two of
/// them collide no more often than chance does. It costs a multiplication per word. Tuples are compared in
/// the tables they name, so an entry is eight bytes.
pub(crate) struct Demux {
    coefficients: [u64; 10],
    entries: Vec<Entry>,
    mask: u32,
    len: u32,
}

impl Demux {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            coefficients: std::array::from_fn(|_| rng.next()),
            entries: vec![Entry { hash: 0, target: EMPTY }; 64],
            mask: 63,
            len: 0,
        }
    }

    #[inline(never)]
    pub(crate) fn hash(&self, tuple: &Tuple) -> u32 {
        let c = &self.coefficients;
        let ports = u64::from(tuple.local_port) << 16 | u64::from(tuple.remote_port);
        let mut sum = c[0].wrapping_add(c[1].wrapping_mul(ports));
        match (tuple.local, tuple.remote) {
            (IpAddr::V4(l), IpAddr::V4(r)) => {
                sum = sum.wrapping_add(c[2].wrapping_mul(u64::from(l.to_bits())));
                sum = sum.wrapping_add(c[3].wrapping_mul(u64::from(r.to_bits())));
            }
            (l, r) => {
                for (i, word) in v6_words(l).into_iter().chain(v6_words(r)).enumerate() {
                    sum = sum.wrapping_add(c[2 + i].wrapping_mul(u64::from(word)));
                }
            }
        }
        (sum >> 32) as u32
    }

    /// The target with this hash that `is_it` says is the one.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(Target) -> bool) -> Option<Target> {
        let mut at = hash & self.mask;
        loop {
            let entry = self.entries[at as usize];
            if entry.target == EMPTY {
                return None;
            }
            if entry.hash == hash && is_it(Target::unpack(entry.target)) {
                return Some(Target::unpack(entry.target));
            }
            at = (at + 1) & self.mask;
        }
    }

    #[inline(never)]
    pub(crate) fn insert(&mut self, hash: u32, target: Target) {
        // At most half full: a search for what is not there looks at three entries then, at three quarters at eight.
        if (self.len + 1) * 2 > self.mask + 1 {
            self.grow();
        }
        self.place(Entry { hash, target: target.pack() });
        self.len += 1;
    }

    /// A tuple stands for something else from now on; says whether it stood for `old`.
    pub(crate) fn replace(&mut self, hash: u32, old: Target, new: Target) -> bool {
        let Some(at) = self.position(hash, old) else { return false };
        self.entries[at as usize].target = new.pack();
        true
    }

    #[inline(never)]
    pub(crate) fn remove(&mut self, hash: u32, target: Target) -> bool {
        let Some(mut hole) = self.position(hash, target) else { return false };
        // Close the gap: move back what was pushed past it (no tombstones, so the table never degrades).
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask;
            let entry = self.entries[at as usize];
            if entry.target == EMPTY {
                break;
            }
            let home = entry.hash & self.mask;
            if at.wrapping_sub(home) & self.mask >= at.wrapping_sub(hole) & self.mask {
                self.entries[hole as usize] = entry;
                hole = at;
            }
        }
        self.entries[hole as usize].target = EMPTY;
        self.len -= 1;
        true
    }

    #[inline]
    fn position(&self, hash: u32, target: Target) -> Option<u32> {
        let wanted = target.pack();
        let mut at = hash & self.mask;
        loop {
            let entry = self.entries[at as usize];
            if entry.target == EMPTY {
                return None;
            }
            if entry.target == wanted {
                return Some(at);
            }
            at = (at + 1) & self.mask;
        }
    }

    fn place(&mut self, entry: Entry) {
        let mut at = entry.hash & self.mask;
        while self.entries[at as usize].target != EMPTY {
            at = (at + 1) & self.mask;
        }
        self.entries[at as usize] = entry;
    }

    #[cold]
    fn grow(&mut self) {
        let size = (self.mask as usize + 1) * 2;
        let old = std::mem::replace(&mut self.entries, vec![Entry { hash: 0, target: EMPTY }; size]);
        self.mask = size as u32 - 1;
        for entry in old.into_iter().filter(|e| e.target != EMPTY) {
            self.place(entry);
        }
    }
}

fn v6_words(ip: IpAddr) -> [u32; 4] {
    match ip {
        IpAddr::V4(ip) => [0, 0, 0xffff, ip.to_bits()],
        IpAddr::V6(ip) => {
            let b = ip.to_bits();
            [(b >> 96) as u32, (b >> 64) as u32, (b >> 32) as u32, b as u32]
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn tuple(n: u32) -> Tuple {
        Tuple {
            local: IpAddr::from([10, 0, 0, 1]),
            remote: IpAddr::from(n.to_be_bytes()),
            local_port: 80,
            remote_port: n as u16,
        }
    }

    #[test]
    fn behaves_as_a_map() {
        let mut rng = Rng::new(3);
        let mut demux = Demux::new(&mut rng);
        let mut model = HashMap::new();
        for i in 0..20_000_u32 {
            let n = rng.below(700) as u32;
            let hash = demux.hash(&tuple(n));
            let target = Target::TimeWait(n);
            if model.remove(&n).is_some() {
                assert!(demux.remove(hash, target));
            } else {
                model.insert(n, i);
                demux.insert(hash, target);
            }
            assert_eq!(demux.len as usize, model.len());
            let probe = rng.below(700) as u32;
            let found = demux.find(demux.hash(&tuple(probe)), |t| t == Target::TimeWait(probe));
            assert_eq!(found.is_some(), model.contains_key(&probe));
        }
    }

    #[test]
    fn tuples_that_differ_in_the_port_only_spread() {
        let demux = Demux::new(&mut Rng::new(4));
        let mut buckets = [0_u32; 64];
        for port in 0..6400_u16 {
            let t = Tuple { remote_port: port, ..tuple(1) };
            buckets[(demux.hash(&t) & 63) as usize] += 1;
        }
        assert!(buckets.iter().all(|n| (40..=200).contains(n)), "{buckets:?}");
    }
}
