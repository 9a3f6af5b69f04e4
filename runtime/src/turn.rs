//! The turn: one batch of tasks, then devices, wakes from elsewhere, timers; then perhaps sleep.
//!
//! ```text
//!  ┌─► Exec::run, at most 64 polls ─► the clock, once ─► Park::poll ─► reactors ─► Pool::collect ─► inbox ─► timers ─┐
//!  │                                                                                                                 │
//!  └──────────────── spin ◄── or sleep: prepare_park on every reactor, Park::park until an event or a deadline ◄─────┘
//!                                                             nothing ready, nothing happened
//! ```
//!
//! The clock that tasks see in a batch is the reading made before it; what they arm relative to it is armed from the
//! reading made after it, so that no timer fires early.

use std::{rc::Rc, time::Duration};

use hemi_queue::{Error, Progress, Reactor, Result, Wakeup, time::Instant};

use crate::{context::Core, exec::Verdict};

/// The most polls between two looks at the devices.
pub(crate) const BATCH: u32 = 64;

/// Turns at the end of a program of several cores, at most.
const LAST_TURNS: u32 = 64;

/// The longest sleep of a core with a device that cannot wake it and should have been able to.
const DEAF: Duration = Duration::from_millis(1);

impl Core {
    /// One turn; with nothing to do it spins or sleeps until something happens, but not beyond `deadline`. An error
    /// means that nothing can ever happen (simulation).
    pub(crate) fn turn(&self, deadline: Instant) -> Result<()> {
        let polls = self.exec.run(BATCH);
        self.exec.remote().beat.turn();
        let now = self.clock.read();
        let mut progress = self.poll_devices(now);
        self.pool.collect();
        self.exec.collect_remote();
        if self.alarms.turn(now) {
            progress = Progress::Busy;
        }
        if self.exec.has_ready() || progress == Progress::Busy || polls > 0 {
            self.spin.borrow_mut().busy(now);
            return Ok(());
        }
        self.idle(now, deadline)
    }

    #[inline]
    fn poll_devices(&self, now: Instant) -> Progress {
        let mut progress = self.park.as_ref().map_or(Progress::Idle, |park| park.poll());
        let mut at = 0;
        // By index, and without the borrow during the poll: a poll may wake, and a reactor may be added.
        while let Some(reactor) = self.reactor(at) {
            if reactor.poll(now) == Progress::Busy {
                progress = Progress::Busy;
            }
            at += 1;
        }
        progress
    }

    fn reactor(&self, at: usize) -> Option<Rc<dyn Reactor>> {
        self.reactors.borrow().get(at).cloned()
    }

    #[inline(never)]
    fn idle(&self, now: Instant, deadline: Instant) -> Result<()> {
        if deadline <= now {
            return Ok(());
        }
        let next = self.next_deadline();
        if let Some(clock) = self.clock.as_virtual() {
            return match next.into_iter().chain((deadline < Instant::FAR_FUTURE).then_some(deadline)).min() {
                Some(next) => {
                    clock.advance_to(next);
                    self.alarms.set_now(next);
                    Ok(())
                }
                None => Err(Error::Deadlock),
            };
        }
        let yields = self.reactors.borrow().iter().any(|r| r.yields_core());
        if self.spin.borrow_mut().idle(now, yields) == Verdict::Spin {
            std::hint::spin_loop();
            return Ok(());
        }
        self.sleep(now, next.unwrap_or(Instant::FAR_FUTURE).min(deadline));
        Ok(())
    }

    /// When something is due that no event announces.
    fn next_deadline(&self) -> Option<Instant> {
        let reactors = self.reactors.borrow();
        reactors.iter().filter_map(|r| r.deadline()).chain(self.alarms.next_deadline()).min()
    }

    fn sleep(&self, now: Instant, until: Instant) {
        let mut timeout = (until < Instant::FAR_FUTURE).then(|| until.saturating_since(now));
        // Buffers dropped on other threads come home without ringing: whoever waits for one is looked after by the clock.
        if self.deaf.get() || self.pool.is_waited_for() {
            timeout = Some(timeout.map_or(DEAF, |t| t.min(DEAF)));
        }
        let mut at = 0;
        while let Some(reactor) = self.reactor(at) {
            let wakeup = reactor.wakeup();
            self.watch_anew(at, wakeup);
            if let Wakeup::Never { at_most_us } = wakeup {
                let most = Duration::from_micros(at_most_us.into());
                timeout = Some(timeout.map_or(most, |t| t.min(most)));
            }
            if reactor.prepare_park() == Progress::Busy {
                self.unpark_reactors(at + 1);
                return;
            }
            at += 1;
        }
        if let Some(park) = &self.park {
            park.park(timeout, || !self.exec.remote().is_pending());
        }
        self.unpark_reactors(at);
        let woken = self.clock.read();
        self.alarms.set_now(woken);
        self.spin.borrow_mut().parked(woken.saturating_since(now));
    }

    fn unpark_reactors(&self, count: usize) {
        for at in 0..count {
            if let Some(reactor) = self.reactor(at) {
                reactor.unpark();
            }
        }
    }

    /// The runtime ends: tell the devices, and poll them until nothing is in flight, at most for `limit`.
    pub(crate) fn quiesce(&self, limit: Duration) {
        for at in 0.. {
            let Some(reactor) = self.reactor(at) else { break };
            reactor.shutdown();
        }
        let deadline = self.clock.read() + limit;
        loop {
            let now = self.clock.read();
            self.alarms.set_now(now);
            let progress = self.poll_devices(now);
            self.pool.collect();
            if self.reactors.borrow().iter().all(|r| r.is_quiet()) {
                return;
            }
            if now >= deadline {
                tracing::warn!("devices still have operations in flight; their memory stays with them");
                return;
            }
            if progress == Progress::Idle {
                self.doze(now, deadline);
            }
        }
    }

    /// The program on this core has ended; those on others go on, and the devices here may receive what is theirs.
    pub(crate) fn serve_others(&self) {
        if self.is_simulated() {
            return; // its cores are transports of one runtime, and all have ended
        }
        // Every one is told, not only the first that is needed.
        while self.reactors.borrow().iter().fold(false, |any, r| any | r.stands_by()) {
            let now = self.clock.read();
            self.alarms.set_now(now);
            self.pool.collect();
            self.exec.collect_remote();
            if self.poll_devices(now) == Progress::Idle {
                self.sleep(now, self.next_deadline().unwrap_or(Instant::FAR_FUTURE));
            }
        }
        // What the last of them has left behind for us to send.
        for _ in 0..LAST_TURNS {
            if self.poll_devices(self.clock.read()) == Progress::Idle {
                return;
            }
        }
    }

    /// Wait a little for a device.
    fn doze(&self, now: Instant, deadline: Instant) {
        let next = self.reactors.borrow().iter().filter_map(|r| r.deadline()).min();
        let until = next.unwrap_or(Instant::FAR_FUTURE).min(now + DEAF).min(deadline);
        match (self.clock.as_virtual(), &self.park) {
            (Some(clock), _) => clock.advance_to(until.max(now + Duration::from_nanos(1))),
            (None, Some(park)) => park.park(Some(until.saturating_since(now)), || true),
            (None, None) => std::hint::spin_loop(),
        }
    }
}
