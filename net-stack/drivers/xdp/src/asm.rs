//! [`Assembler`]: eBPF instructions with labels.

/// `struct bpf_insn` (linux/bpf.h): eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    pub(crate) code: u8,
    /// The source register in the upper half, the destination's in the lower (on a little-endian machine).
    pub(crate) registers: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

const fn op(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> Instruction {
    let registers = if cfg!(target_endian = "little") { src << 4 | dst } else { dst << 4 | src };
    Instruction { code, registers, offset, immediate }
}

/// The opcodes that are used, as BPF_CLASS | BPF_SIZE or BPF_OP | BPF_MODE or BPF_SRC (Documentation/bpf/standardization).
pub(crate) mod code {
    pub(crate) const LOAD32: u8 = 0x61;
    pub(crate) const LOAD16: u8 = 0x69;
    pub(crate) const LOAD8: u8 = 0x71;
    pub(crate) const STORE16: u8 = 0x6b;
    pub(crate) const STORE8: u8 = 0x73;
    /// Of an immediate.
    pub(crate) const STORE32_IMMEDIATE: u8 = 0x62;
    pub(crate) const STORE8_IMMEDIATE: u8 = 0x72;
    pub(crate) const COPY: u8 = 0xbf;
    pub(crate) const SET: u8 = 0xb7;
    pub(crate) const ADD: u8 = 0x07;
    pub(crate) const ADD_REGISTER: u8 = 0x0f;
    pub(crate) const SUBTRACT_REGISTER: u8 = 0x1f;
    pub(crate) const AND: u8 = 0x57;
    pub(crate) const AND_REGISTER: u8 = 0x5f;
    pub(crate) const OR_REGISTER: u8 = 0x4f;
    pub(crate) const XOR: u8 = 0xa7;
    pub(crate) const SHIFT_LEFT: u8 = 0x67;
    pub(crate) const SHIFT_RIGHT: u8 = 0x77;
    pub(crate) const XOR32_REGISTER: u8 = 0xac;
    pub(crate) const MULTIPLY32: u8 = 0x24;
    pub(crate) const MODULO32: u8 = 0x94;
    /// `lock *(u64 *)(dst + offset) += src`
    pub(crate) const ATOMIC_ADD64: u8 = 0xdb;
    pub(crate) const JUMP: u8 = 0x05;
    pub(crate) const JUMP_IF: u8 = 0x15;
    pub(crate) const JUMP_IF_NOT: u8 = 0x55;
    pub(crate) const JUMP32_IF_NOT: u8 = 0x56;
    pub(crate) const JUMP_IF_BELOW: u8 = 0xa5;
    pub(crate) const JUMP_IF_BELOW_REGISTER: u8 = 0xad;
    pub(crate) const JUMP_IF_ABOVE_REGISTER: u8 = 0x2d;
    pub(crate) const CALL: u8 = 0x85;
    pub(crate) const EXIT: u8 = 0x95;
    /// A 64-bit immediate, in two instructions.
    pub(crate) const WIDE: u8 = 0x18;
    /// The source "registers" of [`WIDE`]: the immediate is a map, or the first value of a map.
    pub(crate) const MAP: u8 = 1;
    pub(crate) const MAP_VALUE: u8 = 2;
}

/// A place to jump to: given out first, placed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// Instructions in the making. Jumps go forward only.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    program: Vec<Instruction>,
    /// Where each label is, once it has been placed.
    labels: Vec<Option<usize>>,
    /// Jumps by instruction, and to which label.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    /// A label that has no place yet.
    pub(crate) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Whether anything jumps to `label`: the kernel takes no instructions that nothing leads to.
    pub(crate) fn is_used(&self, label: Label) -> bool {
        self.jumps.iter().any(|(_, to)| *to == label)
    }

    /// `label` is here.
    pub(crate) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.program.len());
    }

    /// `dst = *(u8|u16|u32 *)(src + offset)`, by `code`.
    pub(crate) fn load(&mut self, code: u8, dst: u8, src: u8, offset: i16) {
        self.program.push(op(code, dst, src, offset, 0));
    }

    /// `*(u8|u16|u32 *)(dst + offset) = src`, by `code`.
    pub(crate) fn store(&mut self, code: u8, dst: u8, offset: i16, src: u8) {
        self.program.push(op(code, dst, src, offset, 0));
    }

    /// `*(u8|u32 *)(dst + offset) = value`, by `code`.
    pub(crate) fn store_immediate(&mut self, code: u8, dst: u8, offset: i16, value: i32) {
        self.program.push(op(code, dst, 0, offset, value));
    }

    /// An operation on `dst` and an immediate.
    pub(crate) fn with(&mut self, code: u8, dst: u8, immediate: i32) {
        self.program.push(op(code, dst, 0, 0, immediate));
    }

    /// An operation on `dst` and `src`.
    pub(crate) fn on(&mut self, code: u8, dst: u8, src: u8) {
        self.program.push(op(code, dst, src, 0, 0));
    }

    /// `dst = value`, all 64 bits of it, or what `pseudo` makes of it.
    pub(crate) fn wide(&mut self, dst: u8, pseudo: u8, value: u64) {
        self.program.push(op(code::WIDE, dst, pseudo, 0, value as u32 as i32));
        self.program.push(op(0, 0, 0, 0, (value >> 32) as u32 as i32));
    }

    /// `dst = the big-endian number of width bytes at src + offset`; needs `scratch`.
    pub(crate) fn big_endian(&mut self, dst: u8, src: u8, offset: i16, width: u8, scratch: u8) {
        self.load(code::LOAD8, dst, src, offset);
        for next in 1..i16::from(width) {
            self.with(code::SHIFT_LEFT, dst, 8);
            self.load(code::LOAD8, scratch, src, offset + next);
            self.on(code::OR_REGISTER, dst, scratch);
        }
    }

    /// Go on at `label`.
    pub(crate) fn jump(&mut self, label: Label) {
        self.branch(op(code::JUMP, 0, 0, 0, 0), label);
    }

    /// Go on at `label` if `dst` and an immediate compare as `code` says.
    pub(crate) fn jump_if(&mut self, code: u8, dst: u8, immediate: i32, label: Label) {
        self.branch(op(code, dst, 0, 0, immediate), label);
    }

    /// Go on at `label` if `dst` and `src` compare as `code` says.
    pub(crate) fn jump_if_on(&mut self, code: u8, dst: u8, src: u8, label: Label) {
        self.branch(op(code, dst, src, 0, 0), label);
    }

    fn branch(&mut self, instruction: Instruction, label: Label) {
        self.jumps.push((self.program.len(), label));
        self.program.push(instruction);
    }

    /// How many instructions there are.
    pub(crate) fn len(&self) -> usize {
        self.program.len()
    }

    /// The program, with its jumps resolved. `None` when a jump would go too far, or to a label without a place.
    pub(crate) fn finish(mut self) -> Option<Vec<Instruction>> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0]?;
            let skipped = target.checked_sub(at + 1)?;
            self.program[at].offset = i16::try_from(skipped).ok()?;
        }
        Some(self.program)
    }
}
