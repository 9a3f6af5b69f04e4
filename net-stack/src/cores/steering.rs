//! [`Steering`]: the rule that says which core a flow belongs to.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::toeplitz::{self, Key, Tables};
use crate::util::rng::Rng;

/// Microsoft's key, with which the specification's test vectors were made.
#[cfg(test)]
pub(super) const MICROSOFT_KEY: Key = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// Which core a flow belongs to: the Toeplitz hash of receive-side scaling over source address, destination address, source port and
/// destination port, as they stand in a received packet, TCP and UDP alike; its low bits are an index into a table of cores.
///
/// All cores of a program have the same one. The key is random, so that nobody outside can pick connections that all meet on one
/// core, but for some bits that make ports in a row spread evenly. A NIC is told both by [`Device::steer`](crate::Device::steer).
///
/// ```
/// use hemi_net::cores::Steering;
///
/// let rule = Steering::random(4, 7);
/// let (client, server) = ("10.0.0.2:40000".parse()?, "10.0.0.1:80".parse()?);
/// assert!(rule.core_of(client, server) < 4);
/// assert_eq!((rule.key().len(), rule.table().len()), (40, 128));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone)]
pub struct Steering {
    key: Key,
    table: Vec<u8>,
    tables: Tables,
}

impl Steering {
    /// Entries of the table, as most NICs have it.
    pub const ENTRIES: usize = 128;
    /// The most cores that share addresses.
    pub const CORES: usize = 62;

    /// A rule for `cores` cores (at least one, at most [`CORES`](Self::CORES)) with a key drawn from `seed`.
    pub fn random(cores: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x7277_7373); // not the numbers that others draw from it
        let mut key = std::array::from_fn(|_| rng.next() as u8);
        toeplitz::make_even(&mut key);
        let cores = cores.clamp(1, Self::CORES);
        Self::with_table(key, (0..Self::ENTRIES).map(|entry| (entry % cores) as u8).collect())
    }

    /// The rule of a NIC that has its own key or table. The table is cut to a power of two of entries, at most 256.
    pub fn with_table(key: [u8; 40], mut table: Vec<u8>) -> Self {
        table.truncate(256);
        let len = if table.is_empty() { 0 } else { 1 << table.len().ilog2() };
        table.truncate(len);
        if table.is_empty() {
            table.push(0);
        }
        Self { key, table, tables: Tables::new(&key) }
    }

    /// The key.
    pub fn key(&self) -> &[u8; 40] {
        &self.key
    }

    /// The cores by the low bits of the hash; a power of two of entries.
    pub fn table(&self) -> &[u8] {
        &self.table
    }

    /// The core of a flow whose packets arrive from `source` for `destination`.
    #[inline]
    pub fn core_of(&self, source: SocketAddr, destination: SocketAddr) -> usize {
        let (input, len) = input_of(source, destination);
        self.entry(&input[..len])
    }

    /// The core that puts together the fragments which `source` sends to `destination`: they have no ports, all but the first.
    pub fn core_of_fragments(&self, source: IpAddr, destination: IpAddr) -> usize {
        let (input, len) = input_of(SocketAddr::new(source, 0), SocketAddr::new(destination, 0));
        self.entry(&input[..len - 4])
    }

    /// The whole hash of a flow, as a NIC writes it into its descriptors.
    pub fn hash_of(&self, source: SocketAddr, destination: SocketAddr) -> u32 {
        let (input, len) = input_of(source, destination);
        toeplitz::hash(&self.key, &input[..len])
    }

    #[inline]
    fn entry(&self, input: &[u8]) -> usize {
        let low = usize::from(self.tables.low(input));
        usize::from(self.table[low & (self.table.len() - 1)])
    }
}

/// What is hashed, and how many bytes of it. Addresses of different families, which no packet has, are as good as any.
#[inline]
pub(super) fn input_of(source: SocketAddr, destination: SocketAddr) -> ([u8; 36], usize) {
    let mut input = [0; 36];
    let len = match (source.ip(), destination.ip()) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            input[..4].copy_from_slice(&s.octets());
            input[4..8].copy_from_slice(&d.octets());
            8
        }
        (s, d) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            input[..16].copy_from_slice(&octets(s));
            input[16..32].copy_from_slice(&octets(d));
            32
        }
    };
    input[len..len + 2].copy_from_slice(&source.port().to_be_bytes());
    input[len + 2..len + 4].copy_from_slice(&destination.port().to_be_bytes());
    (input, len + 4)
}

/// Not the key: it is a secret of the program.
impl fmt::Debug for Steering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steering").field("entries", &self.table.len()).finish_non_exhaustive()
    }
}

/// What a device makes of a [`Steering`].
#[derive(Clone, Debug)]
pub enum Steered {
    /// It has one queue, or spreads flows by a rule of its own. Packets are handed over in software.
    Unknown,
    /// It gives every flow to the core of the rule.
    Exactly,
    /// It can't be told the rule, but has one of the same kind, which all cores shall take.
    Instead(Steering),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_cores_get_their_share_of_flows() {
        for cores in 1..=8 {
            let rule = Steering::random(cores, 3);
            let mut shares = vec![0; cores];
            for n in 0..8000_u16 {
                let client = SocketAddr::from(([10, 0, (n >> 8) as u8, 2], 1024 + n));
                shares[rule.core_of(client, SocketAddr::from(([10, 0, 0, 1], 80)))] += 1;
            }
            let fair = 8000 / cores;
            assert!(shares.iter().all(|n| (fair / 2..=fair * 2).contains(n)), "{shares:?}");
        }
    }

    /// Eight in a row are one for each of eight cores, for every key.
    #[test]
    fn what_counts_up_is_spread_evenly() {
        for seed in 0..200 {
            let rule = Steering::random(8, seed);
            let one_each = |core: &dyn Fn(u16) -> usize| {
                for block in [0_u16, 40_000, 65_528] {
                    let cores = (0..8).fold(0_u8, |all, n| all | 1 << core(block + n));
                    assert_eq!(cores, 0xff, "seed {seed}");
                }
            };
            for (theirs, ours) in [("10.0.0.2", "10.0.0.1"), ("fd00::2", "fd00::1")] {
                let (theirs, ours): (IpAddr, IpAddr) = (theirs.parse().unwrap(), ours.parse().unwrap());
                let at = SocketAddr::new;
                one_each(&|n| rule.core_of(at(theirs, n), at(ours, 80)));
                one_each(&|n| rule.core_of(at(theirs, 80), at(ours, n)));
                one_each(&|n| match theirs {
                    IpAddr::V4(ip) => rule.core_of(
                        at((ip.to_bits() & !0xffff | u32::from(n)).to_be_bytes().into(), 9),
                        at(ours, 80),
                    ),
                    IpAddr::V6(ip) => rule.core_of(
                        at((ip.to_bits() & !0xffff | u128::from(n)).to_be_bytes().into(), 9),
                        at(ours, 80),
                    ),
                });
            }
        }
    }

    #[test]
    fn a_table_of_any_length_is_made_to_fit() {
        for (given, kept) in [(0, 1), (1, 1), (3, 2), (64, 64), (128, 128), (512, 256)] {
            let rule = Steering::with_table([7; 40], vec![0; given]);
            assert_eq!(rule.table().len(), kept);
        }
    }

    #[test]
    fn a_port_that_hashes_to_a_core_is_found_soon() {
        let rule = Steering::random(8, 9);
        let server = SocketAddr::from(([10, 0, 0, 9], 443));
        for core in 0..8 {
            let tries = (49_152..=u16::MAX)
                .position(|p| rule.core_of(server, SocketAddr::from(([10, 0, 0, 1], p))) == core);
            assert!(tries.is_some_and(|n| n < 200), "core {core}: {tries:?}");
        }
    }
}
