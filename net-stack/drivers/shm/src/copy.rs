//! Copies to and from memory that another process can write.
//!
//! Reading is done with volatile loads: the bytes arrive in private memory exactly once, whatever the other side does
//! meanwhile, and only there they are looked at. Nothing here calls `memcpy` for long copies: it would use `rep movsb`, which on
//! some processors collapses to a fifth of its speed when source and destination lie badly to each other.

// Alignment is argued at each use.
#![allow(clippy::cast_ptr_alignment)]

use std::ptr;

/// The longest piece that is given to `memcpy`: well below where the C library changes to `rep movsb`.
const PIECE: usize = 1024;

/// Copy `bytes` to `to`.
///
/// # Safety
/// `to..to + bytes.len()` is mapped, writable, and apart from `bytes`.
#[inline]
pub(crate) unsafe fn copy_in(bytes: &[u8], to: *mut u8) {
    if bytes.len() <= PIECE {
        // SAFETY: as the caller says. The other side reads here only after we publish; if it writes, it garbles its own frame.
        return unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
    let mut at = 0;
    for piece in bytes.chunks(PIECE) {
        // SAFETY: the pieces lie in the range that the caller vouches for.
        unsafe { ptr::copy_nonoverlapping(piece.as_ptr(), to.add(at), piece.len()) };
        at += piece.len();
    }
}

/// One vector register's worth on every x86-64, two words elsewhere.
#[cfg(target_arch = "x86_64")]
type Wide = std::arch::x86_64::__m128i;
#[cfg(not(target_arch = "x86_64"))]
type Wide = [u64; 2];
const WIDE: usize = size_of::<Wide>();

/// Copy `len` bytes from `from` to the front of `out`; up to 64 bytes behind them in `out` may be overwritten too.
///
/// # Safety
/// `from` lies eight bytes behind the beginning of a line; the lines that hold `from..from + len` are mapped and
/// readable. They may be written by another process at any time.
#[inline]
pub(crate) unsafe fn copy_out(from: *const u8, len: usize, out: &mut [u8]) {
    const FIRST: usize = super::ring::LINE - super::ring::PREFIX;
    let to = out.as_mut_ptr();
    let rounded = FIRST + len.saturating_sub(FIRST).next_multiple_of(super::ring::LINE);
    if out.len() < rounded {
        // SAFETY: `out` is exclusive; the source is as the caller says.
        return unsafe { copy_exactly(from, &mut out[..len]) };
    }
    for at in (0..FIRST).step_by(8) {
        // SAFETY: the rest of the first line, and at least that much room in `out`; `from` is aligned to eight.
        unsafe {
            ptr::write_unaligned(to.add(at).cast::<u64>(), ptr::read_volatile(from.add(at).cast::<u64>()));
        };
    }
    let mut at = FIRST;
    while at < rounded {
        // SAFETY: a whole line that holds some of the `len` bytes, aligned to a line; `out` has `rounded` bytes.
        unsafe {
            let line: [Wide; 4] =
                std::array::from_fn(|i| ptr::read_volatile(from.add(at + i * WIDE).cast::<Wide>()));
            ptr::write_unaligned(to.add(at).cast::<[Wide; 4]>(), line);
        }
        at += super::ring::LINE;
    }
}

/// The same for a buffer without room for the rest of the last line.
///
/// # Safety
/// As [`copy_out`], with `len` as long as `out`.
#[cold]
unsafe fn copy_exactly(from: *const u8, out: &mut [u8]) {
    for (at, byte) in out.iter_mut().enumerate() {
        // SAFETY: as the caller says.
        *byte = unsafe { ptr::read_volatile(from.add(at)) };
    }
}

/// Ask for the line at `at` to be ours to write, before it is written. Only a hint; nothing is accessed.
#[inline]
pub(crate) fn prefetch_for_write(at: *mut u8) {
    // `_mm_prefetch` would only mean "to read" on a build for any x86-64; the instruction is a no-op where it is missing.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect on memory or flags, and does not fault.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
