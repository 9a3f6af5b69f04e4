//! System calls that std has not.

use std::{
    fs::File,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
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

/// Have reads ask the device, not the page cache: after a flush that failed the kernel keeps pages that the device never got, and
/// calls them clean. What another process has mapped or is writing stays.
pub(crate) fn forget_cached(file: &File) -> io::Result<()> {
    // Only pages that are clean can be dropped.
    file.sync_data()?;
    // SAFETY: no memory is passed.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        e => Err(io::Error::from_raw_os_error(e)),
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

/// Bytes that this process may lock in memory.
pub(crate) fn lockable() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes to a local.
    let told = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0;
    if told { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { 0 }
}

/// Whether a block device is a loop device.
pub(crate) fn is_loop(device: &File) -> bool {
    const LOOP_MAJOR: u32 = 7;
    device.metadata().is_ok_and(|meta| libc::major(meta.rdev()) == LOOP_MAJOR)
}

/// Whether the device below can make a single write durable by itself: it has FUA, or no cache that loses anything. Not known: no.
pub(crate) fn writes_through(file: &File) -> bool {
    let Ok(meta) = file.metadata() else { return false };
    let device = if meta.file_type().is_block_device() { meta.rdev() } else { meta.dev() };
    let says = |name: &str| {
        let at = format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device));
        // A partition's queue is its disk's.
        let queue = [format!("{at}/queue/{name}"), format!("{at}/../queue/{name}")];
        queue.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    };
    says("fua").trim() == "1" || says("write_cache").trim() == "write through"
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

/// Give the space of a block device's range back; the kernel's answer.
pub(crate) fn discard(fd: RawFd, offset: u64, len: u64) -> libc::c_int {
    const BLKDISCARD: libc::c_ulong = 0x1277;
    let range = [offset, len];
    // SAFETY: reads two numbers.
    unsafe { libc::ioctl(fd, BLKDISCARD, range.as_ptr()) }
}

/// The kernel's answer as it is in an io_uring completion.
pub(crate) fn as_result(n: isize) -> i32 {
    if n >= 0 {
        return n as i32;
    }
    -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, io::Write, ptr};

    use super::*;
    use crate::target::{Access, FileOptions, Target};

    /// Pages of the file's first `len` bytes that are in the cache.
    fn cached(file: &File, len: usize) -> usize {
        let mut pages = vec![0_u8; len.div_ceil(4096)];
        // SAFETY: a new mapping of the file, which nothing else knows of, and a byte for every page of it.
        unsafe {
            let (read, shared) = (libc::PROT_READ, libc::MAP_SHARED);
            let at = libc::mmap(ptr::null_mut(), len, read, shared, file.as_raw_fd(), 0);
            assert_ne!(at, libc::MAP_FAILED);
            assert_eq!(libc::mincore(at, len, pages.as_mut_ptr()), 0);
            libc::munmap(at, len);
        }
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    #[test]
    fn an_opening_through_the_page_cache_forgets_it() {
        const LEN: usize = 1 << 20;
        // Where nothing lies behind the cache, nothing is forgotten: in the target directory something does, mostly.
        let path = std::env::current_exe().unwrap().with_extension(format!("{}.log", std::process::id()));
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.write_all(&vec![7; LEN]).unwrap();
        let before = cached(&file, LEN);
        let options = FileOptions { direct: false, ..FileOptions::default() };
        let opened = Target::open(&path, Access::Write, &options);
        let after = cached(&file, LEN);
        std::fs::remove_file(&path).unwrap();
        opened.unwrap();
        let mut stat = MaybeUninit::<libc::statfs>::zeroed();
        // SAFETY: the buffer is as large as the structure, zeroed, and all of its fields are plain numbers.
        let stat = unsafe {
            assert_eq!(libc::fstatfs(file.as_raw_fd(), stat.as_mut_ptr()), 0);
            stat.assume_init()
        };
        if stat.f_type != libc::TMPFS_MAGIC {
            assert!(before > 0 && after < before, "{before} pages, then {after}");
        }
    }
}
