//! Predicates of queues, translated for the XDP program. What passes may be rewritten (`rewrite.rs`).
//!
//! A rule is looked at when a datagram comes to its address (and from its peer, if it has one), whole, without IP options or extension
//! headers; everything else goes on to the stack, where the same predicate runs in software. So letting a datagram pass is always
//! right, and only a rejection has to be exact. All offsets are constant, which the verifier can follow.
//!
//! What it leaves out: checksums. A datagram that was damaged on the way and fails the predicate is dropped here instead of by the stack.

#[cfg(test)]
pub(crate) mod tests;

use std::net::{IpAddr, SocketAddr};

use hemi_net::device::DatagramRule;
use hemi_queue::program::{Field, Next, Program, Step};

use crate::{
    asm::{Assembler, Label, code},
    program::{
        RX_QUEUE_INDEX, XDP_DROP, XDP_PASS,
        register::{CONTEXT, END, FRAME},
    },
    rewrite,
};

/// The rules of one receive queue.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The receive queue's number.
    pub(crate) queue: u32,
    pub(crate) list: Vec<DatagramRule>,
    /// The `xdp_action` for what they reject.
    pub(crate) verdict: i32,
}

impl Rules {
    /// Every datagram goes to its socket.
    pub(crate) const NONE: Self = Self { queue: 0, list: Vec::new(), verdict: XDP_PASS };

    pub(crate) fn new(queue: u32, rules: &[DatagramRule], rejected_pass: bool) -> Self {
        let verdict = if rejected_pass { XDP_PASS } else { XDP_DROP };
        Self { queue, list: rules.to_vec(), verdict }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether frames may come up marked.
    pub(crate) fn rewrite(&self) -> bool {
        self.list.iter().any(|rule| rule.rewrite.is_some())
    }
}

/// The unit's length, in a register that keeps it.
const LENGTH: u8 = 5;
/// What is looked at.
const VALUE: u8 = 0;
const SCRATCH: u8 = 4;

/// Where things are in a frame of one IP version.
struct Layout {
    ethertype: u16,
    /// Length of the IP header.
    header: i16,
    src: i16,
    dst: i16,
    udp: i16,
}

const PROTOCOL_UDP: i32 = 17;
const ETHERNET: i16 = 14;
const UDP: i16 = 8;
/// In the UDP header.
const CHECKSUM: i16 = 6;
const V4: Layout = Layout { ethertype: 0x0800, header: 20, src: 26, dst: 30, udp: 34 };
const V6: Layout = Layout { ethertype: 0x86dd, header: 40, src: 22, dst: 38, udp: 54 };

/// No frame of ours has a byte beyond this offset: it would not fit into a chunk.
pub(crate) const FRAME_END: u64 = 4096;
/// Hashing is a loop written out: this many bytes at most.
const MAX_HASHED: u32 = 256;

/// Emit the tests of `rules`. What falls through, and what is jumped to at `redirect`, was accepted; `refuse` is where rejected datagrams go.
pub(crate) fn emit(asm: &mut Assembler, rules: &Rules, redirect: Label, refuse: Label) -> Option<()> {
    if rules.is_empty() {
        return Some(());
    }
    asm.load(code::LOAD32, SCRATCH, CONTEXT, RX_QUEUE_INDEX);
    asm.jump_if(code::JUMP32_IF_NOT, SCRATCH, rules.queue as i32, redirect);
    for (layout, is_v4) in [(&V4, true), (&V6, false)] {
        let of_version: Vec<_> = rules.list.iter().filter(|r| r.to.is_ipv4() == is_v4).collect();
        if of_version.is_empty() {
            continue;
        }
        let other_version = asm.label();
        header(asm, layout, other_version, redirect);
        for rule in of_version {
            let not_for_it = asm.label();
            addressed(asm, layout, rule, not_for_it);
            if let Some(rewrite) = &rule.rewrite {
                let accept = asm.label();
                program(asm, layout, &rule.program, [accept, refuse], redirect)?;
                if asm.is_used(accept) {
                    asm.place(accept);
                    let (checksum, payload) = (layout.udp + CHECKSUM, layout.udp + UDP);
                    rewrite::emit(asm, rewrite, LENGTH, checksum, payload, redirect)?;
                }
            } else {
                program(asm, layout, &rule.program, [redirect, refuse], redirect)?;
            }
            asm.place(not_for_it);
        }
        asm.jump(redirect);
        asm.place(other_version);
    }
    Some(())
}

/// Go on only with a plain UDP datagram of this IP version, its length in [`LENGTH`].
fn header(asm: &mut Assembler, layout: &Layout, other_version: Label, redirect: Label) {
    asm.big_endian(VALUE, FRAME, 12, 2, SCRATCH);
    asm.jump_if(code::JUMP_IF_NOT, VALUE, layout.ethertype.into(), other_version);
    within(asm, layout.udp + UDP, redirect);
    let equals = |asm: &mut Assembler, at: i16, mask: i32, value: i32| {
        asm.load(code::LOAD8, VALUE, FRAME, at);
        if mask != 0xff {
            asm.with(code::AND, VALUE, mask);
        }
        asm.jump_if(code::JUMP_IF_NOT, VALUE, value, redirect);
    };
    if layout.ethertype == V4.ethertype {
        equals(asm, ETHERNET, 0xff, 0x45); // version 4, no options
        equals(asm, ETHERNET + 6, 0x3f, 0); // not a fragment: neither more of them nor an offset
        equals(asm, ETHERNET + 7, 0xff, 0);
        equals(asm, ETHERNET + 9, 0xff, PROTOCOL_UDP);
        asm.big_endian(VALUE, FRAME, ETHERNET + 2, 2, SCRATCH);
        asm.jump_if(code::JUMP_IF_BELOW, VALUE, layout.header.into(), redirect);
        asm.with(code::ADD, VALUE, (-layout.header).into());
    } else {
        equals(asm, ETHERNET, 0xf0, 0x60);
        equals(asm, ETHERNET + 6, 0xff, PROTOCOL_UDP);
        asm.big_endian(VALUE, FRAME, ETHERNET + 4, 2, SCRATCH);
    }
    asm.big_endian(LENGTH, FRAME, layout.udp + 4, 2, SCRATCH);
    asm.jump_if(code::JUMP_IF_BELOW, LENGTH, UDP.into(), redirect); // malformed: for the stack to count
    asm.jump_if_on(code::JUMP_IF_ABOVE_REGISTER, LENGTH, VALUE, redirect); // longer than its packet
    asm.with(code::ADD, LENGTH, (-UDP).into());
}

/// Go on only if the frame has `bytes`.
fn within(asm: &mut Assembler, bytes: i16, otherwise: Label) {
    asm.on(code::COPY, SCRATCH, FRAME);
    asm.with(code::ADD, SCRATCH, bytes.into());
    asm.jump_if_on(code::JUMP_IF_ABOVE_REGISTER, SCRATCH, END, otherwise);
}

/// Go on only with a datagram to the rule's address, from its peer if it has one.
fn addressed(asm: &mut Assembler, layout: &Layout, rule: &DatagramRule, not_for_it: Label) {
    let mut matches = |at: i16, port_at: i16, addr: SocketAddr| {
        let mut octets = [0; 16];
        let len = match addr.ip() {
            IpAddr::V4(ip) => {
                octets[..4].copy_from_slice(&ip.octets());
                4
            }
            IpAddr::V6(ip) => {
                octets = ip.octets();
                16
            }
        };
        asm.load(code::LOAD16, VALUE, FRAME, port_at);
        let port = u16::from_ne_bytes(addr.port().to_be_bytes());
        asm.jump_if(code::JUMP_IF_NOT, VALUE, port.into(), not_for_it);
        for (word, octets) in octets[..len].chunks_exact(4).enumerate() {
            asm.load(code::LOAD32, VALUE, FRAME, at + 4 * word as i16);
            let octets = i32::from_ne_bytes(octets.try_into().unwrap_or_default());
            asm.jump_if(code::JUMP32_IF_NOT, VALUE, octets, not_for_it);
        }
    };
    matches(layout.dst, layout.udp + 2, rule.to);
    if let Some(from) = rule.from {
        matches(layout.src, layout.udp, from);
    }
}

/// The predicate itself, test by test.
fn program(
    asm: &mut Assembler,
    layout: &Layout,
    program: &Program,
    [accept, refuse]: [Label; 2],
    redirect: Label,
) -> Option<()> {
    let labels: Vec<_> = program.steps().iter().map(|_| asm.label()).collect();
    let place = |next| match next {
        Next::Step(at) => labels.get(at as usize).copied(),
        Next::Accept => Some(accept),
        Next::Reject => Some(refuse),
    };
    asm.jump(place(program.start())?);
    for (step, label) in program.steps().iter().zip(&labels) {
        asm.place(*label);
        emit_step(asm, layout, step, place(step.on_hit)?, place(step.on_miss)?, redirect)?;
    }
    Some(())
}

fn emit_step(
    asm: &mut Assembler,
    layout: &Layout,
    step: &Step,
    hit: Label,
    miss: Label,
    redirect: Label,
) -> Option<()> {
    let payload = layout.udp + UDP;
    // The bytes of the unit that are looked at must be there: in the unit, or it is a miss, and in the frame, or the stack may wonder.
    let bytes = |asm: &mut Assembler, at: u32, len: u32| -> Option<i16> {
        let end = u64::from(at) + u64::from(len);
        if end > u64::from(u16::MAX) {
            asm.jump(miss); // no datagram is that long
            return None;
        }
        asm.jump_if(code::JUMP_IF_BELOW, LENGTH, end as i32, miss);
        if end > FRAME_END {
            asm.jump(redirect);
            return None;
        }
        within(asm, payload + end as i16, redirect);
        Some(payload + at as i16)
    };
    match step.field {
        Field::Word { at, width, mask } => {
            let width = width.clamp(1, 8);
            let Some(from) = bytes(asm, at, width.into()) else { return Some(()) };
            asm.big_endian(VALUE, FRAME, from, width, SCRATCH);
            if mask != u64::MAX >> (64 - 8 * u32::from(width)) {
                asm.wide(SCRATCH, 0, mask);
                asm.on(code::AND_REGISTER, VALUE, SCRATCH);
            }
        }
        Field::Hash { at, len, shards } => {
            if len > MAX_HASHED {
                return None;
            }
            let Some(from) = bytes(asm, at, len) else { return Some(()) };
            asm.with(code::SET, VALUE, 0x811c_9dc5_u32 as i32); // FNV-1a
            for next in 0..len as i16 {
                asm.load(code::LOAD8, SCRATCH, FRAME, from + next);
                asm.on(code::XOR32_REGISTER, VALUE, SCRATCH);
                asm.with(code::MULTIPLY32, VALUE, 0x0100_0193);
            }
            asm.with(code::MODULO32, VALUE, shards.max(1) as i32);
        }
        Field::Length => asm.on(code::COPY, VALUE, LENGTH),
    }
    if step.low > step.high {
        asm.jump(miss);
        return Some(());
    }
    if step.low > 0 {
        asm.wide(SCRATCH, 0, step.low);
        asm.jump_if_on(code::JUMP_IF_BELOW_REGISTER, VALUE, SCRATCH, miss);
    }
    if step.high < u64::MAX {
        asm.wide(SCRATCH, 0, step.high);
        asm.jump_if_on(code::JUMP_IF_ABOVE_REGISTER, VALUE, SCRATCH, miss);
    }
    asm.jump(hit);
    Some(())
}
