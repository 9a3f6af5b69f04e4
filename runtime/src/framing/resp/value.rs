//! [`Value`]: any RESP value.

use hemi_queue::Sga;

/// The protocol version that values are encoded for. A connection begins with 2; `HELLO 3` changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RespVersion {
    /// RESP2. Types of RESP3 are encoded as Redis does for old clients: maps as flat arrays, booleans as integers, doubles and
    /// big numbers as bulk strings.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// A RESP value, of either version. Strings are slices of the buffers they arrived in.
///
/// ```
/// use hemi::framing::{Decoder, Encoder, Input, Room};
/// use hemi::framing::resp::{RespClient, RespServer, Value};
///
/// let reply = Value::Array(vec![Value::bulk("a"), Value::Integer(-7), Value::Null]);
/// let wire = RespServer::new().encode(&reply, &mut Room::new())?;
/// assert_eq!(wire.to_vec(), b"*3\r\n$1\r\na\r\n:-7\r\n$-1\r\n");
///
/// let mut input = Input::new();
/// input.extend(wire);
/// assert_eq!(RespClient::new().decode(&mut input)?, Some(reply));
/// # Ok::<(), hemi_queue::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`: a short text without line ends.
    Simple(Sga),
    /// `-ERR ...`: an error, a text without line ends.
    Error(Sga),
    /// `:1000`.
    Integer(i64),
    /// `$5 hello`: any bytes; `$?` when it was streamed in chunks.
    Bulk(Sga),
    /// `*2 ...`.
    Array(Vec<Value>),
    /// `_`, or `$-1` or `*-1` of RESP2.
    Null,
    /// `#t` or `#f` (RESP3).
    Boolean(bool),
    /// `,1.5` (RESP3).
    Double(f64),
    /// `(349...`: an integer of any size, as its digits (RESP3).
    BigNumber(Sga),
    /// `!21 SYNTAX ...`: an error of any bytes (RESP3).
    BulkError(Sga),
    /// `=15 txt:...`: a text and its format (RESP3).
    Verbatim {
        /// Three characters: `txt`, `mkd`.
        format: [u8; 3],
        /// The text.
        text: Sga,
    },
    /// `%2 ...`: pairs in the order they came (RESP3).
    Map(Vec<(Value, Value)>),
    /// `~2 ...` (RESP3). Duplicates are kept.
    Set(Vec<Value>),
    /// `>2 ...`: not a reply but a message of its own accord (RESP3).
    Push(Vec<Value>),
    /// `|1 ...`: pairs about the value that follows, and that value (RESP3).
    Attribute(Box<(Vec<(Value, Value)>, Value)>),
}

impl Value {
    /// `+OK`.
    pub fn ok() -> Self {
        Self::Simple("OK".into())
    }

    /// A bulk string.
    pub fn bulk(bytes: impl Into<Sga>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// An error; by convention the text begins with a word in capitals.
    pub fn error(text: impl Into<Sga>) -> Self {
        Self::Error(text.into())
    }

    /// The bytes, if this is a string of any kind.
    pub fn bytes(&self) -> Option<&Sga> {
        match self {
            Self::Simple(b) | Self::Bulk(b) | Self::BigNumber(b) => Some(b),
            Self::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The text, if this is an error of either kind.
    pub fn as_error(&self) -> Option<&Sga> {
        match self {
            Self::Error(text) | Self::BulkError(text) => Some(text),
            _ => None,
        }
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Integer(n)
    }
}

impl From<Sga> for Value {
    fn from(bytes: Sga) -> Self {
        Self::Bulk(bytes)
    }
}

/// `None` is [`Value::Null`].
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}
