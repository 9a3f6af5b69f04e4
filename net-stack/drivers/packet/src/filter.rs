//! The socket filter: which frames the kernel puts into our ring.

use hemi_net::wire::MacAddr;

/// Classic BPF that accepts frames to `mac` and to groups (broadcast included), whole, and nothing else: on an interface that the kernel
/// uses too, its traffic would fill our ring. It also is where a queue's predicate can be compiled to.
pub(crate) fn for_station(mac: MacAddr) -> [libc::sock_filter; 8] {
    use libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W};
    let [high @ .., _, _, _, _] = mac.0;
    let [_, _, low @ ..] = mac.0;
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    [
        op(BPF_LD | BPF_B | BPF_ABS, 0, 0, 0),   // the first octet
        op(BPF_JMP | BPF_JSET | BPF_K, 4, 0, 1), // a group: accept
        op(BPF_LD | BPF_W | BPF_ABS, 0, 0, 2),   // octets 2 to 5
        op(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, u32::from_be_bytes(low)), // others': drop
        op(BPF_LD | BPF_H | BPF_ABS, 0, 0, 0),   // octets 0 and 1
        op(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, u32::from(u16::from_be_bytes(high))), // others': drop
        op(BPF_RET | BPF_K, 0, 0, u32::MAX),     // accept, however long
        op(BPF_RET | BPF_K, 0, 0, 0),            // drop
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel runs it (net/core/filter.c), for the instructions used here; a load past the end drops.
    fn run(program: &[libc::sock_filter], frame: &[u8]) -> u32 {
        let (mut a, mut at) = (0, 0);
        loop {
            let op = program[at];
            at += 1;
            let k = op.k as usize;
            let load =
                |n: usize| frame.get(k..k + n).map(|b| b.iter().fold(0, |v, &b| v << 8 | u32::from(b)));
            let jump = |yes: bool| usize::from(if yes { op.jt } else { op.jf });
            match u32::from(op.code) {
                0x30 => a = load(1).unwrap_or(u32::MAX),
                0x28 => a = load(2).unwrap_or(u32::MAX),
                0x20 => a = load(4).unwrap_or(u32::MAX),
                0x15 => at += jump(a == op.k),
                0x45 => at += jump(a & op.k != 0),
                0x06 => return op.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn ours_and_groups_pass() {
        let ours = MacAddr([2, 0x11, 0x22, 0x33, 0x44, 0x55]);
        let program = for_station(ours);
        let pass = |mac: [u8; 6]| run(&program, &[&mac[..], &[0; 54]].concat()) != 0;
        assert!(pass(ours.0) && pass([0xff; 6]) && pass([0x33, 0x33, 0xff, 0, 0, 1]));
        assert!(pass([1, 0, 0x5e, 0, 0, 1]));
        for octet in 0..6 {
            let mut other = ours.0;
            other[octet] ^= 0x40;
            assert!(!pass(other), "octet {octet}");
        }
    }
}
