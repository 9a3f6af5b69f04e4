//! The table of members.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use hemi_queue::Ticket;

use super::{MemberId, WhenFull, signal::MemberWaker};

/// Whether a member that pushes wait for has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// It has to be asked.
    Unknown,
    /// It was asked and will wake us.
    Asked,
    /// It has.
    Ready,
}

pub(super) struct Member<Q, U> {
    pub(super) queue: Q,
    pub(super) when_full: WhenFull,
    pub(super) signal: Arc<MemberWaker>,
    /// `signal`, as the queue wants it.
    pub(super) waker: Waker,
    pub(super) room: Room,
    /// Units that wait for room (not with [`WhenFull::Wait`]).
    pub(super) waiting: VecDeque<U>,
    /// Pushes of the set that are not complete here, oldest first: the set's number and the queue's ticket.
    pub(super) pushed: VecDeque<(u64, Ticket)>,
    pub(super) dropped: u64,
}

impl<Q, U> Member<Q, U> {
    pub(super) fn new(queue: Q, when_full: WhenFull, signal: Arc<MemberWaker>) -> Self {
        let waker = Waker::from(Arc::clone(&signal));
        Self {
            queue,
            when_full,
            signal,
            waker,
            room: Room::Unknown,
            waiting: VecDeque::new(),
            pushed: VecDeque::new(),
            dropped: 0,
        }
    }

    pub(super) fn queue(&self) -> &Q {
        &self.queue
    }

    pub(super) fn queue_mut(&mut self) -> &mut Q {
        &mut self.queue
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn room(&self) -> Room {
        self.room
    }

    pub(super) fn in_flight(&self) -> impl Iterator<Item = u64> {
        self.pushed.iter().map(|(number, _)| *number)
    }

    pub(super) fn into_queue(self) -> Q {
        self.queue
    }
}

/// Slots with generations, so that an id never names a later member.
pub(super) struct Members<Q, U> {
    slots: Vec<Slot<Q, U>>,
    free: Vec<u32>,
    len: usize,
}

struct Slot<Q, U> {
    generation: u32,
    member: Option<Member<Q, U>>,
}

impl<Q, U> Members<Q, U> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, make: impl FnOnce(u32) -> Member<Q, U>) -> MemberId {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        let member = Some(make(slot));
        self.len += 1;
        match self.slots.get_mut(slot as usize) {
            Some(free) => free.member = member,
            None => self.slots.push(Slot { generation: 0, member }),
        }
        MemberId { slot, generation: self.slots[slot as usize].generation }
    }

    pub(super) fn remove(&mut self, id: MemberId) -> Option<Member<Q, U>> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|s| s.generation == id.generation)?;
        let member = slot.member.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.len -= 1;
        self.free.push(id.slot);
        Some(member)
    }

    pub(super) fn get(&self, id: MemberId) -> Option<&Member<Q, U>> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.member.as_ref().filter(|_| slot.generation == id.generation)
    }

    pub(super) fn get_mut(&mut self, id: MemberId) -> Option<&mut Member<Q, U>> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.member.as_mut().filter(|_| slot.generation == id.generation)
    }

    /// Who has the slot now.
    pub(super) fn in_slot(&mut self, slot: u32) -> Option<(MemberId, &mut Member<Q, U>)> {
        let entry = self.slots.get_mut(slot as usize)?;
        let id = MemberId { slot, generation: entry.generation };
        entry.member.as_mut().map(|member| (id, member))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (MemberId, &Member<Q, U>)> {
        self.slots.iter().zip(0..).filter_map(|(s, slot)| {
            let id = MemberId { slot, generation: s.generation };
            s.member.as_ref().map(|m| (id, m))
        })
    }

    /// How many slots there are, filled or not.
    pub(super) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) fn into_queues(self) -> Vec<(MemberId, Q)> {
        let slots = self.slots.into_iter().zip(0..);
        slots
            .filter_map(|(s, slot)| {
                let id = MemberId { slot, generation: s.generation };
                s.member.map(|m| (id, m.queue))
            })
            .collect()
    }
}
