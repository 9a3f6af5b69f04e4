//! [`Role`]: which of the two sides.

use std::{fmt, str::FromStr};

/// Which of a link's two sides this is. Nothing but bookkeeping depends on it: who makes the memory, and which ring is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Listens, and makes the memory of each link.
    A = 0,
    /// Connects.
    B = 1,
}

impl Role {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "a" => Ok(Self::A),
            "b" => Ok(Self::B),
            _ => Err("a role is `a` or `b`; without one the first to open is a"),
        }
    }
}
