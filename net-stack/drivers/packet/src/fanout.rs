//! The fanout group: several sockets on one interface, of which each flow's frames go to one.
//!
//! Which one, a program says (`rss.rs`): the socket of the core that the flow belongs to. Members are numbered in the order in which they join, which is
//! the order of the cores. Without a program all frames go to the first.

use std::{
    collections::BTreeMap,
    io,
    os::fd::AsFd,
    sync::{Mutex, PoisonError},
};

use hemi_link::{get_option, set_int, set_option};

use crate::socket::Socket;

const MODE: u32 = libc::PACKET_FANOUT_CBPF;

/// The groups of this process, by URI: the cores that open the same URI meet in one group, and nobody else joins it.
static GROUPS: Mutex<BTreeMap<String, u16>> = Mutex::new(BTreeMap::new());

/// Join the group of `uri`, or begin it.
pub(crate) fn join(socket: &Socket, uri: &str) -> io::Result<()> {
    let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    let option = |arg: u32| set_int(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT, arg as i32);
    if let Some(&id) = groups.get(uri)
        && option(u32::from(id) | MODE << 16).is_ok()
    {
        return Ok(());
    }
    // The first one, or the number was given to another interface's group after ours had ended.
    option((MODE | libc::PACKET_FANOUT_FLAG_UNIQUEID) << 16)?;
    let mut value = 0_i32;
    // SAFETY: any bits are an integer.
    unsafe { get_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT, &mut value)? };
    groups.insert(uri.to_owned(), value as u16);
    Ok(())
}

/// Give the group its program.
pub(crate) fn choose_by(socket: &Socket, program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the option takes a sock_fprog; the kernel copies the instructions that it names.
    unsafe { set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program) }
}
