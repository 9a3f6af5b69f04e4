//! [`Wheel`]: timers for anything, in a hierarchical timing wheel.
//!
//! The runtime's sleeps and the network stack's per-connection timers both live in one of these. It holds no clock:
//! the turn's [`Instant`] is passed in, real or virtual.
//!
//! ```text
//!  deadline   = [ digit 15 | ... | digit 2 | digit 1 | digit 0 ]      base 16, nanoseconds
//!  elapsed    = [    =     | ... |    <    |   any   |   any   ]      level = first digit that differs: 2
//!
//!  level 2: ○ ○ ● ○ ○ ● ...   16 lists, and one bit each that says which are not empty
//!  level 1: ○ ○ ○ ○ ○ ○ ...
//!  level 0: ○ ● ○ ○ ○ ○ ...   one list is one nanosecond: nothing is rounded, nothing fires early or out of order
//! ```
//!
//! * An entry sits at the level of the highest digit in which its deadline differs from `elapsed`, in the list of that
//!   digit. So whatever is on a lower level is due before whatever is on a higher one, and within a level the lists are
//!   in order: the first list that is not empty is the first bit of a 256-bit set.
//! * When that first list comes due it is emptied into lower levels ("cascade"). An entry only ever moves down, so at
//!   most 15 times in its life, however far the clock jumps; a list whose entries are all cancelled in time never
//!   cascades, and one with a single entry does not need to.
//! * Entries are sorted late: what is armed goes to one unsorted list, the nursery, and from there to its level only
//!   when something comes due. Most timers guard an operation that ends in time: they never see a level.
//! * A lower bound of the next deadline is kept, so that a turn in which nothing is due costs one comparison.
//! * Entries are in one slab, lists are linked by index, and each list's head is an entry of the slab too: insert,
//!   cancel and re-arm touch two neighbours.
//!
//! It deliberately has no budget of its own ([`pop`](Wheel::pop) gives one entry at a time, the caller decides when
//! to stop), no coalescing, and no waking: what an entry carries is the caller's.
//!
//! Base 64 would save a third of the cascades and cost 9 instructions more per sorting and 25 KiB more per wheel.
//!
//! After G. Varghese and A. Lauck, "Hashed and Hierarchical Timing Wheels", SOSP '87, scheme 7.

use std::fmt;

use crate::time::Instant;

#[cfg(test)]
mod tests;

const DIGIT: u32 = 4;
const LISTS: usize = 1 << DIGIT;
const LEVELS: usize = (u64::BITS.div_ceil(DIGIT)) as usize;
/// The heads of all lists, in the order in which they come due, are the first entries of the slab.
const HEADS: usize = LEVELS * LISTS;
/// The head of the nursery.
const NURSERY: u32 = HEADS as u32;
/// A first list of at most so many entries is searched for the exact next deadline; of a longer one, the moment at which
/// its span begins is told.
const SEARCHED: usize = 8;
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

impl Key {
    /// Names nothing, in any wheel: what a place for a key holds while there is none.
    pub const NONE: Self = Self { index: NONE, generation: u32::MAX };
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timer{}.{}", self.index, self.generation)
    }
}

struct Entry<T> {
    /// The deadline, or the clock of its arming if that was later.
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
    /// The first free entry.
    free: u32,
    len: u32,
    /// No armed timer is due before this.
    next: u64,
    /// What deadlines are compared with to find their level: before the span of the first list that is not empty, and
    /// at most the clock of the last `pop`.
    elapsed: u64,
    /// Bit n: the list of head n is not empty.
    occupied: [u64; HEADS / 64],
}

impl<T> Wheel<T> {
    /// No timers. Takes some 10 KiB.
    pub fn new() -> Self {
        Self::starting_at(Instant::ZERO)
    }

    /// No timers, on a clock that stands at `now`: the same as [`new`](Self::new) and one `pop(now)`.
    pub fn starting_at(now: Instant) -> Self {
        let head = |i| Entry { when: 0, prev: i, next: i, generation: 0, value: None };
        Self {
            entries: (0..=NURSERY).map(head).collect(),
            free: NONE,
            len: 0,
            next: u64::MAX,
            elapsed: now.as_nanos(),
            occupied: [0; HEADS / 64],
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
    /// When 2^32 - 258 timers are armed, which take 100 GiB.
    #[inline]
    pub fn insert(&mut self, deadline: Instant, value: T) -> Key {
        let index = if self.free == NONE { self.grow() } else { self.free };
        let entry = &mut self.entries[index as usize];
        self.free = entry.next;
        entry.value = Some(value);
        let key = Key { index, generation: entry.generation };
        self.len += 1;
        self.arm(index, deadline.as_nanos());
        key
    }

    /// Disarm a timer and take back what it carried; `None` when it has fired or was cancelled before.
    #[inline]
    pub fn cancel(&mut self, key: Key) -> Option<T> {
        let value = self.armed_mut(key)?.value.take()?;
        self.unlink(key.index);
        self.release(key.index);
        Some(value)
    }

    /// Move a timer to another deadline, as if it was cancelled and inserted, under the same key. `false` when it has
    /// fired or was cancelled before.
    #[inline]
    pub fn rearm(&mut self, key: Key, deadline: Instant) -> bool {
        if self.get(key).is_none() {
            return false;
        }
        self.unlink(key.index);
        self.arm(key.index, deadline.as_nanos());
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
        self.armed_mut(key)?.value.as_mut()
    }

    /// When an armed timer fires. One that was armed when its deadline had passed may tell the clock of that time.
    #[inline]
    pub fn deadline(&self, key: Key) -> Option<Instant> {
        let entry = self.armed(key)?;
        entry.value.is_some().then(|| Instant::from_nanos(entry.when))
    }

    /// The time before which no timer fires; `None` when none is armed.
    ///
    /// Never later than the first deadline, and mostly it. It is earlier after that timer was cancelled or moved, and
    /// when very many timers are near each other and far away: then a `pop` at that time fires nothing, and the answer
    /// after it is a later one.
    #[inline]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.len == 0 { None } else { Some(Instant::from_nanos(self.next)) }
    }

    /// Take the first timer whose deadline is `now` or earlier. Call it until it gives `None`, or as often as one turn
    /// may. A clock that goes backwards fires nothing.
    #[inline]
    pub fn pop(&mut self, now: Instant) -> Option<T> {
        if now.as_nanos() < self.next { None } else { self.pop_due(now.as_nanos()) }
    }

    /// Disarm all timers. Their keys are stale.
    pub fn clear(&mut self) {
        self.sort(NURSERY);
        while let Some(head) = self.first() {
            let index = self.entries[head].next;
            self.fire(index);
        }
        self.next = u64::MAX;
    }

    #[inline(never)]
    fn pop_due(&mut self, now: u64) -> Option<T> {
        self.sort(NURSERY);
        while let Some(head) = self.first() {
            let first = self.entries[head].next;
            let Entry { when, next, .. } = self.entries[first as usize];
            let alone = next as usize == head;
            if when <= now && (alone || head < LISTS) {
                self.elapsed = when; // what is alone, or all of one nanosecond, needs no sorting
                return self.fire(first);
            }
            let begin = when & (u64::MAX << (head as u32 / LISTS as u32 * DIGIT));
            self.elapsed = self.elapsed.max(now.min(begin.saturating_sub(1)));
            if now < begin || alone {
                self.next = self.least(head).unwrap_or(begin);
                return None;
            }
            self.cascade(head, begin);
        }
        self.elapsed = self.elapsed.max(now);
        self.next = u64::MAX;
        None
    }

    /// Empty the first list, whose span begins at `begin`, into lower levels.
    fn cascade(&mut self, head: usize, begin: u64) {
        self.vacate(head as u32);
        // The lists below are empty and this one is now, so this is before the first list that is not.
        self.elapsed = begin;
        self.sort(head as u32);
    }

    /// Move every entry of the list of `head` to the list where it belongs, in order.
    fn sort(&mut self, head: u32) {
        let list = &mut self.entries[head as usize];
        let mut at = list.next;
        (list.prev, list.next) = (head, head);
        while at != head {
            let Entry { when, next, .. } = self.entries[at as usize];
            self.place(at, when);
            at = next;
        }
    }

    /// The least deadline in the list of `head`, if the list is short.
    fn least(&self, head: usize) -> Option<u64> {
        let (mut least, mut at) = (u64::MAX, self.entries[head].next as usize);
        for _ in 0..SEARCHED {
            if at == head {
                return Some(least);
            }
            least = least.min(self.entries[at].when);
            at = self.entries[at].next as usize;
        }
        None
    }

    /// The entry that `key` names, if it is armed. (A key of another wheel can name a free entry: look at its value.)
    #[inline]
    fn armed(&self, key: Key) -> Option<&Entry<T>> {
        self.entries.get(key.index as usize).filter(|e| e.generation == key.generation)
    }

    #[inline]
    fn armed_mut(&mut self, key: Key) -> Option<&mut Entry<T>> {
        self.entries.get_mut(key.index as usize).filter(|e| e.generation == key.generation)
    }

    /// The head of the first list that is not empty.
    #[inline]
    fn first(&self) -> Option<usize> {
        let word = self.occupied.iter().position(|&w| w != 0)?;
        Some(word * 64 + self.occupied[word].trailing_zeros() as usize)
    }

    /// Put an entry that is in no list into the nursery.
    #[inline]
    fn arm(&mut self, index: u32, when: u64) {
        self.next = self.next.min(when);
        self.append(index, when, NURSERY);
    }

    /// Put an entry that is in no list where it belongs. One whose deadline is before `elapsed` belongs there.
    fn place(&mut self, index: u32, when: u64) {
        let when = when.max(self.elapsed);
        let shift = ((when ^ self.elapsed) | 1).ilog2() / DIGIT * DIGIT;
        let digit = (when >> shift) as u32 % LISTS as u32;
        let head = shift / DIGIT * LISTS as u32 + digit;
        self.occupied[head as usize / 64] |= 1 << (head % 64);
        self.append(index, when, head);
    }

    #[inline]
    fn append(&mut self, index: u32, when: u64, head: u32) {
        let last = std::mem::replace(&mut self.entries[head as usize].prev, index);
        self.entries[last as usize].next = index;
        let entry = &mut self.entries[index as usize];
        entry.when = when;
        entry.prev = last;
        entry.next = head;
    }

    #[inline]
    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, .. } = self.entries[index as usize];
        self.entries[prev as usize].next = next;
        self.entries[next as usize].prev = prev;
        if prev == next && prev != NURSERY {
            self.vacate(prev); // both neighbours are one: the head
        }
    }

    fn vacate(&mut self, head: u32) {
        self.occupied[head as usize / 64] &= !(1 << (head % 64));
    }

    fn fire(&mut self, index: u32) -> Option<T> {
        self.unlink(index);
        self.release(index);
        self.entries[index as usize].value.take()
    }

    /// Free an unlinked entry. The caller takes its value.
    #[inline]
    fn release(&mut self, index: u32) {
        self.len -= 1;
        let entry = &mut self.entries[index as usize];
        if let Some(generation) = entry.generation.checked_add(1) {
            entry.generation = generation;
            entry.next = self.free;
            self.free = index;
        }
        // Else it is retired, so that no key can ever come to name another timer: one entry lost in 2^32 uses.
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
