//! The Fast Open option of a SYN (RFC 7413 section 4.1.1): a cookie, or the wish for one.
//!
//! ```text
//!   kind 34 | length | cookie of 4 to 16 bytes, or none
//!   kind 254 | length | 0xF989 | cookie, or none             (RFC 6994: as it was before it had a kind)
//! ```

use std::{fmt, num::NonZeroU8};

/// A cookie: 4 to 16 bytes, an even number of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    len: NonZeroU8,
    bytes: [u8; Self::MAX_LEN],
}

impl Cookie {
    /// The longest: RFC 7413 section 4.1.1.
    pub const MAX_LEN: usize = 16;
    /// The shortest.
    pub const MIN_LEN: usize = 4;

    /// A cookie of these bytes, if they may be one.
    ///
    /// > RFC 7413 section 4.1.1: Length: [...] The number MUST be even. Cookie: 0, or 4 to 16 bytes (Length - 2) [...] Options with invalid
    /// > Length values or without SYN flag set MUST be ignored.
    pub fn new(cookie: &[u8]) -> Option<Self> {
        if !(Self::MIN_LEN..=Self::MAX_LEN).contains(&cookie.len()) || !cookie.len().is_multiple_of(2) {
            return None;
        }
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..cookie.len())?.copy_from_slice(cookie);
        Some(Self { len: NonZeroU8::new(cookie.len() as u8)?, bytes })
    }

    /// Its bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len.get())).unwrap_or(&[])
    }
}

impl fmt::Debug for Cookie {
    /// In hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastOpen {
    /// The cookie; none asks for one.
    pub cookie: Option<Cookie>,
    /// It has the form of RFC 6994.
    pub experimental: bool,
}

impl FastOpen {
    /// From the bytes behind kind and length (and number); none when they are no cookie.
    pub(super) fn of(cookie: &[u8], experimental: bool) -> Option<Self> {
        if cookie.is_empty() {
            return Some(Self { cookie: None, experimental });
        }
        Cookie::new(cookie).map(|cookie| Self { cookie: Some(cookie), experimental })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{TcpOptions, Timestamps};

    fn written(options: &TcpOptions) -> Vec<u8> {
        let mut out = [0; TcpOptions::MAX_LEN];
        let len = options.emit(&mut out);
        out[..len].to_vec()
    }

    #[test]
    fn cookies_of_every_length() {
        for len in 0..=38 {
            let bytes: Vec<u8> = (0..len).collect();
            let valid = (4..=16).contains(&len) && len.is_multiple_of(2_u8);
            assert_eq!(Cookie::new(&bytes).map(|c| c.as_slice().to_vec()), valid.then_some(bytes), "{len}");
        }
    }

    #[test]
    fn both_forms_are_written_as_they_are_read() {
        for experimental in [false, true] {
            for len in [0, 4, 6, 8, 16] {
                let cookie = Cookie::new(&vec![0xab; len]);
                let option = FastOpen { cookie, experimental };
                let options = TcpOptions {
                    mss: Some(1460),
                    sack_permitted: true,
                    timestamps: Some(Timestamps { value: 1, echo: 2 }),
                    window_scale: Some(8),
                    fast_open: Some(option),
                    ..TcpOptions::default()
                };
                let bytes = written(&options);
                assert!(bytes.len().is_multiple_of(4));
                assert_eq!(TcpOptions::parse(&bytes), options);
            }
        }
    }

    #[test]
    fn what_has_no_room_is_left_out_whole() {
        let cookie = Cookie::new(&[1; 16]);
        let fast_open = Some(FastOpen { cookie, experimental: false });
        let timestamps = Some(Timestamps { value: 1, echo: 2 });
        let all = TcpOptions { mss: Some(1460), timestamps, fast_open, ..TcpOptions::default() };
        let all = TcpOptions { window_scale: Some(8), user_timeout: Some(9), ..all };
        let read = TcpOptions::parse(&written(&all));
        assert_eq!((read.fast_open, read.user_timeout), (fast_open, None));
    }

    #[test]
    fn of_several_the_last_valid_one_counts() {
        let read = TcpOptions::parse(&[34, 6, 1, 2, 3, 4, 254, 8, 0xf9, 0x89, 5, 6, 7, 8, 34, 5, 9, 9, 9]);
        let cookie = Cookie::new(&[5, 6, 7, 8]);
        assert_eq!(read.fast_open, Some(FastOpen { cookie, experimental: true }));
        // Another experiment, and one that is cut off.
        assert_eq!(TcpOptions::parse(&[254, 6, 0xf9, 0x88, 1, 2, 34, 9, 1]).fast_open, None);
    }
}
