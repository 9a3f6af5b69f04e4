//! [`Seat`]: one core's end of the rings.

use std::{
    fmt,
    sync::{Arc, mpsc::TrySendError},
};

use hemi_queue::time::Instant;

use super::{Borrowed, Group, Steered, group::Ends, place::Cores};
use crate::{
    device::{Device, Gone},
    frame::TxQueue,
    stack::Stack,
};

/// Taken from one ring in one turn, at most.
const BURST: usize = 64;
/// Frames of other cores that wait for the device, at most; the rest wait in the rings.
const FORWARDED: usize = 64;

/// One core's place in a [`Group`].
///
/// # How it is driven
/// By its [`Host`](crate::Host), once per turn: what the others have sent goes into the stack; what the stack has for others into their
/// rings, and whoever got something is woken, once. [`finish`](Self::finish) when the core's program ends; while others go on
/// ([`is_needed`](Self::is_needed)) the core is still driven, because the device may deliver packets of theirs to it.
/// Dropping it takes the core out: nothing is steered to it any more, and what is still in its rings is lost with it.
pub struct Seat {
    group: Arc<Group>,
    index: usize,
    ends: Ends,
    /// Cores that got something this turn, as bits.
    touched: u64,
    forwarded: TxQueue,
    finished: bool,
}

impl Seat {
    pub(super) fn new(group: Arc<Group>, index: usize, ends: Ends) -> Self {
        Self { group, index, ends, touched: 0, forwarded: TxQueue::new(FORWARDED), finished: false }
    }

    /// This core's number.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The group.
    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Tell `device`, a queue of which is this core's own, the rule. Core 0's device has the say when it can't be told.
    pub fn steer(&mut self, device: &mut dyn Device) {
        let answer = device.steer(self.group.steering());
        tracing::debug!(core = self.index, ?answer, "how the device spreads flows");
        if self.index == 0 {
            let _ = self.group.caps.set(device.caps());
            self.group.settle(answer);
        } else if let Steered::Instead(_) = answer {
            tracing::warn!(
                core = self.index,
                "this queue has a rule of its own; packets are handed over in software"
            );
        }
    }

    /// The interface for a core without a queue of its own: what it sends leaves by core 0's. `None` for core 0, before core 0's
    /// device is known ([`steer`](Self::steer)), and the second time.
    pub fn borrow_device(&mut self) -> Option<Borrowed> {
        let caps = *self.group.caps.get()?;
        Some(Borrowed::new(Arc::clone(&self.group), caps, self.ends.send.take()?))
    }

    pub(crate) fn cores(&self) -> Cores {
        let (count, secret) = (self.group.cores(), self.group.secret);
        Cores::new(self.index, count, secret, self.group.rule(), Arc::clone(&self.group.directory))
    }

    /// Take in what the others have sent. True: there was something.
    pub(crate) fn take(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let mut any = false;
        for from in &self.ends.from {
            for fact in from.facts.try_iter().take(BURST) {
                stack.learn(fact, now);
                any = true;
            }
            for packed in from.parcels.try_iter().take(BURST) {
                let parcel = packed.unpack(stack.pool());
                stack.receive_parcel(parcel, now);
                any = true;
            }
        }
        any
    }

    /// Give the others what the stack has for them. True: there was something.
    pub(crate) fn give(&mut self, stack: &mut Stack, now: Instant) -> bool {
        let mut any = false;
        while let Some(fact) = stack.poll_fact() {
            any = true;
            for (core, out) in self.ends.out.iter().enumerate() {
                // Full: who misses it asks. Ended: nobody to tell.
                if out.as_ref().is_some_and(|out| out.facts.try_send(fact).is_ok()) {
                    self.touched |= 1 << core;
                }
            }
        }
        while let Some((core, parcel)) = stack.poll_parcel() {
            any = true;
            let Some(Some(out)) = self.ends.out.get(core) else { continue };
            match out.parcels.try_send(parcel.pack()) {
                Ok(()) => self.touched |= 1 << core,
                Err(TrySendError::Full(_)) => stack.count_full_ring(),
                // It has just ended: its flows are ours to answer for.
                Err(TrySendError::Disconnected(packed)) => {
                    let parcel = packed.unpack(stack.pool());
                    stack.keep_parcel(parcel, now);
                }
            }
        }
        any
    }

    /// Send what the cores without a queue of their own have given us to send.
    pub(crate) fn forward(&mut self, device: &mut dyn Device, now: Instant) -> Result<usize, Gone> {
        // Each turn another one is first: none takes all the room for ever.
        if self.ends.to_send.len() > 1 {
            self.ends.to_send.rotate_left(1);
        }
        for from in &self.ends.to_send {
            while self.forwarded.has_room()
                && let Ok(frame) = from.try_recv()
            {
                self.forwarded.push(frame.unpack());
            }
        }
        if self.forwarded.is_empty() { Ok(0) } else { device.tx_burst(now, &mut self.forwarded) }
    }

    /// Wake those who got something.
    #[inline]
    pub(crate) fn ring(&mut self) {
        while self.touched != 0 {
            self.group.ring(self.touched.trailing_zeros() as usize);
            self.touched &= self.touched - 1;
        }
    }

    /// Frames of others wait for the device.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.forwarded.is_empty()
    }

    /// The device is gone: for those too who send through us.
    pub(crate) fn lose(&self, gone: &Gone) {
        if self.index == 0 && !self.ends.to_send.is_empty() {
            self.group.lose(gone);
        }
    }

    /// This core's program has ended: from now on it is here for the others only.
    pub fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            self.group.finish();
        }
    }

    /// Whether programs on other cores go on, whose packets may still arrive here.
    pub fn is_needed(&self) -> bool {
        self.group.is_running()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.group.directory.leave(self.index);
        self.finish();
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("index", &self.index).finish_non_exhaustive()
    }
}
