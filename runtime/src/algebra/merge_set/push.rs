//! Pushing to a set: to every member, each with its policy.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use hemi_queue::{Error, Pop, Push, PushError, Result, Ticket};

use super::{Left, Member, MemberId, MergeSet, Room, WhenFull};
use crate::algebra::PushReserved;

/// Pushes whose completion nobody asked for (their futures were dropped) are remembered up to this many.
const UNCLAIMED: usize = 1024;

/// Goes on with the pushes to one member; an error is the member's end.
pub(super) type Drive<Q, U> = fn(&mut Member<Q, U>, &mut Pushes) -> Result<()>;

/// What became of a push to a [`MergeSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Members whose queues took it.
    pub taken: usize,
    /// Members for which it waits here, because they were full.
    pub held: usize,
    /// Members that left the set instead of taking it.
    pub failed: usize,
}

/// Pushes that members are waited for.
#[derive(Default)]
pub(super) struct Pushes {
    next: u64,
    open: VecDeque<Open>,
    /// Members that were asked for room and have none.
    pub(super) blocked: usize,
    /// Members to ask for room before the next push.
    pub(super) unknown: Vec<MemberId>,
}

struct Open {
    number: u64,
    waiting_for: usize,
    delivered: Delivered,
}

impl Pushes {
    fn get(&mut self, number: u64) -> Option<&mut Open> {
        let at = self.open.binary_search_by_key(&number, |p| p.number).ok()?;
        self.open.get_mut(at)
    }

    /// One member has completed push `number`, or left.
    pub(super) fn completed(&mut self, number: u64, taken: bool) {
        if let Some(open) = self.get(number) {
            open.waiting_for -= 1;
            open.delivered.taken += usize::from(taken);
            open.delivered.failed += usize::from(!taken);
        }
    }
}

/// What offering a unit to one member came to.
enum Offered {
    Waiting,
    Taken,
    Held,
    Leaves(Left),
}

impl<Q, U> MergeSet<Q, U>
where
    Q: Pop + Push<Unit = U>,
    U: Clone,
{
    /// Push one unit to every member. Waits until all members with [`WhenFull::Wait`] have room, and completes when all of
    /// them have completed. Dropping the future after its first poll does not retract the push.
    pub fn push(&mut self, unit: impl Into<U>) -> PushReserved<'_, Self> {
        PushReserved::new(self, unit.into())
    }

    /// Hand one unit to every member but `except`, now. A member with [`WhenFull::Wait`] takes it beyond its
    /// limit, up to twice that, and then leaves as [`Left::Failed`] with [`Error::Busy`].
    pub fn push_others(&mut self, except: MemberId, unit: impl Into<U>) -> Delivered {
        let unit = unit.into();
        self.offer_all(|id| id != except, unit, None)
    }

    /// Hand one unit to the member `id`, now; as [`push_others`](Self::push_others). Gives the unit back when there
    /// is no such member.
    pub fn push_to(&mut self, id: MemberId, unit: impl Into<U>) -> Result<Delivered, PushError<U>> {
        let unit = unit.into();
        if self.members.get(id).is_none() {
            return Err(PushError::new(Error::BadQd, unit));
        }
        Ok(self.offer_all(|member| member == id, unit, None))
    }

    fn offer_all(&mut self, to: impl Fn(MemberId) -> bool, unit: U, number: Option<u64>) -> Delivered {
        self.start_driving();
        let mut delivered = Delivered::default();
        for slot in 0..self.members.slots() {
            let Some((id, member)) = self.members.in_slot(slot) else { continue };
            if !to(id) {
                continue;
            }
            match offer(member, unit.clone(), number) {
                Offered::Taken => delivered.taken += 1,
                Offered::Held => delivered.held += 1,
                Offered::Waiting => {
                    if let Some(open) = number.and_then(|n| self.pushes.get(n)) {
                        open.waiting_for += 1;
                    }
                }
                Offered::Leaves(why) => {
                    delivered.failed += 1;
                    self.leave(id, why);
                    continue;
                }
            }
            if member.when_full == WhenFull::Wait && member.room != Room::Unknown {
                if member.room == Room::Asked {
                    self.pushes.blocked -= 1;
                }
                member.room = Room::Unknown;
                self.pushes.unknown.push(id);
            }
        }
        delivered
    }

    /// From the first push on, members that pushes have to wait for are asked for room.
    fn start_driving(&mut self) {
        if self.drive.replace(drive::<Q, U>).is_none() {
            self.pushes.unknown.extend(self.members.iter().map(|(id, _)| id));
        }
    }

    /// Ask the members whose room is not known: all after a push, otherwise those that joined since.
    fn ask_for_room(&mut self) {
        let ids = std::mem::take(&mut self.pushes.unknown);
        for id in &ids {
            let Some(member) = self.members.get_mut(*id) else { continue };
            if member.when_full != WhenFull::Wait || member.room != Room::Unknown {
                continue;
            }
            match member.queue.poll_ready(&mut Context::from_waker(&member.waker)) {
                Poll::Ready(Ok(())) => member.room = Room::Ready,
                Poll::Ready(Err(error)) => self.leave(*id, Left::Failed(error)),
                Poll::Pending => {
                    member.room = Room::Asked;
                    self.pushes.blocked += 1;
                }
            }
        }
        self.pushes.unknown = ids;
        self.pushes.unknown.clear();
    }
}

/// [`start_push`](Push::start_push) hands over at once, room or not; [`MergeSet::push`] and
/// [`poll_ready`](Push::poll_ready) wait for room. A member that fails leaves the set with an event; the
/// others, and the push, are not disturbed.
impl<Q, U> Push for MergeSet<Q, U>
where
    Q: Pop + Push<Unit = U>,
    U: Clone,
{
    type Unit = U;
    type Receipt = Delivered;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.start_driving();
        self.ask_for_room();
        self.drive_pushes(cx);
        if self.pushes.blocked == 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn start_push(&mut self, unit: U) -> Result<Ticket, PushError<U>> {
        let number = self.pushes.next;
        self.pushes.next += 1;
        if self.pushes.open.len() == UNCLAIMED {
            self.pushes.open.pop_front();
        }
        self.pushes.open.push_back(Open { number, waiting_for: 0, delivered: Delivered::default() });
        let now = self.offer_all(|_| true, unit, Some(number));
        if let Some(open) = self.pushes.get(number) {
            open.delivered.taken += now.taken;
            open.delivered.held += now.held;
            open.delivered.failed += now.failed;
        }
        Ok(Ticket(number))
    }

    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Delivered>> {
        self.drive_pushes(cx);
        let open = &mut self.pushes.open;
        let Ok(at) = open.binary_search_by_key(&ticket.0, |p| p.number) else {
            return Poll::Ready(Err(Error::StaleToken));
        };
        if open[at].waiting_for > 0 {
            return Poll::Pending;
        }
        let delivered = open.remove(at).map_or_else(Delivered::default, |p| p.delivered);
        Poll::Ready(Ok(delivered))
    }

    /// Finishes every member; one that fails leaves.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut pending = false;
        for slot in 0..self.members.slots() {
            let Some((id, member)) = self.members.in_slot(slot) else { continue };
            match member.queue.poll_finish(cx) {
                Poll::Pending => pending = true,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.leave(id, Left::Failed(error)),
            }
        }
        if pending { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

/// Hand a unit to one member as its policy says. `number` is the set's push that waits for it.
fn offer<Q: Push<Unit = U>, U>(member: &mut Member<Q, U>, unit: U, number: Option<u64>) -> Offered {
    let mut cx = Context::from_waker(&member.waker);
    let keep = match member.when_full {
        WhenFull::Wait => {
            return match member.queue.start_push(unit) {
                Ok(ticket) => match member.queue.poll_pushed(ticket, &mut cx) {
                    Poll::Ready(Ok(_)) => Offered::Taken,
                    Poll::Ready(Err(error)) => Offered::Leaves(Left::Failed(error)),
                    Poll::Pending => match number {
                        Some(number) => {
                            member.pushed.push_back((number, ticket));
                            Offered::Waiting
                        }
                        None => Offered::Taken,
                    },
                },
                Err(refused) => Offered::Leaves(Left::Failed(refused.error)),
            };
        }
        WhenFull::DropOldest { keep } | WhenFull::Disconnect { keep } => keep,
    };
    if member.waiting.is_empty() {
        match member.queue.poll_ready(&mut cx) {
            Poll::Ready(Ok(())) => {
                return match member.queue.start_push(unit) {
                    Ok(_) => Offered::Taken,
                    Err(refused) => Offered::Leaves(Left::Failed(refused.error)),
                };
            }
            Poll::Ready(Err(error)) => return Offered::Leaves(Left::Failed(error)),
            Poll::Pending => {}
        }
    }
    member.waiting.push_back(unit);
    if member.waiting.len() <= keep {
        return Offered::Held;
    }
    if let WhenFull::Disconnect { .. } = member.when_full {
        return Offered::Leaves(Left::TooSlow { missed: member.waiting.len() });
    }
    member.waiting.pop_front();
    member.dropped += 1;
    Offered::Held
}

/// Something happened to a member: go on with the pushes to it.
fn drive<Q: Push<Unit = U>, U>(member: &mut Member<Q, U>, pushes: &mut Pushes) -> Result<()> {
    let mut cx = Context::from_waker(&member.waker);
    while let Some((number, ticket)) = member.pushed.front().copied() {
        match member.queue.poll_pushed(ticket, &mut cx) {
            Poll::Ready(Ok(_)) => {
                member.pushed.pop_front();
                pushes.completed(number, true);
            }
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => break,
        }
    }
    if member.room == Room::Asked && member.queue.poll_ready(&mut cx)?.is_ready() {
        member.room = Room::Ready;
        pushes.blocked -= 1;
    }
    while !member.waiting.is_empty() && member.queue.poll_ready(&mut cx)?.is_ready() {
        if let Some(unit) = member.waiting.pop_front() {
            member.queue.start_push(unit)?;
        }
    }
    Ok(())
}
