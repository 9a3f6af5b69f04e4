//! [`Lent`]: a whole buffer while a device has it.

use std::{fmt, mem, ptr::NonNull};

use super::{Buf, slot::Slot};

/// A whole buffer of a pool that a device may write to, in one word: what a driver keeps for each buffer that it has given to hardware
/// ([`Pool::lend`](super::Pool::lend)). Dropped, the buffer is free again.
///
/// ```
/// # use hemi_queue::{Pool, buf::Region};
/// let pool = Pool::of(Region::map(4096)?, 2048)?;
/// let mut ring = Vec::new();
/// pool.lend(16, |lent| ring.push(lent));
/// assert_eq!(ring.len(), 2);
/// // The device says that it has written 60 bytes behind a header of 16.
/// let received = ring.pop().unwrap().received(16, 60).unwrap();
/// assert_eq!(received.len(), 60);
/// assert!(ring.pop().unwrap().received(2000, 60).is_err()); // what it says is checked
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Lent {
    slot: NonNull<Slot>,
}

impl Lent {
    /// # Safety
    /// The caller passes on the only count of a slot of a pool.
    #[inline]
    pub(super) unsafe fn new(slot: NonNull<Slot>) -> Self {
        Self { slot }
    }

    #[inline]
    fn slot(&self) -> &Slot {
        // SAFETY: this count keeps the slot alive.
        unsafe { self.slot.as_ref() }
    }

    /// The address of the buffer's first byte.
    #[inline]
    pub fn start(&self) -> NonNull<u8> {
        self.slot().data
    }

    /// Bytes of the buffer.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slot().cap as usize
    }

    /// The device is done with it, and has written `len` bytes at `offset`; gives itself back when that is not within the buffer.
    ///
    /// # Errors
    /// The buffer, which is still lent.
    #[inline]
    pub fn received(self, offset: usize, len: usize) -> Result<Buf, Self> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.capacity());
        if !inside {
            return Err(self);
        }
        // SAFETY: within the buffer, by the test above.
        let at = unsafe { self.start().add(offset) };
        let slot = self.slot;
        mem::forget(self);
        // SAFETY: the only count is handed over; pool memory is always initialised; nobody writes to it any more.
        Ok(unsafe { Buf::from_raw(slot, at, len) })
    }

    /// The word, to be kept where a device keeps a name for the buffer. [`from_raw`](Self::from_raw) takes it back.
    #[inline]
    pub fn into_raw(self) -> NonNull<()> {
        let slot = self.slot;
        mem::forget(self);
        slot.cast()
    }

    /// # Safety
    /// From [`into_raw`](Self::into_raw), once, on the same thread.
    #[inline]
    pub unsafe fn from_raw(word: NonNull<()>) -> Self {
        Self { slot: word.cast() }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: this owns one count.
        unsafe { Slot::release(self.slot) };
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({} bytes)", self.capacity())
    }
}
