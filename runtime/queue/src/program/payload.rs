//! [`Payload`]: units that are bytes.

use crate::{Buf, Sga};

/// A unit whose bytes can be looked at, in however many buffers it is: what a [`Program`](super::Program) reads.
pub trait Payload {
    /// How many bytes.
    fn byte_len(&self) -> usize;

    /// Fill `out` with the bytes from offset `at` on. `false`, and `out` is unspecified, when there are not enough.
    fn read_at(&self, at: usize, out: &mut [u8]) -> bool;
}

impl Payload for [u8] {
    fn byte_len(&self) -> usize {
        self.len()
    }
    #[inline]
    fn read_at(&self, at: usize, out: &mut [u8]) -> bool {
        match self.get(at..).and_then(|rest| rest.get(..out.len())) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }
}

macro_rules! contiguous {
    ($($t:ty),*) => {$(
        impl Payload for $t {
            #[inline]
            fn byte_len(&self) -> usize {
                self.len()
            }
            #[inline]
            fn read_at(&self, at: usize, out: &mut [u8]) -> bool {
                AsRef::<[u8]>::as_ref(self).read_at(at, out)
            }
        }
    )*};
}
contiguous!(Buf, Vec<u8>, String, str);

impl Payload for Sga {
    fn byte_len(&self) -> usize {
        self.len()
    }
    fn read_at(&self, mut at: usize, mut out: &mut [u8]) -> bool {
        for part in self {
            if out.is_empty() {
                break;
            }
            if at >= part.len() {
                at -= part.len();
                continue;
            }
            let n = (part.len() - at).min(out.len());
            let (now, later) = out.split_at_mut(n);
            now.copy_from_slice(&part[at..at + n]);
            (at, out) = (0, later);
        }
        out.is_empty()
    }
}

/// A unit and what belongs to it, such as a datagram and its sender.
impl<P: Payload, X> Payload for (P, X) {
    fn byte_len(&self) -> usize {
        self.0.byte_len()
    }
    fn read_at(&self, at: usize, out: &mut [u8]) -> bool {
        self.0.read_at(at, out)
    }
}

impl<P: Payload + ?Sized> Payload for &P {
    fn byte_len(&self) -> usize {
        (**self).byte_len()
    }
    fn read_at(&self, at: usize, out: &mut [u8]) -> bool {
        (**self).read_at(at, out)
    }
}
