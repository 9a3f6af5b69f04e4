//! The frame ring: one producer, one consumer, and for a small frame one transfer of each of its cache lines.
//!
//! The ring is cut into lines of 64 bytes. A frame takes as many lines as it needs, one after the other; the first eight
//! bytes are its *header*, and the bytes of the frame follow at once:
//!
//! ```text
//!   line t            line t+1          line t+2          line t+3
//!  ┌────────┬───────┬─────────────────┬────────┬────────┬────────┬────────┐
//!  │ header │ the frame's bytes ...                     │ 0      │        │
//!  └────────┴───────┴─────────────────┴────────┴────────┴────────┴────────┘
//!    ▲ written last, with Release                          ▲ the end mark: written before the header
//! ```
//!
//! The consumer polls the header where the next frame will begin, so validity and data travel together: there is no producer
//! index to read first. What it finds there is either zero or a header, never stale data of an earlier lap, because the
//! producer writes the *end mark* of a frame (a zero where the next header will be) before the header itself.
//!
//! The consumer tells how far it is (its *head*) only once per eighth of the ring, on a cache line of its own, which the
//! producer reads only when its copy of it says that there is no room. Nobody waits for ever for the part not yet told: a
//! producer without room has more than an eighth outstanding, and the consumer tells when it has consumed that.
//!
//! After a frame the producer asks for the lines behind the end mark to be its own (a prefetch for writing), so that the next
//! small frame waits only for the one line that the consumer polls.
//!
//! Positions count lines from the link's beginning, and never wrap; a header holds the low bits of its position, so that a
//! scribbled one is recognised. Each side keeps its own position in private memory, and believes of the other's words only what
//! is possible; anything else is [`Broken`], and ends the link.
//!
//! Deliberately absent: any knowledge of who maps the memory ([`Memory`]), of sleeping and waking, and of frames' meaning.

mod consumer;
#[cfg(all(test, loom))]
#[allow(unsafe_code)]
mod loom;
mod producer;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use consumer::Consumer;
pub(crate) use producer::Producer;

/// Bytes of a line.
pub(crate) const LINE: usize = 64;
/// Bytes of the header in front of a frame.
pub(crate) const PREFIX: usize = 8;
/// The largest frame that a ring carries: the largest buffer of a default pool.
pub(crate) const MAX_FRAME: usize = 64 << 10;
/// The smallest ring: half of it holds the largest frame and its end mark, so that a producer without room has more than an
/// eighth outstanding.
pub(crate) const MIN_RING: usize = 256 << 10;

/// The bytes that two sides share, as the protocol sees them. `line` is a position: the memory takes it modulo its size.
pub(crate) trait Memory {
    /// Lines in the ring, a power of two.
    fn lines(&self) -> u64;
    /// The header of a line, with Acquire.
    fn load(&self, line: u64) -> u64;
    /// Write the header of a line, with Release.
    fn store(&self, line: u64, word: u64);
    /// The consumer's head, with Acquire.
    fn load_head(&self) -> u64;
    /// Write the consumer's head, with Release.
    fn store_head(&self, head: u64);
    /// Copy `bytes` to `at` bytes behind the header of `line`. What does not fit the ring is not written.
    fn write(&self, line: u64, at: usize, bytes: &[u8]);
    /// The next frame will be written from this line on: a hint.
    fn prepare(&self, line: u64) {
        let _ = line;
    }
    /// Copy the `len` bytes behind the header of `line` to the front of `out`, which has room for them; what lies behind
    /// them in `out` may be overwritten too.
    fn read(&self, line: u64, len: usize, out: &mut [u8]);
}

/// The other side wrote what the protocol cannot produce: it is broken or hostile, and the link ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    /// A header that no producer writes there.
    #[error("a frame header that cannot be: {0:#018x}")]
    Header(u64),
    /// A head beyond what was produced, or behind what it was.
    #[error("a consumer index that cannot be: {0}")]
    Head(u64),
}

/// What a header says of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the frame.
    pub(crate) len: usize,
    /// The transport checksum was left unfinished, and the bytes are good: they never left this machine's memory.
    pub(crate) unfinished: bool,
}

impl Header {
    const VALID: u64 = 1 << 63;
    const UNFINISHED: u64 = 1 << 32;

    const fn tag(position: u64) -> u64 {
        (position & 0x7fff) << 48
    }

    const fn word(self, position: u64) -> u64 {
        let flags = if self.unfinished { Self::VALID | Self::UNFINISHED } else { Self::VALID };
        flags | Self::tag(position) | self.len as u64
    }

    /// `None`: no frame yet.
    fn parse(word: u64, position: u64, ring: u64) -> Result<Option<Self>, Broken> {
        if word == 0 {
            return Ok(None);
        }
        let len = (word & 0xffff_ffff) as usize;
        let header = Self { len, unfinished: word & Self::UNFINISHED != 0 };
        let possible = len > 0 && len <= MAX_FRAME && lines(len) < ring && header.word(position) == word;
        if possible { Ok(Some(header)) } else { Err(Broken::Header(word)) }
    }
}

/// Lines that a frame of `len` bytes takes.
const fn lines(len: usize) -> u64 {
    (PREFIX + len).div_ceil(LINE) as u64
}
