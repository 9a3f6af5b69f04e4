//! [`Host`]: a stack and its device, and the order in which they are driven.

use hemi_queue::{Pool, Progress, time::Instant};

use crate::{
    config::StackConfig,
    cores::Seat,
    device::{Device, Gone},
    frame::RxFrame,
    stack::Stack,
};

/// Frames taken from the device in one turn: bounded, so that a busy link cannot starve the tasks.
const RX_BURST: usize = 64;

/// A stack on a device: what a reactor polls and a simulation steps.
pub struct Host<D> {
    /// The stack, for the application's calls.
    pub stack: Stack,
    /// The device.
    pub device: D,
    seat: Option<Box<Seat>>,
    burst: Vec<RxFrame>,
}

impl<D: Device> Host<D> {
    /// A host with a stack made for the device.
    pub fn new(mut device: D, config: StackConfig, pool: Pool, seed: u64) -> Self {
        device.register(&pool);
        let stack = Stack::new(config, device.caps(), pool, seed);
        Self { stack, device, seat: None, burst: Vec::with_capacity(RX_BURST) }
    }

    /// Share the addresses with the stacks of other cores. Before the first turn.
    pub fn join(&mut self, seat: Seat) {
        self.stack.join(seat.cores());
        self.seat = Some(Box::new(seat));
    }

    /// This core's seat among those with the same addresses.
    pub fn seat(&mut self) -> Option<&mut Seat> {
        self.seat.as_deref_mut()
    }

    /// One turn: receive a burst, let time pass, send.
    #[inline]
    pub fn poll(&mut self, now: Instant) -> Result<Progress, Gone> {
        if self.seat.is_some() {
            return self.poll_shared(now);
        }
        let received = self.receive_burst(now)?;
        let sent = self.flush_own(now)?;
        Ok(if received > 0 || sent > 0 { Progress::Busy } else { Progress::Idle })
    }

    #[inline(always)]
    fn receive_burst(&mut self, now: Instant) -> Result<usize, Gone> {
        let received = self.device.rx_burst(now, RX_BURST, &mut self.burst)?;
        if received > 1 {
            self.burst.reverse(); // taken from the end: that moves nothing
        }
        while let Some(frame) = self.burst.pop() {
            self.stack.receive(frame, now);
        }
        Ok(received)
    }

    /// The same with other cores: what they have for us comes first, what we have for them goes out last.
    #[inline(never)]
    fn poll_shared(&mut self, now: Instant) -> Result<Progress, Gone> {
        let Some(mut seat) = self.seat.take() else { return Ok(Progress::Idle) };
        let mut busy = seat.take(&mut self.stack, now);
        let mut turn = || {
            let received = self.receive_burst(now)?;
            busy |= seat.give(&mut self.stack, now);
            let sent = self.flush_own(now)? + seat.forward(&mut self.device, now)?;
            busy |= seat.give(&mut self.stack, now);
            seat.ring();
            Ok(received + sent)
        };
        let outcome = turn().inspect_err(|gone| seat.lose(gone));
        self.seat = Some(seat);
        Ok(if outcome? > 0 || busy { Progress::Busy } else { Progress::Idle })
    }

    /// Whether frames of other cores wait for the device.
    pub fn is_blocked(&self) -> bool {
        self.seat.as_ref().is_some_and(|seat| seat.is_blocked())
    }

    /// Let time pass and send, without receiving: for calls that should leave in this turn.
    #[inline]
    pub fn flush(&mut self, now: Instant) -> Result<usize, Gone> {
        if self.seat.is_some() {
            return self.flush_shared(now);
        }
        self.flush_own(now)
    }

    #[inline]
    fn flush_own(&mut self, now: Instant) -> Result<usize, Gone> {
        if self.stack.is_quiet(now) { Ok(0) } else { self.advance_and_send(now) }
    }

    /// The same with other cores: what we have for them must not wait for a turn, before which we may sleep.
    fn flush_shared(&mut self, now: Instant) -> Result<usize, Gone> {
        let sent = self.flush_own(now);
        if let Some(seat) = &mut self.seat {
            seat.give(&mut self.stack, now);
            seat.ring();
            sent.inspect_err(|gone| seat.lose(gone))
        } else {
            sent
        }
    }

    fn advance_and_send(&mut self, now: Instant) -> Result<usize, Gone> {
        let mut sent = 0;
        if !self.stack.is_settled() {
            self.stop_at_conflict()?;
        }
        loop {
            self.stack.advance(now);
            let queue = self.stack.tx_queue();
            if queue.is_empty() {
                return Ok(sent);
            }
            let n = self.device.tx_burst(now, queue)?;
            sent += n;
            // Go on only if connections waited for the room that there is now.
            if n == 0 || !self.stack.wants_tx() {
                return Ok(sent);
            }
        }
    }

    /// Another station has our address: nothing can be sent or received, and everybody above shall hear why.
    #[cold]
    fn stop_at_conflict(&self) -> Result<(), Gone> {
        let Some(conflict) = self.stack.conflict() else { return Ok(()) };
        let source = std::io::Error::new(std::io::ErrorKind::AddrInUse, conflict.to_string());
        Err(Gone { name: self.device.describe(), source })
    }

    /// When [`poll`](Self::poll) must be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        match (self.stack.deadline(), self.device.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
