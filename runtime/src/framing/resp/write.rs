//! From values to bytes.

use std::io::Write;

use hemi_queue::{Result, Sga};

use super::{RespVersion, Value, malformed};
use crate::framing::Room;

/// Payloads up to this size are copied next to their header: one buffer fewer is worth more than the copy.
const COPY_UP_TO: usize = 256;

pub(super) struct Writer<'r> {
    pub(super) version: RespVersion,
    pub(super) room: &'r mut Room,
    pub(super) wire: Sga,
}

impl Writer<'_> {
    pub(super) fn value(&mut self, value: &Value) -> Result<()> {
        let old = self.version == RespVersion::Resp2;
        match value {
            Value::Simple(text) => self.line(b'+', text)?,
            Value::Error(text) => self.line(b'-', text)?,
            Value::Integer(n) => self.header(b':', n),
            Value::Bulk(bytes) => self.bulk(b'$', bytes),
            Value::Array(values) => self.values(b'*', values)?,
            Value::Null if old => self.text(b"$-1\r\n"),
            Value::Null => self.text(b"_\r\n"),
            Value::Boolean(b) if old => self.header(b':', i64::from(*b)),
            Value::Boolean(b) => self.text(if *b { b"#t\r\n" } else { b"#f\r\n" }),
            Value::Double(x) => self.double(*x),
            Value::BigNumber(digits) if old => self.bulk(b'$', digits),
            Value::BigNumber(digits) => self.line(b'(', digits)?,
            Value::BulkError(text) if old => self.line(b'-', text)?,
            Value::BulkError(text) => self.bulk(b'!', text),
            Value::Verbatim { text, .. } if old => self.bulk(b'$', text),
            Value::Verbatim { format, text } => {
                self.header(b'=', text.len() + 4);
                self.text(format);
                self.text(b":");
                self.payload(text);
            }
            Value::Map(pairs) if old => {
                self.header(b'*', pairs.len() * 2);
                self.pairs(pairs)?;
            }
            Value::Map(pairs) => {
                self.header(b'%', pairs.len());
                self.pairs(pairs)?;
            }
            Value::Set(values) => self.values(if old { b'*' } else { b'~' }, values)?,
            Value::Push(values) => self.values(if old { b'*' } else { b'>' }, values)?,
            Value::Attribute(inner) => {
                let (attributes, value) = &**inner;
                if !old {
                    self.header(b'|', attributes.len());
                    self.pairs(attributes)?;
                }
                self.value(value)?;
            }
        }
        Ok(())
    }

    pub(super) fn header(&mut self, kind: u8, n: impl std::fmt::Display) {
        let mut line = [0; 40];
        let mut spare = &mut line[..];
        // 40 bytes hold a type byte, the 20 characters of any 64-bit number, and CR LF.
        let _ = write!(spare, "{}{n}\r\n", char::from(kind));
        let used = 40 - spare.len();
        self.text(&line[..used]);
    }

    pub(super) fn bulk(&mut self, kind: u8, bytes: &Sga) {
        self.header(kind, bytes.len());
        self.payload(bytes);
    }

    fn values(&mut self, kind: u8, values: &[Value]) -> Result<()> {
        self.header(kind, values.len());
        values.iter().try_for_each(|v| self.value(v))
    }

    fn pairs(&mut self, pairs: &[(Value, Value)]) -> Result<()> {
        pairs.iter().try_for_each(|(k, v)| {
            self.value(k)?;
            self.value(v)
        })
    }

    fn double(&mut self, x: f64) {
        // The shortest text that reads back as the same number, in the notation that is shorter.
        let plain = x == 0.0 || (1e-5..1e17).contains(&x.abs());
        let text = match x {
            _ if x.is_nan() => "nan".to_owned(),
            _ if x.is_infinite() => if x > 0.0 { "inf" } else { "-inf" }.to_owned(),
            _ if plain => format!("{x}"),
            _ => format!("{x:e}"),
        };
        if self.version == RespVersion::Resp2 {
            self.bulk(b'$', &text.into());
        } else {
            self.text(b",");
            self.text(text.as_bytes());
            self.text(b"\r\n");
        }
    }

    fn line(&mut self, kind: u8, text: &Sga) -> Result<()> {
        if text.iter().any(|buf| memchr::memchr2(b'\r', b'\n', buf).is_some()) {
            return Err(malformed("a simple string or error must not contain CR or LF; use a bulk string"));
        }
        self.text(&[kind]);
        self.payload(text);
        Ok(())
    }

    fn payload(&mut self, bytes: &Sga) {
        for buf in bytes {
            if buf.len() <= COPY_UP_TO {
                self.text(buf);
            } else {
                self.wire.push(buf.clone());
            }
        }
        self.text(b"\r\n");
    }

    fn text(&mut self, bytes: &[u8]) {
        self.room.put(&mut self.wire, bytes);
    }
}
