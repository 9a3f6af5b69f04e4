//! The system calls of the data path, non-blocking, with errors as errno values.
//!
//! Data-path descriptors keep `O_NONBLOCK` off, because io_uring takes it as "fail rather than wait"; the
//! calls here pass `MSG_DONTWAIT` instead.

use std::{io, os::fd::RawFd};

use hemi_queue::{Buf, Sga};
use socket2::SockAddr;

/// Most pieces that go out with one vectored send.
pub(crate) const MAX_PARTS: usize = 32;

/// An errno; `EAGAIN` is the common one.
pub(crate) type Errno = i32;

#[inline]
fn check(r: isize) -> Result<usize, Errno> {
    if r >= 0 { Ok(r as usize) } else { Err(errno()) }
}

pub(crate) fn errno() -> Errno {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

#[inline]
pub(crate) fn recv(fd: RawFd, into: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the pointer and length are those of an exclusive slice.
    check(unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) })
}

const SEND: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

#[inline]
pub(crate) fn send(fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the pointer and length are those of a slice.
    check(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), SEND) })
}

/// Fill `vecs` with the first pieces of `parts`; returns how many.
pub(crate) fn fill_iovecs<'a>(vecs: &mut [libc::iovec], parts: impl Iterator<Item = &'a Buf>) -> usize {
    let mut n = 0;
    for (vec, part) in vecs.iter_mut().zip(parts) {
        *vec = libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() };
        n += 1;
    }
    n
}

pub(crate) const NO_IOVEC: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

pub(crate) fn no_msghdr() -> libc::msghdr {
    // SAFETY: all zeroes is a valid msghdr: null pointers with zero lengths.
    unsafe { std::mem::zeroed() }
}

/// One vectored send of the first pieces of `parts`.
pub(crate) fn send_parts<'a>(fd: RawFd, parts: impl Iterator<Item = &'a Buf>) -> Result<usize, Errno> {
    let mut vecs = [NO_IOVEC; MAX_PARTS];
    let mut msg = no_msghdr();
    msg.msg_iovlen = fill_iovecs(&mut vecs, parts);
    msg.msg_iov = vecs.as_mut_ptr();
    // SAFETY: the header and the vectors are locals; the pieces they name are borrowed by `parts` for the call.
    check(unsafe { libc::sendmsg(fd, &raw const msg, SEND) })
}

/// Send one datagram, to `to` or to the connected peer.
pub(crate) fn send_unit(fd: RawFd, unit: &Sga, to: Option<&SockAddr>) -> Result<(), Errno> {
    if let (Some(only), 1) = (unit.first(), unit.parts()) {
        let Some(to) = to else { return send(fd, only).map(drop) };
        // SAFETY: the bytes and the address are borrowed for the call, of the lengths given.
        let r =
            unsafe { libc::sendto(fd, only.as_ptr().cast(), only.len(), SEND, to.as_ptr().cast(), to.len()) };
        return check(r).map(drop);
    }
    let mut few = [NO_IOVEC; MAX_PARTS];
    let mut many = Vec::new();
    let vecs = if unit.parts() <= MAX_PARTS {
        &mut few[..]
    } else {
        many.resize(unit.parts(), NO_IOVEC); // a datagram goes out whole, however it is cut
        &mut many[..]
    };
    let mut msg = no_msghdr();
    msg.msg_iovlen = fill_iovecs(vecs, unit.iter());
    msg.msg_iov = vecs.as_mut_ptr();
    if let Some(to) = to {
        msg.msg_name = to.as_ptr().cast_mut().cast();
        msg.msg_namelen = to.len();
    }
    // SAFETY: header and vectors are locals; the pieces and the address are borrowed for the call.
    check(unsafe { libc::sendmsg(fd, &raw const msg, SEND) }).map(drop)
}

/// Take a connection off a listening socket.
pub(crate) fn accept(fd: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: no address is asked for.
    let r = unsafe { libc::accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC) };
    check(r as isize).map(|fd| fd as RawFd)
}

/// Set one of TCP's Fast Open options.
pub(crate) fn set_fast_open(fd: RawFd, name: i32, value: u32) -> Result<(), Errno> {
    let value = i32::try_from(value).unwrap_or(i32::MAX);
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointer and length are those of a local integer, which the kernel reads during the call.
    check(unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, name, (&raw const value).cast(), len) } as isize)
        .map(|_| ())
}

/// The outcome of a connect, or an error that the network reported.
pub(crate) fn take_error(fd: RawFd) -> Result<(), Errno> {
    let mut error: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the value and its length are locals of the right size.
    let r = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &raw mut len)
    };
    check(r as isize)?;
    if error == 0 { Ok(()) } else { Err(error) }
}

fn int_ioctl(fd: RawFd, request: libc::Ioctl) -> usize {
    let mut value: libc::c_int = 0;
    // SAFETY: both requests used here write one int.
    let r = unsafe { libc::ioctl(fd, request, &raw mut value) };
    if r < 0 { 0 } else { value as usize }
}

/// Bytes sent and not yet acknowledged by the peer (on a Unix socket: not yet read).
pub(crate) fn unacked(fd: RawFd) -> usize {
    int_ioctl(fd, libc::TIOCOUTQ)
}

/// Bytes received and not yet read.
pub(crate) fn unread(fd: RawFd) -> usize {
    int_ioctl(fd, libc::FIONREAD)
}

pub(crate) fn shutdown(fd: RawFd, how: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(fd, how) } as isize).map(drop)
}

/// Reset a TCP connection at once, whatever else holds the file (RFC 9293 section 3.10.5: ABORT).
///
/// On Linux, connecting a TCP socket to `AF_UNSPEC` sends the RST without waiting for the last reference.
pub(crate) fn disconnect(fd: RawFd) {
    let mut at = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    // SAFETY: the address is a local of the length given.
    unsafe { libc::connect(fd, &raw mut at, size_of::<libc::sockaddr>() as libc::socklen_t) };
}
