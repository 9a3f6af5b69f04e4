//! The functions of packetdrill's table: C arguments to jobs for the stack's thread, answers to results and `errno`.
//!
//! Every function has the same contract, owed by packetdrill: `user` is what [`table`] put there and `free` has not yet been called;
//! pointers are what POSIX says for the call of that name (valid for the length that goes with them, or null where POSIX allows it). Nothing that a
//! pointer points to is kept after the call.

use std::{
    ffi::{c_int, c_long, c_longlong, c_uint, c_ulong, c_void},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    slice,
    time::Duration,
};

use libc::{
    epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, sa_family_t, size_t, sockaddr, sockaddr_in,
    sockaddr_in6, socklen_t, ssize_t, timeval, timezone, useconds_t,
};

use crate::{
    clock,
    interface::Interface,
    sockets::{Descriptor, Kind},
    world::{Errno, Handle, Step, World},
};

/// The table, with `handle` as its user data.
pub(crate) fn table(handle: Handle) -> Interface {
    Interface {
        userdata: Box::into_raw(Box::new(handle)).cast(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    }
}

// ---- results

fn fail(errno: Errno) {
    // SAFETY: the location of this thread's `errno` is always valid.
    unsafe { *libc::__errno_location() = errno }
}

fn status(result: Result<(), Errno>) -> c_int {
    number(result.map(|()| 0))
}

fn number(result: Result<c_int, Errno>) -> c_int {
    result.unwrap_or_else(|errno| {
        fail(errno);
        -1
    })
}

fn count(result: Result<usize, Errno>) -> ssize_t {
    match result {
        Ok(n) => n as ssize_t,
        Err(errno) => {
            fail(errno);
            -1
        }
    }
}

/// A call that never waits.
fn at_once<T: Send + 'static>(
    handle: &Handle,
    mut call: impl FnMut(&mut World) -> Result<T, Errno> + Send + 'static,
) -> Result<T, Errno> {
    handle.call(move |world| Step::Done(call(world)))
}

// ---- memory of the caller's

/// # Safety
/// The contract of this module: `user` came from [`table`] and is not yet freed.
unsafe fn handle<'a>(user: *mut c_void) -> &'a Handle {
    // SAFETY: by the contract it is the box that `table` leaked, shared by packetdrill's threads; `Handle` is `Sync`.
    unsafe { &*user.cast::<Handle>() }
}

/// # Safety
/// `at` is valid for `len` bytes, or null.
unsafe fn bytes(at: *const c_void, len: usize) -> Result<Vec<u8>, Errno> {
    match (at.is_null(), len) {
        (_, 0) => Ok(Vec::new()),
        (true, _) => Err(libc::EFAULT),
        // SAFETY: not null, and valid for `len` bytes by contract.
        _ => Ok(unsafe { slice::from_raw_parts(at.cast::<u8>(), len) }.to_vec()),
    }
}

/// Copy `from` to `to`, which has room for `room` bytes; says how many were copied.
///
/// # Safety
/// `to` is valid for `room` bytes, or null.
unsafe fn put(to: *mut c_void, room: usize, from: &[u8]) -> usize {
    let n = room.min(from.len());
    if !to.is_null() && n > 0 {
        // SAFETY: valid for `room >= n` bytes by contract, and a fresh vector never overlaps it.
        unsafe { to.cast::<u8>().copy_from_nonoverlapping(from.as_ptr(), n) };
    }
    n
}

/// # Safety
/// `at` is valid for `len` bytes, or null.
unsafe fn address(at: *const sockaddr, len: socklen_t) -> Result<Option<SocketAddr>, Errno> {
    if at.is_null() || (len as usize) < size_of::<sa_family_t>() {
        return Ok(None);
    }
    // SAFETY: valid for `len` bytes, which hold the family at least.
    let family = unsafe { at.cast::<sa_family_t>().read_unaligned() };
    match c_int::from(family) {
        libc::AF_INET if len as usize >= size_of::<sockaddr_in>() => {
            // SAFETY: valid for the whole structure.
            let a = unsafe { at.cast::<sockaddr_in>().read_unaligned() };
            Ok(Some((Ipv4Addr::from(u32::from_be(a.sin_addr.s_addr)), u16::from_be(a.sin_port)).into()))
        }
        libc::AF_INET6 if len as usize >= size_of::<sockaddr_in6>() => {
            // SAFETY: valid for the whole structure.
            let a = unsafe { at.cast::<sockaddr_in6>().read_unaligned() };
            let ip = Ipv6Addr::from(a.sin6_addr.s6_addr);
            Ok(Some(SocketAddrV6::new(ip, u16::from_be(a.sin6_port), 0, a.sin6_scope_id).into()))
        }
        libc::AF_INET | libc::AF_INET6 => Err(libc::EINVAL),
        _ => Err(libc::EAFNOSUPPORT),
    }
}

/// The bytes of a `sockaddr_in` or `sockaddr_in6`.
fn sockaddr_bytes(at: SocketAddr) -> Vec<u8> {
    let family = if at.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as sa_family_t;
    let mut bytes = family.to_ne_bytes().to_vec();
    bytes.extend(at.port().to_be_bytes());
    match at {
        SocketAddr::V4(at) => {
            bytes.extend(at.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(at) => {
            bytes.extend(at.flowinfo().to_be_bytes());
            bytes.extend(at.ip().octets());
            bytes.extend(at.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// # Safety
/// `len`, if not null, is valid, and `to`, if not null, is valid for that many bytes.
unsafe fn put_address(to: *mut sockaddr, len: *mut socklen_t, at: SocketAddr) {
    if to.is_null() || len.is_null() {
        return;
    }
    let from = sockaddr_bytes(at);
    // SAFETY: by contract.
    unsafe {
        put(to.cast(), *len as usize, &from);
        *len = from.len() as socklen_t;
    }
}

/// A control message `TCP_CM_INQ`, padded.
fn control_message(queued: i32) -> Vec<u8> {
    let len = size_of::<libc::cmsghdr>() + size_of::<i32>();
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(libc::IPPROTO_TCP.to_ne_bytes());
    bytes.extend(crate::options::TCP_INQ.to_ne_bytes());
    bytes.extend(queued.to_ne_bytes());
    bytes.resize(len.next_multiple_of(size_of::<usize>()), 0);
    bytes
}

/// The pieces of an I/O vector.
///
/// # Safety
/// `iov` is valid for `n` entries, or null.
unsafe fn pieces(iov: *const iovec, n: usize) -> Result<Vec<iovec>, Errno> {
    match (iov.is_null(), n) {
        (_, 0) => Ok(Vec::new()),
        (true, _) => Err(libc::EFAULT),
        // SAFETY: valid for `n` entries by contract.
        _ => Ok(unsafe { slice::from_raw_parts(iov, n) }.to_vec()),
    }
}

/// # Safety
/// Each piece is valid for its length.
unsafe fn gather(pieces: &[iovec]) -> Result<Vec<u8>, Errno> {
    let mut all = Vec::new();
    for piece in pieces {
        // SAFETY: by contract.
        all.extend(unsafe { bytes(piece.iov_base, piece.iov_len) }?);
    }
    Ok(all)
}

/// # Safety
/// Each piece is valid for its length, writable.
unsafe fn scatter(pieces: &[iovec], mut from: &[u8]) -> usize {
    let all = from.len();
    for piece in pieces {
        // SAFETY: by contract.
        let n = unsafe { put(piece.iov_base, piece.iov_len, from) };
        from = &from[n..];
    }
    all - from.len()
}

fn room(pieces: &[iovec]) -> usize {
    pieces.iter().map(|p| p.iov_len).sum()
}

// ---- what every way of reading and writing comes to

fn receive(
    handle: &Handle,
    fd: c_int,
    most: usize,
    flags: c_int,
) -> Result<(Vec<u8>, Option<SocketAddr>), Errno> {
    handle.call(move |world| {
        if matches!(world.sock(fd).map(|s| &s.kind), Ok(Kind::Datagrams(_))) {
            return match world.recv_datagram(fd, most, flags) {
                Step::Done(result) => Step::Done(result.map(|(bytes, from)| (bytes, Some(from)))),
                Step::Wait(until) => Step::Wait(until),
            };
        }
        match world.read(fd, most, flags) {
            Step::Done(result) => Step::Done(result.map(|bytes| (bytes, None))),
            Step::Wait(until) => Step::Wait(until),
        }
    })
}

/// Where to send, as a call of this kind complains of what is no address.
fn peer(to: Result<Option<SocketAddr>, Errno>, flags: c_int) -> Result<Option<SocketAddr>, Errno> {
    match to {
        Err(libc::EAFNOSUPPORT) if flags & libc::MSG_FASTOPEN != 0 => Err(libc::EOPNOTSUPP),
        to => to,
    }
}

fn transmit(
    handle: &Handle,
    fd: c_int,
    bytes: Vec<u8>,
    flags: c_int,
    to: Option<SocketAddr>,
) -> Result<usize, Errno> {
    let mut opening = crate::fast_open::Opening::default();
    handle.call(move |world| {
        if matches!(world.sock(fd).map(|s| &s.kind), Ok(Kind::Datagrams(_))) {
            return world.send_datagram(fd, &bytes, to).into();
        }
        world.write_or_open(fd, &bytes, flags, to, &mut opening)
    })
}

// ---- the table's functions. What each owes and is owed is said at the top.

unsafe extern "C" fn free(user: *mut c_void) {
    // SAFETY: the box that `table` leaked; packetdrill calls this once, last.
    drop(unsafe { Box::from_raw(user.cast::<Handle>()) });
}

unsafe extern "C" fn socket(user: *mut c_void, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    number(at_once(handle, move |world| world.socket(domain, kind, protocol)))
}

unsafe extern "C" fn bind(user: *mut c_void, fd: c_int, at: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the module's contract.
    let (handle, at) = unsafe { (handle(user), address(at, len)) };
    status(
        at.and_then(|at| at.ok_or(libc::EFAULT))
            .and_then(|at| at_once(handle, move |world| world.bind(fd, at))),
    )
}

unsafe extern "C" fn listen(user: *mut c_void, fd: c_int, backlog: c_int) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    status(at_once(handle, move |world| world.listen(fd, backlog)))
}

unsafe extern "C" fn accept(user: *mut c_void, fd: c_int, at: *mut sockaddr, len: *mut socklen_t) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    number(handle.call(move |world| world.accept(fd, false)).map(|(fd, peer)| {
        // SAFETY: the module's contract.
        unsafe { put_address(at, len, peer) };
        fd
    }))
}

unsafe extern "C" fn connect(user: *mut c_void, fd: c_int, to: *const sockaddr, len: socklen_t) -> c_int {
    // SAFETY: the module's contract.
    let (handle, to) = unsafe { (handle(user), address(to, len)) };
    status(to.and_then(|to| to.ok_or(libc::EFAULT)).and_then(|to| {
        let mut began = false;
        handle.call(move |world| world.connect(fd, to, &mut began))
    }))
}

unsafe extern "C" fn read(user: *mut c_void, fd: c_int, to: *mut c_void, len: size_t) -> ssize_t {
    // SAFETY: the module's contract.
    unsafe { recv(user, fd, to, len, 0) }
}

unsafe extern "C" fn readv(user: *mut c_void, fd: c_int, iov: *const iovec, n: c_int) -> ssize_t {
    // SAFETY: the module's contract.
    let (handle, pieces) = unsafe { (handle(user), pieces(iov, n.max(0) as usize)) };
    // SAFETY: the module's contract.
    count(pieces.and_then(|p| Ok(unsafe { scatter(&p, &receive(handle, fd, room(&p), 0)?.0) })))
}

unsafe extern "C" fn recv(
    user: *mut c_void,
    fd: c_int,
    to: *mut c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the module's contract.
    unsafe { recvfrom(user, fd, to, len, flags, std::ptr::null_mut(), std::ptr::null_mut()) }
}

unsafe extern "C" fn recvfrom(
    user: *mut c_void,
    fd: c_int,
    to: *mut c_void,
    len: size_t,
    flags: c_int,
    from: *mut sockaddr,
    from_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    if to.is_null() && len > 0 {
        return count(Err(libc::EFAULT));
    }
    count(receive(handle, fd, len, flags).map(|(bytes, peer)| {
        // SAFETY: the module's contract.
        unsafe {
            if let Some(peer) = peer {
                put_address(from, from_len, peer);
            }
            put(to, len, &bytes)
        }
    }))
}

unsafe extern "C" fn recvmsg(user: *mut c_void, fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    if message.is_null() {
        return count(Err(libc::EFAULT));
    }
    // SAFETY: the module's contract; no other reference to the message exists during the call.
    let (handle, message) = unsafe { (handle(user), &mut *message) };
    // SAFETY: the module's contract.
    let pieces = unsafe { pieces(message.msg_iov, message.msg_iovlen) };
    count(pieces.and_then(|p| {
        let (bytes, peer) = receive(handle, fd, room(&p), flags)?;
        if let Some(peer) = peer {
            // SAFETY: the module's contract.
            unsafe { put_address(message.msg_name.cast(), &raw mut message.msg_namelen, peer) };
        }
        let more = at_once(handle, move |world| world.queue_to_tell(fd))?;
        let control = more.map(control_message).unwrap_or_default();
        // SAFETY: the module's contract; the length is that of the room, and becomes that of what was put there.
        message.msg_controllen = unsafe { put(message.msg_control, message.msg_controllen, &control) };
        message.msg_flags = 0;
        // SAFETY: the module's contract.
        Ok(unsafe { scatter(&p, &bytes) })
    }))
}

unsafe extern "C" fn write(user: *mut c_void, fd: c_int, from: *const c_void, len: size_t) -> ssize_t {
    // SAFETY: the module's contract.
    unsafe { send(user, fd, from, len, 0) }
}

unsafe extern "C" fn writev(user: *mut c_void, fd: c_int, iov: *const iovec, n: c_int) -> ssize_t {
    // SAFETY: the module's contract.
    let (handle, bytes) = unsafe { (handle(user), pieces(iov, n.max(0) as usize).and_then(|p| gather(&p))) };
    count(bytes.and_then(|bytes| transmit(handle, fd, bytes, 0, None)))
}

unsafe extern "C" fn send(
    user: *mut c_void,
    fd: c_int,
    from: *const c_void,
    len: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the module's contract.
    unsafe { sendto(user, fd, from, len, flags, std::ptr::null(), 0) }
}

unsafe extern "C" fn sendto(
    user: *mut c_void,
    fd: c_int,
    from: *const c_void,
    len: size_t,
    flags: c_int,
    to: *const sockaddr,
    to_len: socklen_t,
) -> ssize_t {
    // SAFETY: the module's contract.
    let (handle, bytes, to) = unsafe { (handle(user), bytes(from, len), address(to, to_len)) };
    count(bytes.and_then(|bytes| transmit(handle, fd, bytes, flags, peer(to, flags)?)))
}

unsafe extern "C" fn sendmsg(user: *mut c_void, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    if message.is_null() {
        return count(Err(libc::EFAULT));
    }
    // SAFETY: the module's contract.
    let (handle, message) = unsafe { (handle(user), &*message) };
    // SAFETY: the module's contract.
    let (bytes, to) = unsafe {
        let bytes = pieces(message.msg_iov, message.msg_iovlen).and_then(|p| gather(&p));
        (bytes, address(message.msg_name.cast(), message.msg_namelen))
    };
    count(bytes.and_then(|bytes| transmit(handle, fd, bytes, flags, peer(to, flags)?)))
}

unsafe extern "C" fn fcntl(user: *mut c_void, fd: c_int, command: c_int, argument: c_long) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    number(at_once(handle, move |world| {
        let socket = world.sock(fd)?;
        match command {
            libc::F_GETFL => Ok(socket.status_flags()),
            libc::F_SETFL => {
                socket.nonblocking = argument as c_int & libc::O_NONBLOCK != 0;
                Ok(0)
            }
            libc::F_GETFD | libc::F_SETFD => Ok(0),
            _ => Err(libc::EINVAL),
        }
    }))
}

unsafe extern "C" fn ioctl(user: *mut c_void, fd: c_int, request: c_ulong, value: *mut c_int) -> c_int {
    /// `SIOCOUTQNSD` of `linux/sockios.h`.
    const NOT_SENT: c_ulong = 0x894b;
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    if value.is_null() {
        return number(Err(libc::EFAULT));
    }
    if request == libc::FIONBIO as c_ulong {
        // SAFETY: not null, and an `int` for this request.
        let on = unsafe { *value } != 0;
        return status(at_once(handle, move |world| {
            world.sock(fd)?.nonblocking = on;
            Ok(())
        }));
    }
    let queued =
        at_once(handle, move |world| world.queued(fd)).and_then(|(unread, unacknowledged, unsent)| {
            match request {
                r if r == libc::FIONREAD as c_ulong => Ok(unread),
                r if r == libc::TIOCOUTQ as c_ulong => Ok(unacknowledged),
                NOT_SENT => Ok(unsent),
                _ => Err(libc::ENOTTY),
            }
        });
    status(queued.map(|n| {
        // SAFETY: not null, and an `int` for these requests.
        unsafe { *value = n as c_int };
    }))
}

unsafe extern "C" fn close(user: *mut c_void, fd: c_int) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    status(at_once(handle, move |world| world.close(fd)))
}

unsafe extern "C" fn shutdown(user: *mut c_void, fd: c_int, how: c_int) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    status(at_once(handle, move |world| world.shutdown(fd, how)))
}

unsafe extern "C" fn getsockopt(
    user: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    to: *mut c_void,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    if len.is_null() {
        return number(Err(libc::EFAULT));
    }
    status(at_once(handle, move |world| world.option(fd, level, name)).map(|value| {
        // SAFETY: the module's contract.
        unsafe { *len = put(to, *len as usize, &value) as socklen_t };
    }))
}

unsafe extern "C" fn setsockopt(
    user: *mut c_void,
    fd: c_int,
    level: c_int,
    name: c_int,
    from: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: the module's contract.
    let (handle, value) = unsafe { (handle(user), bytes(from, len as usize)) };
    status(value.and_then(|value| at_once(handle, move |world| world.set_option(fd, level, name, &value))))
}

unsafe extern "C" fn poll(user: *mut c_void, fds: *mut pollfd, n: nfds_t, timeout: c_int) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    if fds.is_null() && n > 0 {
        return number(Err(libc::EFAULT));
    }
    let fds = match n {
        0 => &mut [],
        // SAFETY: not null, and valid for `n` entries by the module's contract.
        _ => unsafe { slice::from_raw_parts_mut(fds, n as usize) },
    };
    let wanted: Vec<(i32, i16)> = fds.iter().map(|p| (p.fd, p.events)).collect();
    let mut until = None;
    let answers = handle.call(move |world| {
        let until = *until.get_or_insert_with(|| world.until(timeout));
        world.poll(&wanted, until)
    });
    number(answers.map(|answers| {
        for (fd, ready) in fds.iter_mut().zip(&answers) {
            fd.revents = *ready;
        }
        answers.iter().filter(|a| **a != 0).count() as c_int
    }))
}

unsafe extern "C" fn netdev_send(user: *mut c_void, packet: *const c_void, len: size_t) -> c_int {
    // SAFETY: the module's contract.
    let (handle, packet) = unsafe { (handle(user), bytes(packet, len)) };
    status(packet.and_then(|packet| at_once(handle, move |world| world.deliver(&packet))))
}

unsafe extern "C" fn netdev_receive(
    user: *mut c_void,
    to: *mut c_void,
    len: *mut size_t,
    at: *mut c_longlong,
) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    if to.is_null() || len.is_null() || at.is_null() {
        return number(Err(libc::EFAULT));
    }
    status(at_once(handle, |world| Ok(world.sniff())).map(|packet| {
        let (time, packet) = packet.unwrap_or((handle.time(), Vec::new()));
        // SAFETY: not null, and valid by the module's contract.
        unsafe {
            *len = put(to, *len, &packet);
            *at = clock::time_of_day(time).as_micros() as c_longlong;
        }
    }))
}

unsafe extern "C" fn usleep(user: *mut c_void, time: useconds_t) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    status(at_once(handle, move |world| {
        world.sleep(Duration::from_micros(time.into()));
        Ok(())
    }))
}

unsafe extern "C" fn gettimeofday(user: *mut c_void, to: *mut timeval, _: *mut timezone) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    if to.is_null() {
        return number(Err(libc::EFAULT));
    }
    let time = clock::time_of_day(handle.time());
    let time = timeval { tv_sec: time.as_secs() as _, tv_usec: time.subsec_micros().into() };
    // SAFETY: not null, and valid by the module's contract.
    unsafe { to.write(time) };
    0
}

unsafe extern "C" fn epoll_create(user: *mut c_void, _: c_int) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    number(at_once(handle, |world| world.open(Descriptor::Epoll(crate::ready::Epoll::default()))))
}

unsafe extern "C" fn epoll_ctl(
    user: *mut c_void,
    epfd: c_int,
    op: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    // SAFETY: not null, and an event by the module's contract.
    let event = (!event.is_null()).then(|| unsafe { event.read_unaligned() }).map(|e| (e.events, e.u64));
    status(at_once(handle, move |world| world.epoll_ctl(epfd, op, fd, event)))
}

unsafe extern "C" fn epoll_wait(
    user: *mut c_void,
    epfd: c_int,
    to: *mut epoll_event,
    most: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the module's contract.
    let handle = unsafe { handle(user) };
    if to.is_null() || most <= 0 {
        return number(Err(libc::EINVAL));
    }
    let mut until = None;
    let told = handle.call(move |world| {
        let until = *until.get_or_insert_with(|| world.until(timeout));
        world.epoll_wait(epfd, most as usize, until)
    });
    number(told.map(|told| {
        for (i, (events, data)) in told.iter().enumerate() {
            // SAFETY: at most `most` are told, and there is room for so many.
            unsafe { to.add(i).write_unaligned(epoll_event { events: *events, u64: *data }) };
        }
        told.len() as c_int
    }))
}

unsafe extern "C" fn pipe(_: *mut c_void, _: *mut c_int) -> c_int {
    number(Err(libc::ENOSYS))
}

unsafe extern "C" fn splice(
    _: *mut c_void,
    _: c_int,
    _: *mut loff_t,
    _: c_int,
    _: *mut loff_t,
    _: size_t,
    _: c_uint,
) -> ssize_t {
    count(Err(libc::ENOSYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_message_is_laid_out_as_the_c_library_reads_it() {
        let mut bytes = control_message(9000);
        // SAFETY: a message header of zeroes is a valid one.
        let mut message: msghdr = unsafe { std::mem::zeroed() };
        (message.msg_control, message.msg_controllen) = (bytes.as_mut_ptr().cast(), bytes.len() as _);
        // SAFETY: the control buffer is valid for its length, as long as `bytes` lives.
        let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        assert!(!first.is_null());
        // SAFETY: not null: the library has found a whole header, which may lie at any address.
        let (header, value) =
            unsafe { (first.read_unaligned(), libc::CMSG_DATA(first).cast::<i32>().read_unaligned()) };
        assert_eq!(
            (header.cmsg_level, header.cmsg_type, value),
            (libc::IPPROTO_TCP, crate::options::TCP_INQ, 9000)
        );
    }
}
