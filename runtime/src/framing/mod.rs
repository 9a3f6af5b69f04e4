//! Framing: application units over a byte stream.
//!
//! A byte stream arrives in whatever pieces the network made of it. A *framed* queue pops whole application units and
//! nothing less (HotOS '19), so its owner never parses half a request.
//!
//! ```text
//!   segments ─► Input (bounded, compacting) ─► Decoder::decode ─► whole units
//!   units ─► Encoder::encode (+ Room for headers) ─► one Sga per unit
//! ```
//!
//! * [`Decoder`] and [`Encoder`] are sans-IO: bytes in, units out. [`LengthPrefix`] is what two hemi programs speak,
//!   [`Lines`] what people and text protocols speak, [`resp`] what Redis clients and servers speak.
//! * [`Framed`] puts a codec on any byte queue and is a [`Pop`](hemi_queue::Pop) and [`Push`](hemi_queue::Push) again.
//! * Nothing is copied to make a unit: it is slices of the buffers that arrived, an [`Sga`] when it spans several. Only
//!   an incomplete unit that would pin much more memory than it has bytes is compacted ([`Input`]).
//! * Every unit has a limit, checked on the announced length before the unit is buffered. Over it, the decoder answers an
//!   error, the peer is told ([`Decoder::refusal`]), and the queue is finished.
//!
//! This module deliberately knows nothing of sockets, and it does not compress, encrypt or resynchronise: after
//! malformed input a stream is over.

mod assembly;
mod framed;
mod input;
mod length_prefix;
mod lines;
pub mod resp;
mod room;
#[cfg(test)]
mod tests;

use hemi_queue::{Error, Result, Sga};

pub use framed::{Framed, FramedParts};
pub use input::Input;
pub use length_prefix::LengthPrefix;
pub use lines::Lines;
pub use room::Room;

/// The limit of a unit's size in bytes where none was given, with every framing and on every [`Conn`](crate::Conn): 16 MiB.
pub const DEFAULT_UNIT_LIMIT: usize = 16 << 20;

/// Finds whole units in arriving bytes.
///
/// # How it is driven
/// Whenever bytes were added to `input`, call [`decode`](Self::decode) until it answers `None`: it takes the bytes of one
/// unit out of `input` per call and leaves an incomplete unit where it is. When the stream has ended call
/// [`finish`](Self::finish), again until it answers `None`. After an error the stream is over; what
/// [`refusal`](Self::refusal) gives is sent to the peer before closing.
///
/// On a [`Framed`] queue it runs in the reactor's turn while a pop waits: it should do what is in proportion to the bytes.
/// A panic of it arrives at the task that pops.
///
/// A decoder that remembers how far it has looked must expect that `input` only grows between two calls.
///
/// ```
/// use hemi::framing::{Decoder, Input};
/// use hemi_queue::{Buf, Error, Result};
///
/// /// Units of exactly eight bytes.
/// struct Records;
///
/// impl Decoder for Records {
///     type Unit = u64;
///     fn decode(&mut self, input: &mut Input) -> Result<Option<u64>> {
///         let Some(bytes) = input.array(0) else { return Ok(None) };
///         input.advance(8);
///         Ok(Some(u64::from_be_bytes(bytes)))
///     }
/// }
///
/// let mut input = Input::new();
/// input.push(Buf::from(&[0, 0, 0, 0, 0]));
/// assert_eq!(Records.decode(&mut input)?, None);
/// input.push(Buf::from(&[0, 0, 7, 0xff]));
/// assert_eq!(Records.decode(&mut input)?, Some(7));
/// assert!(matches!(Records.finish(&mut input), Err(Error::Truncated { have: 1, .. })));
/// # Ok::<(), Error>(())
/// ```
pub trait Decoder {
    /// A whole unit.
    type Unit;

    /// Take the next unit out of `input`, or `None` when it is not complete yet.
    fn decode(&mut self, input: &mut Input) -> Result<Option<Self::Unit>>;

    /// The stream has ended: the units that are left, then `None`. Bytes that make no unit are
    /// [`Error::Truncated`]; a decoder whose last unit needs no terminator overrides this.
    fn finish(&mut self, input: &mut Input) -> Result<Option<Self::Unit>> {
        match self.decode(input)? {
            Some(unit) => Ok(Some(unit)),
            None if input.is_empty() => Ok(None),
            None => Err(Error::Truncated { have: input.len() as u64, want: 0 }),
        }
    }

    /// What to tell the peer, in its own protocol, before the queue is closed because of `error`. Default: nothing.
    fn refusal(&mut self, error: &Error) -> Option<Sga> {
        let _ = error;
        None
    }
}

/// Turns units into the bytes that go over the stream.
pub trait Encoder {
    /// A whole unit.
    type Unit;

    /// The bytes of `unit`: its own buffers (counted, not copied) with whatever the framing adds, for which `room` has
    /// memory. An error leaves the stream as it was: nothing of the unit was sent.
    fn encode(&mut self, unit: &Self::Unit, room: &mut Room) -> Result<Sga>;
}
