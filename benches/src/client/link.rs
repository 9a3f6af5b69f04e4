//! One connection of the client.

use std::ops::Range;
use std::os::fd::AsFd;

use crate::error::Error;
use crate::payload::Payload;

/// Numbered messages out, the same numbers back.
pub(super) trait Link: AsFd {
    /// Allows one more message, the next number, to be sent.
    fn offer(&mut self);

    /// Sends what was offered, as far as the socket takes it; false if something is left.
    fn flush(&mut self, payload: &Payload) -> Result<bool, Error>;

    /// Takes what has arrived, at most one buffer of it, checks it byte for byte, and reports the
    /// numbers of the messages that are now whole.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        payload: &Payload,
        whole: &mut dyn FnMut(Range<u64>),
    ) -> Result<(), Error>;
}
