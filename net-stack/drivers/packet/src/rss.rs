//! Receive-side scaling as classic BPF: the fanout group gives every frame to the core of its flow.
//!
//! The Toeplitz hash is linear, so each of its bits is the parity of some of the input's bits: which ones, the key says. The program loads
//! addresses and ports into its scratch memory, and makes one parity per bit of the index: one for two cores, two for four. A number of
//! cores that is no power of two takes seven, and a remainder.

use hemi_net::cores::Steering;
use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_JA, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD,
    BPF_LDX, BPF_LSH, BPF_MEM, BPF_MISC, BPF_RET, BPF_RSH, BPF_ST, BPF_TAX, BPF_W, BPF_X, BPF_XOR,
    sock_filter,
};

/// Not in `libc`: `A %= k`, `A ^= X`, `return A` (linux/bpf_common.h, linux/filter.h).
const BPF_MOD: u32 = 0x90;
const BPF_A: u32 = 0x10;
/// Loads relative to the IP header, and the frame's EtherType (linux/filter.h).
const NETWORK: u32 = -0x10_0000_i32 as u32;
const PROTOCOL: u32 = -0x1000_i32 as u32;

/// Where the index comes together, and the first word of the input.
const INDEX: u32 = 0;
const INPUT: u32 = 1;

/// The program that returns the member, 0 to `cores` - 1, to which `rule` gives a frame, and 0 for what is neither TCP nor UDP nor another
/// IP packet (by its addresses). `None` when the rule's table is not the plain one.
///
/// An IPv4 packet with options, and IPv6 extension headers, are judged by their addresses alone: such a packet is handed over in software.
pub(crate) fn program(rule: &Steering, cores: usize) -> Option<Vec<sock_filter>> {
    let plain = (0..rule.table().len()).all(|entry| usize::from(rule.table()[entry]) == entry % cores);
    if !plain || cores == 0 {
        return None;
    }
    let bits = if cores.is_power_of_two() { cores.ilog2() } else { rule.table().len().ilog2() };
    let v4 = {
        let mut p = load(&[12, 16]);
        // No options, no fragment.
        let fragment =
            [abs(BPF_H, 6), jump(BPF_JSET, 0x3fff, 7, 0), abs(BPF_B, 0), jump(BPF_JEQ, 0x45, 0, 5)];
        p.extend(fragment);
        p.push(abs(BPF_B, 9));
        p.extend(ports(20, INPUT + 2));
        p.extend(index(rule, 3, bits, cores));
        p
    };
    let v6 = {
        let mut p = load(&[8, 12, 16, 20, 24, 28, 32, 36]);
        p.push(abs(BPF_B, 6));
        p.extend(ports(40, INPUT + 8));
        p.extend(index(rule, 9, bits, cores));
        p
    };
    let mut program = vec![
        op(BPF_LD | BPF_IMM, 0),
        op(BPF_ST, INDEX),
        op(BPF_LD | BPF_W | BPF_ABS, PROTOCOL),
        jump(BPF_JEQ, libc::ETH_P_IP as u32, 2, 0),
        jump(BPF_JEQ, libc::ETH_P_IPV6 as u32, 0, 2),
        op(BPF_JMP | BPF_JA, v4.len() as u32 + 2),
        op(BPF_JMP | BPF_JA, 1),
        op(BPF_RET | BPF_K, 0),
    ];
    program.extend(v4);
    program.extend(v6);
    Some(program)
}

fn op(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn jump(test: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | test | BPF_K) as u16, jt, jf, k }
}

fn abs(size: u32, at: u32) -> sock_filter {
    op(BPF_LD | size | BPF_ABS, NETWORK.wrapping_add(at))
}

/// Words of the IP header into the scratch memory, from `INPUT` on; then a zero for the ports.
fn load(words: &[u32]) -> Vec<sock_filter> {
    let mut p = Vec::new();
    for (number, at) in words.iter().enumerate() {
        p.extend([abs(BPF_W, *at), op(BPF_ST, INPUT + number as u32)]);
    }
    p.extend([op(BPF_LD | BPF_IMM, 0), op(BPF_ST, INPUT + words.len() as u32)]);
    p
}

/// The ports at `at`, if the accumulator holds a protocol that has some.
fn ports(at: u32, to: u32) -> [sock_filter; 4] {
    [
        jump(BPF_JEQ, libc::IPPROTO_TCP as u32, 1, 0),
        jump(BPF_JEQ, libc::IPPROTO_UDP as u32, 0, 2),
        abs(BPF_W, at),
        op(BPF_ST, to),
    ]
}

/// The index from `words` words of input, and the return.
fn index(rule: &Steering, words: u32, bits: u32, cores: usize) -> Vec<sock_filter> {
    let mut p = Vec::new();
    for bit in 0..bits {
        for word in 0..words {
            p.push(op(BPF_LD | BPF_MEM, INPUT + word));
            p.push(op(BPF_ALU | BPF_AND | BPF_K, mask(rule.key(), word, bit)));
            if word > 0 {
                p.push(op(BPF_ALU | BPF_XOR | BPF_X, 0));
            }
            p.push(op(BPF_MISC | BPF_TAX, 0));
        }
        for half in [16, 8, 4, 2, 1] {
            p.extend([
                op(BPF_ALU | BPF_RSH | BPF_K, half),
                op(BPF_ALU | BPF_XOR | BPF_X, 0),
                op(BPF_MISC | BPF_TAX, 0),
            ]);
        }
        p.extend([
            op(BPF_ALU | BPF_AND | BPF_K, 1),
            op(BPF_ALU | BPF_LSH | BPF_K, bit),
            op(BPF_LDX | BPF_MEM, INDEX),
            op(BPF_ALU | BPF_XOR | BPF_X, 0),
            op(BPF_ST, INDEX),
        ]);
    }
    p.extend([
        op(BPF_LD | BPF_MEM, INDEX),
        op(BPF_ALU | BPF_MOD | BPF_K, cores as u32),
        op(BPF_RET | BPF_A, 0),
    ]);
    p
}

/// Which bits of a word of the input bit `bit` of the hash is the parity of: those whose window of the key has it.
fn mask(key: &[u8; 40], word: u32, bit: u32) -> u32 {
    let of_key = |at: u32| u32::from(key[at as usize / 8] >> (7 - at % 8) & 1);
    // The window of input bit `i` begins at the key's bit `i`; its last bit, which is bit 0 of the hash, is 31 further on.
    (0..32).fold(0, |mask, i| mask << 1 | of_key(word * 32 + i + 31 - bit))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;

    /// As the kernel runs it (net/core/filter.c), for the instructions used here.
    fn run(program: &[sock_filter], ethertype: u32, packet: &[u8]) -> u32 {
        let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [0_u32; 16], 0);
        loop {
            let op = program[at];
            at += 1;
            let load = |n: usize| {
                if op.k == PROTOCOL {
                    return Some(ethertype);
                }
                let from = op.k.wrapping_sub(NETWORK) as usize;
                packet.get(from..from + n).map(|b| b.iter().fold(0, |v, &b| v << 8 | u32::from(b)))
            };
            match u32::from(op.code) {
                0x00 => a = op.k,
                0x02 => memory[op.k as usize] = a,
                0x60 => a = memory[op.k as usize],
                0x61 => x = memory[op.k as usize],
                code @ (0x20 | 0x28 | 0x30) => match load([4, 2, 1][(code as usize - 0x20) / 8]) {
                    Some(value) => a = value,
                    None => return 0,
                },
                0x54 => a &= op.k,
                0x64 => a <<= op.k,
                0x74 => a >>= op.k,
                0x94 => a %= op.k,
                0xac => a ^= x,
                0x07 => x = a,
                0x05 => at += op.k as usize,
                0x15 => at += usize::from(if a == op.k { op.jt } else { op.jf }),
                0x45 => at += usize::from(if a & op.k != 0 { op.jt } else { op.jf }),
                0x06 => return op.k,
                0x16 => return a,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn packet(from: SocketAddr, to: SocketAddr, protocol: u8, fragment: u16) -> (u32, Vec<u8>) {
        let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
        match (from.ip(), to.ip()) {
            (IpAddr::V4(s), IpAddr::V4(d)) => {
                let mut p = vec![0; 12];
                (p[0], p[9]) = (0x45, protocol);
                p[6..8].copy_from_slice(&fragment.to_be_bytes());
                (0x800, [p, s.octets().to_vec(), d.octets().to_vec(), ports].concat())
            }
            (IpAddr::V6(s), IpAddr::V6(d)) => {
                let mut p = vec![0; 8];
                (p[0], p[6]) = (0x60, protocol);
                (0x86dd, [p, s.octets().to_vec(), d.octets().to_vec(), ports].concat())
            }
            _ => unreachable!(),
        }
    }

    #[test]
    fn the_program_is_the_rule() {
        for cores in 1..=8 {
            let rule = Steering::random(cores, cores as u64);
            let program = program(&rule, cores).expect("a plain table");
            assert!(program.len() <= 4096, "the kernel's limit; {} for {cores} cores", program.len());
            for n in 0..500_u16 {
                let end = |v6: bool, n: u16| -> SocketAddr {
                    let ip = if v6 { format!("fd00::{n:x}") } else { format!("10.1.{}.{}", n >> 8, n & 255) };
                    SocketAddr::new(ip.parse().unwrap(), n.wrapping_mul(7919))
                };
                for v6 in [false, true] {
                    let (from, to) = (end(v6, n), end(v6, 1));
                    for protocol in [6, 17] {
                        let (ethertype, bytes) = packet(from, to, protocol, 0x4000);
                        assert_eq!(run(&program, ethertype, &bytes) as usize, rule.core_of(from, to));
                    }
                    // What has no ports: ICMP, fragments.
                    let by_address = rule.core_of_fragments(from.ip(), to.ip());
                    let (ethertype, bytes) = packet(from, to, 1, 0);
                    assert_eq!(run(&program, ethertype, &bytes) as usize, by_address);
                    let (ethertype, bytes) = packet(from, to, if v6 { 44 } else { 17 }, 0x2000);
                    assert_eq!(run(&program, ethertype, &bytes) as usize, by_address);
                }
            }
            assert_eq!(run(&program, 0x806, &[0; 28]), 0, "ARP");
            assert_eq!(run(&program, 0x800, &[0x45; 10]), 0, "cut short");
        }
    }

    #[test]
    fn another_table_is_left_to_software() {
        assert!(program(&Steering::with_table([1; 40], vec![1; 128]), 2).is_none());
    }
}
