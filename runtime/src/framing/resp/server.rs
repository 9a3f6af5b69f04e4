//! [`RespServer`]: the server's side of RESP.

use hemi_queue::{Error, Result, Sga};

use super::{
    Request, RespLimits, RespVersion, Value, malformed, parse,
    request::split_inline,
    scan::{Grammar, Length, Scanner},
    write::Writer,
};
use crate::framing::{Decoder, Encoder, Input, Room};

/// An inline command is at most this long (as in Redis).
const INLINE_LIMIT: usize = 64 << 10;

/// Decodes [`Request`]s, encodes [`Value`]s.
///
/// A request is an array of bulk strings, or an inline command: a line of words, as a person types it with `nc`.
/// Empty lines and empty arrays are skipped, as Redis does. On malformed or oversized input the
/// client is told `-ERR Protocol error: ...` before the connection closes.
///
/// ```
/// use hemi::framing::{Decoder, Input, resp::{Request, RespServer}};
/// use hemi_queue::Buf;
///
/// let mut server = RespServer::new();
/// let mut input = Input::new();
/// input.push(Buf::from("*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING \"a b\"\r\n"));
/// assert_eq!(server.decode(&mut input)?, Some(Request::from_iter(["GET", "k"])));
/// assert_eq!(server.decode(&mut input)?, Some(Request::from_iter(["PING", "a b"])));
/// # Ok::<(), hemi_queue::Error>(())
/// ```
#[derive(Debug)]
pub struct RespServer {
    scanner: Scanner,
    /// Bytes of an inline command that are known to have no newline.
    scanned: usize,
    version: RespVersion,
}

impl Default for RespServer {
    fn default() -> Self {
        Self { scanner: Scanner::new(Grammar::Commands), scanned: 0, version: RespVersion::Resp2 }
    }
}

impl RespServer {
    /// The default limits, replies in RESP2.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other limits.
    pub fn with_limits(mut self, limits: RespLimits) -> Self {
        self.scanner.limits = limits;
        self
    }

    /// Encode the following replies for `version` (the client said `HELLO`).
    pub fn set_version(&mut self, version: RespVersion) {
        self.version = version;
    }

    fn array(&mut self, input: &mut Input) -> Result<Option<Request>> {
        if self.scanner.scan(input)?.is_none() {
            return Ok(None);
        }
        input.advance(1);
        let n = match parse::length(input)? {
            Length::Known(n) => n,
            _ => 0,
        };
        let mut request = Request::with_capacity(n as usize);
        for _ in 0..n {
            input.advance(1);
            let Length::Known(len) = parse::length(input)? else {
                return Err(malformed("an argument without a length"));
            };
            request.push(parse::payload(input, len)?);
        }
        Ok(Some(request))
    }

    fn inline(&mut self, input: &mut Input) -> Result<Option<Request>> {
        let limit = INLINE_LIMIT.min(self.scanner.limits.unit);
        let newline = input.find(b'\n', self.scanned);
        if newline.unwrap_or(input.len()) > limit {
            return Err(malformed("an inline command is too long"));
        }
        let Some(newline) = newline else {
            self.scanned = input.len();
            return Ok(None);
        };
        self.scanned = 0;
        let line = input.take(newline).unwrap_or_default();
        input.advance(1);
        split_inline(&line.to_vec()).map(Some)
    }
}

impl Decoder for RespServer {
    type Unit = Request;

    fn decode(&mut self, input: &mut Input) -> Result<Option<Request>> {
        loop {
            let request = match input.get(0) {
                None => return Ok(None),
                Some(b'*') => self.array(input)?,
                Some(_) => self.inline(input)?,
            };
            match request {
                Some(request) if request.words().is_empty() => {}
                other => return Ok(other),
            }
        }
    }

    fn refusal(&mut self, error: &Error) -> Option<Sga> {
        let why = match error {
            Error::Malformed(malformed) => malformed.why.to_owned(),
            Error::UnitTooLarge { limit, .. } => format!("a request is over the limit of {limit} bytes"),
            _ => return None,
        };
        Some(format!("-ERR Protocol error: {why}\r\n").into())
    }
}

impl Encoder for RespServer {
    type Unit = Value;

    fn encode(&mut self, unit: &Value, room: &mut Room) -> Result<Sga> {
        let mut writer = Writer { version: self.version, room, wire: Sga::new() };
        writer.value(unit)?;
        Ok(writer.wire)
    }
}
