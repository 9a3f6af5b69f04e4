//! [`Station`]: a user-level host, driven by a test's thread, without a runtime.

use std::{
    rc::Rc,
    time::{Duration, Instant as Clock},
};

use hemi_net::{Device, Host, StackConfig};
use hemi_park::{Park, ParkConfig};
use hemi_queue::{Pool, Progress, Wakeup, time::Instant};

use crate::LIMIT;

/// The longest sleep without looking.
const NAP: Duration = Duration::from_millis(20);

/// A stack over a device. It is driven as the runtime does it: turns while there is work, then a sleep that the device's descriptor or a
/// deadline ends.
pub struct Station {
    /// The stack and the device.
    pub host: Host<Box<dyn Device>>,
    park: Rc<Park>,
    start: Clock,
}

impl Station {
    /// A host with these addresses (`10.77.0.2/24`).
    ///
    /// # Panics
    /// For an address that is none, and when the core cannot have a place to sleep.
    pub fn new(device: Box<dyn Device>, pool: &Pool, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|a| a.parse().unwrap_or_else(|e| panic!("{a}: {e:?}")));
        let config = StackConfig::with_addresses(addresses);
        let park = Park::new(&ParkConfig::default()).expect("a place to sleep");
        if let Wakeup::Fd(fd) = device.wakeup() {
            park.watch(fd).expect("a descriptor to be watched");
        }
        Self { host: Host::new(device, config, pool.clone(), 7), park, start: Clock::now() }
    }

    /// The time.
    pub fn now(&self) -> Instant {
        Instant::from_nanos(self.start.elapsed().as_nanos() as u64)
    }

    /// One turn; afterwards a sleep, if there was nothing to do.
    pub fn turn(&mut self) -> Result<(), hemi_net::Gone> {
        let now = self.now();
        if self.host.poll(now)? == Progress::Busy {
            return Ok(());
        }
        if self.host.device.prepare_park() == Progress::Idle {
            let longest = match self.host.device.wakeup() {
                Wakeup::Never { at_most_us } => Duration::from_micros(at_most_us.into()),
                Wakeup::Core | Wakeup::Fd(_) => NAP,
            };
            let nap = self.host.deadline().map_or(longest, |at| at.saturating_since(self.now()).min(longest));
            self.park.park(Some(nap), || true);
            self.park.poll();
        }
        self.host.device.unpark();
        Ok(())
    }

    /// Turns until `done`.
    ///
    /// # Panics
    /// When that takes too long, or the device disappears.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let begin = Clock::now();
        while !done(self) {
            self.turn().unwrap_or_else(|gone| panic!("{what}: {gone}"));
            assert!(begin.elapsed() < LIMIT, "{what}: not after {LIMIT:?}\n{}", self.report());
        }
    }

    /// Waits until one of the device's counters is no longer 0, without a turn meanwhile.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn counts(&self, name: &str) {
        let begin = Clock::now();
        while self.counter(name) == 0 {
            assert!(begin.elapsed() < LIMIT, "{name} is 0\n{}", self.report());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// One of the device's counters.
    pub fn counter(&self, name: &str) -> u64 {
        let mut found = None;
        self.host.device.counters(&mut |n, value| {
            if n == name {
                found = Some(value);
            }
        });
        found.unwrap_or_else(|| panic!("there is no counter {name}"))
    }

    /// What was counted, for a test's message.
    pub fn report(&self) -> String {
        let mut counted = Vec::new();
        self.host.device.counters(&mut |name, value| counted.push(format!("{name} {value}")));
        let device = self.host.device.describe();
        format!("{device}: {}\n{:?}", counted.join(", "), self.host.stack.counters())
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        if let Wakeup::Fd(fd) = self.host.device.wakeup() {
            self.park.unwatch(fd); // before it is closed
        }
    }
}
