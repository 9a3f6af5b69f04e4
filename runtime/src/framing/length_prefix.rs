//! [`LengthPrefix`]: what two hemi programs speak over a byte stream.

use hemi_queue::{Error, Result, Sga};

use super::{DEFAULT_UNIT_LIMIT, Decoder, Encoder, Input, Room};

/// The length word that announces a refusal, not a unit.
const REFUSED: u32 = u32::MAX;
/// A refusal on the wire: the word, the length that was refused, the limit.
const REFUSAL_LEN: usize = 12;

/// Units behind a big-endian `u32` length.
///
/// ```text
///   unit:     | length: u32 | length bytes ... |          length <= the limit; 0 is an empty unit
///   refusal:  | 0xffff_ffff | refused length: u32 | limit: u32 |      and then the stream ends
/// ```
///
/// A side that is sent a length over its limit answers with a refusal and closes; the side that sent it then pops
/// [`Error::UnitTooLarge`] with its peer's limit, not a bare reset. The limit holds for what is pushed as well.
///
/// ```
/// use hemi::framing::{Decoder, Encoder, Input, LengthPrefix, Room};
/// use hemi_queue::Sga;
///
/// let mut codec = LengthPrefix::new();
/// let wire = codec.encode(&Sga::from("hello"), &mut Room::new())?;
/// assert_eq!(wire.to_vec(), b"\0\0\0\x05hello");
///
/// let mut input = Input::new();
/// input.extend(wire);
/// assert_eq!(codec.decode(&mut input)?, Some(Sga::from("hello")));
/// # Ok::<(), hemi_queue::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LengthPrefix {
    limit: u32,
}

impl Default for LengthPrefix {
    fn default() -> Self {
        Self::with_limit(DEFAULT_UNIT_LIMIT)
    }
}

impl LengthPrefix {
    /// Units of up to [`DEFAULT_UNIT_LIMIT`] bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Units of up to `limit` bytes (at most 2³² - 2).
    pub fn with_limit(limit: usize) -> Self {
        Self { limit: u32::try_from(limit).unwrap_or(REFUSED - 1).min(REFUSED - 1) }
    }

    /// The largest unit, in bytes.
    pub fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Whether [`decode`](Decoder::decode) has an answer: a unit or an error.
    #[inline]
    pub(crate) fn has_unit(&self, input: &Input) -> bool {
        match self.announced(input) {
            Ok(Some(length)) => input.len() >= 4 + length,
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// The length that the input announces, checked.
    fn announced(&self, input: &Input) -> Result<Option<usize>> {
        let Some(word) = input.array(0) else { return Ok(None) };
        let length = u32::from_be_bytes(word);
        if length == REFUSED {
            let (Some(got), Some(limit)) = (input.array(4), input.array(8)) else { return Ok(None) };
            let (got, limit) = (u32::from_be_bytes(got), u32::from_be_bytes(limit));
            return Err(Error::UnitTooLarge { got: got.into(), limit: limit.into() });
        }
        if length > self.limit {
            return Err(Error::UnitTooLarge { got: length.into(), limit: self.limit.into() });
        }
        Ok(Some(length as usize))
    }
}

impl Decoder for LengthPrefix {
    type Unit = Sga;

    #[inline]
    fn decode(&mut self, input: &mut Input) -> Result<Option<Sga>> {
        match self.announced(input)? {
            Some(length) if input.len() >= 4 + length => {
                input.advance(4);
                Ok(input.take(length))
            }
            _ => Ok(None),
        }
    }

    fn finish(&mut self, input: &mut Input) -> Result<Option<Sga>> {
        if let Some(unit) = self.decode(input)? {
            return Ok(Some(unit));
        }
        if input.is_empty() {
            return Ok(None);
        }
        let want = match (self.announced(input)?, input.array(0)) {
            (Some(length), _) => 4 + length,
            (None, Some(REFUSED_BYTES)) => REFUSAL_LEN,
            (None, _) => 4,
        };
        Err(Error::Truncated { have: input.len() as u64, want: want as u64 })
    }

    fn refusal(&mut self, error: &Error) -> Option<Sga> {
        let Error::UnitTooLarge { got, limit } = error else { return None };
        // Our own limit was broken; the peer's refusal of our unit gets no answer.
        if *limit != u64::from(self.limit) || *got <= *limit {
            return None;
        }
        let mut words = REFUSED_BYTES.to_vec();
        words.extend_from_slice(&u32::try_from(*got).unwrap_or(REFUSED).to_be_bytes());
        words.extend_from_slice(&self.limit.to_be_bytes());
        Some(words.into())
    }
}

const REFUSED_BYTES: [u8; 4] = REFUSED.to_be_bytes();

impl Encoder for LengthPrefix {
    type Unit = Sga;

    #[inline]
    fn encode(&mut self, unit: &Sga, room: &mut Room) -> Result<Sga> {
        let got = unit.len() as u64;
        if got > u64::from(self.limit) {
            return Err(Error::UnitTooLarge { got, limit: self.limit.into() });
        }
        let mut wire = Sga::from(room.copy(&(got as u32).to_be_bytes()));
        wire.extend(unit.iter().cloned());
        Ok(wire)
    }
}
