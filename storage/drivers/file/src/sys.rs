//! System calls that std has not.

use std::{
    fs::File,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, RawFd},
};

/// The lock of the one that writes, on this very open file description.
pub(crate) fn lock(fd: RawFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    if unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(());
    }
    let e = io::Error::last_os_error();
    if e.kind() == io::ErrorKind::WouldBlock {
        let why =
            "another process (or another queue of this one) writes this log; stop it, or open with `mode=ro`";
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
    }
    Err(e)
}

/// Make `len` bytes at `offset` part of the file, with space on the device where the file system can promise it.
pub(crate) fn allocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
    // SAFETY: no memory is passed.
    if unsafe { libc::fallocate(file.as_raw_fd(), 0, offset as i64, len as i64) } == 0 {
        return Ok(());
    }
    let e = io::Error::last_os_error();
    match e.raw_os_error() {
        Some(libc::EOPNOTSUPP) => file.set_len(offset + len),
        _ => Err(e),
    }
}

/// A block device's length and its logical block.
pub(crate) fn device_size(fd: RawFd) -> io::Result<(u64, u32)> {
    const BLKSSZGET: libc::c_ulong = 0x1268;
    const BLKGETSIZE64: libc::c_ulong = 0x8008_1272;
    let (mut len, mut sector) = (0_u64, 0_i32);
    // SAFETY: both write one value of the right type, into locals.
    let ok = unsafe {
        libc::ioctl(fd, BLKGETSIZE64, &raw mut len) == 0 && libc::ioctl(fd, BLKSSZGET, &raw mut sector) == 0
    };
    if ok { Ok((len, sector.max(512) as u32)) } else { Err(io::Error::last_os_error()) }
}

/// What direct I/O on this file must be aligned to, where the kernel tells (Linux 6.1).
pub(crate) fn direct_alignment(file: &File) -> Option<u32> {
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    let (flags, mask) = (libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN);
    // SAFETY: an empty, terminated path; the buffer is as large as the structure.
    let result = unsafe { libc::statx(file.as_raw_fd(), c"".as_ptr(), flags, mask, stat.as_mut_ptr()) };
    // SAFETY: zeroed, and perhaps filled by the kernel: all fields are plain numbers.
    let stat = unsafe { stat.assume_init() };
    let told = result == 0 && stat.stx_mask & libc::STATX_DIOALIGN != 0;
    // Zero says that there is no direct I/O.
    told.then(|| stat.stx_dio_offset_align.max(stat.stx_dio_mem_align)).filter(|a| a.is_power_of_two())
}

/// Give the space of a block device's range back.
pub(crate) fn discard(fd: RawFd, offset: u64, len: u64) -> io::Result<()> {
    const BLKDISCARD: libc::c_ulong = 0x1277;
    let range = [offset, len];
    // SAFETY: reads two numbers.
    if unsafe { libc::ioctl(fd, BLKDISCARD, range.as_ptr()) } == 0 {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

/// The kernel's answer as it is in an io_uring completion.
pub(crate) fn as_result(n: isize) -> i32 {
    if n >= 0 {
        return n as i32;
    }
    -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
