//! From complete bytes to values.
//!
//! Called only when the [`Scanner`](super::scan::Scanner) has found a whole unit: counts are then proven by the bytes behind
//! them, and depth is bounded, so recursion and reservations are safe. What the scanner left unchecked (the text
//! of numbers) is checked here.

use hemi_queue::{Result, Sga};

use super::{
    Value, malformed,
    scan::{Length, read_length},
};
use crate::framing::Input;

/// Take the value at the front of `input`.
pub(super) fn value(input: &mut Input) -> Result<Value> {
    let kind = take_kind(input)?;
    Ok(match kind {
        b'+' => Value::Simple(line(input)?),
        b'-' => Value::Error(line(input)?),
        b':' => Value::Integer(number(&line(input)?).ok_or_else(|| malformed("an integer out of range"))?),
        b'_' if line(input)?.is_empty() => Value::Null,
        b'#' => match line(input)?.to_vec().as_slice() {
            b"t" => Value::Boolean(true),
            b"f" => Value::Boolean(false),
            _ => return Err(malformed("a boolean must be `t` or `f`")),
        },
        b',' => Value::Double(double(&line(input)?).ok_or_else(|| malformed("a double that is no number"))?),
        b'(' => Value::BigNumber(big_number(line(input)?)?),
        b'$' => match length(input)? {
            Length::Known(n) => Value::Bulk(payload(input, n)?),
            Length::Null => Value::Null,
            Length::Streamed => Value::Bulk(chunks(input)?),
        },
        b'!' => match length(input)? {
            Length::Known(n) => Value::BulkError(payload(input, n)?),
            _ => return Err(malformed("an error without a length")),
        },
        b'=' => match length(input)? {
            Length::Known(n) => verbatim(payload(input, n)?)?,
            _ => return Err(malformed("a verbatim string without a length")),
        },
        b'*' | b'~' | b'>' => match (kind, length(input)?) {
            (b'*', Length::Null) => Value::Null,
            (b'*', n) => Value::Array(values(input, n)?),
            (b'~', n) => Value::Set(values(input, n)?),
            (_, n) => Value::Push(values(input, n)?),
        },
        b'%' => {
            let n = length(input)?;
            Value::Map(pairs(input, n)?)
        }
        b'|' => {
            let n = length(input)?;
            let attributes = pairs(input, n)?;
            Value::Attribute(Box::new((attributes, value(input)?)))
        }
        _ => return Err(malformed("a null must be empty")),
    })
}

fn take_kind(input: &mut Input) -> Result<u8> {
    let kind = input.get(0).ok_or_else(|| malformed("a value is missing"))?;
    input.advance(1);
    Ok(kind)
}

/// The text up to CR LF.
fn line(input: &mut Input) -> Result<Sga> {
    let newline = input.find(b'\n', 0).filter(|&at| at > 0 && input.get(at - 1) == Some(b'\r'));
    let Some(text) = newline.and_then(|at| input.take(at - 1)) else {
        return Err(malformed("a line must end with CR LF"));
    };
    input.advance(2);
    if text.iter().any(|buf| buf.contains(&b'\r')) {
        return Err(malformed("a carriage return inside a line"));
    }
    Ok(text)
}

/// The length that ends at CR LF.
pub(super) fn length(input: &mut Input) -> Result<Length> {
    let newline = input.find(b'\n', 0).filter(|&at| at > 0);
    let newline = newline.ok_or_else(|| malformed("a length is missing"))?;
    let length = read_length(input, 0, newline - 1)?;
    input.advance(newline + 1);
    Ok(length)
}

/// `n` bytes and the CR LF behind them.
pub(super) fn payload(input: &mut Input, n: u64) -> Result<Sga> {
    let bytes = input.take(n as usize).ok_or_else(|| malformed("a bulk string is cut off"))?;
    input.advance(2);
    Ok(bytes)
}

fn chunks(input: &mut Input) -> Result<Sga> {
    let mut whole = Sga::new();
    loop {
        take_kind(input)?;
        match length(input)? {
            Length::Known(0) => return Ok(whole),
            Length::Known(n) => whole.append(payload(input, n)?),
            _ => return Err(malformed("a chunk without a length")),
        }
    }
}

fn values(input: &mut Input, length: Length) -> Result<Vec<Value>> {
    let Length::Known(n) = length else {
        let mut values = Vec::new();
        while !end_of_stream(input) {
            values.push(value(input)?);
        }
        return Ok(values);
    };
    (0..n).map(|_| value(input)).collect()
}

fn pairs(input: &mut Input, length: Length) -> Result<Vec<(Value, Value)>> {
    let Length::Known(n) = length else {
        let mut pairs = Vec::new();
        while !end_of_stream(input) {
            pairs.push((value(input)?, value(input)?));
        }
        return Ok(pairs);
    };
    (0..n).map(|_| Ok((value(input)?, value(input)?))).collect()
}

/// Take the `.` that ends a streamed aggregate, if it is there.
fn end_of_stream(input: &mut Input) -> bool {
    let ended = input.get(0) == Some(b'.');
    if ended {
        input.advance(3);
    }
    ended
}

fn verbatim(mut bytes: Sga) -> Result<Value> {
    let mut head = [0; 4];
    if bytes.copy_to(&mut head) < 4 || head[3] != b':' {
        return Err(malformed("a verbatim string must begin with a format of three characters and a `:`"));
    }
    bytes.advance(4);
    Ok(Value::Verbatim { format: [head[0], head[1], head[2]], text: bytes })
}

/// The text of a number, on the stack; `None` when it is longer than any number that fits.
fn short<const N: usize>(text: &Sga, room: &mut [u8; N]) -> Option<usize> {
    (text.len() <= N).then(|| text.copy_to(room))
}

fn number(text: &Sga) -> Option<i64> {
    let mut room = [0; 24];
    let n = short(text, &mut room)?;
    std::str::from_utf8(&room[..n]).ok()?.parse().ok()
}

fn double(text: &Sga) -> Option<f64> {
    let mut room = [0; 512];
    let n = short(text, &mut room)?;
    match &room[..n] {
        b"inf" | b"+inf" => Some(f64::INFINITY),
        b"-inf" => Some(f64::NEG_INFINITY),
        b"nan" | b"-nan" => Some(f64::NAN),
        digits if digits.iter().all(|b| b"0123456789+-.eE".contains(b)) => {
            std::str::from_utf8(digits).ok()?.parse().ok()
        }
        _ => None,
    }
}

fn big_number(text: Sga) -> Result<Sga> {
    let mut bytes = text.iter().flat_map(|buf| buf.iter());
    let signed = text.first().is_some_and(|b| matches!(b.first(), Some(b'+' | b'-')));
    if signed {
        bytes.next();
    }
    if text.len() == usize::from(signed) || !bytes.all(u8::is_ascii_digit) {
        return Err(malformed("a big number must be decimal digits"));
    }
    Ok(text)
}
