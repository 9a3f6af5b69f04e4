//! The XDP program, assembled by hand: frames to our address and to groups go to the socket of their queue, but for datagrams that a
//! queue's predicate rejects (`filter.rs`).
//!
//! ```text
//!  frame ─► to our address? ──no──► PASS (the kernel)      group ─► REDIRECT
//!              │ yes
//!              ▼
//!           rules of this receive queue ──rejected──► REFUSE: counted, then dropped or passed to the kernel
//!              │ accepted (and perhaps rewritten, and marked), or addressed to no rule
//!              ▼
//!           REDIRECT: to the socket of the receive queue, if it has one
//! ```

use std::os::fd::{AsRawFd, BorrowedFd};

use hemi_net::wire::MacAddr;

use crate::{
    asm::{Assembler, Instruction, code},
    filter::{self, Rules},
};

/// `long bpf_redirect_map(map, key, flags)`
const REDIRECT_MAP: i32 = 51;
/// `enum xdp_action`
pub(crate) const XDP_DROP: i32 = 1;
pub(crate) const XDP_PASS: i32 = 2;
/// In `struct xdp_md`.
const DATA: i16 = 0;
const DATA_END: i16 = 4;
pub(crate) const RX_QUEUE_INDEX: i16 = 16;

/// What registers hold from the beginning to the end.
pub(crate) mod register {
    /// The context, `struct xdp_md *`.
    pub(crate) const CONTEXT: u8 = 6;
    /// The first byte of the frame. (This and the next do not outlive a call.)
    pub(crate) const FRAME: u8 = 2;
    /// The byte behind its last.
    pub(crate) const END: u8 = 3;
}
use register::{CONTEXT, END, FRAME};

/// What becomes of frames to other stations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// They go to the kernel.
    Pass,
    /// They go to the sockets as well.
    Redirect,
}

/// The most instructions of a program: enough for some hundred rules, and far from what the verifier gives up at.
pub(crate) const MAX_LEN: usize = 8192;

/// The program for the station `mac`, with the sockets in `sockets` by the number of their queue, and the datagrams that are rejected
/// counted in the first value of `counter`. `None` when `rules` can't be said in XDP, or take too many instructions.
pub(crate) fn for_station(
    mac: MacAddr,
    others: Others,
    sockets: BorrowedFd<'_>,
    counter: BorrowedFd<'_>,
    rules: &Rules,
) -> Option<Vec<Instruction>> {
    let mut asm = Assembler::default();
    let (pass, redirect, refuse) = (asm.label(), asm.label(), asm.label());
    let other = match others {
        Others::Pass => pass,
        Others::Redirect => redirect,
    };
    asm.on(code::COPY, CONTEXT, 1);
    asm.load(code::LOAD32, FRAME, 1, DATA);
    asm.load(code::LOAD32, END, 1, DATA_END);
    asm.on(code::COPY, 4, FRAME);
    asm.with(code::ADD, 4, 14);
    asm.jump_if_on(code::JUMP_IF_ABOVE_REGISTER, 4, END, other); // shorter than an Ethernet header
    asm.load(code::LOAD8, 5, FRAME, 0);
    asm.with(code::AND, 5, 1);
    asm.jump_if(code::JUMP_IF_NOT, 5, 0, redirect); // a group
    for at in [0, 2, 4] {
        let half = u16::from_ne_bytes([mac.0[at], mac.0[at + 1]]);
        asm.load(code::LOAD16, 5, FRAME, at as i16);
        asm.jump_if(code::JUMP_IF_NOT, 5, half.into(), other); // somebody else's
    }
    filter::emit(&mut asm, rules, redirect, refuse)?;

    asm.place(redirect);
    asm.load(code::LOAD32, 2, CONTEXT, RX_QUEUE_INDEX);
    asm.wide(1, code::MAP, sockets.as_raw_fd() as u64);
    asm.with(code::SET, 3, XDP_PASS); // the answer for a queue without a socket
    asm.with(code::CALL, 0, REDIRECT_MAP);
    asm.with(code::EXIT, 0, 0); // with the answer in register 0

    if asm.is_used(refuse) {
        asm.place(refuse);
        asm.wide(1, code::MAP_VALUE, counter.as_raw_fd() as u64);
        asm.with(code::SET, 2, 1);
        asm.on(code::ATOMIC_ADD64, 1, 2);
        asm.with(code::SET, 0, rules.verdict);
        asm.with(code::EXIT, 0, 0);
    }

    if asm.is_used(pass) {
        asm.place(pass);
        asm.with(code::SET, 0, XDP_PASS);
        asm.with(code::EXIT, 0, 0);
    }
    if asm.len() > MAX_LEN { None } else { asm.finish() }
}
