//! The eBPF machine, as far as `asm.rs` uses it: so that programs can be run without a kernel. It stops at any access outside of a frame, its
//! metadata and the stack, and at registers that a call has left undefined.

use crate::{
    asm::{Instruction, code},
    program::{RX_QUEUE_INDEX, XDP_PASS},
    rewrite::{ADJUST_META, DATA_META, METADATA, take_mark},
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
/// In the context: where the frame ends, where its metadata begins, and the receive queue.
const FRAME_END: u64 = CONTEXT + 4;
const META: u64 = CONTEXT + DATA_META as u64;
const QUEUE: u64 = CONTEXT + RX_QUEUE_INDEX as u64;
const FRAME: u64 = 0x2000_0000;
const COUNTER: u64 = 0x3000_0000;
/// The end of the stack, and how much there is of it.
const STACK: u64 = 0x4000_0000;
const STACK_LEN: usize = 512;
const REDIRECTED: u64 = 4;
/// What a call leaves behind.
const UNDEFINED: u64 = 0xdead_beef_dead_beef;

/// Run `program` on `frame`, which came by receive queue `queue`; the verdict, and how much the counter has grown.
pub(crate) fn run(program: &[Instruction], frame: &[u8], queue: u32) -> (Verdict, u64) {
    let mut machine = Machine::new(frame, queue);
    let verdict = machine.run(program);
    assert_eq!(machine.frame(), frame, "nothing is rewritten");
    assert_eq!(machine.mark(), 0);
    (verdict, machine.counter)
}

/// A frame and what is around it.
pub(crate) struct Machine {
    /// Its metadata, and the frame.
    memory: Vec<u8>,
    /// Whether there is room for metadata.
    pub(crate) room: bool,
    /// Bytes of metadata that the program has asked for.
    metadata: usize,
    stack: [u8; STACK_LEN],
    queue: u32,
    pub(crate) counter: u64,
}

impl Machine {
    pub(crate) fn new(frame: &[u8], queue: u32) -> Self {
        let memory = [&[0x5a; METADATA][..], frame].concat();
        Self { memory, room: true, metadata: 0, stack: [0; STACK_LEN], queue, counter: 0 }
    }

    /// The frame as it is now.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.memory[METADATA..]
    }

    /// The mark that it has got.
    pub(crate) fn mark(&mut self) -> u32 {
        take_mark(&mut self.memory[METADATA - self.metadata..METADATA])
    }

    /// `n` bytes of the stack, of the frame or of its metadata.
    fn at(&mut self, address: u64, n: usize) -> &mut [u8] {
        if (STACK - STACK_LEN as u64..STACK).contains(&address) {
            let from = (address + STACK_LEN as u64 - STACK) as usize;
            return &mut self.stack[from..from + n];
        }
        assert!(address >= FRAME - self.metadata as u64, "before the metadata: {address:#x}");
        let from = usize::try_from(address + METADATA as u64 - FRAME).unwrap();
        &mut self.memory[from..from + n]
    }

    fn load(&mut self, address: u64, n: usize) -> u64 {
        match (address, n) {
            (CONTEXT, 4) => FRAME,
            (FRAME_END, 4) => FRAME + (self.memory.len() - METADATA) as u64,
            (META, 4) => FRAME - self.metadata as u64,
            (QUEUE, 4) => self.queue.into(),
            (_, n) => {
                let mut bytes = [0; 8];
                bytes[..n].copy_from_slice(self.at(address, n));
                u64::from_le_bytes(bytes)
            }
        }
    }

    fn store(&mut self, address: u64, n: usize, value: u64) {
        self.at(address, n).copy_from_slice(&value.to_le_bytes()[..n]);
    }

    fn call(&mut self, registers: &mut [u64; 11], function: i32) {
        if function == ADJUST_META {
            assert_eq!((registers[1], registers[2] as i64), (CONTEXT, -(METADATA as i64)));
            if self.room {
                self.metadata = METADATA;
            }
            registers[0] = if self.room { 0 } else { (-libc::ENOTSUP) as u64 };
        } else {
            assert_eq!(registers[3], XDP_PASS as u64);
            registers[0] = REDIRECTED;
        }
        registers[1..6].fill(UNDEFINED);
    }

    pub(crate) fn run(&mut self, program: &[Instruction]) -> Verdict {
        let (mut registers, mut at) = ([0_u64; 11], 0);
        (registers[1], registers[10]) = (CONTEXT, STACK);
        loop {
            let Instruction { code, registers: names, offset, immediate } = program[at];
            let (dst, src) = if cfg!(target_endian = "little") {
                (names & 15, names >> 4)
            } else {
                (names >> 4, names & 15)
            };
            let (dst, src) = (usize::from(dst), usize::from(src));
            let (d, s, imm) = (registers[dst], registers[src], i64::from(immediate) as u64);
            at += 1;
            let (from, to) = (s.wrapping_add_signed(offset.into()), d.wrapping_add_signed(offset.into()));
            let mut jump = |yes: bool| at += if yes { offset as usize } else { 0 };
            let low = |x: u64| x as u32;
            match code {
                code::LOAD32 => registers[dst] = self.load(from, 4),
                code::LOAD16 => registers[dst] = self.load(from, 2),
                code::LOAD8 => registers[dst] = self.load(from, 1),
                code::STORE16 => self.store(to, 2, s),
                code::STORE8 => self.store(to, 1, s),
                code::STORE32_IMMEDIATE => self.store(to, 4, imm),
                code::STORE8_IMMEDIATE => self.store(to, 1, imm),
                code::COPY => registers[dst] = s,
                code::SET => registers[dst] = imm,
                code::ADD => registers[dst] = d.wrapping_add(imm),
                code::ADD_REGISTER => registers[dst] = d.wrapping_add(s),
                code::SUBTRACT_REGISTER => registers[dst] = d.wrapping_sub(s),
                code::AND => registers[dst] = d & imm,
                code::AND_REGISTER => registers[dst] = d & s,
                code::OR_REGISTER => registers[dst] = d | s,
                code::XOR => registers[dst] = d ^ imm,
                code::SHIFT_LEFT => registers[dst] = d << imm,
                code::SHIFT_RIGHT => registers[dst] = d >> imm,
                code::XOR32_REGISTER => registers[dst] = (low(d) ^ low(s)).into(),
                code::MULTIPLY32 => registers[dst] = low(d).wrapping_mul(low(imm)).into(),
                code::MODULO32 => registers[dst] = (low(d) % low(imm)).into(),
                code::JUMP => jump(true),
                code::JUMP_IF => jump(d == imm),
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
                    self.counter += s;
                }
                code::CALL => self.call(&mut registers, immediate),
                code::EXIT => {
                    return match registers[0] {
                        REDIRECTED => Verdict::Redirect,
                        action => Verdict::Action(action as i32),
                    };
                }
                other => panic!("the assembler has no such operation: {other:#x}"),
            }
        }
    }
}
