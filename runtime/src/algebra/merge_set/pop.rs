//! Popping from a set: the next ready member's unit.

use std::task::{Context, Poll};

use hemi_queue::{Pop, Result};

use super::{Event, Left, MemberId, MergeSet, signal::Way};
use crate::algebra::BURST;

/// A pop also goes on with what waits for members that were full, so that a task that only pops serves both directions.
impl<Q: Pop, U> Pop for MergeSet<Q, U> {
    type Unit = (MemberId, Event<Q>);

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Self::Unit>>> {
        for _ in 0..BURST {
            self.drive_pushes(cx);
            if let Some((id, why, queue)) = self.left.pop_front() {
                return Poll::Ready(Ok(Some((id, Event::Left(why, queue)))));
            }
            if self.members.len() == 0 && !self.keep_open {
                return Poll::Ready(Ok(None));
            }
            let Some(slot) = self.signal.next(Way::Pop, cx) else { return Poll::Pending };
            let Some((id, member)) = self.members.in_slot(slot) else { continue };
            member.signal.unlisted(Way::Pop);
            match member.queue.poll_pop(&mut Context::from_waker(&member.waker)) {
                Poll::Ready(Ok(Some(unit))) => {
                    member.signal.again();
                    return Poll::Ready(Ok(Some((id, Event::Unit(unit)))));
                }
                Poll::Ready(Ok(None)) => self.leave(id, Left::Ended),
                Poll::Ready(Err(error)) => self.leave(id, Left::Failed(error)),
                Poll::Pending => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<Q: Pop, U> MergeSet<Q, U> {
    /// Go on with the pushes to members that something happened to.
    pub(super) fn drive_pushes(&mut self, cx: &mut Context<'_>) {
        let Some(drive) = self.drive else { return };
        while let Some(slot) = self.signal.next(Way::Push, cx) {
            if let Some((id, member)) = self.members.in_slot(slot) {
                member.signal.unlisted(Way::Push);
                if let Err(error) = drive(member, &mut self.pushes) {
                    self.leave(id, Left::Failed(error));
                }
            }
        }
    }
}
