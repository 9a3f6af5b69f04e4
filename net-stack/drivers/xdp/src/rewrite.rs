//! Rewrites of queues, translated for the XDP program.
//!
//! ```text
//!             ┌ 8 bytes ┐
//!  ... headroom │ MAGIC, mark │ Ethernet, IP, UDP: checksum updated │ payload: rewritten │
//!             └ made by bpf_xdp_adjust_meta, copied to the UMEM with the frame
//! ```
//!
//! The bytes before the frame say that it was done: a datagram is rewritten here, or by its queue, and never twice. What can't be rewritten (no
//! room before the frame, a packet that the rules don't look at) goes up as it is, without a mark.
//!
//! The checksum is updated by the difference (RFC 1624), so a datagram that was damaged on the way stays so.

use std::collections::BTreeMap;

use hemi_net::device::MarkedRewrite;
use hemi_queue::program::{Changes, Operation};

use crate::{
    asm::{Assembler, Label, code},
    filter::FRAME_END,
    program::register::{CONTEXT, END, FRAME},
};

/// The first four bytes of the metadata; the mark is the others.
pub(crate) const MAGIC: u32 = u32::from_ne_bytes(*b"hemi");
/// Bytes of metadata.
pub(crate) const METADATA: usize = 8;

/// `long bpf_xdp_adjust_meta(ctx, delta)`
pub(crate) const ADJUST_META: i32 = 54;
/// In `struct xdp_md`.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
pub(crate) const DATA_META: i16 = 8;

/// Bytes that are changed, at most: each takes some ten instructions, and one of the stack's 512 bytes.
const MOST_BYTES: usize = 128;

/// What is computed.
const VALUE: u8 = 0;
/// The first byte of the metadata.
const META: u8 = 1;
const SCRATCH: u8 = 4;
/// The sum of the bytes that are changed, before and after.
const BEFORE: u8 = 7;
const AFTER: u8 = 8;
/// Grows downwards from here.
const STACK: u8 = 10;

/// What a byte of the unit becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    Constant(u8),
    /// The byte that was at this offset, and the mask.
    Byte(usize, u8),
}

/// What becomes of the bytes that are changed, by offset. `None` for an operation that is not known here.
fn outcome(changes: &Changes) -> Option<BTreeMap<usize, Becomes>> {
    let mut bytes = BTreeMap::new();
    let now = |bytes: &BTreeMap<usize, Becomes>, at: usize| {
        bytes.get(&at).copied().unwrap_or(Becomes::Byte(at, 0xff))
    };
    for operation in changes.operations() {
        match operation {
            Operation::Set { at, bytes: new } => {
                bytes.extend((*at as usize..).zip(new.iter().map(|&byte| Becomes::Constant(byte))));
            }
            Operation::Mask { at, mask } => {
                for (at, &kept) in (*at as usize..).zip(mask) {
                    let masked = match now(&bytes, at) {
                        Becomes::Constant(byte) => Becomes::Constant(byte & kept),
                        Becomes::Byte(from, mask) => Becomes::Byte(from, mask & kept),
                    };
                    bytes.insert(at, masked);
                }
            }
            Operation::Swap { a, b, len } => {
                for (a, b) in (*a as usize..).zip(*b as usize..).take(*len as usize) {
                    let (one, other) = (now(&bytes, a), now(&bytes, b));
                    bytes.insert(a, other);
                    bytes.insert(b, one);
                }
            }
            _ => return None,
        }
    }
    bytes.retain(|at, becomes| *becomes != Becomes::Byte(*at, 0xff));
    Some(bytes)
}

/// How far a byte at `at` is shifted in the checksum's words of 16 bits, as the machine loads them.
fn shift(at: usize) -> u32 {
    if at.is_multiple_of(2) == cfg!(target_endian = "little") { 0 } else { 8 }
}

/// Emit the changes to a datagram whose payload of (register) `length` bytes begins at `payload`, and whose checksum is at `checksum`; then go on
/// at `redirect`. `None` when it takes too much.
pub(crate) fn emit(
    asm: &mut Assembler,
    rewrite: &MarkedRewrite,
    length: u8,
    checksum: i16,
    payload: i16,
    redirect: Label,
) -> Option<()> {
    let needs = rewrite.changes.needs();
    let bytes = outcome(&rewrite.changes)?;
    if bytes.is_empty() || bytes.len() > MOST_BYTES || needs as u64 > FRAME_END {
        return None;
    }
    let at = |offset: usize| payload + offset as i16;
    asm.jump_if(code::JUMP_IF_BELOW, length, needs as i32, redirect); // too short to be changed
    asm.on(code::COPY, 1, CONTEXT);
    asm.with(code::SET, 2, -(METADATA as i32));
    asm.with(code::CALL, 0, ADJUST_META);
    asm.jump_if(code::JUMP_IF_NOT, 0, 0, redirect); // no room

    // The call has moved everything, and what was known of it is not known any more.
    asm.load(code::LOAD32, FRAME, CONTEXT, DATA);
    asm.load(code::LOAD32, END, CONTEXT, DATA_END);
    asm.load(code::LOAD32, META, CONTEXT, DATA_META);
    asm.on(code::COPY, SCRATCH, FRAME);
    asm.with(code::ADD, SCRATCH, at(needs).into());
    asm.jump_if_on(code::JUMP_IF_ABOVE_REGISTER, SCRATCH, END, redirect);
    asm.on(code::COPY, SCRATCH, META);
    asm.with(code::ADD, SCRATCH, METADATA as i32);
    asm.jump_if_on(code::JUMP_IF_ABOVE_REGISTER, SCRATCH, FRAME, redirect);

    let weigh = |asm: &mut Assembler, offset: usize| {
        if shift(offset) > 0 {
            asm.with(code::SHIFT_LEFT, VALUE, shift(offset) as i32);
        }
    };
    asm.with(code::SET, BEFORE, 0);
    for &offset in bytes.keys() {
        asm.load(code::LOAD8, VALUE, FRAME, at(offset));
        weigh(asm, offset);
        asm.on(code::ADD_REGISTER, BEFORE, VALUE);
    }
    // All that is read is read before anything is written.
    for (place, becomes) in (1..).zip(bytes.values()) {
        if let Becomes::Byte(from, mask) = *becomes {
            asm.load(code::LOAD8, VALUE, FRAME, at(from));
            if mask != 0xff {
                asm.with(code::AND, VALUE, mask.into());
            }
            asm.store(code::STORE8, STACK, -place, VALUE);
        }
    }
    asm.with(code::SET, AFTER, 0);
    let mut constants = 0;
    for (place, (&offset, becomes)) in (1..).zip(&bytes) {
        match *becomes {
            Becomes::Constant(byte) => {
                asm.store_immediate(code::STORE8_IMMEDIATE, FRAME, at(offset), byte.into());
                constants += i32::from(byte) << shift(offset);
            }
            Becomes::Byte(..) => {
                asm.load(code::LOAD8, VALUE, STACK, -place);
                asm.store(code::STORE8, FRAME, at(offset), VALUE);
                weigh(asm, offset);
                asm.on(code::ADD_REGISTER, AFTER, VALUE);
            }
        }
    }

    // RFC 1624 (eqn. 3): HC' = ~(~HC + ~m + m').
    let without = asm.label();
    asm.load(code::LOAD16, VALUE, FRAME, checksum);
    asm.jump_if(code::JUMP_IF, VALUE, 0, without); // RFC 768: the transmitter generated no checksum
    asm.with(code::XOR, VALUE, 0xffff);
    asm.on(code::ADD_REGISTER, VALUE, AFTER);
    // Multiples of 0xffff are nothing to the sum, and keep it above zero.
    asm.with(code::ADD, VALUE, constants + 0xffff * bytes.len() as i32);
    asm.on(code::SUBTRACT_REGISTER, VALUE, BEFORE);
    for _ in 0..2 {
        asm.on(code::COPY, SCRATCH, VALUE);
        asm.with(code::SHIFT_RIGHT, SCRATCH, 16);
        asm.with(code::AND, VALUE, 0xffff);
        asm.on(code::ADD_REGISTER, VALUE, SCRATCH);
    }
    asm.with(code::XOR, VALUE, 0xffff);
    let sent = asm.label();
    asm.jump_if(code::JUMP_IF_NOT, VALUE, 0, sent);
    asm.with(code::SET, VALUE, 0xffff); // RFC 768: if the computed checksum is zero, it is transmitted as all ones
    asm.place(sent);
    asm.store(code::STORE16, FRAME, checksum, VALUE);
    asm.place(without);

    asm.store_immediate(code::STORE32_IMMEDIATE, META, 0, MAGIC as i32);
    asm.store_immediate(code::STORE32_IMMEDIATE, META, 4, rewrite.mark.get() as i32);
    asm.jump(redirect);
    Some(())
}

/// The mark in the eight bytes of metadata before a frame ([`RxFrame::mark`](hemi_net::RxFrame)), which is no longer there afterwards: the chunk may be received into again, by a program
/// that writes none. 0: there is none.
#[inline]
pub fn take_mark(metadata: &mut [u8]) -> u32 {
    let Some((magic, mark)) = metadata.split_first_chunk_mut::<4>() else { return 0 };
    if *magic != MAGIC.to_ne_bytes() {
        return 0;
    }
    *magic = [0; 4];
    mark.first_chunk().map_or(0, |mark| u32::from_ne_bytes(*mark))
}

#[cfg(test)]
mod tests;
