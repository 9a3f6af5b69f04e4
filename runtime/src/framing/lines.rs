//! [`Lines`]: one line of text, one unit.

use hemi_queue::{Error, Result, Sga};

use super::{DEFAULT_UNIT_LIMIT, Decoder, Encoder, Input, Room};

/// Units that end in a newline, which is not part of the unit; a carriage return before it is dropped too.
///
/// When the stream ends, bytes after the last newline are the last unit, as [`std::io::BufRead::lines`] has it.
/// Bytes are not checked to be UTF-8. A pushed unit that contains a newline is refused: it would arrive as two.
///
/// ```
/// use hemi::framing::{Decoder, Input, Lines};
/// use hemi_queue::{Buf, Sga};
///
/// let mut lines = Lines::new();
/// let mut input = Input::new();
/// input.push(Buf::from("one\r\ntw"));
/// assert_eq!(lines.decode(&mut input)?, Some(Sga::from("one")));
/// assert_eq!(lines.decode(&mut input)?, None);
/// input.push(Buf::from("o\nthree"));
/// assert_eq!(lines.decode(&mut input)?, Some(Sga::from("two")));
/// assert_eq!(lines.finish(&mut input)?, Some(Sga::from("three")));
/// # Ok::<(), hemi_queue::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    limit: usize,
    crlf: bool,
    /// Bytes of the input that are known to have no newline.
    scanned: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_limit(DEFAULT_UNIT_LIMIT)
    }
}

impl Lines {
    /// Lines of up to [`DEFAULT_UNIT_LIMIT`] bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lines of up to `limit` bytes, without their end.
    pub fn with_limit(limit: usize) -> Self {
        Self { limit, crlf: false, scanned: 0 }
    }

    /// End pushed lines with a carriage return and a newline, as internet protocols do, not with a newline only.
    pub fn crlf(mut self, crlf: bool) -> Self {
        self.crlf = crlf;
        self
    }

    fn too_large(&self, got: usize) -> Error {
        Error::UnitTooLarge { got: got as u64, limit: self.limit as u64 }
    }

    /// Take a line of `len` bytes and then `end` bytes of line end.
    fn take(&mut self, input: &mut Input, len: usize, end: usize) -> Result<Option<Sga>> {
        let cr = usize::from(len > 0 && input.get(len - 1) == Some(b'\r'));
        if len - cr > self.limit {
            return Err(self.too_large(len - cr));
        }
        self.scanned = 0;
        let line = input.take(len - cr);
        input.advance(cr + end);
        Ok(line)
    }
}

impl Decoder for Lines {
    type Unit = Sga;

    fn decode(&mut self, input: &mut Input) -> Result<Option<Sga>> {
        if let Some(len) = input.find(b'\n', self.scanned) {
            return self.take(input, len, 1);
        }
        self.scanned = input.len();
        // One byte more may be the carriage return.
        if self.scanned > self.limit.saturating_add(1) {
            return Err(self.too_large(self.scanned));
        }
        Ok(None)
    }

    fn finish(&mut self, input: &mut Input) -> Result<Option<Sga>> {
        match self.decode(input)? {
            None if !input.is_empty() => self.take(input, input.len(), 0),
            line => Ok(line),
        }
    }
}

impl Encoder for Lines {
    type Unit = Sga;

    fn encode(&mut self, unit: &Sga, room: &mut Room) -> Result<Sga> {
        let got = unit.len();
        if got > self.limit {
            return Err(self.too_large(got));
        }
        if unit.iter().any(|buf| memchr::memchr(b'\n', buf).is_some()) {
            return Err(Error::malformed("line", "a line must not contain a newline; push two"));
        }
        let mut wire = unit.clone();
        room.put(&mut wire, if self.crlf { b"\r\n" } else { b"\n" });
        Ok(wire)
    }
}
