//! [`RespClient`]: the client's side of RESP.

use hemi_queue::{Result, Sga};

use super::{
    Request, RespLimits, RespVersion, Value, malformed, parse,
    scan::{Grammar, Scanner},
    write::Writer,
};
use crate::framing::{Decoder, Encoder, Input, Room};

/// Decodes [`Value`]s of both versions, encodes [`Request`]s.
///
/// Replies come in the order of the requests; [`Value::Push`] messages come between them.
///
/// ```
/// use hemi::framing::{Encoder, Room, resp::{Request, RespClient}};
/// let wire = RespClient::new().encode(&Request::from_iter(["GET", "k"]), &mut Room::new())?;
/// assert_eq!(wire.to_vec(), b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
/// # Ok::<(), hemi_queue::Error>(())
/// ```
#[derive(Debug)]
pub struct RespClient {
    scanner: Scanner,
}

impl Default for RespClient {
    fn default() -> Self {
        Self { scanner: Scanner::new(Grammar::Values) }
    }
}

impl RespClient {
    /// The default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other limits.
    pub fn with_limits(mut self, limits: RespLimits) -> Self {
        self.scanner.limits = limits;
        self
    }
}

impl Decoder for RespClient {
    type Unit = Value;

    fn decode(&mut self, input: &mut Input) -> Result<Option<Value>> {
        match self.scanner.scan(input)? {
            Some(_) => parse::value(input).map(Some),
            None => Ok(None),
        }
    }
}

impl Encoder for RespClient {
    type Unit = Request;

    fn encode(&mut self, unit: &Request, room: &mut Room) -> Result<Sga> {
        if unit.words().is_empty() {
            return Err(malformed("a request needs a command; an empty one would get no reply"));
        }
        let mut writer = Writer { version: RespVersion::Resp2, room, wire: Sga::new() };
        writer.header(b'*', unit.words().len());
        for word in unit.words() {
            writer.bulk(b'$', word);
        }
        Ok(writer.wire)
    }
}
