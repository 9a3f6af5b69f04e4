//! The calls of a script, on the table.

use std::{ffi::c_int, net::SocketAddr, ptr};

use super::{library::Table, packets::Ends, parse::Call};

/// Make the call, and compare its result with the script's.
pub(crate) fn run(table: &Table, call: &Call, ends: Ends) -> Result<(), String> {
    let (result, errno) = perform(table, call, ends)?;
    if result != call.result {
        return Err(format!(
            "{} returned {result} ({})",
            call.name,
            std::io::Error::from_raw_os_error(errno)
        ));
    }
    match &call.errno {
        Some(expected) if errno != symbol(expected)? as i32 => {
            Err(format!("{} failed with {}", call.name, std::io::Error::from_raw_os_error(errno)))
        }
        _ => Ok(()),
    }
}

fn perform(table: &Table, call: &Call, (stack, peer): Ends) -> Result<(i64, i32), String> {
    let user = table.userdata;
    let arg = |i: usize| call.arguments.get(i).map(String::as_str).ok_or("too few arguments");
    let int = |i: usize| number(arg(i)?).map(|n| n as c_int);
    // The script's numbers of descriptors are its own, as with packetdrill.
    let live = |i: usize| int(i).map(|fd| table.live(fd));
    let opened = |fd: c_int| table.opened(call.result as c_int, fd);
    let size = |i: usize| number(arg(i)?).map(|n| n as usize);
    let v6 = stack.is_ipv6();
    let mut mismatch = None;
    // SAFETY (for every call below): the table is initialised, and buffers and lengths belong together.
    let result: i64 = match call.name.as_str() {
        "socket" => {
            let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
            let domain = if arg(0)? == "..." { family } else { int(0)? };
            let (kind, protocol) = (int(1)?, int(2)?);
            // SAFETY: as above.
            opened(unsafe { (table.socket)(user, domain, kind, protocol) }).into()
        }
        "bind" | "connect" => {
            let (bytes, fd) = (sockaddr(if call.name == "bind" { stack } else { peer }), live(0)?);
            let function = if call.name == "bind" { table.bind } else { table.connect };
            // SAFETY: as above.
            unsafe { function(user, fd, bytes.as_ptr().cast(), bytes.len() as u32) }.into()
        }
        "listen" => {
            let (fd, backlog) = (live(0)?, int(1)?);
            // SAFETY: as above.
            unsafe { (table.listen)(user, fd, backlog) }.into()
        }
        "accept" => {
            let fd = live(0)?;
            let (mut bytes, mut len) = ([0_u8; 28], 28_u32);
            // SAFETY: as above.
            let result = unsafe { (table.accept)(user, fd, bytes.as_mut_ptr().cast(), &raw mut len) };
            if result >= 0 && bytes[..len as usize] != sockaddr(peer)[..] {
                return Err("accept tells another peer's address".into());
            }
            opened(result).into()
        }
        "read" => {
            let (fd, mut bytes) = (live(0)?, vec![0_u8; size(2)?]);
            // SAFETY: as above.
            unsafe { (table.read)(user, fd, bytes.as_mut_ptr().cast(), bytes.len()) as i64 }
        }
        "write" | "send" => {
            let (fd, bytes) = (live(0)?, vec![b'x'; size(2)?]);
            let flags = if call.name == "send" { int(3)? } else { 0 };
            // SAFETY: as above.
            unsafe { (table.send)(user, fd, bytes.as_ptr().cast(), bytes.len(), flags) as i64 }
        }
        "sendto" => {
            let (fd, bytes, flags) = (live(0)?, vec![b'x'; size(2)?], int(3)?);
            let to = sockaddr(peer);
            let (from, len, to_len) = (bytes.as_ptr().cast(), bytes.len(), to.len() as u32);
            // SAFETY: as above.
            unsafe { (table.sendto)(user, fd, from, len, flags, to.as_ptr().cast(), to_len) as i64 }
        }
        "shutdown" => {
            let (fd, how) = (live(0)?, int(1)?);
            // SAFETY: as above.
            unsafe { (table.shutdown)(user, fd, how) }.into()
        }
        "close" => {
            let fd = live(0)?;
            // SAFETY: as above.
            unsafe { (table.close)(user, fd) }.into()
        }
        "fcntl" => {
            let (fd, command) = (live(0)?, int(1)?);
            let argument = if call.arguments.len() > 2 { int(2)? } else { 0 };
            // SAFETY: as above.
            unsafe { (table.fcntl)(user, fd, command, argument.into()) }.into()
        }
        "ioctl" => {
            let (fd, request, mut value) = (live(0)?, number(arg(1)?)?, 0_i32);
            // SAFETY: as above.
            let result = unsafe { (table.ioctl)(user, fd, request as u64, &raw mut value) };
            let expected = number(arg(2)?)? as i32;
            mismatch = (result == 0 && value != expected).then(|| format!("ioctl gives {value}"));
            result.into()
        }
        "setsockopt" => {
            let (fd, level, name, value) = (live(0)?, int(1)?, int(2)?, int(3)?);
            // SAFETY: as above.
            unsafe { (table.setsockopt)(user, fd, level, name, ptr::from_ref(&value).cast(), 4) }.into()
        }
        "getsockopt" => {
            let (fd, level, name, expected) = (live(0)?, int(1)?, int(2)?, int(3)?);
            let (mut value, mut len) = (0_i32, 4_u32);
            // SAFETY: as above.
            let result = unsafe {
                (table.getsockopt)(user, fd, level, name, ptr::from_mut(&mut value).cast(), &raw mut len)
            };
            mismatch = (result == 0 && value != expected).then(|| format!("getsockopt gives {value}"));
            result.into()
        }
        "poll" => {
            let mut fd = libc::pollfd { fd: live(0)?, events: int(1)? as i16, revents: 0 };
            let timeout = int(2)?;
            // SAFETY: as above.
            let result = unsafe { (table.poll)(user, &raw mut fd, 1, timeout) };
            let expected = int(3)? as i16;
            mismatch = (fd.revents != expected).then(|| format!("poll gives {:#x}", fd.revents));
            result.into()
        }
        other => return Err(format!("unknown call {other}")),
    };
    // SAFETY: this thread's `errno`.
    let errno = unsafe { *libc::__errno_location() };
    match mismatch {
        Some(mismatch) => Err(mismatch),
        None => Ok((result, errno)),
    }
}

fn sockaddr(at: SocketAddr) -> Vec<u8> {
    let family = if at.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u16;
    let mut bytes = family.to_ne_bytes().to_vec();
    bytes.extend(at.port().to_be_bytes());
    match at {
        SocketAddr::V4(at) => {
            bytes.extend(at.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(at) => {
            bytes.extend([0; 4]);
            bytes.extend(at.ip().octets());
            bytes.extend([0; 4]);
        }
    }
    bytes
}

/// A number, or symbols joined by `|`, also in brackets.
fn number(text: &str) -> Result<i64, String> {
    text.trim_matches(['[', ']']).split('|').try_fold(0, |sum, word| Ok(sum | symbol(word.trim())?))
}

fn symbol(word: &str) -> Result<i64, String> {
    if let Ok(n) = word.parse() {
        return Ok(n);
    }
    Ok(match word {
        "AF_UNIX" => libc::AF_UNIX.into(),
        "SOCK_STREAM" => libc::SOCK_STREAM.into(),
        "IPPROTO_TCP" | "SOL_TCP" => libc::IPPROTO_TCP.into(),
        "SOL_SOCKET" => libc::SOL_SOCKET.into(),
        "SO_REUSEADDR" => libc::SO_REUSEADDR.into(),
        "SO_ERROR" => libc::SO_ERROR.into(),
        "SO_RCVBUF" => libc::SO_RCVBUF.into(),
        "SO_SNDBUF" => libc::SO_SNDBUF.into(),
        "TCP_NODELAY" => libc::TCP_NODELAY.into(),
        "TCP_MAXSEG" => libc::TCP_MAXSEG.into(),
        "TCP_CORK" => libc::TCP_CORK.into(),
        "TCP_KEEPIDLE" => libc::TCP_KEEPIDLE.into(),
        "TCP_KEEPINTVL" => libc::TCP_KEEPINTVL.into(),
        "TCP_KEEPCNT" => libc::TCP_KEEPCNT.into(),
        "TCP_NOTSENT_LOWAT" => 25,
        "TCP_FASTOPEN" => libc::TCP_FASTOPEN.into(),
        "TCP_FASTOPEN_CONNECT" => libc::TCP_FASTOPEN_CONNECT.into(),
        "MSG_FASTOPEN" => libc::MSG_FASTOPEN.into(),
        "EOPNOTSUPP" => libc::EOPNOTSUPP.into(),
        "SO_KEEPALIVE" => libc::SO_KEEPALIVE.into(),
        "MSG_MORE" => libc::MSG_MORE.into(),
        "EINVAL" => libc::EINVAL.into(),
        "F_GETFL" => libc::F_GETFL.into(),
        "F_SETFL" => libc::F_SETFL.into(),
        "O_RDWR" => libc::O_RDWR.into(),
        "O_NONBLOCK" => libc::O_NONBLOCK.into(),
        "SHUT_RD" => libc::SHUT_RD.into(),
        "SHUT_WR" => libc::SHUT_WR.into(),
        "SHUT_RDWR" => libc::SHUT_RDWR.into(),
        "FIONREAD" => libc::FIONREAD as i64,
        "SIOCOUTQ" => libc::TIOCOUTQ as i64,
        "POLLIN" => libc::POLLIN.into(),
        "POLLOUT" => libc::POLLOUT.into(),
        "POLLERR" => libc::POLLERR.into(),
        "POLLHUP" => libc::POLLHUP.into(),
        "EAGAIN" => libc::EAGAIN.into(),
        "EAFNOSUPPORT" => libc::EAFNOSUPPORT.into(),
        "EBADF" => libc::EBADF.into(),
        "ECONNREFUSED" => libc::ECONNREFUSED.into(),
        "ECONNRESET" => libc::ECONNRESET.into(),
        "EINPROGRESS" => libc::EINPROGRESS.into(),
        "EALREADY" => libc::EALREADY.into(),
        "EISCONN" => libc::EISCONN.into(),
        "ENOPROTOOPT" => libc::ENOPROTOOPT.into(),
        "ENOTCONN" => libc::ENOTCONN.into(),
        "EPIPE" => libc::EPIPE.into(),
        "ETIMEDOUT" => libc::ETIMEDOUT.into(),
        _ => return Err(format!("unknown symbol {word}")),
    })
}
