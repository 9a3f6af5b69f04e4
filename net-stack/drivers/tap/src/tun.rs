//! [`Tun`]: the descriptor behind a TAP device: frames in and out, one by one, never blocking.

use std::{
    ffi::c_uint,
    fs::{File, OpenOptions},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
};

use hemi_net::TxFrame;

use crate::{request::Request, vnet};

/// Pieces of one frame that are given to the kernel one by one; what has more is copied together first.
const MAX_PARTS: usize = 62;

/// One queue of a TAP device.
#[derive(Debug)]
pub(crate) struct Tun(File);

impl Tun {
    /// Attach to the device `name`, or make it.
    pub(crate) fn open(name: &str, several: bool, offload: bool) -> io::Result<Self> {
        let file = open_clone()?;
        let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        if several {
            flags |= libc::IFF_MULTI_QUEUE;
        }
        attach(&file, name, flags)?;
        let tun = Self(file);
        let len = vnet::LEN as libc::c_int;
        // SAFETY: reads one int.
        check(unsafe { libc::ioctl(tun.fd(), libc::TUNSETVNETHDRSZ, &raw const len) })?;
        // What the kernel may leave to us: the same as we may leave to it. No segmented datagrams: nobody here would
        // take them apart again.
        let offloads = if offload {
            libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN
        } else {
            0
        };
        // SAFETY: takes a number.
        check(unsafe {
            libc::ioctl(tun.fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(offloads as c_uint))
        })?;
        Ok(tun)
    }

    /// Attach to the device `name`, or make it, without anything of ours: each read of the file is a frame, each write sends one.
    pub(crate) fn open_bare(name: &str) -> io::Result<File> {
        let file = open_clone()?;
        attach(&file, name, libc::IFF_TAP | libc::IFF_NO_PI)?;
        Ok(file)
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Receive one frame into `buffer`: its header and its length. A frame longer than the buffer is cut; none is.
    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<(vnet::VnetHeader, usize)> {
        let mut header = [0; vnet::LEN];
        let vecs = [iovec(&mut header), iovec(buffer)];
        // SAFETY: two exclusive slices.
        let n = unsafe { libc::readv(self.fd(), vecs.as_ptr(), 2) };
        let n = check_len(n)?;
        let len = n.checked_sub(vnet::LEN).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok((vnet::VnetHeader::decode(&header), len.min(buffer.len())))
    }

    /// Send one frame.
    #[inline]
    pub(crate) fn write(&self, frame: &TxFrame) -> io::Result<()> {
        let header = vnet::VnetHeader::of(frame).encode();
        if frame.payload.parts() > MAX_PARTS {
            return self.write_copied(&header, frame);
        }
        let mut vecs = [const { MaybeUninit::<libc::iovec>::uninit() }; MAX_PARTS + 2];
        let parts = frame.payload.iter().map(|part| &**part);
        let mut n = 0;
        for (vec, part) in vecs.iter_mut().zip([&header[..], frame.head()].into_iter().chain(parts)) {
            vec.write(libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
            n += 1;
        }
        // SAFETY: the first `n` were written; their slices live until the end, and writev only reads them.
        check_len(unsafe { libc::writev(self.fd(), vecs.as_ptr().cast(), n) }).map(drop)
    }

    #[cold]
    fn write_copied(&self, header: &[u8], frame: &TxFrame) -> io::Result<()> {
        let mut whole = header.to_vec();
        whole.resize(header.len() + frame.len(), 0);
        frame.copy_to(&mut whole[header.len()..]);
        // SAFETY: one slice.
        check_len(unsafe { libc::write(self.fd(), whole.as_ptr().cast(), whole.len()) }).map(drop)
    }
}

fn open_clone() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")
        .map_err(|e| explain(&e, "open /dev/net/tun"))
}

fn attach(file: &File, name: &str, flags: libc::c_int) -> io::Result<()> {
    let mut request = Request::new(name)?;
    request.set_flags(flags as libc::c_short);
    request.ioctl(file, libc::TUNSETIFF).map_err(|e| explain(&e, "attach"))
}

fn iovec(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn check_len(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The same error with its cause and cure.
fn explain(error: &io::Error, doing: &str) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "not permitted; run as root, with CAP_NET_ADMIN, or inside `unshare -Urn` (which needs a /dev/net/tun that \
             everybody may open)"
        }
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => {
            "this kernel has no TUN/TAP driver (`modprobe tun`)"
        }
        Some(libc::EBUSY) => "another program has this device; stop it, or choose another name",
        Some(libc::EINVAL) => {
            "there is an interface of this name that is no TAP device, or one made for another number of queues; remove \
             it, or choose another name"
        }
        Some(libc::E2BIG) => "the device has no more queues",
        _ => return io::Error::new(error.kind(), format!("{doing}: {error}")),
    };
    io::Error::new(error.kind(), format!("{doing}: {error}: {why}"))
}
