//! The XDP program, assembled by hand: frames to our address and to groups go to the socket of their queue.
//!
//! It is also where a queue's predicate can be compiled to.

use std::os::fd::{AsRawFd, BorrowedFd};

use hemi_net::wire::MacAddr;

/// `struct bpf_insn` (linux/bpf.h): eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    code: u8,
    /// The source register in the upper half, the destination's in the lower (on a little-endian machine).
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn op(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> Instruction {
    let registers = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    Instruction { code, registers, offset, immediate }
}

/// `dst = *(u32 *)(src + offset)`
const fn load32(dst: u8, src: u8, offset: i16) -> Instruction {
    op(0x61, dst, src, offset, 0)
}
/// `dst = *(u16 *)(src + offset)`
const fn load16(dst: u8, src: u8, offset: i16) -> Instruction {
    op(0x69, dst, src, offset, 0)
}
/// `dst = *(u8 *)(src + offset)`
const fn load8(dst: u8, src: u8, offset: i16) -> Instruction {
    op(0x71, dst, src, offset, 0)
}
/// `dst = src`
const fn copy(dst: u8, src: u8) -> Instruction {
    op(0xbf, dst, src, 0, 0)
}
/// `dst = value`
const fn set(dst: u8, value: i32) -> Instruction {
    op(0xb7, dst, 0, 0, value)
}
/// `dst += value`
const fn add(dst: u8, value: i32) -> Instruction {
    op(0x07, dst, 0, 0, value)
}
/// `dst &= value`
const fn and(dst: u8, value: i32) -> Instruction {
    op(0x57, dst, 0, 0, value)
}
/// `if dst > src`, skip `n` instructions
const fn skip_if_above(dst: u8, src: u8, n: i16) -> Instruction {
    op(0x2d, dst, src, n, 0)
}
/// `if dst != value`, skip `n` instructions
const fn skip_unless(dst: u8, value: i32, n: i16) -> Instruction {
    op(0x55, dst, 0, n, value)
}
const CALL: u8 = 0x85;
const EXIT: Instruction = op(0x95, 0, 0, 0, 0);

/// `long bpf_redirect_map(map, key, flags)`
const REDIRECT_MAP: i32 = 51;
/// `enum xdp_action`
pub(crate) const XDP_PASS: i32 = 2;
/// In `struct xdp_md`.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
const RX_QUEUE_INDEX: i16 = 16;

/// Where the program goes on, by instruction.
const REDIRECT: i16 = 14;
const PASS: i16 = 20;
const LEN: usize = 22;

/// How many instructions to skip at `at`, to go on at `target`.
const fn to(target: i16, at: i16) -> i16 {
    target - at - 1
}

/// The program for the station `mac`, with the sockets in `map` by the number of their queue. Frames of a queue that has none pass.
pub(crate) fn for_station(mac: MacAddr, map: BorrowedFd<'_>) -> [Instruction; LEN] {
    let half = |at: usize| i32::from(u16::from_ne_bytes([mac.0[at], mac.0[at + 1]]));
    [
        load32(2, 1, DATA),
        load32(3, 1, DATA_END),
        copy(4, 2),
        add(4, 14),
        skip_if_above(4, 3, to(PASS, 4)), // shorter than an Ethernet header
        load8(5, 2, 0),
        and(5, 1),
        skip_unless(5, 0, to(REDIRECT, 7)), // a group
        load16(5, 2, 0),
        skip_unless(5, half(0), to(PASS, 9)), // somebody else's
        load16(5, 2, 2),
        skip_unless(5, half(2), to(PASS, 11)),
        load16(5, 2, 4),
        skip_unless(5, half(4), to(PASS, 13)),
        // REDIRECT:
        load32(2, 1, RX_QUEUE_INDEX),
        // The map's address, in two instructions: BPF_LD | BPF_DW | BPF_IMM with BPF_PSEUDO_MAP_FD.
        op(0x18, 1, 1, 0, map.as_raw_fd()),
        op(0, 0, 0, 0, 0),
        set(3, XDP_PASS), // the answer for a queue without a socket
        op(CALL, 0, 0, 0, REDIRECT_MAP),
        EXIT, // with the answer in register 0
        // PASS:
        set(0, XDP_PASS),
        EXIT,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_land_where_they_should() {
        let null = std::fs::File::open("/dev/null").unwrap();
        let program = for_station(MacAddr([2, 0, 0, 0, 0, 1]), std::os::fd::AsFd::as_fd(&null));
        let target = |at: usize| program[at + 1 + program[at].offset as usize];
        assert_eq!(target(7), load32(2, 1, RX_QUEUE_INDEX));
        for at in [4, 9, 11, 13] {
            assert_eq!(target(at), set(0, XDP_PASS), "instruction {at}");
        }
        assert_eq!(size_of_val(&program), LEN * 8);
        assert_eq!(program[15].immediate, null.as_raw_fd());
    }
}
