//! [`Wheel`]: timers for anything, in a hierarchical timing wheel.
//!
//! The runtime's sleeps and the network stack's per-connection timers both live in one of these. It holds no clock:
//! the turn's [`Instant`] is passed in, real or virtual.
//!
//! ```text
//!  deadline   = [ digit 10 | ... | digit 2 | digit 1 | digit 0 ]      base 64, nanoseconds
//!  elapsed    = [    =     | ... |    <    |   any   |   any   ]      level = first digit that differs: 2
//!
//!  level 2: ○ ○ ● ○ ○ ● ...   64 lists and one u64 that says which are not empty
//!  level 1: ○ ○ ○ ○ ○ ○ ...
//!  level 0: ○ ● ○ ○ ○ ○ ...   one list is one nanosecond: nothing is rounded, nothing fires early or out of order
//! ```
//!
//! * An entry sits at the level of the highest base-64 digit in which its deadline differs from `elapsed`, in the list
//!   of that digit. So whatever is on a lower level is due before whatever is on a higher one, and within a level the
//!   lists are in order: the next deadline is found with two bit scans.
//! * When the first list of the lowest level comes due it is emptied into lower levels ("cascade"). An entry only
//!   ever moves down, so at most ten times in its life, however far the clock jumps; lists of which everything was
//!   cancelled in time never cascade at all.
//! * Entries are in one slab, lists are linked by index, and each list's head is an entry of the slab too, which
//!   keeps a lower bound of the deadlines in its list. Insert, cancel and re-arm touch three neighbours and one bitmap.
//!
//! It deliberately has no budget of its own ([`pop`](Wheel::pop) gives one entry at a time, the caller decides when
//! to stop), no coalescing, and no waking: what an entry carries is the caller's.
//!
//! After G. Varghese and A. Lauck, "Hashed and Hierarchical Timing Wheels", SOSP '87, scheme 7.

use std::fmt;

use crate::time::Instant;

#[cfg(test)]
mod tests;

const DIGIT: u32 = 6;
const LISTS: usize = 1 << DIGIT;
const LEVELS: usize = (u64::BITS.div_ceil(DIGIT)) as usize;
/// The heads of all lists are the first entries of the slab.
const HEADS: usize = LEVELS * LISTS;
/// The end of the list of free entries (a head is never free).
const NONE: u32 = 0;

/// The name of one armed timer of one [`Wheel`].
///
/// `Copy`, and checked: once its timer has fired or was cancelled, the key names nothing, whoever uses the
/// memory afterwards. Meaningful to the wheel that gave it only.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timer{}.{}", self.index, self.generation)
    }
}

struct Entry<T> {
    /// An entry's deadline; of a head, a lower bound of the deadlines in its list (`u64::MAX` when it is empty).
    when: u64,
    prev: u32,
    /// The next in the list; of a free entry, the next free one.
    next: u32,
    /// How often this entry was freed.
    generation: u32,
    value: Option<T>,
}

/// Timers that each carry a `T`.
///
/// # How it is driven
/// [`insert`](Self::insert) arms a timer, [`cancel`](Self::cancel) and [`rearm`](Self::rearm) take its key. Once
/// per turn call [`pop`](Self::pop) with the turn's clock until it gives `None`; before sleeping ask
/// [`next_deadline`](Self::next_deadline). Everything but `pop` takes constant time; `pop` takes amortised constant time.
///
/// Timers fire in the order of their deadlines, equal ones in the order in which they were armed, and never early.
///
/// ```
/// use std::time::Duration;
/// use hemi_queue::{time::Instant, wheel::Wheel};
///
/// let start = Instant::ZERO;
/// let mut wheel = Wheel::new();
/// let rto = wheel.insert(start + Duration::from_millis(200), "retransmit");
/// wheel.insert(start + Duration::from_millis(40), "delayed ack");
///
/// assert_eq!(wheel.next_deadline(), Some(start + Duration::from_millis(40)));
/// assert_eq!(wheel.pop(start + Duration::from_millis(39)), None);
/// assert_eq!(wheel.pop(start + Duration::from_millis(41)), Some("delayed ack"));
///
/// assert!(wheel.rearm(rto, start + Duration::from_millis(300)));
/// assert_eq!(wheel.cancel(rto), Some("retransmit"));
/// assert_eq!(wheel.cancel(rto), None); // a stale key names nothing
/// ```
pub struct Wheel<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: u32,
    /// Bit n: level n has a list that is not empty.
    levels: u32,
    lists: [u64; LEVELS],
    /// What deadlines are compared with to find their level. At most the clock of the last `pop`; before the
    /// first list that is not empty.
    elapsed: u64,
}

impl<T> Wheel<T> {
    /// No timers. Takes some 20 KiB.
    pub fn new() -> Self {
        Self::starting_at(Instant::ZERO)
    }

    /// No timers, on a clock that stands at `now`: the same as [`new`](Self::new) and one `pop(now)`.
    pub fn starting_at(now: Instant) -> Self {
        let head = |i| Entry { when: u64::MAX, prev: i, next: i, generation: 0, value: None };
        Self {
            entries: (0..HEADS as u32).map(head).collect(),
            free: NONE,
            len: 0,
            levels: 0,
            lists: [0; LEVELS],
            elapsed: now.as_nanos(),
        }
    }

    /// How many timers are armed.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether no timer is armed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arm a timer that fires at `deadline`; one that has passed already fires at the next [`pop`](Self::pop).
    ///
    /// # Panics
    /// When 2^32 - 705 timers are armed, which take 100 GiB.
    #[inline]
    pub fn insert(&mut self, deadline: Instant, value: T) -> Key {
        let index = if self.free == NONE { self.grow() } else { self.free };
        let entry = &mut self.entries[index as usize];
        self.free = entry.next;
        entry.value = Some(value);
        let key = Key { index, generation: entry.generation };
        self.len += 1;
        self.link(index, deadline.as_nanos());
        key
    }

    /// Disarm a timer and take back what it carried; `None` when it has fired or was cancelled before.
    #[inline]
    pub fn cancel(&mut self, key: Key) -> Option<T> {
        self.armed(key)?;
        self.unlink(key.index);
        self.release(key.index)
    }

    /// Move a timer to another deadline, as if it was cancelled and inserted, under the same key. `false` when it has
    /// fired or was cancelled before.
    #[inline]
    pub fn rearm(&mut self, key: Key, deadline: Instant) -> bool {
        if self.armed(key).is_none() {
            return false;
        }
        self.unlink(key.index);
        self.link(key.index, deadline.as_nanos());
        true
    }

    /// What an armed timer carries.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        self.armed(key)?.value.as_ref()
    }

    /// What an armed timer carries, to change it.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entries.get_mut(key.index as usize).filter(|e| e.generation == key.generation)?.value.as_mut()
    }

    /// When an armed timer fires. One that was armed when its deadline had passed tells the clock of that time.
    #[inline]
    pub fn deadline(&self, key: Key) -> Option<Instant> {
        Some(Instant::from_nanos(self.armed(key)?.when))
    }

    /// The time before which no timer fires; `None` when none is armed. Exact, except that it may tell the deadline of a
    /// timer that was cancelled: then a `pop` at that time fires nothing and the answer after it is a later one.
    #[inline]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.levels == 0 {
            return None;
        }
        Some(Instant::from_nanos(self.entries[self.first().1].when))
    }

    /// Take the first timer whose deadline is `now` or earlier. Call it until it gives `None`, or as often as one turn
    /// may. A clock that goes backwards fires nothing.
    #[inline]
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        let now = now.as_nanos();
        if self.levels == 0 {
            self.elapsed = self.elapsed.max(now);
            return None;
        }
        let (level, head) = self.first();
        let least = self.entries[head].when;
        if now < least {
            // Up to the moment before the list begins: then everything stays where it is.
            let begin = least & (u64::MAX << (level * DIGIT));
            self.elapsed = self.elapsed.max(now.min(begin.saturating_sub(1)));
            return None;
        }
        self.pop_due(now)
    }

    /// Disarm all timers. Their keys are stale.
    pub fn clear(&mut self) {
        while let Some(index) = self.first_index() {
            self.unlink(index);
            self.release(index);
        }
    }

    fn pop_due(&mut self, now: u64) -> Option<T> {
        while self.levels != 0 {
            let (level, head) = self.first();
            if self.entries[head].when > now {
                return None;
            }
            let first = self.entries[head].next;
            let entry = &self.entries[first as usize];
            // Alone in the first list is as good as sorted.
            if level == 0 || (entry.next as usize == head && entry.when <= now) {
                self.elapsed = entry.when;
                self.unlink(first);
                return self.release(first);
            }
            self.cascade(head);
        }
        None
    }

    /// Empty the first list, which has begun, into lower levels.
    fn cascade(&mut self, head: usize) {
        let (first, least) = (self.entries[head].next, self.entries[head].when);
        self.empty(head);
        // Within the list's span and not after any of its deadlines: the first digit to differ is now a lower one.
        self.elapsed = least;
        let mut at = first;
        while at as usize != head {
            let next = self.entries[at as usize].next;
            self.link(at, self.entries[at as usize].when);
            at = next;
        }
    }

    /// The entry that `key` names. A key of another wheel may be answered wrongly, but never with a free entry.
    #[inline]
    fn armed(&self, key: Key) -> Option<&Entry<T>> {
        self.entries.get(key.index as usize).filter(|e| e.generation == key.generation && e.value.is_some())
    }

    /// The lowest level that is not empty and the head of its first list. There is one.
    #[inline]
    fn first(&self) -> (u32, usize) {
        let level = self.levels.trailing_zeros();
        let list = self.lists[level as usize].trailing_zeros();
        (level, (level << DIGIT | list) as usize)
    }

    fn first_index(&self) -> Option<u32> {
        (self.levels != 0).then(|| self.entries[self.first().1].next)
    }

    /// Append `index` to the list of `when`, or of `elapsed` if that is later.
    #[inline]
    fn link(&mut self, index: u32, when: u64) {
        let when = when.max(self.elapsed);
        let level = ((when ^ self.elapsed) | 1).ilog2() / DIGIT;
        let list = (when >> (level * DIGIT)) as u32 & (LISTS as u32 - 1);
        self.lists[level as usize] |= 1 << list;
        self.levels |= 1 << level;

        let at = level << DIGIT | list;
        let head = &mut self.entries[at as usize];
        head.when = head.when.min(when);
        let last = std::mem::replace(&mut head.prev, index);
        self.entries[last as usize].next = index;
        let entry = &mut self.entries[index as usize];
        entry.when = when;
        entry.prev = last;
        entry.next = at;
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, .. } = self.entries[index as usize];
        self.entries[prev as usize].next = next;
        self.entries[next as usize].prev = prev;
        if prev == next {
            self.empty(prev as usize); // both neighbours are one: the head
        }
    }

    /// Make the list of `head` empty.
    #[inline]
    fn empty(&mut self, head: usize) {
        let entry = &mut self.entries[head];
        entry.when = u64::MAX;
        entry.prev = head as u32;
        entry.next = head as u32;
        let level = head / LISTS;
        self.lists[level] &= !(1 << (head % LISTS));
        if self.lists[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Free an unlinked entry and take what it carried.
    #[inline]
    fn release(&mut self, index: u32) -> Option<T> {
        let entry = &mut self.entries[index as usize];
        let value = entry.value.take();
        self.len -= 1;
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            entry.next = self.free;
            self.free = index;
        }
        // Else it is retired, so that no key can ever come to name another timer: one entry lost in 2^32 uses.
        value
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        let index = u32::try_from(self.entries.len()).expect("2^32 timers are armed");
        self.entries.push(Entry { when: 0, prev: NONE, next: NONE, generation: 0, value: None });
        index
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel").field("len", &self.len).field("next", &self.next_deadline()).finish()
    }
}
