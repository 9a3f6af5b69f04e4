//! The header of every message: the 32 bits of immediate data that travel with a SEND.
//!
//! ```text
//!   31   28 27   26    24 23           16 15                              0
//!  ┌───────┬────┬────────┬───────────────┬─────────────────────────────────┐
//!  │ kind  │more│  zero  │   sequence    │   limit                         │
//!  └───────┴────┴────────┴───────────────┴─────────────────────────────────┘
//! ```
//!
//! In the immediate data, and not in front of the payload: then a unit begins where its receive buffer begins, a SEND needs no
//! element of its gather list for the header, and nothing of ours lies in registered memory.

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The payload is a unit, or a piece of one.
    Data = 1,
    /// The payload says where a unit, or a piece of one, can be read.
    Announce = 2,
    /// The payload says how many announcements have been read.
    Done = 3,
    /// Nothing but the limit.
    Grant = 4,
    /// No more units come from this end.
    Finish = 5,
    /// No more units come from this end, and it takes none.
    Close = 6,
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// The unit goes on in the next message of its kind or of the other.
    pub(crate) more: bool,
    /// The message's number, its low bits. A queue pair delivers in order and once; this shows who does not.
    pub(crate) sequence: u8,
    /// How many messages the other end may have sent in all, the low bits: the credits, as an absolute number.
    pub(crate) limit: u16,
}

impl Header {
    #[inline]
    pub(crate) fn encode(self) -> u32 {
        (self.kind as u32) << 28
            | u32::from(self.more) << 27
            | u32::from(self.sequence) << 16
            | u32::from(self.limit)
    }

    /// `None` for what no version 1 end sends.
    #[inline]
    pub(crate) fn parse(imm: u32) -> Option<Self> {
        let kind = match imm >> 28 {
            1 => Kind::Data,
            2 => Kind::Announce,
            3 => Kind::Done,
            4 => Kind::Grant,
            5 => Kind::Finish,
            6 => Kind::Close,
            _ => return None,
        };
        let more = imm & 1 << 27 != 0;
        let carries_units = matches!(kind, Kind::Data | Kind::Announce);
        if imm & 7 << 24 != 0 || more && !carries_units {
            return None;
        }
        Some(Self { kind, more, sequence: (imm >> 16) as u8, limit: imm as u16 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_is_understood_is_written_back() {
        let mut understood = 0;
        for high in 0..=0xffff_u32 {
            let imm = high << 16 | 0xa55a;
            if let Some(header) = Header::parse(imm) {
                assert_eq!(header.encode(), imm);
                understood += 1;
            }
        }
        assert_eq!(understood, (6 + 2) * 256, "six kinds, two of them with and without `more`");
        assert_eq!(Header::parse(0), None);
    }
}
