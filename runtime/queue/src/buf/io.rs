//! Buffers where `std::io` wants them: `IoSlice`, `Read`.

use std::io::{self, IoSlice};

use super::{Buf, Sga};

impl Buf {
    /// For `write_vectored` and the like.
    pub fn io_slice(&self) -> IoSlice<'_> {
        IoSlice::new(self)
    }
}

impl io::Read for Buf {
    /// Copies from the front and advances.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.len().min(out.len());
        out[..n].copy_from_slice(&self[..n]);
        self.advance(n);
        Ok(n)
    }
}

impl Sga {
    /// For `write_vectored` and the like, in order.
    pub fn io_slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.iter().map(Buf::io_slice)
    }
}

impl io::Read for Sga {
    /// Copies from the front and advances.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.copy_to(out);
        self.advance(n);
        Ok(n)
    }
}
