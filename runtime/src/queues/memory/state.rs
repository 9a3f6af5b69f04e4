//! What a memory queue keeps, and the arithmetic of its two lines.
//!
//! Every accepted unit and every reservation has a *number*, counted up; `limit` is the number below which there is room.
//! It starts at the capacity and goes up with every pop. So "is my push complete" is `number < limit`, fair by
//! construction, without a search and without state per push. Waiting pushers lie in `pushers`, by number.
//!
//! Pops wait in `poppers` in order of arrival; the popper at place `i` may take a unit when more than `i` are there.
//! A newcomer's place is behind all of them. No unit is assigned to a popper, so none can be lost with it.
//!
//! The short way of push asks one number, `credit`, and that of pop one flag, `calm`; all who take the long way end with
//! `settle`, which works both out anew.
//! Wakers are called and dropped only after the state is let go: they may run any code.

use std::{collections::VecDeque, task::Waker};

use super::ring::Ring;

/// The capacity that stands for "no bound": numbers never get there (146 years at one push a nanosecond),
/// and twice of it does not overflow.
pub(super) const UNBOUNDED: u64 = u64::MAX >> 2;

pub(super) struct State<T> {
    units: Ring<T>,
    /// Pushes that are complete at once and wake nobody: `limit - next`, or 0 if a push must look closer.
    credit: u64,
    /// Nobody waits, the queue is open and not over its limit: a pop need only take and give credit.
    calm: bool,
    closed: bool,
    pub(super) capacity: u64,
    /// Reservations that were not used for a unit (yet): how far numbers are ahead of the ring's tail.
    ahead: u64,
    /// The capacity and the reservations given back: how far `limit` is ahead of the ring's head.
    room: u64,
    /// How many poppers have not been woken.
    asleep: usize,
    poppers: VecDeque<Popper>,
    pushers: VecDeque<Pusher>,
    /// Pushes that went over the limit and reservations, which somebody still attends to.
    pub(super) attended: u64,
    /// The last place in the line of pops that was given out; 0 is no place.
    last_place: u64,
}

struct Popper {
    place: u64,
    /// `None` once woken.
    waker: Option<Waker>,
}

struct Pusher {
    number: u64,
    waker: Waker,
}

/// A waker to call, or only to drop, once the state is let go.
#[must_use]
pub(super) struct Wake(pub(super) Option<Waker>);

impl Wake {
    #[inline]
    pub(super) fn wake(self) {
        if let Some(waker) = self.0 {
            waker.wake();
        }
    }
}

/// The answer to a pop that stands in line.
pub(super) enum Turn<T> {
    /// A unit or the end, and the pusher that it lets in.
    Taken(Option<T>, Wake),
    /// Wait at this place; a waker that was replaced.
    Wait(u64, Option<Waker>),
}

impl<T> State<T> {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            units: Ring::new(),
            credit: capacity,
            calm: true,
            closed: false,
            capacity,
            ahead: 0,
            room: capacity,
            asleep: 0,
            poppers: VecDeque::new(),
            pushers: VecDeque::new(),
            attended: 0,
            last_place: 0,
        }
    }

    #[inline]
    fn limit(&self) -> u64 {
        self.units.head + self.room
    }

    /// The number of the next unit or reservation.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.units.tail + self.ahead
    }

    fn settle(&mut self) {
        let (next, limit) = (self.next(), self.limit());
        self.credit = if self.closed || self.asleep > 0 { 0 } else { limit.saturating_sub(next) };
        self.calm = !self.closed && next <= limit && self.poppers.is_empty() && self.pushers.is_empty();
    }

    /// Whether a unit can be appended and its push is then complete, with nothing else to do.
    #[inline]
    pub(super) fn push_is_simple(&self) -> bool {
        self.credit > 0
    }

    #[inline]
    pub(super) fn append_simple(&mut self, unit: T) {
        self.credit -= 1;
        self.units.append(unit);
    }

    /// The first unit, if nobody waits for it nor for its room.
    #[inline(always)]
    pub(super) fn take_simple(&mut self) -> Option<T> {
        if !self.calm {
            return None;
        }
        let unit = self.units.take()?;
        self.credit += 1;
        Some(unit)
    }

    pub(super) fn len(&self) -> usize {
        self.units.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.poppers.len(), self.pushers.len())
    }

    /// Whether a unit appended now is under the limit.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.next() < self.limit()
    }

    /// Whether the push with this number is complete. A closed queue still gives out what it took.
    #[inline]
    pub(super) fn is_within(&self, number: u64) -> bool {
        number < self.limit() || self.closed
    }

    /// Whether the units of pushers that no longer wait fill the queue a second time.
    pub(super) fn is_overfull(&self) -> bool {
        self.next() >= self.limit() + self.capacity + self.attended
    }

    /// Accept a unit and give it a number.
    pub(super) fn append(&mut self, unit: T) -> (u64, Wake) {
        let number = self.next();
        self.units.append(unit);
        (number, self.arrived())
    }

    /// Take up room without a unit.
    pub(super) fn reserve(&mut self) -> u64 {
        let number = self.next();
        self.ahead += 1;
        self.attended += 1;
        self.settle();
        number
    }

    /// A unit in the room that was reserved for it.
    pub(super) fn append_reserved(&mut self, unit: T) -> Wake {
        self.ahead -= 1;
        self.attended -= 1;
        self.units.append(unit);
        self.arrived()
    }

    /// Give back room that was reserved and not used.
    pub(super) fn unreserve(&mut self) -> Wake {
        self.room += 1;
        self.attended -= 1;
        self.let_in()
    }

    /// A unit was added: who may pop it.
    fn arrived(&mut self) -> Wake {
        let woken = match self.units.len().checked_sub(1) {
            Some(last) => self.poppers.get_mut(last).and_then(|p| p.waker.take()),
            None => None,
        };
        self.asleep -= usize::from(woken.is_some());
        self.settle();
        Wake(woken)
    }

    /// A number was let in: whose push it completes.
    fn let_in(&mut self) -> Wake {
        let limit = self.limit();
        let first = match self.pushers.front() {
            Some(first) if first.number < limit => self.pushers.pop_front(),
            _ => None,
        };
        self.settle();
        Wake(first.map(|p| p.waker))
    }

    /// Take a unit that no waiting pop has a right to.
    pub(super) fn take_spare(&mut self) -> (Option<T>, Wake) {
        if self.poppers.len() >= self.units.len() {
            return (None, Wake(None));
        }
        let unit = self.units.take();
        (unit, self.let_in())
    }

    fn position(&self, place: u64) -> Option<usize> {
        self.poppers.binary_search_by_key(&place, |p| p.place).ok()
    }

    /// Take a unit if the turn of `place` has come (0: has none yet), else wait for it.
    pub(super) fn take_in_turn(&mut self, place: u64, waker: &Waker) -> Turn<T> {
        let mine = if place == 0 { None } else { self.position(place) };
        let before_me = mine.unwrap_or(self.poppers.len());
        let there = before_me < self.units.len();
        if there || self.closed {
            if let Some(popper) = mine.and_then(|at| self.poppers.remove(at)) {
                // Its waker was taken when its turn came, unless it was polled again since.
                self.asleep -= usize::from(popper.waker.is_some());
            }
            let unit = if there { self.units.take() } else { None };
            return Turn::Taken(unit, self.let_in());
        }
        let Some(at) = mine else {
            self.last_place += 1;
            self.poppers.push_back(Popper { place: self.last_place, waker: Some(waker.clone()) });
            self.asleep += 1;
            self.settle();
            return Turn::Wait(self.last_place, None);
        };
        let mine = &mut self.poppers[at].waker;
        if mine.as_ref().is_some_and(|w| w.will_wake(waker)) {
            return Turn::Wait(place, None);
        }
        let old = mine.replace(waker.clone());
        self.asleep += usize::from(old.is_none());
        self.settle();
        Turn::Wait(place, old)
    }

    /// Leave the line of pops; the place may have been the next one's chance. Returns its waker and the next one's.
    pub(super) fn leave(&mut self, place: u64) -> (Option<Waker>, Wake) {
        let Some(at) = self.position(place) else { return (None, Wake(None)) };
        let waker = self.poppers.remove(at).and_then(|p| p.waker);
        self.asleep -= usize::from(waker.is_some());
        let next = if at < self.units.len() { self.arrived() } else { Wake(None) };
        self.settle();
        (waker, next)
    }

    /// Wait until `number` has room. Gives back the waker that this one replaces.
    pub(super) fn wait_for(&mut self, number: u64, waker: &Waker) -> Option<Waker> {
        let old = match self.pushers.binary_search_by_key(&number, |p| p.number) {
            Ok(at) if self.pushers[at].waker.will_wake(waker) => None,
            Ok(at) => Some(std::mem::replace(&mut self.pushers[at].waker, waker.clone())),
            Err(at) => {
                self.pushers.insert(at, Pusher { number, waker: waker.clone() });
                None
            }
        };
        self.settle();
        old
    }

    /// Nobody waits for `number` any more; its unit stays.
    pub(super) fn stop_waiting(&mut self, number: u64) -> Option<Waker> {
        let at = self.pushers.binary_search_by_key(&number, |p| p.number).ok()?;
        let waker = self.pushers.remove(at).map(|p| p.waker);
        self.settle();
        waker
    }

    /// Close; everybody who waits is to be woken.
    pub(super) fn close(&mut self) -> Vec<Waker> {
        self.closed = true;
        self.asleep = 0;
        let mut wakers: Vec<_> = self.poppers.iter_mut().filter_map(|p| p.waker.take()).collect();
        wakers.extend(self.pushers.drain(..).map(|p| p.waker));
        self.settle();
        wakers
    }
}
