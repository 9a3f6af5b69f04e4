//! The queue algebra (HotOS '19): queues made of queues.
//!
//! | call | pop | push |
//! |---|---|---|
//! | [`merge(a, b)`](merge()) | from either, fairly; ends when both have ended | to both, when both have room |
//! | [`MergeSet`] | from any member, fairly; members come and go | to all, each with its policy for being full |
//! | [`filter(q, p)`](filter()) | what passes `p` | what passes `p`; the rest comes back as [`Verdict::Filtered`] |
//! | [`sort(q, window, key)`](sort()) | the least of the units already there | as is |
//! | [`map(q, f)`](map()), [`map_push(q, f)`](map_push()) | transformed | transformed |
//! | [`qconnect(a, b)`](qconnect()) | moves everything popped from `a` into `b`, with back-pressure | |
//! | [`split(q)`](split()) | one half | the other half |
//!
//! Each is one small adapter over [`Pop`](crate::Pop) and [`Push`](crate::Push) and is itself a queue, so they nest. None
//! buffers behind the user's back: what an adapter reads ahead it gives back with `into_parts()`.
//!
//! [`Predicate`] and [`Rewrite`] are filters and maps as data: evaluated in software here, and in a form that a device can
//! compile. `offload()` says where each direction runs.

mod filter;
mod held;
mod map;
mod merge;
mod merge_set;
pub mod predicate;
mod qconnect;
mod reserve;
mod rewrite;
mod sort;
mod sort_within;
mod split;
#[cfg(test)]
mod tests;

pub use filter::{Filter, Test, Verdict, filter, filter_by, filter_push};
pub use hemi_queue::program::{Operation, Payload, RunsIn};
pub use map::{Map, MapPush, Transform, map, map_by, map_push};
pub use merge::{Merge, MergeError, Settled, Side, merge};
pub use merge_set::{Delivered, Event, Left, MemberId, MergeSet, WhenFull};
pub use predicate::Predicate;
pub use qconnect::{Moved, QConnect, Why, qconnect};
pub use reserve::PushReserved;
pub use rewrite::Rewrite;
pub use sort::{Sort, sort};
pub use sort_within::{SortWithin, sort_within};
pub use split::{Popper, Pusher, split};

/// Units that one poll looks at before it lets other tasks run.
const BURST: usize = 64;

/// Where each direction of a filter or map runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// The pop direction.
    pub pop: RunsIn,
    /// The push direction.
    pub push: RunsIn,
}

impl Offload {
    const SOFTWARE: Self = Self { pop: RunsIn::Software, push: RunsIn::Software };
}
