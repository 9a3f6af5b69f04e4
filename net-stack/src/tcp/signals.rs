//! [`Signals`]: who has something to tell the application, in order.

use super::{ConnId, ListenerId};
use crate::util::fifo::Fifo;

/// A connection or a listener that has something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Listener(ListenerId),
    Connection(ConnId),
}

/// The queue of them, a word each: on the way of every request.
#[derive(Debug, Default)]
pub(super) struct Signals {
    words: Fifo<u64>,
}

/// Of a word's lower half, where the slot is: a listener's. A table of 2^31 connections would take two terabytes.
const LISTENER: u32 = 1 << 31;

impl Signals {
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    #[inline(always)]
    pub(super) fn push_back(&mut self, signal: Signal) {
        let (slot, generation) = match signal {
            Signal::Connection(id) => (id.slot, id.generation),
            Signal::Listener(id) => (id.slot | LISTENER, id.generation),
        };
        self.words.push_back(u64::from(generation) << 32 | u64::from(slot));
    }

    #[inline(always)]
    pub(super) fn pop_front(&mut self) -> Option<Signal> {
        let word = self.words.pop_front()?;
        let (slot, generation) = (word as u32, (word >> 32) as u32);
        Some(if slot & LISTENER == 0 {
            Signal::Connection(ConnId { slot, generation })
        } else {
            Signal::Listener(ListenerId { slot: slot & !LISTENER, generation })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let (slot, generation) = (LISTENER - 1, u32::MAX);
        let both = [
            Signal::Connection(ConnId { slot, generation }),
            Signal::Listener(ListenerId { slot, generation }),
            Signal::Connection(ConnId { slot: 0, generation: 0 }),
        ];
        let mut signals = Signals::default();
        for signal in both {
            signals.push_back(signal);
        }
        assert!(both.into_iter().all(|signal| signals.pop_front() == Some(signal)));
        assert!(signals.is_empty() && signals.pop_front().is_none());
    }
}
