//! [`Medium`]: bytes that read as zeros until they are written, with memory only where they were.

use hemi_queue::Sga;

/// Bytes that are allocated at a time.
const EXTENT: usize = 32 << 10;
/// Copied at a time: small enough that the compiler's memory copy uses vector registers, which begin at once.
const PIECE: usize = 2 << 10;

/// A stretch of bytes that may be large and mostly untouched.
#[derive(Clone, Default)]
pub(crate) struct Medium {
    /// Each as long as it was written; zeros follow.
    extents: Vec<Vec<u8>>,
    len: usize,
}

impl Medium {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut medium = Self::default();
        medium.grow(len);
        medium
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// At least `len` bytes long; what is new is zero.
    pub(crate) fn grow(&mut self, len: usize) {
        if len > self.len {
            self.len = len;
            self.extents.resize_with(len.div_ceil(EXTENT), Vec::new);
        }
    }

    /// Write `bytes` at `at`, and grow as needed.
    pub(crate) fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        self.grow(at + bytes.len());
        while !bytes.is_empty() {
            let (n, begin) = (at / EXTENT, at % EXTENT);
            let (now, later) = bytes.split_at(bytes.len().min(EXTENT - begin));
            let extent = &mut self.extents[n];
            if extent.capacity() == 0 {
                extent.reserve_exact(EXTENT);
            }
            if extent.len() < begin {
                extent.resize(begin, 0);
            }
            let (over, behind) = now.split_at(now.len().min(extent.len() - begin));
            for (to, from) in extent[begin..].chunks_mut(PIECE).zip(over.chunks(PIECE)) {
                to[..from.len()].copy_from_slice(from);
            }
            // Nearly all is written behind what was written before: no memory is made zero first.
            behind.chunks(PIECE).for_each(|from| extent.extend_from_slice(from));
            at += now.len();
            bytes = later;
        }
    }

    /// Write all parts of `data`, one behind the other.
    pub(crate) fn write_all(&mut self, mut at: usize, data: &Sga) {
        for part in data {
            self.write(at, part);
            at += part.len();
        }
    }

    /// The bytes from `from` to `to`, in pieces; `None` stands for so many zeros.
    pub(crate) fn read(&self, from: usize, to: usize, mut piece: impl FnMut(Option<&[u8]>, usize)) {
        let (mut at, to) = (from.min(self.len), to.min(self.len));
        while at < to {
            let (n, begin) = (at / EXTENT, at % EXTENT);
            let len = (to - at).min(EXTENT - begin);
            let there = self.extents[n].get(begin..).unwrap_or_default();
            let there = &there[..there.len().min(len)];
            if !there.is_empty() {
                piece(Some(there), there.len());
            }
            if there.len() < len {
                piece(None, len - there.len());
            }
            at += len;
        }
    }

    /// Change the byte at `at`, if there is one.
    pub(crate) fn change(&mut self, at: usize, change: impl FnOnce(u8) -> u8) {
        if at < self.len {
            let mut byte = 0;
            self.read(at, at + 1, |piece, _| byte = piece.map_or(0, |piece| piece[0]));
            self.write(at, &[change(byte)]);
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len);
        self.read(0, self.len, |piece, len| match piece {
            Some(piece) => all.extend_from_slice(piece),
            None => all.resize(all.len() + len, 0),
        });
        all
    }
}

impl From<Vec<u8>> for Medium {
    fn from(bytes: Vec<u8>) -> Self {
        let mut medium = Self::zeros(bytes.len());
        for (n, chunk) in bytes.chunks(EXTENT).enumerate() {
            if chunk.iter().any(|b| *b != 0) {
                medium.write(n * EXTENT, chunk);
            }
        }
        medium
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_a_vec_of_bytes_is() {
        let mut medium = Medium::zeros(10);
        assert_eq!(medium.to_vec(), [0; 10]);
        let mut model = vec![0; 3 * EXTENT + 5];
        medium.grow(model.len());
        for (at, len) in [(0, 1), (EXTENT - 3, 7), (2 * EXTENT, EXTENT), (3 * EXTENT + 4, 1), (100, 5000)] {
            let bytes: Vec<u8> = (0..len).map(|n| (n * 7 + at) as u8 | 1).collect();
            medium.write(at, &bytes);
            model[at..at + len].copy_from_slice(&bytes);
        }
        medium.change(5, |b| b ^ 3);
        model[5] ^= 3;
        assert!(medium.to_vec() == model);
        assert!(Medium::from(model.clone()).to_vec() == model);
        let mut some = Vec::new();
        medium.read(EXTENT - 9, EXTENT + 9, |piece, len| {
            some.extend(piece.map_or(vec![0; len], <[u8]>::to_vec));
        });
        assert_eq!(some, model[EXTENT - 9..EXTENT + 9]);
        medium.write(model.len() + 3, &[9]);
        model.extend([0, 0, 0, 9]);
        assert!(medium.to_vec() == model && medium.len() == model.len());
    }
}
