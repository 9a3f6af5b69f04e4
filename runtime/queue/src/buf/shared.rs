//! [`Buf`]: shared, read-only, reference-counted bytes.

use std::{
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    ops::{Bound, Deref, RangeBounds},
    ptr::NonNull,
};

use bytes::Bytes;

use super::{
    BufMut, RegionId, SendBuf,
    slot::{Foreign, Slot},
};

/// Shared, read-only bytes: a view of a slot and one count of it.
///
/// Cloning and slicing cost a count, never a copy. There is no way to write through a `Buf`
/// (write-protection); the memory is reused only when the last holder, the device included, has let go
/// (free-protection). `!Send`: counts are not atomic; see [`into_send`](Self::into_send).
///
/// ```
/// # use hemi_queue::{Buf, Pool};
/// let pool = Pool::new()?;
/// let mut unit = pool.try_alloc(64)?;
/// unit.put(b"hello, queue");
/// let buf = unit.freeze();
/// let word = buf.slice(..5);
/// drop(buf);
/// assert_eq!(&word[..], b"hello");
/// # Ok::<(), hemi_queue::Error>(())
/// ```
pub struct Buf {
    slot: NonNull<Slot>,
    ptr: NonNull<u8>,
    len: usize,
    _not_send: PhantomData<*const ()>,
}

impl Buf {
    /// A view of `len` bytes at `ptr` that takes over one count of `slot`.
    ///
    /// # Safety
    /// The caller passes on one count; the range lies in the slot, is initialised, and nobody writes to it while any
    /// count of the slot that was given for it lives.
    #[inline]
    pub(crate) unsafe fn from_raw(slot: NonNull<Slot>, ptr: NonNull<u8>, len: usize) -> Self {
        Self { slot, ptr, len, _not_send: PhantomData }
    }

    /// Give up the view without giving up its count.
    #[inline]
    pub(crate) fn into_raw(self) -> (NonNull<Slot>, NonNull<u8>, usize) {
        let parts = (self.slot, self.ptr, self.len);
        std::mem::forget(self);
        parts
    }

    #[inline]
    fn slot(&self) -> &Slot {
        // SAFETY: this view's count keeps the slot alive.
        unsafe { self.slot.as_ref() }
    }

    /// No bytes. Allocates once per thread.
    pub fn new() -> Self {
        thread_local! {
            static EMPTY: Buf = Buf::from(Bytes::new());
        }
        EMPTY.try_with(Self::clone).unwrap_or_else(|_| Self::from(Bytes::new())) // the thread is ending
    }

    /// Bytes that live for ever: foreign memory, copied once when pushed to a device that can't carry it.
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Self::from(Bytes::from_static(bytes))
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A view of a part, sharing the memory.
    ///
    /// # Panics
    /// When the range is not within the buffer, as indexing does. [`get`](Self::get) does not panic.
    #[inline]
    #[track_caller]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let len = self.len();
        match self.get(range) {
            Some(part) => part,
            None => panic!("range out of bounds of a Buf of {len} bytes"),
        }
    }

    /// A view of a part, sharing the memory; `None` when the range is not within the buffer.
    #[inline]
    pub fn get(&self, range: impl RangeBounds<usize>) -> Option<Self> {
        let start = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n.checked_add(1)?,
            Bound::Excluded(&n) => n,
            Bound::Unbounded => self.len(),
        };
        if start > end || end > self.len() {
            return None;
        }
        self.slot().retain();
        // SAFETY: the count was taken above; start <= end <= len, so the part is in bounds.
        Some(unsafe { Self::from_raw(self.slot, self.ptr.add(start), end - start) })
    }

    /// Split off and return the first `n` bytes (all of them if there are fewer); `self` keeps the rest.
    #[inline]
    #[must_use = "use `advance` to drop the front"]
    pub fn split_to(&mut self, n: usize) -> Self {
        let n = n.min(self.len());
        self.slot().retain();
        // SAFETY: the count was taken above; n <= len.
        let front = unsafe { Self::from_raw(self.slot, self.ptr, n) };
        self.advance(n);
        front
    }

    /// Drop the first `n` bytes (all of them if there are fewer).
    #[inline]
    pub fn advance(&mut self, n: usize) {
        let n = n.min(self.len());
        // SAFETY: n <= len, so the pointer stays within the slot or one past its end.
        self.ptr = unsafe { self.ptr.add(n) };
        self.len -= n;
    }

    /// Keep the first `n` bytes only.
    #[inline]
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n);
    }

    /// Join two views that lie side by side in one slot into one, without a copy; else give them back.
    pub fn try_join(mut self, next: Self) -> Result<Self, (Self, Self)> {
        match self.join(next) {
            Ok(()) => Ok(self),
            Err(next) => Err((self, next)),
        }
    }

    /// The same in place.
    #[inline]
    pub(crate) fn join(&mut self, next: Self) -> Result<(), Self> {
        let end = self.ptr.as_ptr().wrapping_add(self.len);
        if self.slot != next.slot || end != next.ptr.as_ptr() {
            return Err(next);
        }
        self.len += next.len;
        Ok(())
    }

    /// The writable buffer back, if this is its only holder (no clone, no slice, no device, no other thread) and it came
    /// from a pool. The `BufMut` has these bytes as its content and may grow over the rest of the slot behind them.
    pub fn try_mut(self) -> Result<BufMut, Self> {
        let slot = self.slot();
        if slot.is_foreign() || slot.refs.get() != 1 || slot.remote.get() != 0 {
            return Err(self);
        }
        // SAFETY: both pointers are of the slot's data; the difference is at most its capacity.
        let offset = unsafe { self.ptr.offset_from(slot.data) } as u32;
        let cap = slot.cap - offset;
        let (slot, ptr, len) = self.into_raw();
        // SAFETY: the only count is handed over, and with it the right to write from `ptr` to the end of the slot.
        Ok(unsafe { BufMut::from_raw(slot, ptr, len as u32, cap) })
    }

    /// A handle that can go to another thread and carries one count with it.
    pub fn into_send(self) -> SendBuf {
        SendBuf::new(self)
    }

    /// The same bytes as [`Bytes`], without a copy; its count comes home when the last clone is dropped, on any thread,
    /// even after the runtime has ended.
    pub fn into_bytes(self) -> Bytes {
        self.into_send().into_bytes()
    }

    /// The region of its pool that this buffer lies in, and its offset there: what a device that registered the
    /// region needs. `None` for foreign memory.
    pub fn region(&self) -> Option<(RegionId, usize)> {
        let slot = self.slot();
        if slot.is_foreign() {
            return None;
        }
        // SAFETY: a slot's block outlives the slot.
        let block = unsafe { &*slot.block };
        // Of addresses: the pieces of a region need not lie in one allocation.
        Some((block.id, self.ptr.addr().get() - block.region.base().addr().get()))
    }

    /// Bytes of pooled memory that this view keeps from being reused: its whole slot.
    pub fn pinned(&self) -> usize {
        if self.slot().is_foreign() { self.len() } else { self.slot().cap as usize }
    }

    /// How many counts the slot has on this thread.
    pub fn holders(&self) -> usize {
        self.slot().refs.get() as usize
    }

    pub(crate) fn foreign_bytes(&self) -> Option<Bytes> {
        if !self.slot().is_foreign() {
            return None;
        }
        // SAFETY: a foreign slot is the first field of its `Foreign` box, alive while this count is.
        let owner = unsafe { &self.slot.cast::<Foreign>().as_ref().owner };
        Some(if self.is_empty() { Bytes::new() } else { owner.slice_ref(self) })
    }
}

impl Deref for Buf {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the range is initialised and nobody writes to it while this count lives (`from_raw`).
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len()) }
    }
}

impl Clone for Buf {
    #[inline]
    fn clone(&self) -> Self {
        self.slot().retain();
        // SAFETY: the count was taken above; same range.
        unsafe { Self::from_raw(self.slot, self.ptr, self.len) }
    }
}

impl Drop for Buf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this view owns one count.
        unsafe { Slot::release(self.slot) };
    }
}

impl Default for Buf {
    fn default() -> Self {
        Self::new()
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({} bytes, \"{}\"", self.len(), self[..self.len().min(32)].escape_ascii())?;
        f.write_str(if self.len() > 32 { "...)" } else { ")" })
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Buf {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for Buf {}

impl Hash for Buf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl From<Bytes> for Buf {
    /// Foreign memory of any length, without a copy.
    fn from(bytes: Bytes) -> Self {
        let len = bytes.len();
        let slot = Foreign::leak(bytes);
        // SAFETY: the new slot has one count, handed over here; `Bytes` never moves or changes its bytes.
        unsafe {
            let ptr = slot.as_ref().data;
            Self::from_raw(slot, ptr, len)
        }
    }
}

impl From<Buf> for Bytes {
    fn from(buf: Buf) -> Self {
        buf.into_bytes()
    }
}

impl From<&'static str> for Buf {
    fn from(s: &'static str) -> Self {
        Self::from_static(s.as_bytes())
    }
}

impl From<&'static [u8]> for Buf {
    fn from(s: &'static [u8]) -> Self {
        Self::from_static(s)
    }
}

impl<const N: usize> From<&'static [u8; N]> for Buf {
    fn from(s: &'static [u8; N]) -> Self {
        Self::from_static(s)
    }
}

impl From<Vec<u8>> for Buf {
    fn from(v: Vec<u8>) -> Self {
        Self::from(Bytes::from(v))
    }
}

impl From<String> for Buf {
    fn from(s: String) -> Self {
        Self::from(Bytes::from(s))
    }
}
