//! The eBPF machine, as far as `asm.rs` uses it: so that programs can be run without a kernel. It stops at any access outside of a frame.

use crate::{
    asm::{Instruction, code},
    program::{RX_QUEUE_INDEX, XDP_PASS},
};

/// What a program does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// To the socket of the receive queue.
    Redirect,
    /// `XDP_DROP`, `XDP_PASS`.
    Action(i32),
}

const CONTEXT: u64 = 0x1000_0000;
/// In the context: where the frame ends, and the receive queue.
const FRAME_END: u64 = CONTEXT + 4;
const QUEUE: u64 = CONTEXT + RX_QUEUE_INDEX as u64;
const FRAME: u64 = 0x2000_0000;
const COUNTER: u64 = 0x3000_0000;
const REDIRECTED: u64 = 4;

/// Run `program` on `frame`, which came by receive queue `queue`; the verdict, and how much the counter has grown.
pub(crate) fn run(program: &[Instruction], frame: &[u8], queue: u32) -> (Verdict, u64) {
    let (mut registers, mut counter, mut at) = ([0_u64; 11], 0, 0);
    registers[1] = CONTEXT;
    loop {
        let Instruction { code, registers: names, offset, immediate } = program[at];
        let (dst, src) =
            if cfg!(target_endian = "little") { (names & 15, names >> 4) } else { (names >> 4, names & 15) };
        let (dst, src) = (usize::from(dst), usize::from(src));
        let (d, s, imm) = (registers[dst], registers[src], i64::from(immediate) as u64);
        at += 1;
        let load = |n: usize| {
            let address = s.wrapping_add_signed(offset.into());
            match (address, n) {
                (CONTEXT, 4) => FRAME,
                (FRAME_END, 4) => FRAME + frame.len() as u64,
                (QUEUE, 4) => queue.into(),
                (_, n) => {
                    let from = usize::try_from(address - FRAME).unwrap();
                    let mut bytes = [0; 8];
                    bytes[..n].copy_from_slice(&frame[from..from + n]);
                    u64::from_le_bytes(bytes)
                }
            }
        };
        let mut jump = |yes: bool| at += if yes { offset as usize } else { 0 };
        let low = |x: u64| x as u32;
        match code {
            code::LOAD32 => registers[dst] = load(4),
            code::LOAD16 => registers[dst] = load(2),
            code::LOAD8 => registers[dst] = load(1),
            code::COPY => registers[dst] = s,
            code::SET => registers[dst] = imm,
            code::ADD => registers[dst] = d.wrapping_add(imm),
            code::AND => registers[dst] = d & imm,
            code::AND_REGISTER => registers[dst] = d & s,
            code::OR_REGISTER => registers[dst] = d | s,
            code::SHIFT_LEFT => registers[dst] = d << imm,
            code::XOR32_REGISTER => registers[dst] = (low(d) ^ low(s)).into(),
            code::MULTIPLY32 => registers[dst] = low(d).wrapping_mul(low(imm)).into(),
            code::MODULO32 => registers[dst] = (low(d) % low(imm)).into(),
            code::JUMP => jump(true),
            code::JUMP_IF_NOT => jump(d != imm),
            code::JUMP32_IF_NOT => jump(low(d) != low(imm)),
            code::JUMP_IF_BELOW => jump(d < imm),
            code::JUMP_IF_BELOW_REGISTER => jump(d < s),
            code::JUMP_IF_ABOVE_REGISTER => jump(d > s),
            code::WIDE => {
                let high = program[at].immediate as u32;
                at += 1;
                let value = u64::from(high) << 32 | u64::from(low(imm));
                registers[dst] = if src == usize::from(code::MAP_VALUE) { COUNTER } else { value };
            }
            code::ATOMIC_ADD64 => {
                assert_eq!(d, COUNTER);
                counter += s;
            }
            code::CALL => {
                assert_eq!(registers[3], XDP_PASS as u64);
                registers[0] = REDIRECTED;
            }
            code::EXIT => {
                let verdict = match registers[0] {
                    REDIRECTED => Verdict::Redirect,
                    action => Verdict::Action(action as i32),
                };
                return (verdict, counter);
            }
            other => panic!("the assembler has no such operation: {other:#x}"),
        }
    }
}
