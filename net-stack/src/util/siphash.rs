//! SipHash-2-4 (Aumasson and Bernstein, 2012): the keyed function behind initial sequence numbers, SYN cookies and ports.

use std::net::IpAddr;

use super::rng::Rng;

/// A 128-bit key.
#[derive(Clone, Copy)]
pub(crate) struct SipKey(u64, u64);

impl SipKey {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        Self(rng.next(), rng.next())
    }

    pub(crate) fn of_words([a, b]: [u64; 2]) -> Self {
        Self(a, b)
    }

    /// From 16 bytes, as the reference has it.
    pub(crate) fn of_bytes(key: &[u8; 16]) -> Self {
        let all = u128::from_le_bytes(*key);
        Self(all as u64, (all >> 64) as u64)
    }

    /// Hash a message of whole words. (The padding word of the reference, which holds the length, is included, so equal
    /// to SipHash of the words' little-endian bytes.)
    #[inline]
    pub(crate) fn hash(self, words: &[u64]) -> u64 {
        let mut v = [
            self.0 ^ 0x736f_6d65_7073_6575,
            self.1 ^ 0x646f_7261_6e64_6f6d,
            self.0 ^ 0x6c79_6765_6e65_7261,
            self.1 ^ 0x7465_6462_7974_6573,
        ];
        let mut take = |m: u64| {
            v[3] ^= m;
            round(&mut v);
            round(&mut v);
            v[0] ^= m;
        };
        for m in words {
            take(*m);
        }
        take((words.len() as u64 * 8) << 56);
        v[2] ^= 0xff;
        for _ in 0..4 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }

    /// Hash a connection's addresses and ports. Messages of the two families differ in length, so they can't collide.
    pub(crate) fn hash_tuple(self, local: (IpAddr, u16), remote: (IpAddr, u16)) -> u64 {
        let ports = u64::from(local.1) << 16 | u64::from(remote.1);
        match (local.0, remote.0) {
            (IpAddr::V4(l), IpAddr::V4(r)) => {
                self.hash(&[u64::from(l.to_bits()) << 32 | u64::from(r.to_bits()), ports])
            }
            (l, r) => {
                let ([a, b], [c, d]) = (address_words(l), address_words(r));
                self.hash(&[a, b, c, d, ports])
            }
        }
    }

    /// The same with one word more.
    pub(crate) fn hash_tuple_and(self, local: (IpAddr, u16), remote: (IpAddr, u16), extra: u64) -> u64 {
        self.hash(&[self.hash_tuple(local, remote), extra])
    }
}

/// An address as two words; families can't collide.
pub(crate) fn address_words(ip: IpAddr) -> [u64; 2] {
    match ip {
        IpAddr::V4(ip) => [0xffff_0000_0000 | u64::from(ip.to_bits()), 0],
        IpAddr::V6(ip) => [(ip.to_bits() >> 64) as u64, ip.to_bits() as u64],
    }
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::SipKey;

    #[test]
    fn reference_vectors() {
        // From the reference implementation's vectors_sip64, key 00..0f, messages 00..len.
        let key = SipKey(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(key.hash(&[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(key.hash(&[0x0706_0504_0302_0100]), 0x93f5_f579_9a93_2462);
    }
}
