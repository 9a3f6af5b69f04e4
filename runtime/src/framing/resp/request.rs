//! [`Request`]: a command and its arguments.

use hemi_queue::{Result, Sga};
use smallvec::SmallVec;

use super::malformed;

/// A command: its name and its arguments, slices of the buffers they arrived in. Up to four need no allocation.
///
/// ```
/// use hemi::framing::resp::Request;
/// let set = Request::from_iter(["SET", "key", "value"]);
/// assert!(set.is("set"));
/// assert_eq!(set.args().len(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    words: SmallVec<[Sga; 4]>,
}

impl Request {
    /// Whether it is the command `name`, in either case.
    pub fn is(&self, name: &str) -> bool {
        self.name().is_some_and(|word| {
            word.len() == name.len()
                && word
                    .iter()
                    .flat_map(|b| b.iter())
                    .zip(name.bytes())
                    .all(|(a, b)| a.eq_ignore_ascii_case(&b))
        })
    }

    /// The command's name; `None` only in a request that was made empty.
    pub fn name(&self) -> Option<&Sga> {
        self.words.first()
    }

    /// The arguments behind the name.
    pub fn args(&self) -> &[Sga] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The name and the arguments.
    pub fn words(&self) -> &[Sga] {
        &self.words
    }

    /// The name and the arguments.
    pub fn into_words(self) -> impl Iterator<Item = Sga> {
        self.words.into_iter()
    }

    pub(super) fn with_capacity(n: usize) -> Self {
        Self { words: SmallVec::with_capacity(n) }
    }

    pub(super) fn push(&mut self, word: Sga) {
        self.words.push(word);
    }
}

impl<T: Into<Sga>> FromIterator<T> for Request {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        Self { words: words.into_iter().map(Into::into).collect() }
    }
}

/// Split an inline command into words, as Redis does (`sdssplitargs`): blanks separate; `"..."` knows `\n \r \t \b \a
/// \xHH` and `\` before any character; `'...'` knows `\'`; a closing quote ends the word.
pub(super) fn split_inline(line: &[u8]) -> Result<Request> {
    let mut request = Request::default();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(request);
        }
        let mut word = Vec::new();
        rest = word_into(&mut word, rest)?;
        request.push(word.into());
    }
}

/// Take one word off the front of `line`; returns what follows.
fn word_into<'l>(word: &mut Vec<u8>, mut line: &'l [u8]) -> Result<&'l [u8]> {
    loop {
        match line {
            [] => return Ok(line),
            [b, ..] if b.is_ascii_whitespace() || *b == 0 => return Ok(&line[1..]),
            [quote @ (b'"' | b'\''), rest @ ..] => {
                let rest = quoted_into(word, *quote, rest)?;
                return match rest {
                    [] => Ok(rest),
                    [b, ..] if b.is_ascii_whitespace() => Ok(rest),
                    _ => Err(malformed("unbalanced quotes in an inline command")),
                };
            }
            [b, rest @ ..] => {
                word.push(*b);
                line = rest;
            }
        }
    }
}

/// Take the rest of a quoted word off the front of `line`, with its closing quote.
fn quoted_into<'l>(word: &mut Vec<u8>, quote: u8, mut line: &'l [u8]) -> Result<&'l [u8]> {
    loop {
        let (byte, rest) = match line {
            [] => return Err(malformed("unbalanced quotes in an inline command")),
            [b, rest @ ..] if *b == quote => return Ok(rest),
            [b'\\', b'\'', rest @ ..] if quote == b'\'' => (b'\'', rest),
            [b'\\', b'x', high, low, rest @ ..] if quote == b'"' && hex(*high, *low).is_some() => {
                (hex(*high, *low).unwrap_or_default(), rest)
            }
            [b'\\', escaped, rest @ ..] if quote == b'"' => (unescape(*escaped), rest),
            [b, rest @ ..] => (*b, rest),
        };
        word.push(byte);
        line = rest;
    }
}

fn unescape(b: u8) -> u8 {
    match b {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}
