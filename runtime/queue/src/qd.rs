//! The name of a queue.

use std::fmt;

/// A queue descriptor: the name of one open queue of one runtime, as a file descriptor names a file.
///
/// `Copy`, and checked: the generation makes a descriptor that was closed and whose slot was reused an error
/// ([`Error::BadQd`](crate::Error::BadQd)), never another queue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Qd {
    slot: u32,
    generation: u32,
}

impl Qd {
    /// The descriptor of table slot `slot` in its `generation`. For the runtime's table only.
    #[inline]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// The table slot.
    #[inline]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// How many queues had this slot before.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Debug for Qd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "qd{}.{}", self.slot, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_slot_and_generation() {
        let name = Qd::new(3, 9);
        assert_eq!((name.slot(), name.generation()), (3, 9));
        assert_ne!(name, Qd::new(3, 10), "the slot's next owner has another name");
        assert_eq!(format!("{name:?}"), "qd3.9");
    }
}
