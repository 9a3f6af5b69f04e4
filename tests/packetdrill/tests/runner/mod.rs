//! A player for packetdrill scripts, in the part of the language that this crate's own scripts use.
//!
//! ```text
//! 0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3      a call at a time, and what it must return
//! +.1 < S 0:0(0) win 1000 <mss 1000,sackOK>        a packet arrives, a tenth of a second later
//! +0 > S. 0:0(0) ack 1 <...>                       the stack must send this, now
//! +.2~+.3 > . 1:101(100) ack 1                     or in between
//! +0...0.5 read(4, ..., 100) = 10                  a call that blocks, for half a second
//! +0 < icmp unreachable frag_needed mtu 600 [1:1001(1000)]
//! ```
//! Left out: shell commands, Python, definitions, and all that TCP over IP does not need.

mod calls;
mod library;
mod packets;
mod parse;

pub(crate) use library::Library;
