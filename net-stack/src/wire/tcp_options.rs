//! TCP options: MSS (RFC 9293), window scale and timestamps (RFC 7323), SACK (RFC 2018), user timeout (RFC 5482), Fast Open (RFC 7413).

use super::{Cookie, FastOpen, Seq};

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const USER_TIMEOUT: u8 = 28;
const FAST_OPEN: u8 = 34;
/// RFC 6994: the kinds for experiments, told apart by a number; Fast Open's, from before it had a kind of its own.
const EXPERIMENT: [u8; 2] = [253, 254];
const FAST_OPEN_EXPERIMENT: [u8; 2] = [0xf9, 0x89];

/// A range of received bytes: `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SackBlock {
    /// The first sequence number received.
    pub start: Seq,
    /// The one behind the last.
    pub end: Seq,
}

/// Up to four SACK blocks, which is what fits in 40 bytes of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SackBlocks {
    blocks: [SackBlock; 4],
    len: u8,
}

impl SackBlocks {
    /// None.
    pub const fn new() -> Self {
        let zero = SackBlock { start: Seq(0), end: Seq(0) };
        Self { blocks: [zero; 4], len: 0 }
    }

    /// Append a block; a fifth is dropped.
    pub fn push(&mut self, block: SackBlock) {
        if let Some(slot) = self.blocks.get_mut(usize::from(self.len)) {
            *slot = block;
            self.len += 1;
        }
    }

    /// Keep the first `n`.
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n as u8);
    }

    /// The blocks in order.
    #[inline]
    pub fn as_slice(&self) -> &[SackBlock] {
        self.blocks.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The timestamps option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub value: u32,
    /// TSecr: the receiver's clock, echoed.
    pub echo: u32,
}

/// Every option that the stack understands, or writes. Options of other kinds are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// Maximum segment size that the sender can receive.
    pub mss: Option<u16>,
    /// Window scale shift, as sent: may be over 14.
    pub window_scale: Option<u8>,
    /// SACK may be sent to this end.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// What was received out of order.
    pub sack: SackBlocks,
    /// User timeout in seconds (RFC 5482).
    pub user_timeout: Option<u32>,
    /// A Fast Open cookie, or the wish for one: in a SYN only.
    pub fast_open: Option<FastOpen>,
}

impl TcpOptions {
    /// Room for options in a header.
    pub const MAX_LEN: usize = 40;

    /// Read the options of a header.
    ///
    /// > RFC 9293 section 3.1 (MUST-7): TCP implementations MUST be prepared to handle an illegal option length (e.g., zero); a
    /// > suggested procedure is to reset the connection and log the error cause.
    ///
    /// A reset would let a blind attacker close connections, so we do what nearly everybody does: options in front of an illegal length
    /// count, the rest is not read; an option that we know with a length that it cannot have is passed over.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Self {
        // RFC 7323 appendix A: the layout that nearly every segment of an established connection has.
        if let [NOP, NOP, TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3] = *bytes {
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            let echo = u32::from_be_bytes([e0, e1, e2, e3]);
            return Self { timestamps: Some(Timestamps { value, echo }), ..Self::default() };
        }
        if bytes.is_empty() { Self::default() } else { Self::parse_any(bytes) }
    }

    fn parse_any(bytes: &[u8]) -> Self {
        // The layout that nearly every SYN has: ours, Linux's, and that of others who took theirs for a pattern.
        if let Some(
            &[MSS, 4, m0, m1, SACK_PERMITTED, 2, TIMESTAMPS, 10, ref times @ .., NOP, WINDOW_SCALE, 3, shift],
        ) = <&[u8; 20]>::try_from(bytes).ok()
            && (m0, m1) != (0, 0)
        {
            let [v0, v1, v2, v3, e0, e1, e2, e3] = *times;
            let value = u32::from_be_bytes([v0, v1, v2, v3]);
            let echo = u32::from_be_bytes([e0, e1, e2, e3]);
            return Self {
                mss: Some(u16::from_be_bytes([m0, m1])),
                window_scale: Some(shift),
                sack_permitted: true,
                timestamps: Some(Timestamps { value, echo }),
                ..Self::default()
            };
        }
        Self::parse_each(bytes)
    }

    #[inline(never)]
    fn parse_each(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        while let [kind, rest @ ..] = bytes {
            match *kind {
                END => break,
                NOP => {
                    bytes = rest;
                    continue;
                }
                _ => {}
            }
            // RFC 1122 section 4.2.2.5 (MUST-6): A TCP MUST ignore without error any TCP option it does not implement,
            // assuming that the option has a length field.
            let len = rest.first().map_or(0, |len| usize::from(*len));
            let Some(body) = bytes.get(2..len) else { break };
            bytes = &bytes[len..];
            match (*kind, body) {
                // One of zero says nothing.
                (MSS, &[a, b]) => options.mss = Some(u16::from_be_bytes([a, b])).filter(|mss| *mss > 0),
                (WINDOW_SCALE, &[shift]) => options.window_scale = Some(shift),
                (SACK_PERMITTED, []) => options.sack_permitted = true,
                (SACK, blocks) if blocks.len() % 8 == 0 && !blocks.is_empty() => {
                    for block in blocks.as_chunks::<8>().0 {
                        let [a, b, c, d, e, f, g, h] = *block;
                        options.sack.push(SackBlock {
                            start: Seq(u32::from_be_bytes([a, b, c, d])),
                            end: Seq(u32::from_be_bytes([e, f, g, h])),
                        });
                    }
                }
                (TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                    let value = u32::from_be_bytes([a, b, c, d]);
                    let echo = u32::from_be_bytes([e, f, g, h]);
                    options.timestamps = Some(Timestamps { value, echo });
                }
                (USER_TIMEOUT, &[a, b]) => {
                    let field = u16::from_be_bytes([a, b]);
                    let unit = if field & 0x8000 != 0 { 60 } else { 1 };
                    options.user_timeout = Some(u32::from(field & 0x7fff) * unit);
                }
                (FAST_OPEN, cookie) => options.fast_open = FastOpen::of(cookie, false).or(options.fast_open),
                (kind, [a, b, cookie @ ..])
                    if EXPERIMENT.contains(&kind) && [*a, *b] == FAST_OPEN_EXPERIMENT =>
                {
                    options.fast_open = FastOpen::of(cookie, true).or(options.fast_open);
                }
                _ => {}
            }
        }
        options
    }

    /// Write the options, padded to a multiple of four, and return their length. SACK blocks that find no room are left
    /// out, last first. The order of a SYN's options is the most common one, so that nothing on the way takes offence.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::MAX_LEN]) -> usize {
        let mut w = Writer { out, at: 0 };
        if let Some(mss) = self.mss {
            w.put(&[MSS, 4]);
            w.put(&mss.to_be_bytes());
        }
        if let Some(ts) = self.timestamps {
            // RFC 2018's permission takes the place of the padding where both are sent.
            w.put(if self.sack_permitted {
                &[SACK_PERMITTED, 2, TIMESTAMPS, 10]
            } else {
                &[NOP, NOP, TIMESTAMPS, 10]
            });
            w.put(&ts.value.to_be_bytes());
            w.put(&ts.echo.to_be_bytes());
        } else if self.sack_permitted {
            w.put(&[NOP, NOP, SACK_PERMITTED, 2]);
        }
        if let Some(shift) = self.window_scale {
            w.put(&[NOP, WINDOW_SCALE, 3, shift]);
        }
        if let Some(fast_open) = &self.fast_open {
            w.put_fast_open(fast_open);
        }
        if let Some(seconds) = self.user_timeout.filter(|_| w.at + 4 <= Self::MAX_LEN) {
            let field =
                if seconds < 0x8000 { seconds as u16 } else { 0x8000 | (seconds / 60).min(0x7fff) as u16 };
            w.put(&[USER_TIMEOUT, 4]);
            w.put(&field.to_be_bytes());
        }
        if !self.sack.is_empty() {
            let fit = (Self::MAX_LEN - w.at).saturating_sub(4) / 8;
            let blocks = self.sack.as_slice();
            let blocks = &blocks[..blocks.len().min(fit)];
            if !blocks.is_empty() {
                w.put(&[NOP, NOP, SACK, 2 + 8 * blocks.len() as u8]);
                for block in blocks {
                    w.put(&block.start.0.to_be_bytes());
                    w.put(&block.end.0.to_be_bytes());
                }
            }
        }
        w.at
    }
}

struct Writer<'a> {
    out: &'a mut [u8; TcpOptions::MAX_LEN],
    at: usize,
}

impl Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        if let Some(slot) = self.out.get_mut(self.at..end) {
            slot.copy_from_slice(bytes);
            self.at = end;
        }
    }

    #[cold]
    fn put_fast_open(&mut self, option: &FastOpen) {
        let cookie = option.cookie.as_ref().map_or(&[][..], Cookie::as_slice);
        let head = if option.experimental { 4 } else { 2 };
        let len = head + cookie.len();
        if self.at + len.next_multiple_of(4) > TcpOptions::MAX_LEN {
            return;
        }
        if option.experimental {
            self.put(&[EXPERIMENT[1], len as u8]);
            self.put(&FAST_OPEN_EXPERIMENT);
        } else {
            self.put(&[FAST_OPEN, len as u8]);
        }
        self.put(cookie);
        while !self.at.is_multiple_of(4) {
            self.put(&[NOP]);
        }
    }
}
