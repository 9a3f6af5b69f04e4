//! [`Flight`]: work requests that were given out and have not completed, and the memory that the device has for them.

use std::collections::VecDeque;

use hemi_queue::{BufMut, Sga};

use crate::Operation;

/// What a work request keeps until it has completed (free-protection, HotOS '19).
#[derive(Debug)]
pub(super) enum Hold {
    Nothing,
    /// What is sent or written. Inline, it is let go when it was posted.
    Unit(Sga),
    /// Bytes that are read of an announcement; the buffer, where these are the last for it.
    Target {
        bytes: u32,
        full: Option<BufMut>,
    },
    /// The message that ends the connection.
    End,
    /// A part of a one-sided operation, the last or not, and where its result goes.
    OneSided {
        result: Option<BufMut>,
        last: bool,
    },
    /// The same, of a write.
    Written {
        data: Sga,
        last: bool,
    },
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) operation: Operation,
    pub(super) hold: Hold,
    pub(super) inline: bool,
    pub(super) signalled: bool,
}

/// The send queue as this end knows it: in order, because a reliable connection completes in order. One signalled
/// completion stands for all before it.
#[derive(Debug)]
pub(super) struct Flight {
    slots: VecDeque<Slot>,
    /// The number of the first of them.
    oldest: u32,
    /// One less than the queue holds: the last is for the request that drains it.
    depth: usize,
    /// How many of the slots were posted.
    posted: usize,
    /// Unsignalled ones since the last signalled.
    unsignalled: u16,
    /// Some of these hold memory.
    holding: bool,
    quarter: u16,
}

impl Flight {
    pub(super) fn new(depth: u16) -> Self {
        let depth = depth - 1;
        Self {
            slots: VecDeque::with_capacity(usize::from(depth) + 1),
            oldest: 0,
            depth: depth.into(),
            posted: 0,
            unsignalled: 0,
            holding: false,
            quarter: depth / 4,
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= self.depth
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether everything was posted.
    #[inline]
    pub(super) fn is_posted(&self) -> bool {
        self.posted == self.slots.len()
    }

    /// Whether some have no signalled one behind them.
    #[inline]
    pub(super) fn has_unsignalled(&self) -> bool {
        self.unsignalled > 0
    }

    /// Whether the next should be signalled, which `holds` memory or not: so that the queue does not run full of what nobody tells the
    /// end of, and, as the `last` for now, so that memory comes back.
    #[inline]
    pub(super) fn wants_signal(&self, holds: bool, last: bool) -> bool {
        self.unsignalled >= self.quarter || last && (holds || self.holding)
    }

    /// Add one; returns its number.
    #[inline]
    pub(super) fn push(&mut self, slot: Slot) -> u32 {
        let sequence = self.oldest.wrapping_add(self.slots.len() as u32);
        if slot.signalled {
            self.unsignalled = 0;
            self.holding = false;
        } else {
            self.unsignalled += 1;
            self.holding |= !slot.inline;
        }
        self.slots.push_back(slot);
        sequence
    }

    /// All are posted: inline data was copied.
    #[inline]
    pub(super) fn set_posted(&mut self) {
        while let Some(slot) = self.slots.get_mut(self.posted) {
            self.posted += 1;
            if slot.inline {
                match &mut slot.hold {
                    Hold::Unit(data) | Hold::Written { data, .. } => *data = Sga::new(),
                    _ => (),
                }
            }
        }
    }

    /// How many end with the completion of number `sequence`; 0 where that is none of ours.
    #[inline]
    pub(super) fn ending_with(&self, sequence: u32) -> usize {
        let before = sequence.wrapping_sub(self.oldest) as usize;
        if before < self.slots.len() { before + 1 } else { 0 }
    }

    /// The oldest has completed.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        self.oldest = self.oldest.wrapping_add(1);
        self.posted = self.posted.saturating_sub(1);
        if self.slots.is_empty() {
            self.unsignalled = 0;
        }
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use hemi_queue::Buf;

    use super::*;

    fn send(inline: bool, signalled: bool) -> Slot {
        let hold = Hold::Unit(Buf::from_static(b"unit").into());
        Slot { operation: Operation::Send, hold, inline, signalled }
    }

    #[test]
    fn a_completion_stands_for_all_before_it() {
        let mut flight = Flight::new(9);
        for n in 0..8 {
            assert_eq!(flight.is_full(), n == 8);
            assert_eq!(flight.wants_signal(false, false), flight.unsignalled >= 2);
            assert_eq!(flight.wants_signal(false, true), flight.unsignalled > 0, "for what is held");
            assert_eq!(flight.push(send(false, n == 3)), n);
        }
        assert!(flight.is_full() && flight.has_unsignalled() && !flight.is_posted());
        flight.set_posted();
        assert!(flight.is_posted());
        assert_eq!((flight.ending_with(3), flight.ending_with(8), flight.ending_with(u32::MAX)), (4, 0, 0));
        for _ in 0..4 {
            flight.pop();
        }
        assert_eq!((flight.ending_with(3), flight.ending_with(7)), (0, 4));
    }

    #[test]
    fn inline_data_is_let_go_once_posted() {
        let mut flight = Flight::new(8);
        flight.push(send(true, false));
        flight.push(send(false, false));
        flight.set_posted();
        let lengths: Vec<_> = std::iter::from_fn(|| flight.pop())
            .map(|slot| match slot.hold {
                Hold::Unit(unit) => unit.len(),
                _ => panic!("what was pushed"),
            })
            .collect();
        assert_eq!((lengths, flight.has_unsignalled()), (vec![0, 4], false));
    }
}
