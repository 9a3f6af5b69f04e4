//! The clock of one core, read once per turn.
//!
//! A reading costs more than most tasks, so it comes from the time-stamp counter where the kernel itself trusts it, and
//! from the system's monotonic clock elsewhere. In simulation time is a number that jumps.

mod tsc;

use std::{
    cell::Cell,
    time::{self, Duration},
};

use hemi_queue::time::Instant;

/// Where a core's time comes from.
pub(crate) enum Clock {
    /// The system's monotonic clock, since the runtime was made.
    Real(RealClock),
    /// Stands still until everything has been done, then jumps to the next deadline.
    Virtual(VirtualClock),
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self::Real(RealClock::new(tsc::is_trusted()))
    }

    pub(crate) fn simulated() -> Self {
        Self::Virtual(VirtualClock(Cell::new(Instant::ZERO)))
    }

    /// The time now. Never goes back.
    #[inline]
    pub(crate) fn read(&self) -> Instant {
        match self {
            Self::Real(clock) => Instant::from_nanos(clock.read()),
            Self::Virtual(clock) => clock.0.get(),
        }
    }

    /// The virtual clock, if this is one.
    #[inline]
    pub(crate) fn as_virtual(&self) -> Option<&VirtualClock> {
        match self {
            Self::Virtual(clock) => Some(clock),
            Self::Real(_) => None,
        }
    }

    /// How far two readings may differ from the system's clock over the same time: added to relative deadlines, so
    /// that nothing fires early by anybody's clock.
    pub(crate) fn uncertainty(&self) -> Duration {
        match self {
            Self::Real(clock) if clock.counts => Duration::from_micros(1),
            _ => Duration::ZERO,
        }
    }
}

/// Time that is only a number.
pub(crate) struct VirtualClock(Cell<Instant>);

impl VirtualClock {
    /// Jump to `instant`, unless that is in the past.
    pub(crate) fn advance_to(&self, instant: Instant) {
        self.0.set(self.0.get().max(instant));
    }
}

/// How often the counter is compared with the system's clock: so often that neither its rate nor an adjustment of the
/// system's clock (500 ppm at most) can carry it away by more than a few microseconds.
const RESYNC: Duration = Duration::from_millis(10);

/// The system's monotonic clock, interpolated by the counter between comparisons.
pub(crate) struct RealClock {
    epoch: time::Instant,
    /// The counter may be used.
    counts: bool,
    /// The first comparison, which the rate is measured from.
    first: (u64, u64),
    /// The last comparison: counter, nanoseconds.
    base: Cell<(u64, u64)>,
    /// How far from the base the counter is used, in ticks; 0 while the rate is not known yet.
    range: Cell<u64>,
    /// Nanoseconds per tick, times 2^32, rounded down.
    rate: Cell<u64>,
    last: Cell<u64>,
}

impl RealClock {
    fn new(counts: bool) -> Self {
        let epoch = time::Instant::now();
        let first = if counts { compare(epoch) } else { (0, 0) };
        Self {
            epoch,
            counts,
            first,
            base: Cell::new(first),
            range: Cell::new(0),
            rate: Cell::new(0),
            last: Cell::new(0),
        }
    }

    #[inline]
    fn read(&self) -> u64 {
        let (ticks, nanos) = self.base.get();
        let passed = tsc::read().wrapping_sub(ticks);
        // A counter that was reset (suspend, migration) is out of range too.
        let now = if passed < self.range.get() {
            nanos + ((passed * self.rate.get()) >> 32)
        } else {
            self.compare_again()
        };
        let now = now.max(self.last.get());
        self.last.set(now);
        now
    }

    #[cold]
    #[inline(never)]
    fn compare_again(&self) -> u64 {
        if !self.counts {
            return self.epoch.elapsed().as_nanos() as u64;
        }
        let (ticks, nanos) = compare(self.epoch);
        let (first_ticks, first_nanos) = self.first;
        let span = nanos.saturating_sub(first_nanos);
        if u128::from(span) >= RESYNC.as_nanos() && ticks > first_ticks {
            let rate = (u128::from(span) << 32) / u128::from(ticks - first_ticks);
            let range = (RESYNC.as_nanos() << 32) / rate.max(1);
            // What does not fit (a counter slower than 1 Hz or faster than 400 GHz) is no counter to use.
            if let (Ok(rate), Ok(range)) = (u32::try_from(rate), u32::try_from(range)) {
                self.rate.set(rate.into());
                self.range.set(range.into());
            }
        }
        self.base.set((ticks, nanos));
        nanos
    }
}

/// The counter and the clock at one moment: the tightest of a few tries, and rather a tick too many than too few, so
/// that time derived from it lags.
fn compare(epoch: time::Instant) -> (u64, u64) {
    let attempt = || {
        let before = tsc::read();
        let nanos = epoch.elapsed().as_nanos() as u64;
        let after = tsc::read();
        (after.wrapping_sub(before), after, nanos)
    };
    let (_, ticks, nanos) = [attempt(), attempt(), attempt()].into_iter().min().unwrap_or_default();
    (ticks, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(counts: bool) -> RealClock {
        let clock = RealClock::new(counts);
        std::thread::sleep(2 * RESYNC);
        clock.read();
        clock
    }

    #[test]
    fn follows_the_system_and_never_goes_back() {
        for counts in [false, tsc::is_trusted()] {
            let clock = settled(counts);
            let mut last = 0;
            for _ in 0..200_000 {
                let now = clock.read();
                assert!(now >= last);
                last = now;
            }
            let before = clock.epoch.elapsed().as_nanos() as u64;
            let now = clock.read();
            let after = clock.epoch.elapsed().as_nanos() as u64;
            assert!(now <= after + 1000, "ahead of the system's clock: {now} > {after}");
            assert!(now + 100_000 >= before, "behind by more than 100 us: {now} < {before}");
        }
    }

    #[test]
    fn a_counter_that_jumps_is_noticed() {
        let clock = settled(true);
        if clock.range.get() == 0 {
            return; // no counter on this architecture
        }
        let (ticks, nanos) = clock.base.get();
        // As after a suspend that set it back, and one that set it forward.
        for jumped in [ticks.wrapping_add(1 << 40), ticks.wrapping_sub(1 << 40)] {
            clock.base.set((jumped, nanos));
            let before = clock.epoch.elapsed().as_nanos() as u64;
            let now = clock.read();
            let after = clock.epoch.elapsed().as_nanos() as u64;
            assert!(now <= after && now + 100_000_000 > before, "{now} is not in {before}..={after}");
        }
    }

    #[test]
    fn virtual_time_moves_when_told() {
        let clock = Clock::simulated();
        let at = |n| Instant::from_nanos(n);
        clock.as_virtual().unwrap().advance_to(at(50));
        clock.as_virtual().unwrap().advance_to(at(20));
        assert_eq!(clock.read(), at(50));
    }
}
