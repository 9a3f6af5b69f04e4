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
        }
    }

    /// What a connection begins with: its initial sequence number, and what is added to the clock for its timestamps. They are the
    /// halves of one keyed hash, of which one tells nothing of the other.
    ///
    /// > RFC 6528 section 3: ISN = M + F(localip, localport, remoteip, remoteport, secretkey), where M is the 4 microsecond timer.
    ///
    /// RFC 7323 section 5.4: a random offset per connection keeps our uptime to ourselves. It depends on the tuple only, so that
    /// timestamps grow from one incarnation of a connection to the next, as RFC 6191 needs.
    pub(crate) fn opening(&self, tuple: &Tuple, now: Instant) -> (Seq, u32) {
        let m = (now.as_nanos() / Duration::from_micros(4).as_nanos() as u64) as u32;
        let hash = hash(self.opening, tuple);
        (Seq(m.wrapping_add(hash as u32)), (hash >> 32) as u32)
    }

    /// RFC 6056 section 3.3.4, algorithm 4, "Double-Hash Port Selection". `tuple.local_port` is not yet known.
    pub(crate) fn ephemeral_port(
        &mut self,
        tuple: &Tuple,
        (first, last): (u16, u16),
        mut is_free: impl FnMut(u16) -> bool,
    ) -> Option<u16> {
        let range = u32::from(last.saturating_sub(first)) + 1;
        let hash = hash(self.port, &Tuple { local_port: 0, ..*tuple });
        let offset = hash as u32;
        let index = (hash >> 32) as usize % self.counters.len();
        for _ in 0..range {
            let port = first + (offset.wrapping_add(self.counters[index]) % range) as u16;
            self.counters[index] = self.counters[index].wrapping_add(1);
            if is_free(port) {
                return Some(port);
            }
        }
        None
    }
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
        for _ in 0..100 {
            let port = s.ephemeral_port(&tuple(9), (1000, 1099), |p| !taken.contains(&p)).expect("free");
            assert!((1000..1100).contains(&port) && taken.insert(port));
        }
        assert_eq!(s.ephemeral_port(&tuple(9), (1000, 1099), |p| !taken.contains(&p)), None);
        let a = s.ephemeral_port(&tuple(1), (1, 65_535), |_| true).expect("free");
        let b = s.ephemeral_port(&tuple(2), (1, 65_535), |_| true).expect("free");
        assert!(a.abs_diff(b) > 1);
    }
}
