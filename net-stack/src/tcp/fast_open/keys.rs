//! Cookies: a keyed hash of the client's address (RFC 7413 section 4.1.2).

use std::{net::IpAddr, time::Duration};

use hemi_queue::time::Instant;

use crate::{util::siphash::SipKey, wire::Cookie};

/// How long a key of our own making is the current one; its cookies are good for twice that at most.
const ROTATION: Duration = Duration::from_secs(6 * 3600);

/// The keys that a listener's cookies are made with, for servers that share an address with others: all of them must have the same.
///
/// The cookies are those that Linux makes with the same key (`TCP_FASTOPEN_KEY`), so either may answer for the other.
///
/// RFC 7413 section 6.3.4, on server farms (in our words): the servers behind a load balancer must share the key, or a client's cookie is good at the one only
/// that gave it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FastOpenKey {
    /// What cookies are made with.
    pub current: [u8; 16],
    /// What they were made with before: such a cookie is still good, and is answered with a new one.
    pub previous: Option<[u8; 16]>,
}

impl std::fmt::Debug for FastOpenKey {
    /// Keys are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FastOpenKey(..)")
    }
}

/// Whether a cookie is one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// It is good.
    Good,
    /// It is good, but made with the key before: here is a new one.
    Stale(Cookie),
    /// It is not; here is the right one.
    Bad(Cookie),
}

/// What cookies are made with when no key was given: a secret, from which a new key follows every six hours.
#[derive(Clone, Copy)]
pub(crate) struct Keys(SipKey);

impl Keys {
    /// From a secret. Cores that share addresses must have the same: which of them a SYN comes to depends on its port, which the cookie does not.
    pub(crate) fn of(secret: [u64; 2]) -> Self {
        Self(SipKey::of_words(secret))
    }

    /// The pair of keys at a time.
    fn at(self, now: Instant) -> (SipKey, Option<SipKey>) {
        let period = now.as_nanos() / ROTATION.as_nanos() as u64;
        let key = |n: u64| SipKey::of_words([self.0.hash(&[n, 0]), self.0.hash(&[n, 1])]);
        (key(period), period.checked_sub(1).map(key))
    }

    fn pair(self, own: Option<&FastOpenKey>, now: Instant) -> (SipKey, Option<SipKey>) {
        match own {
            Some(key) => (SipKey::of_bytes(&key.current), key.previous.as_ref().map(SipKey::of_bytes)),
            None => self.at(now),
        }
    }

    /// The cookie of a client.
    pub(crate) fn cookie(
        self,
        own: Option<&FastOpenKey>,
        client: IpAddr,
        server: IpAddr,
        now: Instant,
    ) -> Option<Cookie> {
        make(self.pair(own, now).0, client, server)
    }

    /// Whether a cookie is what we gave to this client.
    pub(crate) fn check(
        self,
        own: Option<&FastOpenKey>,
        cookie: &Cookie,
        client: IpAddr,
        server: IpAddr,
        now: Instant,
    ) -> Option<Check> {
        let (current, previous) = self.pair(own, now);
        let right = make(current, client, server)?;
        let is = |other: &Cookie| same(cookie.as_slice(), other.as_slice());
        Some(if is(&right) {
            Check::Good
        } else if previous.and_then(|key| make(key, client, server)).is_some_and(|old| is(&old)) {
            Check::Stale(right)
        } else {
            Check::Bad(right)
        })
    }
}

/// RFC 7413 section 4.1.2: the cookie is a function of the client's address that only the server can compute. The server's address is in it as well: a
/// cookie for one of our addresses says nothing about another's key.
fn make(key: SipKey, client: IpAddr, server: IpAddr) -> Option<Cookie> {
    let hash = match (client, server) {
        (IpAddr::V4(client), IpAddr::V4(server)) => {
            let [a, b, c, d] = client.octets();
            let [e, f, g, h] = server.octets();
            key.hash(&[u64::from_le_bytes([a, b, c, d, e, f, g, h])])
        }
        (IpAddr::V6(client), IpAddr::V6(server)) => {
            let [a, b] = words(client.octets());
            let [c, d] = words(server.octets());
            key.hash(&[a, b, c, d])
        }
        _ => return None,
    };
    Cookie::new(&hash.to_le_bytes())
}

fn words(octets: [u8; 16]) -> [u64; 2] {
    let all = u128::from_le_bytes(octets);
    [all as u64, (all >> 64) as u64]
}

/// Whether they are the same, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn v4(last: u8) -> IpAddr {
        IpAddr::from([10, 248, 0, last])
    }

    /// What Linux answers with the key 00010203-04050607-08090a0b-0c0d0e0f (computed from its definition by another program).
    #[test]
    fn cookies_are_those_of_linux() {
        let key =
            FastOpenKey { current: [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12], previous: None };
        let keys = Keys::of([1, 2]);
        let cookie = keys.cookie(Some(&key), [10, 1, 2, 3].into(), [10, 4, 5, 6].into(), Instant::ZERO);
        assert_eq!(format!("{:?}", cookie.expect("a cookie")), LINUX_V4);
        let (client, server) = ("fd00::1".parse().expect("valid"), "fd00::2".parse().expect("valid"));
        let cookie = keys.cookie(Some(&key), client, server, Instant::ZERO);
        assert_eq!(format!("{:?}", cookie.expect("a cookie")), LINUX_V6);
    }

    const LINUX_V4: &str = "8b039f7bd5923f56";
    const LINUX_V6: &str = "5ba4fbf084159e10";

    #[test]
    fn a_cookie_is_good_for_its_client_only() {
        let keys = Keys::of([1, 2]);
        let server = IpAddr::from([10, 0, 0, 1]);
        let cookie = keys.cookie(None, v4(1), server, Instant::ZERO).expect("a cookie");
        let check = |client, server| keys.check(None, &cookie, client, server, Instant::ZERO);
        assert_eq!(check(v4(1), server), Some(Check::Good));
        assert!(matches!(check(v4(2), server), Some(Check::Bad(_))));
        assert!(matches!(check(v4(1), v4(9)), Some(Check::Bad(_))));
        let others = Keys::of([2, 1]);
        assert!(matches!(others.check(None, &cookie, v4(1), server, Instant::ZERO), Some(Check::Bad(_))));
    }

    #[test]
    fn keys_of_our_own_change_and_the_one_before_is_still_good() {
        let keys = Keys::of([1, 2]);
        let (server, at) = (IpAddr::from([10, 0, 0, 1]), |hours: u32| Instant::ZERO + HOUR * hours);
        let cookie = keys.cookie(None, v4(1), server, at(7)).expect("a cookie");
        assert_eq!(keys.check(None, &cookie, v4(1), server, at(11)), Some(Check::Good));
        let Some(Check::Stale(new)) = keys.check(None, &cookie, v4(1), server, at(13)) else {
            panic!("the key before")
        };
        assert_eq!(keys.check(None, &new, v4(1), server, at(13)), Some(Check::Good));
        assert!(matches!(keys.check(None, &cookie, v4(1), server, at(19)), Some(Check::Bad(_))));
    }

    #[test]
    fn keys_that_were_given_change_when_they_are_changed() {
        let keys = Keys::of([1, 2]);
        let server = IpAddr::from([10, 0, 0, 1]);
        let old = FastOpenKey { current: [1; 16], previous: None };
        let new = FastOpenKey { current: [2; 16], previous: Some([1; 16]) };
        let cookie = keys.cookie(Some(&old), v4(1), server, Instant::ZERO).expect("a cookie");
        let later = Instant::ZERO + HOUR * 1000;
        assert_eq!(keys.check(Some(&old), &cookie, v4(1), server, later), Some(Check::Good));
        assert!(matches!(keys.check(Some(&new), &cookie, v4(1), server, later), Some(Check::Stale(_))));
        assert!(matches!(keys.check(None, &cookie, v4(1), server, later), Some(Check::Bad(_))));
    }
}
