//! rtnetlink(7): which XDP program an interface has, and another one in its place. Messages as in linux/rtnetlink.h and linux/if_link.h.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
/// Bytes of `struct nlmsghdr`, and of it with a `struct ifinfomsg` behind it.
const HEADER: usize = 16;
const LINK_HEADER: usize = HEADER + 16;

const IFLA_XDP: u16 = 43;
const NESTED: u16 = 1 << 15;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_EXPECTED_FD: u16 = 8;
const XDP_ATTACHED_DRV: u8 = 1;
const XDP_ATTACHED_SKB: u8 = 2;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const XDP_FLAGS_REPLACE: u32 = 1 << 4;

/// The program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    /// Its number in the kernel.
    pub(crate) program: u32,
    /// `XDP_FLAGS_*_MODE`
    mode: u32,
}

/// The program of the interface with this number, if it has one.
pub(crate) fn attached(interface: u32) -> io::Result<Option<Attached>> {
    let answer = ask(&message(RTM_GETLINK, NLM_F_REQUEST, interface, &[]))?;
    let attributes = answer.get(LINK_HEADER..).unwrap_or_default();
    let Some(xdp) = find(attributes, IFLA_XDP) else { return Ok(None) };
    let number =
        find(xdp, IFLA_XDP_PROG_ID).and_then(|id| id.first_chunk()).map(|id| u32::from_ne_bytes(*id));
    let mode = match find(xdp, IFLA_XDP_ATTACHED).and_then(|mode| mode.first()) {
        Some(&XDP_ATTACHED_DRV) => XDP_FLAGS_DRV_MODE,
        Some(&XDP_ATTACHED_SKB) => XDP_FLAGS_SKB_MODE,
        _ => return Ok(None),
    };
    Ok(number.filter(|&program| program > 0).map(|program| Attached { program, mode }))
}

/// Put `new` in the place of the program `old` that is attached, between two frames. An error when there is another one by now.
pub(crate) fn replace(
    interface: u32,
    attached: Attached,
    old: BorrowedFd<'_>,
    new: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut xdp = Vec::new();
    put(&mut xdp, IFLA_XDP_FD, &new.as_raw_fd().to_ne_bytes());
    put(&mut xdp, IFLA_XDP_FLAGS, &(attached.mode | XDP_FLAGS_REPLACE).to_ne_bytes());
    put(&mut xdp, IFLA_XDP_EXPECTED_FD, &old.as_raw_fd().to_ne_bytes());
    let mut attributes = Vec::new();
    put(&mut attributes, IFLA_XDP | NESTED, &xdp);
    ask(&message(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, interface, &attributes)).map(drop)
}

fn message(kind: u16, flags: u16, interface: u32, attributes: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(LINK_HEADER + attributes.len());
    message.extend(((LINK_HEADER + attributes.len()) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]); // sequence, sender
    message.extend([0; 4]); // any family, any type
    message.extend(interface.to_ne_bytes());
    message.extend([0; 8]); // no flags
    message.extend(attributes);
    message
}

fn put(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    to.extend((4 + value.len() as u16).to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// The value of an attribute.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(&[a, b, c, d]) = attributes.first_chunk() {
        let (len, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let value = attributes.get(4..len)?;
        if kind & !NESTED == wanted {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
    None
}

/// Send a message and wait for its answer; an error if that is one.
fn ask(message: &[u8]) -> io::Result<Vec<u8>> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: numbers only.
    let socket = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let mut answer = vec![0_u8; 32 << 10];
    // SAFETY: both buffers are locals of the lengths given.
    let received = unsafe {
        if libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), 0)
    };
    answer.truncate(usize::try_from(received).map_err(|_| io::Error::last_os_error())?);
    let kind = answer.get(4..6).map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    match kind {
        Some(RTM_NEWLINK) => Ok(answer),
        Some(NLMSG_ERROR) => {
            let code = answer.get(HEADER..).and_then(|rest| rest.first_chunk());
            match code.map_or(-libc::EBADMSG, |code| i32::from_ne_bytes(*code)) {
                0 => Ok(answer),
                code => Err(io::Error::from_raw_os_error(-code)),
            }
        }
        _ => Err(io::Error::from_raw_os_error(libc::EBADMSG)),
    }
}
