//! [`Pending`]: how many connections of a listener were opened by their SYN and have not proved yet that somebody is there.

use std::{collections::VecDeque, time::Duration};

use hemi_queue::time::Instant;

use crate::tcp::ConnId;

/// How long a place stays taken by a connection that was reset.
const QUARANTINE: Duration = Duration::from_secs(60);

/// A listener's places for connections that their SYN has opened.
///
/// RFC 7413 section 5.1, in our words: a server limits the number of pending Fast Open requests for each listener, and does without Fast Open beyond it.
///
/// Who knows a cookie can open connections in its owner's name, whose host resets them: if that freed the place, the bound would be
/// none. So a place that a reset has ended stays taken for a while (the same section).
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waiting: Vec<ConnId>,
    /// Until when the places of those that were reset are taken, in order.
    reset: VecDeque<Instant>,
}

impl Pending {
    /// Whether there is a place among `limit`. `is_pending` says whether a connection has still not proved anything.
    pub(crate) fn has_room(
        &mut self,
        limit: usize,
        now: Instant,
        mut is_pending: impl FnMut(ConnId) -> bool,
    ) -> bool {
        if self.len() < limit {
            return true;
        }
        // Who has proved it is not asked to give its place back: it is looked for when the places are gone.
        self.waiting.retain(|conn| is_pending(*conn));
        while self.reset.front().is_some_and(|until| *until <= now) {
            self.reset.pop_front();
        }
        self.len() < limit
    }

    fn len(&self) -> usize {
        self.waiting.len() + self.reset.len()
    }

    /// A connection takes a place.
    pub(crate) fn add(&mut self, conn: ConnId) {
        self.waiting.push(conn);
    }

    /// A connection is over that has not proved anything.
    pub(crate) fn ended(&mut self, conn: ConnId, now: Instant) {
        if let Some(at) = self.waiting.iter().position(|c| *c == conn) {
            self.waiting.swap_remove(at);
            self.reset.push_back(now + QUARANTINE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    #[test]
    fn places_are_for_those_who_have_not_proved_anything() {
        let mut pending = Pending::default();
        for slot in 0..3 {
            assert!(pending.has_room(3, Instant::ZERO, |_| true));
            pending.add(conn(slot));
        }
        assert!(!pending.has_room(3, Instant::ZERO, |_| true));
        assert!(pending.has_room(3, Instant::ZERO, |c| c != conn(1)));
        assert!(!Pending::default().has_room(0, Instant::ZERO, |_| true));
    }

    #[test]
    fn a_reset_frees_no_place_for_a_minute() {
        let mut pending = Pending::default();
        pending.add(conn(0));
        pending.ended(conn(0), Instant::ZERO);
        pending.ended(conn(7), Instant::ZERO); // never had one
        assert!(!pending.has_room(1, Instant::ZERO + QUARANTINE / 2, |_| true));
        assert!(pending.has_room(1, Instant::ZERO + QUARANTINE, |_| true));
    }
}
