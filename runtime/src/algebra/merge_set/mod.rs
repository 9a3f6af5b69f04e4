//! [`MergeSet`]: many queues as one, with members that come and go.
//!
//! ```text
//!   insert ──(1)──► member ──(2)──► Event::Left, with the queue     (1) gets an id, is polled once
//!                     │  ▲                                          (2) ended, failed, or too slow for its policy
//!                     └──┘ popped, pushed to                        remove(id) takes it out without an event
//! ```
//!
//! Each member has a waker of its own that puts its slot on a ready list (`signal.rs`), so that a poll looks at members
//! that something happened to, never at all of them: O(ready). Only a push touches every member, because it goes to
//! every member. `members.rs` has the table, `pop.rs` and `push.rs` the two directions.

mod members;
mod pop;
mod push;
mod signal;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, fmt, sync::Arc};

use hemi_queue::{Error, Pop};
use members::{Member, Members, Room};
pub use push::Delivered;
use push::{Drive, Pushes};
use signal::Signal;

/// Many queues as one, whose members come and go.
///
/// * A pop takes from any member, fairly: a member that has more goes to the back of the line. It tells who
///   popped what, and who has left and why ([`Event`]); the set is not disturbed by a member that fails.
/// * [`push`](MergeSet::push) goes to every member, [`push_others`](MergeSet::push_others) to all but one,
///   [`push_to`](MergeSet::push_to) to one. What happens when a member is full is the member's [`WhenFull`].
/// * A pop of an empty set is `None`, as with [`merge()`](super::merge()), unless it was made with
///   [`keep_open`](MergeSet::keep_open): then it waits.
///
/// `U` is what is pushed, where that differs from what is popped.
///
/// ```
/// # use futures::executor::block_on;
/// use hemi::{Pop, Queue, algebra::{Event, MergeSet, WhenFull}};
/// # block_on(async {
/// let (a, b) = (hemi::queue(8), hemi::queue(8));
/// let mut set: MergeSet<Queue<&str>> = MergeSet::new();
/// let first = set.insert(a.clone(), WhenFull::Wait);
/// let second = set.insert(b.clone(), WhenFull::DropOldest { keep: 16 });
///
/// set.push("to both").await?;
/// assert_eq!((a.try_pop(), b.try_pop()), (Some("to both"), Some("to both")));
///
/// b.push("from b").await?;
/// let (id, event) = set.pop().await?.unwrap();
/// assert!(id == second && matches!(event, Event::Unit("from b")));
///
/// a.close();
/// let (id, event) = set.pop().await?.unwrap();
/// assert!(id == first && matches!(event, Event::Left(..)));
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub struct MergeSet<Q: Pop, U = <Q as Pop>::Unit> {
    members: Members<Q, U>,
    signal: Arc<Signal>,
    /// Members that have left and whose event was not popped yet.
    left: VecDeque<(MemberId, Left, Q)>,
    keep_open: bool,
    pushes: Pushes,
    /// How to go on with pushes to a member; none before the first push, so that sets that are only popped need
    /// no `Push`.
    drive: Option<Drive<Q, U>>,
}

/// Names a member of one [`MergeSet`]; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId {
    slot: u32,
    generation: u32,
}

/// What a pop of a [`MergeSet`] tells about a member.
pub enum Event<Q: Pop> {
    /// It popped a unit.
    Unit(Q::Unit),
    /// It has left the set, for this reason; here is its queue.
    Left(Left, Q),
}

/// Why a member has left a [`MergeSet`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Left {
    /// Its pops have ended.
    Ended,
    /// A pop or a push failed.
    Failed(Error),
    /// It was full, and more units than its [`WhenFull::Disconnect`] allows waited for it.
    TooSlow {
        /// Units that it did not get.
        missed: usize,
    },
}

/// What a push does when a member has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The push waits: the slowest such member sets the pace of all.
    #[default]
    Wait,
    /// Up to `keep` units wait for the member here; then the oldest is dropped and [counted](MergeSet::dropped).
    DropOldest {
        /// Units.
        keep: usize,
    },
    /// Up to `keep` units wait for the member here; then it leaves the set as [`Left::TooSlow`].
    Disconnect {
        /// Units.
        keep: usize,
    },
}

impl<Q: Pop<Unit: fmt::Debug>> fmt::Debug for Event<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit(unit) => f.debug_tuple("Unit").field(unit).finish(),
            Self::Left(why, _) => f.debug_tuple("Left").field(why).finish_non_exhaustive(),
        }
    }
}

impl<Q: Pop> MergeSet<Q> {
    /// A set without members whose queues pop and push the same type.
    pub fn new() -> Self {
        Self::pushing()
    }
}

impl<Q: Pop> Default for MergeSet<Q> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Q: Pop, U> MergeSet<Q, U> {
    /// A set without members to whose queues `U` is pushed.
    pub fn pushing() -> Self {
        Self {
            members: Members::new(),
            signal: Arc::new(Signal::default()),
            left: VecDeque::new(),
            keep_open: false,
            pushes: Pushes::default(),
            drive: None,
        }
    }

    /// Let pops of an empty set wait for a member instead of ending, as a server wants that has no clients for a while.
    pub fn keep_open(mut self) -> Self {
        self.keep_open = true;
        self
    }

    /// Add a member. Units pushed before are not pushed to it.
    pub fn insert(&mut self, queue: Q, when_full: WhenFull) -> MemberId {
        let signal = &self.signal;
        let id = self.members.insert(|slot| Member::new(queue, when_full, signal.member(slot)));
        if let Some(member) = self.members.get(id) {
            member.signal.again();
        }
        self.signal.wake_popper();
        if self.drive.is_some() {
            self.pushes.unknown.push(id);
        }
        id
    }

    /// Take a member out, with its queue. Units that waited for it here are dropped. No event comes for it.
    pub fn remove(&mut self, id: MemberId) -> Option<Q> {
        let member = self.members.remove(id)?;
        self.forget(&member);
        Some(member.into_queue())
    }

    /// How many members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.len() == 0
    }

    /// The members' ids.
    pub fn ids(&self) -> impl Iterator<Item = MemberId> {
        self.members.iter().map(|(id, _)| id)
    }

    /// A member's queue.
    pub fn get(&self, id: MemberId) -> Option<&Q> {
        self.members.get(id).map(Member::queue)
    }

    /// A member's queue, for its options.
    pub fn get_mut(&mut self, id: MemberId) -> Option<&mut Q> {
        self.members.get_mut(id).map(Member::queue_mut)
    }

    /// Units that [`WhenFull::DropOldest`] has dropped for a member.
    pub fn dropped(&self, id: MemberId) -> u64 {
        self.members.get(id).map_or(0, Member::dropped)
    }

    /// All members' queues. Units that waited here for full members are dropped.
    pub fn into_parts(self) -> Vec<(MemberId, Q)> {
        self.members.into_queues()
    }

    /// A member leaves: its event waits to be popped.
    fn leave(&mut self, id: MemberId, why: Left) {
        if let Some(member) = self.members.remove(id) {
            self.forget(&member);
            self.left.push_back((id, why, member.into_queue()));
            self.signal.wake_popper();
        }
    }

    /// What pushes waited for on a member that is gone.
    fn forget(&mut self, member: &Member<Q, U>) {
        if member.room() == Room::Asked {
            self.pushes.blocked -= 1;
        }
        for push in member.in_flight() {
            self.pushes.completed(push, false);
        }
        self.signal.wake_pusher();
    }
}

impl<Q: Pop, U> fmt::Debug for MergeSet<Q, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergeSet").field("members", &self.len()).finish_non_exhaustive()
    }
}
