//! [`Flight`]: work requests that were given out and have not completed, and the memory that the device has for them.

use std::collections::VecDeque;

use hemi_queue::{BufMut, Sga};

use crate::Operation;

/// What a work request keeps until it has completed (free-protection, HotOS '19).
#[derive(Debug)]
#[expect(dead_code, reason = "what is held is not looked at")]
pub(super) enum Hold {
    Nothing,
    /// What is sent.
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

/// Work requests of so many bytes are signalled each: on a slow path every sign of life counts.
pub(super) const BULK: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) operation: Operation,
    pub(super) hold: Hold,
}

/// The send queue as this end knows it: in order, because a reliable connection completes in order. One signalled
/// completion stands for all before it.
#[derive(Debug)]
pub(super) struct Flight {
    /// Those that hold something or mean something when they end, by their number. A SEND of inline data is neither: most are.
    slots: VecDeque<(u32, Slot)>,
    /// Inline data that was given out and is not posted.
    fresh: Vec<Sga>,
    /// The number of the first that has not completed, and of the next that is given out.
    oldest: u32,
    next: u32,
    /// All before it are posted.
    posted: u32,
    /// One less than the queue holds: the last is for the request that drains it.
    depth: u32,
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
            slots: VecDeque::new(),
            fresh: Vec::new(),
            oldest: 0,
            next: 0,
            posted: 0,
            depth: depth.into(),
            unsignalled: 0,
            holding: false,
            quarter: depth / 4,
        }
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.next.wrapping_sub(self.oldest) >= self.depth
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.oldest
    }

    /// How many have completed, modulo 2³².
    pub(super) fn ended(&self) -> u32 {
        self.oldest
    }

    /// Whether everything was posted.
    #[inline]
    pub(super) fn is_posted(&self) -> bool {
        self.posted == self.next
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

    #[inline]
    fn number(&mut self, signalled: bool, holds: bool) -> u32 {
        if signalled {
            self.unsignalled = 0;
            self.holding = false;
        } else {
            self.unsignalled += 1;
            self.holding |= holds;
        }
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        sequence
    }

    /// A SEND of inline data, which is let go when it was posted; returns its number.
    #[inline]
    pub(super) fn push_inline(&mut self, data: Sga, signalled: bool) -> u32 {
        self.fresh.push(data);
        self.number(signalled, false)
    }

    /// Any other; returns its number.
    pub(super) fn push(&mut self, slot: Slot, signalled: bool) -> u32 {
        let sequence = self.number(signalled, !matches!(slot.hold, Hold::Nothing | Hold::End));
        self.slots.push_back((sequence, slot));
        sequence
    }

    /// All are posted: inline data was copied.
    #[inline]
    pub(super) fn set_posted(&mut self) {
        self.posted = self.next;
        self.fresh.clear();
    }

    /// Number `sequence` has completed, and all before it; `false` where that is none of ours. [`next_ended`](Self::next_ended) tells which.
    #[inline]
    pub(super) fn complete(&mut self, sequence: u32) -> bool {
        let known = sequence.wrapping_sub(self.oldest) < self.next.wrapping_sub(self.oldest);
        if known {
            self.oldest = sequence.wrapping_add(1);
            if self.is_empty() {
                self.unsignalled = 0;
                self.holding = false;
            }
        }
        known
    }

    /// Everything has ended.
    pub(super) fn complete_all(&mut self) {
        self.complete(self.next.wrapping_sub(1));
    }

    /// One that has completed, in order, and its number.
    #[inline]
    pub(super) fn next_ended(&mut self) -> Option<(u32, Slot)> {
        let (sequence, _) = self.slots.front()?;
        let ended = self.oldest.wrapping_sub(*sequence).wrapping_sub(1) < u32::MAX / 2;
        if ended { self.slots.pop_front() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use hemi_queue::Buf;

    use super::*;

    fn send() -> Slot {
        Slot { operation: Operation::Send, hold: Hold::Unit(Buf::from_static(b"unit").into()) }
    }

    #[test]
    fn a_completion_stands_for_all_before_it() {
        let mut flight = Flight::new(9);
        for n in 0..8 {
            assert_eq!(flight.is_full(), n == 8);
            assert_eq!(flight.wants_signal(false, false), flight.unsignalled >= 2);
            assert_eq!(flight.wants_signal(false, true), flight.unsignalled > 0, "for what is held");
            assert_eq!(flight.push(send(), n == 3), n);
        }
        assert!(flight.is_full() && flight.has_unsignalled() && !flight.is_posted());
        flight.set_posted();
        assert!(flight.is_posted() && flight.next_ended().is_none());
        assert!(!flight.complete(8) && !flight.complete(u32::MAX));
        assert!(flight.complete(3) && !flight.complete(3) && !flight.is_full());
        let ended: Vec<_> = std::iter::from_fn(|| flight.next_ended()).map(|(n, _)| n).collect();
        assert_eq!(ended, [0, 1, 2, 3]);
        flight.complete_all();
        assert!(flight.is_empty() && !flight.has_unsignalled());
        assert_eq!(std::iter::from_fn(|| flight.next_ended()).count(), 4);
    }

    #[test]
    fn inline_data_is_let_go_once_posted() {
        let mut flight = Flight::new(8);
        let unit = Buf::from_static(b"unit");
        flight.push_inline(unit.clone().into(), false);
        flight.push(Slot { operation: Operation::Send, hold: Hold::Unit(unit.clone().into()) }, false);
        assert_eq!(unit.holders(), 3);
        flight.set_posted();
        assert_eq!(unit.holders(), 2);
        assert!(flight.complete(1));
        drop(flight.next_ended());
        assert_eq!((unit.holders(), flight.is_empty(), flight.has_unsignalled()), (1, true, false));
    }

    #[test]
    fn numbers_wrap_around() {
        let mut flight = Flight::new(9);
        (flight.oldest, flight.next, flight.posted) = (u32::MAX - 1, u32::MAX - 1, u32::MAX - 1);
        for _ in 0..4 {
            flight.push(send(), false);
        }
        assert!(flight.complete(0));
        assert_eq!(std::iter::from_fn(|| flight.next_ended()).count(), 3);
        assert!(flight.complete(1) && flight.is_empty());
    }
}
