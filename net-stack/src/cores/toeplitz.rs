//! The Toeplitz hash of receive-side scaling.

/// Bytes of input for IPv6 addresses and ports, the longest there is.
const INPUT: usize = 36;

/// A key: what every NIC takes.
pub(super) type Key = [u8; 40];

/// The hash of `input` (at most 36 bytes), bit by bit, as the specification has it.
///
/// > Microsoft, *RSS Hashing Functions*: for each bit of the input, from left to right, if the bit is set, result ^= (left-most 32 bits of K);
/// > shift K left 1 bit position.
pub(super) fn hash(key: &Key, input: &[u8]) -> u32 {
    let mut result = 0;
    for (at, byte) in input.iter().enumerate().take(INPUT) {
        for bit in 0..8 {
            if byte & (0x80 >> bit) != 0 {
                result ^= window(key, at * 8 + bit);
            }
        }
    }
    result
}

/// The 32 bits of the key from bit `at` on.
fn window(key: &Key, at: usize) -> u32 {
    let bytes: [u8; 8] = std::array::from_fn(|i| key.get(at / 8 + i).copied().unwrap_or(0));
    (u64::from_be_bytes(bytes) >> (32 - at % 8)) as u32
}

/// The last bit of what counts up: source address, source port and destination port, for IPv4 and for IPv6.
const COUNTERS: [usize; 6] = [31, 79, 95, 127, 271, 287];
/// The bits of the hash that a table of 128 entries uses.
const INDEX: usize = 7;

/// Change `key` so that what differs in its last bits only is spread evenly: of 2ᵏ ports in a row (k up to 7, the first a multiple of 2ᵏ)
/// no two have the same last k bits of the hash. With a key that is random in all bits, one program in ten would leave a core of eight
/// without a connection of a client that opens forty, because clients choose ports in a row and the hash is linear.
///
/// As a function of a counter's last bits, the last bits of the hash are a matrix whose element (i, j) is the key's bit `last + 31 - i - j`. The
/// mapping is one to one for every k if all its leading minors are 1; each minor depends on a corner of its own.
pub(super) fn make_even(key: &mut Key) {
    for last in COUNTERS {
        for k in 1..=INDEX {
            if !is_regular(key, last, k) {
                let corner = last + 31 - 2 * (k - 1);
                key[corner / 8] ^= 0x80 >> (corner % 8);
            }
        }
    }
}

/// Whether the leading minor of size `k` is 1: elimination over two elements.
fn is_regular(key: &Key, last: usize, k: usize) -> bool {
    let bit = |at: usize| key[at / 8] >> (7 - at % 8) & 1;
    let row = |i: usize| (0..k).fold(0_u8, |row, j| row | bit(last + 31 - i - j) << j);
    let mut rows: [u8; INDEX] = std::array::from_fn(|i| if i < k { row(i) } else { 0 });
    for column in 0..k {
        let Some(pivot) = (column..k).find(|i| rows[*i] >> column & 1 == 1) else { return false };
        rows.swap(column, pivot);
        for i in column + 1..k {
            if rows[i] >> column & 1 == 1 {
                rows[i] ^= rows[column];
            }
        }
    }
    true
}

/// The low eight bits of the hash, by a table for each byte of the input: the hash is linear, so it is the sum (xor) of what its bytes
/// contribute. 9 KiB; IPv4 uses the first third.
#[derive(Clone)]
pub(super) struct Tables(Box<[[u8; 256]; INPUT]>);

impl Tables {
    pub(super) fn new(key: &Key) -> Self {
        let mut tables = Box::new([[0; 256]; INPUT]);
        for (at, table) in tables.iter_mut().enumerate() {
            for byte in 1..256_usize {
                // What its lowest bit contributes, and the rest of it.
                let lowest = byte.trailing_zeros() as usize;
                table[byte] = table[byte & (byte - 1)] ^ window(key, at * 8 + 7 - lowest) as u8;
            }
        }
        Self(tables)
    }

    /// The low eight bits of the hash of `input`.
    #[inline]
    pub(super) fn low(&self, input: &[u8]) -> u8 {
        self.0.iter().zip(input).fold(0, |hash, (table, byte)| hash ^ table[usize::from(*byte)])
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;
    use crate::cores::steering::{MICROSOFT_KEY, input_of};

    /// Microsoft, "Verifying the RSS Hash Calculation": destination, source, hash of the addresses, hash with the ports.
    const VECTORS: [(&str, &str, u32, u32); 8] = [
        ("161.142.100.80:1766", "66.9.149.187:2794", 0x323e_8fc2, 0x51cc_c178),
        ("65.69.140.83:4739", "199.92.111.2:14230", 0xd718_262a, 0xc626_b0ea),
        ("12.22.207.184:38024", "24.19.198.95:12898", 0xd2d0_a5de, 0x5c2b_394a),
        ("209.142.163.6:2217", "38.27.205.30:48228", 0x8298_9176, 0xafc7_327f),
        ("202.188.127.2:1303", "153.39.163.191:44251", 0x5d18_09c5, 0x10e8_28a2),
        ("[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x2cc1_8cd5, 0x4020_7d3d),
        ("[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0x0f0c_461c, 0xdde5_1bbf),
        (
            "[fe80::200:f8ff:fe21:67cf]:38024",
            "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251",
            0x4b61_e985,
            0x02d1_feef,
        ),
    ];

    fn sample(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_vectors_of_the_specification() {
        let tables = Tables::new(&MICROSOFT_KEY);
        for (destination, source, addresses, with_ports) in VECTORS {
            let (destination, source) = (sample(destination), sample(source));
            let (input, len) = input_of(source, destination);
            let bare = len - 4;
            assert_eq!(hash(&MICROSOFT_KEY, &input[..bare]), addresses, "{source} {destination}");
            assert_eq!(hash(&MICROSOFT_KEY, &input[..len]), with_ports, "{source} {destination}");
            assert_eq!(tables.low(&input[..len]), with_ports as u8);
            assert_eq!(tables.low(&input[..bare]), addresses as u8);
        }
    }

    #[test]
    fn the_tables_are_the_hash() {
        let key: Key = std::array::from_fn(|i| (i as u8).wrapping_mul(151).wrapping_add(77));
        let tables = Tables::new(&key);
        for n in 0..2000_u32 {
            let source = SocketAddr::new(IpAddr::from(n.wrapping_mul(0x9e37_79b9).to_be_bytes()), n as u16);
            let (input, len) = input_of(source, SocketAddr::from(([10, 0, 0, 1], 80)));
            assert_eq!(tables.low(&input[..len]), hash(&key, &input[..len]) as u8);
        }
    }
}
