//! What a memory queue keeps, and the arithmetic of its two lines.
//!
//! Every accepted unit and every reservation has a *number*, counted up; `limit` is the number below which there is room.
//! It starts at the capacity and goes up with every pop. So "is my push complete" is `number < limit`, fair by
//! construction, without a search and without state per push. Waiting pushers lie in `pushers`, by number.
//!
//! Pops wait in `poppers` in order of arrival; the popper at place `i` may take a unit when more than `i` are there.
//! A newcomer's place is behind all of them. No unit is assigned to a popper, so none can be lost with it. A place that
//! a handle keeps (`poll_pop`) counts no more once it was woken: the handle may be busy with something else for ever,
//! so others may overtake it, and whoever stands behind it is woken as well.
//!
//! The short way of push and pop is in `hot.rs`; all that take the long way [`lock`](Shared::lock) the state here and
//! end with `settle`, which says anew who may take the short one. Wakers are called and dropped only after the state is
//! let go: they may run any code.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::VecDeque,
    task::Waker,
};

use super::hot::Hot;

/// The capacity that stands for "no bound": numbers never get there (146 years at one push a nanosecond),
/// and twice of it does not overflow.
pub(super) const UNBOUNDED: u64 = u64::MAX >> 2;

/// What the handles of one queue share.
pub(super) struct Shared<T> {
    pub(super) hot: Hot<T>,
    slow: RefCell<Slow<T>>,
    /// Wakers wait in `Slow::also`.
    more: Cell<bool>,
}

impl<T> Shared<T> {
    pub(super) fn new(capacity: u64) -> Self {
        let slow = Slow {
            overflow: VecDeque::new(),
            closed: false,
            capacity,
            room: capacity,
            asleep: 0,
            lenient: 0,
            poppers: VecDeque::new(),
            pushers: VecDeque::new(),
            attended: 0,
            last_place: 0,
            also: Vec::new(),
        };
        Self { hot: Hot::new(capacity), slow: RefCell::new(slow), more: Cell::new(false) }
    }

    /// Look at all of it.
    #[inline]
    pub(super) fn lock(&self) -> State<'_, T> {
        State { hot: &self.hot, more: &self.more, slow: self.slow.borrow_mut() }
    }

    /// Wake whom a change lets go on. Not while the state is locked: a waker may run anything.
    #[inline]
    pub(super) fn wake(&self, first: Option<Waker>) {
        if let Some(waker) = first {
            waker.wake();
        }
        if self.more.get() {
            self.wake_others();
        }
    }

    #[cold]
    #[inline(never)]
    fn wake_others(&self) {
        self.more.set(false);
        let others = std::mem::take(&mut self.slow.borrow_mut().also);
        others.into_iter().for_each(Waker::wake);
    }
}

/// The queue, looked at the long way.
pub(super) struct State<'q, T> {
    hot: &'q Hot<T>,
    more: &'q Cell<bool>,
    slow: RefMut<'q, Slow<T>>,
}

struct Slow<T> {
    /// Behind the ring, while that is full.
    overflow: VecDeque<T>,
    closed: bool,
    capacity: u64,
    /// The capacity and the reservations given back: how far `limit` is ahead of the units taken.
    room: u64,
    /// How many poppers have not been woken.
    asleep: usize,
    /// How many poppers have been woken and may be overtaken.
    lenient: usize,
    poppers: VecDeque<Popper>,
    pushers: VecDeque<Pusher>,
    /// Pushes that went over the limit and reservations, which somebody still attends to.
    attended: u64,
    /// The last place in the line of pops that was given out; 0 is no place.
    last_place: u64,
    /// Woken with the first one, when several go on at once.
    also: Vec<Waker>,
}

struct Popper {
    place: u64,
    /// `None` once woken.
    waker: Option<Waker>,
    /// Kept by a handle, not by a future whose drop would give the place up.
    kept: bool,
}

impl Popper {
    /// Whether it has been woken and may be overtaken.
    fn is_lenient(&self) -> bool {
        self.kept && self.waker.is_none()
    }
}

struct Pusher {
    number: u64,
    waker: Waker,
}

/// The answer to a pop that stands in line.
pub(super) enum Turn<T> {
    /// A unit or the end, and the pusher that it lets in.
    Taken(Option<T>, Option<Waker>),
    /// Wait at this place; a waker that was replaced.
    Wait(u64, Option<Waker>),
}

impl<T> State<'_, T> {
    fn limit(&self) -> u64 {
        self.hot.head() + self.slow.room
    }

    /// The number of the next unit or reservation.
    pub(super) fn next(&self) -> u64 {
        self.hot.next() + self.slow.overflow.len() as u64
    }

    fn settle(&self) {
        let (slow, next, limit) = (&*self.slow, self.next(), self.limit());
        let direct = slow.overflow.is_empty() && !slow.closed;
        let room = if direct && slow.asleep == 0 { limit.saturating_sub(next) } else { 0 };
        let nobody_waits = slow.poppers.is_empty() && slow.pushers.is_empty();
        self.hot.settle(room, direct && nobody_waits && next <= limit);
    }

    /// Put a unit last.
    fn put(&mut self, unit: T) {
        if self.slow.overflow.is_empty() && !self.hot.is_full() {
            self.hot.put(unit);
        } else {
            self.slow.overflow.push_back(unit);
        }
    }

    /// Take the first unit; the first of those that did not fit moves up.
    fn take(&mut self) -> Option<T> {
        let unit = self.hot.take()?;
        if let Some(next) = self.slow.overflow.pop_front() {
            self.hot.put(next);
        }
        Some(unit)
    }

    pub(super) fn len(&self) -> usize {
        self.hot.len() as usize + self.slow.overflow.len()
    }

    pub(super) fn capacity(&self) -> u64 {
        self.slow.capacity
    }

    /// One more, or one less, push or reservation is attended to.
    pub(super) fn attend(&mut self) {
        self.slow.attended += 1;
    }

    pub(super) fn neglect(&mut self) {
        self.slow.attended -= 1;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.slow.closed
    }

    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.slow.poppers.len(), self.slow.pushers.len())
    }

    /// Whether a unit appended now is under the limit.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.next() < self.limit()
    }

    /// Whether the push with this number is complete. A closed queue still gives out what it took.
    #[inline]
    pub(super) fn is_within(&self, number: u64) -> bool {
        number < self.limit() || self.slow.closed
    }

    /// Whether the units of pushers that no longer wait fill the queue a second time.
    pub(super) fn is_overfull(&self) -> bool {
        self.next() >= self.limit() + self.slow.capacity + self.slow.attended
    }

    /// Accept a unit and give it a number.
    pub(super) fn append(&mut self, unit: T) -> (u64, Option<Waker>) {
        let number = self.next();
        self.put(unit);
        (number, self.arrived())
    }

    /// Take up room without a unit.
    pub(super) fn reserve(&mut self) -> u64 {
        let number = self.next();
        self.hot.ahead.set(self.hot.ahead.get() + 1);
        self.slow.attended += 1;
        self.settle();
        number
    }

    /// A unit in the room that was reserved for it.
    pub(super) fn append_reserved(&mut self, unit: T) -> Option<Waker> {
        self.hot.ahead.set(self.hot.ahead.get() - 1);
        self.slow.attended -= 1;
        self.put(unit);
        self.arrived()
    }

    /// Give back room that was reserved and not used.
    pub(super) fn unreserve(&mut self) -> Option<Waker> {
        self.slow.room += 1;
        self.slow.attended -= 1;
        self.let_in()
    }

    /// A unit was added: who may pop it.
    #[inline]
    fn arrived(&mut self) -> Option<Waker> {
        let woken = if self.slow.asleep == 0 { None } else { self.wake_poppers() };
        self.settle();
        woken
    }

    /// Wake from the front until as many have been woken as there are units; those that may be overtaken do not count.
    fn wake_poppers(&mut self) -> Option<Waker> {
        if self.slow.poppers.len() == 1 && self.len() > 0 {
            // One consumer, as a rule.
            let popper = self.slow.poppers.front_mut()?;
            let (waker, kept) = (popper.waker.take(), popper.kept);
            self.slow.lenient = usize::from(kept);
            self.slow.asleep = 0;
            return waker;
        }
        self.wake_many()
    }

    #[cold]
    #[inline(never)]
    fn wake_many(&mut self) -> Option<Waker> {
        let units = self.len();
        let slow = &mut *self.slow;
        let strict = slow.poppers.len() - slow.asleep - slow.lenient;
        let mut missing = units.saturating_sub(strict);
        let mut first = None;
        for popper in &mut slow.poppers {
            if missing == 0 || slow.asleep == 0 {
                break;
            }
            let Some(waker) = popper.waker.take() else { continue };
            slow.asleep -= 1;
            slow.lenient += usize::from(popper.kept);
            missing -= usize::from(!popper.kept);
            if first.is_none() {
                first = Some(waker);
            } else {
                slow.also.push(waker);
                self.more.set(true);
            }
        }
        first
    }

    /// A number was let in: whose push it completes.
    fn let_in(&mut self) -> Option<Waker> {
        let limit = self.limit();
        let first = match self.slow.pushers.front() {
            Some(first) if first.number < limit => self.slow.pushers.pop_front(),
            _ => None,
        };
        self.settle();
        first.map(|p| p.waker)
    }

    /// Take a unit that no waiting pop has a right to.
    pub(super) fn take_spare(&mut self) -> (Option<T>, Option<Waker>) {
        if self.ahead_of(self.slow.poppers.len()) >= self.len() {
            return (None, None);
        }
        let unit = self.take();
        (unit, self.let_in())
    }

    #[inline(always)]
    fn position(&self, place: u64) -> Option<usize> {
        if self.slow.poppers.front().is_some_and(|p| p.place == place) {
            return Some(0); // as a rule: whose turn it is stands first
        }
        self.search(place)
    }

    #[cold]
    #[inline(never)]
    fn search(&self, place: u64) -> Option<usize> {
        self.slow.poppers.binary_search_by_key(&place, |p| p.place).ok()
    }

    /// How many of the first `at` poppers come first.
    fn ahead_of(&self, at: usize) -> usize {
        if self.slow.lenient == 0 {
            return at;
        }
        self.slow.poppers.iter().take(at).filter(|p| !p.is_lenient()).count()
    }

    /// Take a unit if the turn of `place` has come (0: has none yet), else wait for it; `kept`: in a handle.
    pub(super) fn take_in_turn(&mut self, place: u64, kept: bool, waker: &Waker) -> Turn<T> {
        let mine = if place == 0 { None } else { self.position(place) };
        let there = self.ahead_of(mine.unwrap_or(self.slow.poppers.len())) < self.len();
        if there || self.slow.closed {
            let popper = match mine {
                Some(0) => self.slow.poppers.pop_front(),
                Some(at) => self.slow.poppers.remove(at),
                None => None,
            };
            if let Some(popper) = popper {
                self.uncount(&popper);
            }
            let unit = if there { self.take() } else { None };
            return Turn::Taken(unit, self.let_in());
        }
        let Some(at) = mine else {
            self.slow.last_place += 1;
            let place = self.slow.last_place;
            self.slow.poppers.push_back(Popper { place, waker: Some(waker.clone()), kept });
            self.slow.asleep += 1;
            self.hot.hush();
            return Turn::Wait(place, None);
        };
        let mine = &mut self.slow.poppers[at].waker;
        if mine.as_ref().is_some_and(|w| w.will_wake(waker)) {
            return Turn::Wait(place, None);
        }
        let old = mine.replace(waker.clone());
        if old.is_none() {
            self.slow.asleep += 1;
            self.slow.lenient -= usize::from(kept);
        }
        self.hot.hush();
        Turn::Wait(place, old)
    }

    /// Leave the line of pops; the place may have been the next one's chance. Returns its waker and the next one's.
    pub(super) fn leave(&mut self, place: u64) -> (Option<Waker>, Option<Waker>) {
        let popper = self.position(place).and_then(|at| self.slow.poppers.remove(at));
        let Some(popper) = popper else { return (None, None) };
        self.uncount(&popper);
        let next = self.arrived(); // wakes somebody only if a unit is there that nobody was woken for
        (popper.waker, next)
    }

    /// A popper has left the line.
    fn uncount(&mut self, popper: &Popper) {
        if popper.waker.is_some() {
            self.slow.asleep -= 1;
        } else if popper.kept {
            self.slow.lenient -= 1;
        }
    }

    /// Wait until `number` has room. Gives back the waker that this one replaces.
    pub(super) fn wait_for(&mut self, number: u64, waker: &Waker) -> Option<Waker> {
        self.hot.hush();
        let pushers = &mut self.slow.pushers;
        if pushers.back().is_none_or(|p| p.number < number) {
            pushers.push_back(Pusher { number, waker: waker.clone() });
            return None;
        }
        match pushers.binary_search_by_key(&number, |p| p.number) {
            Ok(at) if pushers[at].waker.will_wake(waker) => None,
            Ok(at) => Some(std::mem::replace(&mut pushers[at].waker, waker.clone())),
            Err(at) => {
                pushers.insert(at, Pusher { number, waker: waker.clone() });
                None
            }
        }
    }

    /// Nobody waits for `number` any more; its unit stays.
    pub(super) fn stop_waiting(&mut self, number: u64) -> Option<Waker> {
        let at = self.slow.pushers.binary_search_by_key(&number, |p| p.number).ok()?;
        let waker = self.slow.pushers.remove(at).map(|p| p.waker);
        self.settle();
        waker
    }

    /// Close; everybody who waits is to be woken.
    pub(super) fn close(&mut self) -> Vec<Waker> {
        self.slow.closed = true;
        self.slow.asleep = 0;
        self.slow.lenient = self.slow.poppers.iter().filter(|p| p.kept).count();
        let mut wakers: Vec<_> = self.slow.poppers.iter_mut().filter_map(|p| p.waker.take()).collect();
        wakers.extend(self.slow.pushers.drain(..).map(|p| p.waker));
        self.settle();
        wakers
    }
}
