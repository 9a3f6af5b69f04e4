//! [`Spread`]: a simulated NIC with several receive queues.

use std::{
    cell::RefCell,
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use hemi_queue::{Pool, Progress, Wakeup, time::Instant};

use crate::{
    cores::{Steered, Steering},
    device::{Caps, Device, Gone},
    frame::{RxFrame, TxQueue},
    util::rng::Rng,
    wire::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, protocol},
};

/// How a NIC chooses the queue of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spreading {
    /// By the rule that it is told: receive-side scaling as of a NIC that can be configured.
    AsTold,
    /// By the same hash with a key of its own that it does not tell.
    OwnKey,
    /// By the same hash with a key of its own that it tells.
    OwnKeyTold,
    /// By chance, frame by frame, which no NIC does: the worst case.
    Chance,
}

/// Frames taken from the device at once.
const BURST: usize = 64;
/// Frames that wait in a queue.
const QUEUE: usize = 1024;

struct Nic<D> {
    device: D,
    queues: Vec<VecDeque<RxFrame>>,
    spreading: Spreading,
    rule: Steering,
    rng: Rng,
    full: u64,
    burst: Vec<RxFrame>,
}

/// One queue pair of a NIC that spreads received frames over several.
///
/// ```
/// use hemi_net::{Device, sim::{LinkConfig, Spread, Spreading, Switch}};
/// use hemi_queue::Pool;
///
/// let pool = Pool::new()?;
/// let port = Switch::new(7).plug(LinkConfig::default(), 1500, None, &pool);
/// let queues = Spread::over(port, 4, Spreading::OwnKey, 7);
/// assert_eq!((queues.len(), queues[0].caps().mac), (4, queues[3].caps().mac));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Spread<D> {
    nic: Rc<RefCell<Nic<D>>>,
    number: usize,
}

impl<D: Device> Spread<D> {
    /// A NIC with `queues` queues on the link of `device`.
    pub fn over(device: D, queues: usize, spreading: Spreading, seed: u64) -> Vec<Self> {
        let queues = queues.clamp(1, Steering::CORES);
        let nic = Rc::new(RefCell::new(Nic {
            device,
            queues: (0..queues).map(|_| VecDeque::new()).collect(),
            spreading,
            rule: Steering::random(queues, seed ^ 0x006e_6963),
            rng: Rng::new(seed ^ 0x006e_6964),
            full: 0,
            burst: Vec::new(),
        }));
        (0..queues).map(|number| Self { nic: Rc::clone(&nic), number }).collect()
    }
}

impl<D: Device> Nic<D> {
    fn receive(&mut self, now: Instant) -> Result<(), Gone> {
        let mut burst = std::mem::take(&mut self.burst);
        let outcome = self.device.rx_burst(now, BURST, &mut burst);
        for frame in burst.drain(..) {
            let queues = self.queues.len();
            let queue = match self.spreading {
                Spreading::Chance => self.rng.below(queues as u64) as usize,
                _ => queue_of(&self.rule, &frame.bytes) % queues,
            };
            // As a NIC without descriptors.
            if self.queues[queue].len() < QUEUE {
                self.queues[queue].push_back(frame);
            } else {
                self.full += 1;
            }
        }
        self.burst = burst;
        outcome.map(drop)
    }
}

/// The queue by receive-side scaling: TCP and UDP by addresses and ports, other IP by addresses, anything else the first one.
fn queue_of(rule: &Steering, frame: &[u8]) -> usize {
    let Ok(ethernet) = EthernetHeader::parse(frame) else { return 0 };
    let packet = &frame[EthernetHeader::LEN..];
    let (src, dst, next, ports) = match ethernet.ethertype {
        EtherType::Ipv4 => match Ipv4Header::parse(packet) {
            Ok(h) => {
                let next = if h.is_fragment() { None } else { Some(h.protocol) };
                (IpAddr::from(h.src), IpAddr::from(h.dst), next, usize::from(h.header_len))
            }
            Err(_) => return 0,
        },
        EtherType::Ipv6 => match Ipv6Header::parse(packet) {
            Ok(h) => (IpAddr::from(h.src), IpAddr::from(h.dst), Some(h.next_header), Ipv6Header::LEN),
            Err(_) => return 0,
        },
        _ => return 0,
    };
    match packet.get(ports..ports + 4) {
        Some([a, b, c, d]) if matches!(next, Some(protocol::TCP | protocol::UDP)) => {
            let (from, to) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
            rule.core_of(SocketAddr::new(src, from), SocketAddr::new(dst, to))
        }
        _ => rule.core_of_fragments(src, dst),
    }
}

impl<D: Device> Device for Spread<D> {
    fn caps(&self) -> Caps {
        self.nic.borrow().device.caps()
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        let mut nic = self.nic.borrow_mut();
        nic.receive(now)?;
        let mine = &mut nic.queues[self.number];
        let n = mine.len().min(max);
        frames.extend(mine.drain(..n));
        Ok(n)
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        self.nic.borrow_mut().device.tx_burst(now, frames)
    }

    fn register(&mut self, pool: &Pool) {
        self.nic.borrow_mut().device.register(pool);
    }

    fn steer(&mut self, rule: &Steering) -> Steered {
        let mut nic = self.nic.borrow_mut();
        match nic.spreading {
            Spreading::AsTold => {
                nic.rule = rule.clone();
                Steered::Exactly
            }
            Spreading::OwnKeyTold => Steered::Instead(nic.rule.clone()),
            Spreading::OwnKey | Spreading::Chance => Steered::Unknown,
        }
    }

    fn wakeup(&self) -> Wakeup {
        self.nic.borrow().device.wakeup()
    }

    fn deadline(&self) -> Option<Instant> {
        let nic = self.nic.borrow();
        if nic.queues[self.number].is_empty() { nic.device.deadline() } else { Some(Instant::ZERO) }
    }

    fn prepare_park(&mut self) -> Progress {
        self.nic.borrow_mut().device.prepare_park()
    }

    fn unpark(&mut self) {
        self.nic.borrow_mut().device.unpark();
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        let nic = self.nic.borrow();
        each("queues_full", nic.full);
        nic.device.counters(each);
    }

    fn describe(&self) -> String {
        let nic = self.nic.borrow();
        format!(
            "queue {} of {}, {:?}, on {}",
            self.number + 1,
            nic.queues.len(),
            nic.spreading,
            nic.device.describe()
        )
    }
}
