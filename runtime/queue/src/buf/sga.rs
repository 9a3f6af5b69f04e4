//! [`Sga`]: one unit as a scatter-gather array.

use std::{fmt, mem::ManuallyDrop};

use smallvec::SmallVec;

use super::{Buf, BufMut};

/// A scatter-gather array: the bytes of one unit, in one or more buffers, in order.
///
/// What is pushed as one `Sga` is one unit: on a queue that keeps units it pops as one, however many buffers it was in. Up
/// to two buffers (a header and a payload) are held inline, in 56 bytes.
///
/// ```
/// # use hemi_queue::{Buf, Sga};
/// let mut unit = Sga::from("header:");
/// unit.push(Buf::from("payload"));
/// assert_eq!((unit.len(), unit.parts()), (14, 2)); // no byte was copied
///
/// let header = unit.split_to(6);
/// unit.advance(1);
/// assert!(header == *b"header" && unit == *b"payload");
/// assert_eq!(unit.into_single().unwrap(), *b"payload");
/// ```
#[derive(Clone, Default)]
pub struct Sga {
    parts: SmallVec<[Buf; 2]>,
}

impl Sga {
    /// No bytes.
    #[inline]
    pub fn new() -> Self {
        Self { parts: SmallVec::new() }
    }

    /// Bytes in all.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.parts[..] {
            [] => 0,
            [one] => one.len(),
            several => several.iter().map(Buf::len).sum(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(Buf::is_empty)
    }

    /// Append a buffer. Empty buffers are dropped; one that lies right behind the last is joined to it.
    #[inline]
    pub fn push(&mut self, buf: Buf) {
        if buf.is_empty() {
            return;
        }
        let buf = match self.parts.last_mut() {
            Some(last) => match last.join(buf) {
                Ok(()) => return,
                Err(buf) => buf,
            },
            None => buf,
        };
        self.parts.push(buf);
    }

    /// Append another unit's buffers.
    pub fn append(&mut self, other: Self) {
        if self.parts.is_empty() {
            self.parts = other.parts;
            return;
        }
        for buf in other.parts {
            self.push(buf);
        }
    }

    /// How many buffers.
    #[inline]
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The buffers in order.
    #[inline]
    pub fn iter(&self) -> std::slice::Iter<'_, Buf> {
        self.parts.iter()
    }

    /// The first buffer.
    pub fn first(&self) -> Option<&Buf> {
        self.parts.first()
    }

    /// Drop the first `n` bytes (all if there are fewer).
    pub fn advance(&mut self, mut n: usize) {
        let mut whole = 0;
        for part in &mut self.parts {
            if part.len() > n {
                part.advance(n);
                break;
            }
            n -= part.len();
            whole += 1;
        }
        self.parts.drain(..whole);
    }

    /// Keep the first `n` bytes.
    pub fn truncate(&mut self, mut n: usize) {
        let mut keep = 0;
        for part in &mut self.parts {
            if n == 0 {
                break;
            }
            part.truncate(n);
            n -= part.len();
            keep += 1;
        }
        self.parts.truncate(keep);
    }

    /// Split off and return the first `n` bytes (all if there are fewer); `self` keeps the rest.
    #[must_use = "use `advance` to drop the front"]
    pub fn split_to(&mut self, n: usize) -> Self {
        let (mut whole, mut left) = (0, n);
        while let Some(part) = self.parts.get(whole).filter(|part| part.len() <= left) {
            left -= part.len();
            whole += 1;
        }
        let mut front = Self { parts: self.parts.drain(..whole).collect() };
        if left > 0
            && let Some(part) = self.parts.first_mut()
        {
            front.push(part.split_to(left));
        }
        front
    }

    /// Copy from the front into `out`; returns how many bytes that was. Drops nothing.
    #[inline]
    pub fn copy_to(&self, out: &mut [u8]) -> usize {
        if self.parts.is_empty() {
            return 0;
        }
        let mut at = 0;
        for part in &self.parts {
            let n = part.len().min(out.len() - at);
            out[at..at + n].copy_from_slice(&part[..n]);
            at += n;
        }
        at
    }

    /// The bytes in one vector (a copy).
    pub fn to_vec(&self) -> Vec<u8> {
        let mut v = vec![0; self.len()];
        self.copy_to(&mut v);
        v
    }

    /// The unit as one buffer when it is in one already; else gives itself back.
    #[inline]
    pub fn into_single(self) -> Result<Buf, Self> {
        if self.parts.len() == 1 && !self.parts.spilled() {
            let parts = ManuallyDrop::new(self.parts);
            // SAFETY: there is one, held inline: moved out here, and not dropped with what held it, which holds no memory.
            return Ok(unsafe { parts.as_ptr().read() });
        }
        self.into_single_slowly()
    }

    #[cold]
    #[inline(never)]
    fn into_single_slowly(mut self) -> Result<Buf, Self> {
        match self.parts.len() {
            0 => Ok(Buf::new()),
            1 => self.parts.pop().ok_or_else(Self::new),
            _ => Err(self),
        }
    }
}

impl From<Buf> for Sga {
    #[inline]
    fn from(buf: Buf) -> Self {
        let mut parts = SmallVec::new();
        if !buf.is_empty() {
            parts.push(buf);
        }
        Self { parts }
    }
}

impl From<BufMut> for Sga {
    fn from(buf: BufMut) -> Self {
        buf.freeze().into()
    }
}

macro_rules! sga_from {
    ($($t:ty),*) => {$(
        impl From<$t> for Sga {
            fn from(x: $t) -> Self {
                Buf::from(x).into()
            }
        }
    )*};
}
sga_from!(&'static str, &'static [u8], Vec<u8>, String, bytes::Bytes);

impl<const N: usize> From<&'static [u8; N]> for Sga {
    fn from(x: &'static [u8; N]) -> Self {
        Buf::from(x).into()
    }
}

/// One buffer with the unit's bytes: the same one when there is only one, else a copy on the heap.
impl From<Sga> for Buf {
    fn from(unit: Sga) -> Self {
        unit.into_single().unwrap_or_else(|several| Self::from(several.to_vec()))
    }
}

impl FromIterator<Buf> for Sga {
    fn from_iter<I: IntoIterator<Item = Buf>>(bufs: I) -> Self {
        let mut sga = Self::new();
        sga.extend(bufs);
        sga
    }
}

impl Extend<Buf> for Sga {
    fn extend<I: IntoIterator<Item = Buf>>(&mut self, bufs: I) {
        for buf in bufs {
            self.push(buf);
        }
    }
}

impl IntoIterator for Sga {
    type Item = Buf;
    type IntoIter = smallvec::IntoIter<[Buf; 2]>;
    fn into_iter(self) -> Self::IntoIter {
        self.parts.into_iter()
    }
}

impl<'a> IntoIterator for &'a Sga {
    type Item = &'a Buf;
    type IntoIter = std::slice::Iter<'a, Buf>;
    fn into_iter(self) -> Self::IntoIter {
        self.parts.iter()
    }
}

/// Equal when the bytes are, however they are cut into buffers.
impl PartialEq for Sga {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().flat_map(|b| b.iter()).eq(other.iter().flat_map(|b| b.iter()))
    }
}

impl Eq for Sga {}

impl PartialEq<[u8]> for Sga {
    fn eq(&self, other: &[u8]) -> bool {
        self.len() == other.len() && self.iter().flat_map(|b| b.iter()).eq(other.iter())
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Sga {
    fn eq(&self, other: &[u8; N]) -> bool {
        *self == other[..]
    }
}

impl fmt::Debug for Sga {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
