//! [`BufMut`]: unique, writable bytes.

use std::{
    fmt, io,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr::NonNull,
};

use super::{Buf, slot::Slot};

/// Unique, writable bytes of a pool: content (`len`) and room behind it (`capacity`).
///
/// Pool memory is always initialised (zeroed when it was mapped, old content afterwards), so the spare room is an
/// ordinary `&mut [u8]`.
///
/// ```
/// # use hemi_queue::Pool;
/// let pool = Pool::new()?;
/// let mut own = pool.try_alloc(1500)?;
/// own.put(b"GET "); // append
/// own.spare_mut()[..5].copy_from_slice(b"/hemi"); // or write behind the content, as a device does,
/// own.set_len(9); // and say how much that was
/// own[0] = b'P';
/// assert_eq!(&own[..], b"PET /hemi");
///
/// let method = own.split_frozen(3); // hand out the front while the rest is still being written
/// own.put(b"?");
/// assert_eq!(method, *b"PET");
/// assert_eq!(own.freeze(), *b" /hemi?");
/// # Ok::<(), hemi_queue::Error>(())
/// ```
pub struct BufMut {
    slot: NonNull<Slot>,
    ptr: NonNull<u8>,
    len: u32,
    cap: u32,
    _not_send: PhantomData<*const ()>,
}

impl BufMut {
    /// # Safety
    /// The caller passes on one count of `slot` and the exclusive right to `ptr..ptr + cap`, initialised, in the slot.
    #[inline]
    pub(crate) unsafe fn from_raw(slot: NonNull<Slot>, ptr: NonNull<u8>, len: u32, cap: u32) -> Self {
        Self { slot, ptr, len, cap, _not_send: PhantomData }
    }

    /// Bytes of content.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no content yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that fit in all.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.cap as usize
    }

    /// Append as much of `bytes` as fits; returns how much that was.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        self.len += n as u32;
        n
    }

    /// The room behind the content. Its bytes are whatever was there before.
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len..cap` is initialised and exclusively ours.
        unsafe {
            let at = self.ptr.add(self.len());
            std::slice::from_raw_parts_mut(at.as_ptr(), (self.cap - self.len) as usize)
        }
    }

    /// Set the content's length; more than the capacity means all of it. What becomes content is what was written
    /// through [`spare_mut`](Self::spare_mut) or by a device.
    #[inline]
    pub fn set_len(&mut self, len: usize) {
        self.len = u32::try_from(len).unwrap_or(u32::MAX).min(self.cap);
    }

    /// The address of the content's first byte, for a device that writes here. Valid while `self` lives.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Make it shared and read-only.
    #[inline]
    pub fn freeze(self) -> Buf {
        let (slot, ptr, len) = (self.slot, self.ptr, self.len());
        std::mem::forget(self);
        // SAFETY: the count and the range are handed over, and with `self` gone nobody can write to it.
        unsafe { Buf::from_raw(slot, ptr, len) }
    }

    /// Freeze the first `n` bytes of content (all of it if there is less) and keep the rest writable: how a receive
    /// buffer that a device fills piece by piece is handed out.
    #[inline]
    pub fn split_frozen(&mut self, n: usize) -> Buf {
        let n = n.min(self.len());
        // SAFETY: alive by this view's count.
        unsafe { self.slot.as_ref() }.retain();
        // SAFETY: the count was taken above; `self` gives up the range below.
        let front = unsafe { Buf::from_raw(self.slot, self.ptr, n) };
        // SAFETY: n <= len <= cap.
        self.ptr = unsafe { self.ptr.add(n) };
        self.len -= n as u32;
        self.cap -= n as u32;
        front
    }
}

impl Deref for BufMut {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `..len` is initialised and ours.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len()) }
    }
}

impl DerefMut for BufMut {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `..len` is initialised and exclusively ours.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len()) }
    }
}

impl Drop for BufMut {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this view owns one count.
        unsafe { Slot::release(self.slot) };
    }
}

impl io::Write for BufMut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.put(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<BufMut> for Buf {
    fn from(b: BufMut) -> Self {
        b.freeze()
    }
}

impl fmt::Debug for BufMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufMut({} of {} bytes)", self.len, self.cap)
    }
}
