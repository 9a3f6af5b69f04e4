//! [`Device`]: the whole contract with a network interface.
//!
//! Two bursts and a description. Fault injection ([`Fault`]), tracing ([`Trace`]) and packet capture ([`Pcap`]) are devices that
//! wrap devices.

mod fault;
mod filter;
mod pcap;
mod trace;

use hemi_queue::{Pool, Progress, Wakeup, time::Instant};

pub use fault::Fault;
pub use filter::{DatagramRule, MarkedRewrite};
pub use pcap::{Direction, Pcap, PcapWriter};
pub use trace::{Summary, Trace};

use crate::{
    cores::{Steered, Steering},
    frame::{RxFrame, TxQueue},
    wire::MacAddr,
};

/// What a device is and what it does for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Its address.
    pub mac: MacAddr,
    /// The largest IP packet it carries, in bytes (not counting the Ethernet header).
    pub mtu: u16,
    /// It finishes transport checksums ([`TxFrame::checksum`](crate::TxFrame)).
    pub tx_checksum: bool,
    /// It cuts TCP frames of up to this many bytes of payload into segments; 0: it does not.
    pub tso: u32,
}

impl Caps {
    /// A plain Ethernet interface.
    pub const fn ethernet(mac: MacAddr) -> Self {
        Self { mac, mtu: 1500, tx_checksum: false, tso: 0 }
    }
}

/// Which of a device's receive and transmit queue pairs a core opens: one per core, each core its own.
///
/// Queues are opened in the order of the cores, from one thread each; the first configures the device. Then each is told by [`Device::steer`] how flows
/// should be spread over them. When a core ends, its queue may go on to receive: the core is driven until the programs on all cores have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceQueue {
    /// This core's, from 0.
    pub index: usize,
    /// How many there are.
    pub of: usize,
}

impl DeviceQueue {
    /// The only one of a device.
    pub const ONLY: Self = Self { index: 0, of: 1 };
}

/// Why a device can't go on: it has disappeared, or its other side has. Every queue above it gets an error.
#[derive(Debug, thiserror::Error)]
#[error("the network device {name} is gone: {source}")]
pub struct Gone {
    /// Which device.
    pub name: String,
    /// What the system said.
    pub source: std::io::Error,
}

/// A network interface.
///
/// # How it is driven
/// Once per turn: [`rx_burst`](Self::rx_burst) first, then, after the stack has worked, [`tx_burst`](Self::tx_burst). `now` is the
/// turn's clock; a device reads no other. Neither call blocks, and in steady state neither allocates.
pub trait Device {
    /// What it is. Constant for its life.
    fn caps(&self) -> Caps;

    /// Append at most `max` received frames to `frames`; returns how many. Fewer than `max` means that no more wait.
    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone>;

    /// Take frames from the front of `frames` while there is room for them, and return how many were taken. **What is not
    /// taken stays with the caller**: a device never drops a frame because its ring is full.
    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone>;

    /// Learn of the memory that frames will come from, to register it. Called once before the first burst, and again when the
    /// pool has grown. A device that needs no registration ignores it.
    fn register(&mut self, pool: &Pool) {
        let _ = pool;
    }

    /// Spread received packets over the queues by `rule`, so that each core gets those of its own flows. Called on every queue once, after it
    /// was opened, in the order of the cores; queue 0's answer counts.
    ///
    /// A NIC takes the key, and the table as its indirection table (repeated, if its own is longer), and hashes TCP and UDP over
    /// addresses and ports, fragments over addresses. What a device does otherwise is right too: packets are then handed over in
    /// software, which costs each of them a hop between cores. Default: [`Steered::Unknown`].
    fn steer(&mut self, rule: &Steering) -> Steered {
        let _ = rule;
        Steered::Unknown
    }

    /// Drop received datagrams that a rule is about and whose payload fails its test, and count them; rewrite and mark those that
    /// pass, where the rule says so. By these rules instead of those before. `Some` names what runs them; all other frames are given up as before, and so may be datagrams that a rule rejects: the
    /// stack's queues test again. `None` where the device can't run them: then nothing has changed. No rules is always possible.
    fn filter_datagrams(&mut self, rules: &[DatagramRule]) -> Option<&'static str> {
        rules.is_empty().then_some("nothing")
    }

    /// How the device wakes a parked core.
    fn wakeup(&self) -> Wakeup;

    /// When `rx_burst` has something to give even if nothing else happens (simulated wires).
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The core is about to sleep: ask the other side for an interrupt, then look once more. `Busy` vetoes the sleep.
    fn prepare_park(&mut self) -> Progress {
        Progress::Idle
    }

    /// The core slept and is awake again: what was armed only for the sleep may be undone.
    fn unpark(&mut self) {}

    /// The device's own counters (drops, full rings, copies, a driver's statistics), each as a name and a value.
    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        let _ = each;
    }

    /// A line for people: the device and what it does for us.
    fn describe(&self) -> String {
        let caps = self.caps();
        format!("{}, mtu {}", caps.mac, caps.mtu)
    }
}

impl<D: Device + ?Sized> Device for Box<D> {
    fn caps(&self) -> Caps {
        (**self).caps()
    }
    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        (**self).rx_burst(now, max, frames)
    }
    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        (**self).tx_burst(now, frames)
    }
    fn register(&mut self, pool: &Pool) {
        (**self).register(pool);
    }
    fn steer(&mut self, rule: &Steering) -> Steered {
        (**self).steer(rule)
    }
    fn filter_datagrams(&mut self, rules: &[DatagramRule]) -> Option<&'static str> {
        (**self).filter_datagrams(rules)
    }
    fn wakeup(&self) -> Wakeup {
        (**self).wakeup()
    }
    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }
    fn prepare_park(&mut self) -> Progress {
        (**self).prepare_park()
    }
    fn unpark(&mut self) {
        (**self).unpark();
    }
    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        (**self).counters(each);
    }
    fn describe(&self) -> String {
        (**self).describe()
    }
}
