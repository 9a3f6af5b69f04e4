//! hemi's network stack as a shared object for packetdrill (`--so_filename`).
//!
//! packetdrill plays a script of system calls and packets against a TCP implementation. Given this library it plays
//! against `hemi-net`, in virtual time: a script that describes ten minutes of timeouts runs in a millisecond, and always the same.
//!
//! ```text
//! packetdrill --so_filename=libhemi_packetdrill.so --so_flags=cc=newreno,mtu=1500 script.pkt
//!
//!   packetdrill's thread ──┐  packetdrill_interface (C) ┌──────────────── the stack's thread ────────────────┐
//!   its thread for         ├─► ffi: C to Rust ── job ──►│ World: clock, descriptors, Stack, link (ARP and NDP │
//!   blocking calls ────────┘  ◄───────────── answer ────│ answered), packets sniffed with the time they left  │
//!                                                       └─────────────────────────────────────────────────────┘
//! ```
//!
//! | file | what |
//! |---|---|
//! | `interface.rs` | packetdrill's table of functions, as C lays it out |
//! | `ffi.rs` | the functions in that table: C arguments to jobs, answers to results and `errno` |
//! | `clock.rs`, `world.rs` | virtual time; the thread that owns the stack; calls that block |
//! | `link.rs` | IP packets to frames and back, and the neighbour that answers for every address |
//! | `sockets.rs`, `streams.rs`, `fast_open.rs`, `datagrams.rs`, `ready.rs` | descriptors and the calls on them |
//! | `options.rs`, `info.rs` | socket options, `TCP_INFO` |
//! | `flags.rs` | `--so_flags` |
//!
//! The constants are those that existing scripts expect, which is to say Linux's, where the RFCs leave a choice: a minimum RTO of 200 ms,
//! receive buffers up to 15 MiB. `--so_flags=rto_min=1s,...` sets others.
//!
//! What public collections make of it (Google's packetdrill, without their `%{ }%` code, which asks the real kernel about the descriptor; FreeBSD's scripts
//! with their own order of SYN options put into ours): `benches/README.md` has the numbers, and which differences remain.
//!
//! Deliberately absent: zero-copy and time stamps on sockets, `splice`, urgent data out of line; such a call fails with the `errno`
//! of a kernel built without them.

mod clock;
mod datagrams;
mod fast_open;
mod ffi;
mod flags;
mod info;
mod interface;
mod link;
mod options;
mod ready;
mod sockets;
mod streams;
mod world;

use std::ffi::{CStr, c_char};

use interface::Interface;

/// What packetdrill looks up after `dlopen`: fills its table of functions.
///
/// `flags` is the text of `--so_flags`, or null. A text that is not understood ends the process with a message, because packetdrill
/// has no way to hear of an error here.
///
/// # Safety
/// `flags` is null or a C string, and `table` points to packetdrill's `struct packetdrill_interface`, writable, of the version that has
/// `epoll_*`, `pipe` and `splice` (2018 and later).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(flags: *const c_char, table: *mut Interface) {
    let text = if flags.is_null() {
        String::new()
    } else {
        // SAFETY: not null, and the caller owes a C string.
        unsafe { CStr::from_ptr(flags) }.to_string_lossy().into_owned()
    };
    let flags = match text.parse() {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("hemi-packetdrill: --so_flags={text}: {error}");
            std::process::exit(1);
        }
    };
    let handle = world::start(flags);
    // SAFETY: the caller owes a writable table of this layout; what was in it has no destructor.
    unsafe { table.write(ffi::table(handle)) };
}
