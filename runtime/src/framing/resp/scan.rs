//! [`Scanner`]: finds the end of a RESP unit, resumably.

use hemi_queue::{Error, Result};

use super::malformed;
use crate::framing::{DEFAULT_UNIT_LIMIT, Input};

/// What a peer may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespLimits {
    /// Bytes of one unit. Default: 16 MiB.
    pub unit: usize,
    /// Elements of one unit, those of nested aggregates included. Default: 65,536. An element takes a few bytes on the wire
    /// and 64 in memory, so this is what bounds memory for units of many small elements.
    pub elements: u64,
    /// Aggregates within aggregates. Default: 64.
    pub depth: usize,
}

impl Default for RespLimits {
    fn default() -> Self {
        Self { unit: DEFAULT_UNIT_LIMIT, elements: 65_536, depth: 64 }
    }
}

/// A length or count is at most this long with its type byte: a sign and the digits of an `i64`.
const LENGTH_LINE: usize = 22;

/// Whether a unit may be any value or must be a command: one array of bulk strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    Values,
    Commands,
}

/// Where the unit at the front of an input ends. Looks at each byte once; what it has seen it need not see again.
#[derive(Debug)]
pub(super) struct Scanner {
    pub(super) limits: RespLimits,
    grammar: Grammar,
    /// Offset of the next element's type byte.
    at: usize,
    /// That byte, once it was seen and found allowed.
    kind: Option<u8>,
    /// No newline lies between `at` and here.
    scanned: usize,
    /// Payload of a bulk string that ends, with its CRLF, here.
    bulk_end: Option<usize>,
    elements: u64,
    open: Vec<Open>,
}

/// An aggregate that is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// This many elements are missing.
    Missing(u64),
    /// A streamed aggregate: elements until a `.`; `odd` counts them modulo two for maps.
    Streamed { map: bool, odd: bool },
    /// A streamed string: `;` chunks until an empty one.
    Chunks,
}

impl Scanner {
    pub(super) fn new(grammar: Grammar) -> Self {
        Self {
            limits: RespLimits::default(),
            grammar,
            at: 0,
            kind: None,
            scanned: 0,
            bulk_end: None,
            elements: 0,
            open: Vec::new(),
        }
    }

    /// The length of the first unit of `input`, when it is complete; the next call looks for the unit behind it.
    pub(super) fn scan(&mut self, input: &Input) -> Result<Option<usize>> {
        loop {
            let element_ended = if let Some(end) = self.bulk_end {
                let Some(end_of_line) = input.array(end - 2) else { return Ok(None) };
                if end_of_line != *b"\r\n" {
                    return Err(malformed("a bulk string is not followed by CR LF where its length says"));
                }
                self.bulk_end = None;
                self.go_to(end);
                self.open.last() != Some(&Open::Chunks)
            } else {
                let Some(kind) = self.next_kind(input)? else { return Ok(None) };
                let Some(newline) = input.find(b'\n', self.scanned) else {
                    return self.incomplete_line(kind, input.len());
                };
                self.element(kind, input, newline)?
            };
            if element_ended && self.close_aggregates() {
                let end = self.at;
                self.restart();
                return Ok(Some(end));
            }
        }
    }

    /// The type byte of the next element. Looked up once: going back to it for every segment would be quadratic.
    fn next_kind(&mut self, input: &Input) -> Result<Option<u8>> {
        if self.kind.is_none()
            && let Some(kind) = input.get(self.at)
        {
            self.check_kind(kind)?;
            self.kind = Some(kind);
        }
        Ok(self.kind)
    }

    fn restart(&mut self) {
        (self.at, self.scanned, self.elements) = (0, 0, 0);
    }

    fn go_to(&mut self, at: usize) {
        (self.at, self.scanned, self.kind) = (at, at, None);
    }

    fn incomplete_line(&mut self, kind: u8, len: usize) -> Result<Option<usize>> {
        self.scanned = len;
        if !is_text(kind) && len - self.at > LENGTH_LINE {
            return Err(malformed("a length has too many digits"));
        }
        self.check_size(len as u64)?;
        Ok(None)
    }

    /// Refuse what cannot stand here as soon as its first byte is there.
    fn check_kind(&self, kind: u8) -> Result<()> {
        match (self.open.last(), kind) {
            (Some(Open::Chunks), b';') | (Some(Open::Streamed { .. }), b'.') => return Ok(()),
            (Some(Open::Chunks), _) => {
                return Err(malformed("a streamed string must go on with `;`"));
            }
            _ => {}
        }
        match self.grammar {
            Grammar::Commands if self.open.is_empty() && kind != b'*' => {
                Err(malformed("a command must be an array, `*`"))
            }
            Grammar::Commands if !self.open.is_empty() && kind != b'$' => {
                Err(malformed("the elements of a command must be bulk strings, `$`"))
            }
            _ if b"+-:_#,($=!*~>%|".contains(&kind) => Ok(()),
            _ => Err(malformed("unknown type byte")),
        }
    }

    /// The line of an element ends at `newline`. Whether that completes the element.
    fn element(&mut self, kind: u8, input: &Input, newline: usize) -> Result<bool> {
        let text_at = self.at + 1;
        if newline == text_at || input.get(newline - 1) != Some(b'\r') {
            return Err(malformed("a line must end with CR LF"));
        }
        let end = newline + 1;
        self.check_size(end as u64)?;
        if is_text(kind) {
            self.go_to(end);
            return Ok(true);
        }
        if kind == b'.' {
            return self.end_of_stream(newline - 1 - text_at, end);
        }
        let length = read_length(input, text_at, newline - 1)?;
        self.go_to(end);
        match (kind, length) {
            (b'$' | b'*', Length::Null) if self.grammar == Grammar::Values => Ok(true),
            // A command of no arguments, which Redis ignores.
            (b'*', Length::Null) => Ok(true),
            (_, Length::Null) => Err(malformed("a negative length")),
            (b';', Length::Known(0)) => {
                self.open.pop();
                Ok(true)
            }
            (b'$' | b'=' | b'!' | b';', Length::Known(n)) => {
                self.payload(end, n)?;
                Ok(false)
            }
            (_, Length::Known(n)) => self.aggregate(kind, n),
            _ if self.grammar == Grammar::Commands => Err(malformed("a command must not be streamed")),
            (b'$', Length::Streamed) => self.open(Open::Chunks),
            (b'*' | b'~' | b'>' | b'%', Length::Streamed) => {
                self.open(Open::Streamed { map: kind == b'%', odd: false })
            }
            (_, Length::Streamed) => Err(malformed("this type cannot be streamed")),
        }
    }

    fn payload(&mut self, at: usize, len: u64) -> Result<()> {
        let end = (at as u64).saturating_add(len).saturating_add(2);
        self.check_size(end)?;
        self.bulk_end = Some(end as usize);
        Ok(())
    }

    fn aggregate(&mut self, kind: u8, n: u64) -> Result<bool> {
        let elements = match kind {
            b'%' => n.saturating_mul(2),
            // An attribute is its pairs and the value that it belongs to.
            b'|' => n.saturating_mul(2).saturating_add(1),
            _ => n,
        };
        self.count(elements)?;
        if elements == 0 {
            return Ok(true);
        }
        self.open(Open::Missing(elements))
    }

    fn open(&mut self, aggregate: Open) -> Result<bool> {
        if self.open.len() >= self.limits.depth {
            return Err(malformed("values are nested too deeply"));
        }
        self.open.push(aggregate);
        Ok(false)
    }

    fn end_of_stream(&mut self, text: usize, end: usize) -> Result<bool> {
        if text != 0 {
            return Err(malformed("nothing may follow the `.` of a streamed aggregate"));
        }
        if self.open.pop() == Some(Open::Streamed { map: true, odd: true }) {
            return Err(malformed("a streamed map ends with a key that has no value"));
        }
        self.go_to(end);
        Ok(true)
    }

    /// An element is complete: so may be the aggregates around it. Whether the unit is.
    fn close_aggregates(&mut self) -> bool {
        while let Some(top) = self.open.last_mut() {
            match top {
                Open::Missing(1) => {
                    self.open.pop();
                }
                Open::Missing(n) => {
                    *n -= 1;
                    return false;
                }
                Open::Streamed { odd, .. } => {
                    *odd = !*odd;
                    // Counted one by one; the error comes with the next element.
                    self.elements = self.elements.saturating_add(1);
                    return false;
                }
                Open::Chunks => return false,
            }
        }
        true
    }

    fn count(&mut self, more: u64) -> Result<()> {
        self.elements = self.elements.saturating_add(more);
        if self.elements > self.limits.elements {
            return Err(malformed("a unit has too many elements"));
        }
        Ok(())
    }

    fn check_size(&mut self, end: u64) -> Result<()> {
        if end > self.limits.unit as u64 {
            return Err(Error::UnitTooLarge { got: end, limit: self.limits.unit as u64 });
        }
        // Elements of streamed aggregates are counted as they come.
        self.count(0)
    }
}

/// The element is its line; any other type's line is a length.
fn is_text(kind: u8) -> bool {
    matches!(kind, b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(')
}

/// What stands behind the type byte of a bulk string or an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Known(u64),
    Null,
    Streamed,
}

/// The length written in `input[from..to]`.
pub(super) fn read_length(input: &Input, from: usize, to: usize) -> Result<Length> {
    let mut text = [0; LENGTH_LINE];
    let Some(text) = text.get_mut(..to.saturating_sub(from)) else {
        return Err(malformed("a length has too many digits"));
    };
    for (i, byte) in text.iter_mut().enumerate() {
        *byte = input.get(from + i).unwrap_or_default();
    }
    match &*text {
        b"-1" => Ok(Length::Null),
        b"?" => Ok(Length::Streamed),
        digits => {
            if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
                return Err(malformed("a length must be a decimal number"));
            }
            Ok(Length::Known(digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0'))))
        }
    }
}
