//! A predicate as the socket's own filter: classic BPF (`SO_ATTACH_FILTER`, `bpf(4)`, Linux's `filter.rst`).
//!
//! The kernel runs it on each datagram before it is queued to the socket, beginning at the UDP header; 0 drops it. Every
//! test becomes a few instructions that end in a jump to the next test, always forward, as classic BPF wants it. A load
//! beyond the end would drop the datagram at once, while a [`Program`] says "miss" and goes on: so the length is tested first.
//!
//! Left out: ranges of numbers wider than 32 bits, and hashes of more than 64 bytes. Such programs stay in software.

use hemi_queue::program::{Field, Next, Program, RunsIn, Step};
use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IMM, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K,
    BPF_LD, BPF_LEN, BPF_LSH, BPF_MEM, BPF_MISC, BPF_MOD, BPF_MUL, BPF_OR, BPF_RET, BPF_ST, BPF_SUB, BPF_TAX,
    BPF_W, BPF_X, BPF_XOR,
};
use socket2::SockFilter;

use super::Datagram;

/// Before the payload (RFC 768).
const HEADER: u32 = 8;
/// `BPF_MAXINSNS`
const MOST: usize = 4096;
/// No datagram has bytes beyond.
const LONGEST: u64 = 65_535;
/// Bytes that a hash is unrolled for.
const HASHED: u32 = 64;
const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;

impl Datagram {
    pub(super) fn install_filter(&self, program: Option<&Program>) -> RunsIn {
        let descriptor = self.descriptor.borrow();
        let Some(socket) = descriptor.as_ref().filter(|_| !self.is_unix) else { return RunsIn::Software };
        if let Some(code) = program.and_then(translate) {
            match socket.attach_filter(&code) {
                Ok(()) => return RunsIn::Device("SO_ATTACH_FILTER"),
                Err(error) => tracing::debug!(%error, "the kernel does not take a socket filter"),
            }
        }
        let _ = socket.detach_filter(); // there may be none
        RunsIn::Software
    }
}

/// `None` when it cannot be said in classic BPF.
fn translate(program: &Program) -> Option<Vec<SockFilter>> {
    let mut code = Code::default();
    code.jump(Target::Next(program.start()));
    let mut begins = Vec::with_capacity(program.steps().len());
    for step in program.steps() {
        begins.push(code.instructions.len());
        code.step(step)?;
    }
    code.finish(&begins)
}

#[derive(Clone, Copy)]
struct Instruction {
    operation: u32,
    on_true: u8,
    on_false: u8,
    k: u32,
}

#[derive(Clone, Copy)]
enum Target {
    Next(Next),
    /// The end of the datagram's test: nothing can match.
    Miss,
}

#[derive(Default)]
struct Code {
    instructions: Vec<Instruction>,
    /// Jumps whose target is not yet known.
    open: Vec<(usize, Next)>,
    /// Where the step at hand goes on after a miss.
    miss: Option<Next>,
}

impl Code {
    fn put(&mut self, operation: u32, k: u32) {
        self.instructions.push(Instruction { operation, on_true: 0, on_false: 0, k });
    }

    fn jump(&mut self, to: Target) {
        let next = match to {
            Target::Next(next) => next,
            Target::Miss => self.miss.unwrap_or(Next::Reject),
        };
        self.open.push((self.instructions.len(), next));
        self.put(BPF_JMP | BPF_JA, 0);
    }

    /// Go on if the comparison of A with `k` is `wanted`; else the step misses.
    fn require(&mut self, comparison: u32, k: u32, wanted: bool) {
        let (on_true, on_false) = if wanted { (1, 0) } else { (0, 1) };
        self.instructions.push(Instruction { operation: BPF_JMP | comparison | BPF_K, on_true, on_false, k });
        self.jump(Target::Miss);
    }

    /// The payload has at least `len` bytes.
    fn require_length(&mut self, len: u64) -> bool {
        if len > LONGEST {
            self.jump(Target::Miss);
            return false;
        }
        self.put(BPF_LD | BPF_W | BPF_LEN, 0);
        self.require(BPF_JGE, len as u32 + HEADER, true);
        true
    }

    /// A lies in the range.
    fn require_within(&mut self, low: u64, high: u64) {
        let Ok(low) = u32::try_from(low) else { return self.jump(Target::Miss) };
        if u64::from(low) > high {
            return self.jump(Target::Miss);
        }
        if low > 0 {
            self.require(BPF_JGE, low, true);
        }
        if let Ok(high) = u32::try_from(high)
            && high < u32::MAX
        {
            self.require(BPF_JGT, high, false);
        }
    }

    /// A = `width` bytes (1 to 4) at `at`, and `mask`. The length was tested.
    fn load(&mut self, at: u32, width: u8, mask: u32) {
        let at = at + HEADER;
        match width {
            1 => self.put(BPF_LD | BPF_B | BPF_ABS, at),
            2 => self.put(BPF_LD | BPF_H | BPF_ABS, at),
            3 => {
                self.put(BPF_LD | BPF_H | BPF_ABS, at);
                self.put(BPF_ALU | BPF_LSH | BPF_K, 8);
                self.put(BPF_MISC | BPF_TAX, 0);
                self.put(BPF_LD | BPF_B | BPF_ABS, at + 2);
                self.put(BPF_ALU | BPF_OR | BPF_X, 0);
            }
            _ => self.put(BPF_LD | BPF_W | BPF_ABS, at),
        }
        if u64::from(mask) < (1 << (8 * u32::from(width))) - 1 {
            self.put(BPF_ALU | BPF_AND | BPF_K, mask);
        }
    }

    fn step(&mut self, step: &Step) -> Option<()> {
        self.miss = Some(step.on_miss);
        match step.field {
            Field::Length => {
                self.put(BPF_LD | BPF_W | BPF_LEN, 0);
                self.put(BPF_ALU | BPF_SUB | BPF_K, HEADER);
                self.require_within(step.low, step.high);
            }
            Field::Word { at, width, mask } => {
                let width = width.clamp(1, 8);
                if self.require_length(u64::from(at) + u64::from(width)) {
                    self.word(at, width, mask, step)?;
                }
            }
            Field::Hash { at, len, shards } => {
                if len > HASHED {
                    return None;
                }
                if self.require_length(u64::from(at) + u64::from(len)) {
                    self.hash(at, len);
                    self.put(BPF_ALU | BPF_MOD | BPF_K, shards.max(1));
                    self.require_within(step.low, step.high);
                }
            }
        }
        self.jump(Target::Next(step.on_hit));
        Some(())
    }

    fn word(&mut self, at: u32, width: u8, mask: u64, step: &Step) -> Option<()> {
        if width <= 4 {
            self.load(at, width, mask as u32);
            self.require_within(step.low, step.high);
        } else if step.low == step.high {
            // The upper part, then the lower four bytes.
            self.load(at, width - 4, (mask >> 32) as u32);
            self.require(BPF_JEQ, (step.low >> 32) as u32, true);
            self.load(at + u32::from(width) - 4, 4, mask as u32);
            self.require(BPF_JEQ, step.low as u32, true);
        } else if step.low > 0 || step.high < mask {
            return None;
        }
        Some(())
    }

    /// A = the FNV-1a hash.
    fn hash(&mut self, at: u32, len: u32) {
        self.put(BPF_LD | BPF_IMM, FNV_BASIS);
        self.put(BPF_ST, 0);
        for byte in at..at + len {
            self.put(BPF_LD | BPF_B | BPF_ABS, byte + HEADER);
            self.put(BPF_MISC | BPF_TAX, 0);
            self.put(BPF_LD | BPF_MEM, 0);
            self.put(BPF_ALU | BPF_XOR | BPF_X, 0);
            self.put(BPF_ALU | BPF_MUL | BPF_K, FNV_PRIME);
            self.put(BPF_ST, 0);
        }
        self.put(BPF_LD | BPF_MEM, 0);
    }

    fn finish(mut self, begins: &[usize]) -> Option<Vec<SockFilter>> {
        let accept = self.instructions.len();
        self.put(BPF_RET | BPF_K, u32::MAX);
        let reject = self.instructions.len();
        self.put(BPF_RET | BPF_K, 0);
        if self.instructions.len() > MOST {
            return None;
        }
        for (at, next) in self.open {
            let target = match next {
                Next::Accept => accept,
                Next::Reject => reject,
                Next::Step(step) => *begins.get(step as usize)?,
            };
            self.instructions[at].k = u32::try_from(target.checked_sub(at + 1)?).ok()?;
        }
        let filter = |i: &Instruction| SockFilter::new(i.operation as u16, i.on_true, i.on_false, i.k);
        Some(self.instructions.iter().map(filter).collect())
    }
}
