//! [`Departing`]: identifiers of connections that are over, until the other end has heard of it.

use std::{cell::RefCell, collections::VecDeque};

use super::Id;

/// So many are kept at most: a peer that is gone is asked for a minute and a half, and many may go at once.
const MOST: usize = 1024;

/// A disconnect is a datagram that the manager repeats, every few seconds, until the peer answers or fifteen went unanswered; but not
/// for an identifier that was destroyed. So it outlives its connection here. Without that, one lost packet left the peer with a
/// connection that was no more, to be found by keep-alive, or never.
///
/// How it ends: [`Kind::Disconnected`](super::Kind::Disconnected) comes in any case. A process that exits does not wait for it.
#[derive(Default)]
pub(crate) struct Departing {
    /// By their numbers, which rise.
    ids: RefCell<VecDeque<(usize, Id)>>,
}

impl Departing {
    /// Keep `id`, which has disconnected. Its events carry what `place` makes of its number.
    pub(crate) fn keep(&self, mut id: Id, place: impl FnOnce(usize) -> usize) {
        let mut ids = self.ids.borrow_mut();
        let number = ids.back().map_or(0, |(last, _)| last + 1);
        id.set_place(place(number));
        ids.push_back((number, id));
        let over = if ids.len() > MOST { ids.pop_front() } else { None };
        drop(ids);
        drop(over);
    }

    /// Something happened to the one of this `number`: it has been heard, or there is nobody to hear it.
    pub(crate) fn heard(&self, number: usize) {
        let mut ids = self.ids.borrow_mut();
        let gone = ids.binary_search_by_key(&number, |(n, _)| *n).ok().and_then(|at| ids.remove(at));
        drop(ids);
        drop(gone);
    }

    /// Wait for nobody any more.
    pub(crate) fn clear(&self) {
        drop(self.ids.take());
    }
}
