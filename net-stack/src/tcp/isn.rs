//! Initial sequence numbers, timestamp offsets and ephemeral ports: what must not be guessed from outside.

use std::time::Duration;

use hemi_queue::time::Instant;

use super::{demux::Tuple, fast_open::Keys};
use crate::{
    util::{rng::Rng, siphash::SipKey},
    wire::Seq,
};

/// The secrets of one stack.
pub(crate) struct Secrets {
    opening: SipKey,
    port: SipKey,
    pub(crate) cookie: SipKey,
    /// For Fast Open cookies.
    pub(crate) fast_open: Keys,
    /// RFC 6056 section 3.3.4: the table of counters of algorithm 4.
    counters: [u32; 16],
    /// Between whom a port was last chosen, and the hash of that: most programs talk to few others.
    last_port: Option<(Tuple, u64)>,
}

impl Secrets {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let [opening, port, cookie] = std::array::from_fn(|_| SipKey::random(rng));
        Self {
            opening,
            port,
            cookie,
            fast_open: Keys::of([cookie.hash(&[1]), cookie.hash(&[2])]),
            counters: std::array::from_fn(|_| rng.next() as u32),
            last_port: None,
        }
    }

    /// What a connection begins with: its initial sequence number, and what is added to the clock for its timestamps. They are the
    /// halves of one keyed hash, of which one tells nothing of the other.
    ///
    /// > RFC 6528 section 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), where M is the 4 microsecond timer.
    ///
    /// RFC 7323 section 5.4: a random offset per connection keeps our uptime to ourselves. It depends on the tuple only, so that
    /// timestamps grow from one incarnation of a connection to the next, as RFC 6191 needs.
    #[inline(never)]
    pub(crate) fn opening(&self, tuple: &Tuple, now: Instant) -> (Seq, u32) {
        let m = (now.as_nanos() / Duration::from_micros(4).as_nanos() as u64) as u32;
        let hash = hash(self.opening, tuple);
        (Seq(m.wrapping_add(hash as u32)), (hash >> 32) as u32)
    }

    /// RFC 6056 section 3.3.4, algorithm 4, "Double-Hash Port Selection": the order in which ports are tried between the ends of `tuple`, whose
    /// local port is not yet known.
    pub(crate) fn ephemeral_ports(&mut self, tuple: &Tuple, (first, last): (u16, u16)) -> Ports {
        let between = Tuple { local_port: 0, ..*tuple };
        let hash = match self.last_port {
            Some((known, hash)) if known == between => hash,
            _ => hash(self.port, &between),
        };
        self.last_port = Some((between, hash));
        let range = u32::from(last.saturating_sub(first)) + 1;
        let counter = (hash >> 32) as usize % self.counters.len();
        Ports { first, range, offset: hash as u32, counter, left: range }
    }

    /// The next port to try.
    pub(crate) fn next_port(&mut self, ports: &mut Ports) -> Option<u16> {
        ports.left = ports.left.checked_sub(1)?;
        let counter = &mut self.counters[ports.counter];
        let port = ports.first + (ports.offset.wrapping_add(*counter) % ports.range) as u16;
        *counter = counter.wrapping_add(1);
        Some(port)
    }
}

/// A search for a port.
pub(crate) struct Ports {
    first: u16,
    range: u32,
    /// RFC 6056's "offset", and which of the table's counters goes with it.
    offset: u32,
    counter: usize,
    /// How many have not been tried.
    left: u32,
}

fn hash(key: SipKey, t: &Tuple) -> u64 {
    key.hash_tuple((t.local, t.local_port), (t.remote, t.remote_port))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn tuple(remote_port: u16) -> Tuple {
        let ip = IpAddr::from([10, 0, 0, 1]);
        Tuple { local: ip, remote: ip, local_port: 80, remote_port }
    }

    #[test]
    fn isns_grow_with_the_clock_and_differ_between_peers() {
        let s = Secrets::new(&mut Rng::new(1));
        let t = |us| Instant::ZERO + Duration::from_micros(us);
        let isn = |s: &Secrets, port, us| s.opening(&tuple(port), t(us)).0;
        assert_eq!(isn(&s, 1, 4000).since(isn(&s, 1, 0)), 1000);
        assert_ne!(isn(&s, 1, 0), isn(&s, 2, 0));
        let other = Secrets::new(&mut Rng::new(2));
        assert_ne!(isn(&s, 1, 0), isn(&other, 1, 0));
        let offset = |port, us| s.opening(&tuple(port), t(us)).1;
        assert_eq!(offset(1, 0), offset(1, 4000));
        assert_ne!(offset(1, 0), offset(2, 0));
    }

    #[test]
    fn ports_are_found_while_there_are_any_and_are_not_consecutive_across_peers() {
        let mut s = Secrets::new(&mut Rng::new(1));
        let mut taken = std::collections::HashSet::new();
        let free = |s: &mut Secrets, peer, range, taken: &std::collections::HashSet<u16>| {
            let mut ports = s.ephemeral_ports(&tuple(peer), range);
            std::iter::from_fn(|| s.next_port(&mut ports)).find(|port| !taken.contains(port))
        };
        for _ in 0..100 {
            let port = free(&mut s, 9, (1000, 1099), &taken).expect("free");
            assert!((1000..1100).contains(&port) && taken.insert(port));
        }
        assert_eq!(free(&mut s, 9, (1000, 1099), &taken), None);
        let none = std::collections::HashSet::new();
        let a = free(&mut s, 1, (1, 65_535), &none).expect("free");
        let b = free(&mut s, 2, (1, 65_535), &none).expect("free");
        assert!(a.abs_diff(b) > 1);
    }
}
