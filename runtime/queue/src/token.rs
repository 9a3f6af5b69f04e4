//! The name of an operation in flight.

use std::fmt;

/// An operation in flight: a slot of the runtime's token table and the slot's generation.
///
/// The application-facing type is `hemi::QToken`, which adds the runtime it belongs to and is a `Future`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    slot: u32,
    generation: u32,
}

impl Token {
    /// The token of table slot `slot` in its `generation`. For the runtime's table only.
    #[inline]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// The table slot.
    #[inline]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// How many operations had this slot before.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "qt{}.{}", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_slot_and_generation() {
        let name = Token::new(3, 9);
        assert_eq!((name.slot(), name.generation()), (3, 9));
        assert_ne!(name, Token::new(3, 10), "the slot's next owner has another name");
        assert_eq!(format!("{name:?}"), "qt3.9");
    }
}
