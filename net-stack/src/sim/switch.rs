//! [`Switch`]: a learning Ethernet switch with a link to each host, in virtual or real time.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    rc::{Rc, Weak},
};

use hemi_queue::{Buf, Pool, Wakeup, time::Instant};

use super::{
    LinkConfig,
    link::{Flight, Link, WireStats},
};
use crate::{
    device::{Caps, Device, Gone},
    frame::{RxFrame, TxFrame, TxQueue},
    util::rng::Rng,
    wire::{EthernetHeader, MacAddr},
};

/// A port's two directions and what waits at its host's end.
struct Port {
    up: Link,
    down: Link,
    arrived: Flight<Buf>,
    /// The cable is cut: frames in both directions are lost.
    cut: bool,
}

struct Inner {
    ports: Vec<Option<Port>>,
    /// Where each station was seen last.
    stations: BTreeMap<MacAddr, usize>,
    /// On their way from hosts to the switch: the port they came in by.
    rising: Flight<(usize, Buf)>,
    rng: Rng,
}

/// A learning switch. A handle: clones are the same switch.
///
/// A frame takes its sender's link to the switch and its receiver's from there, each with its own delay, rate and faults. It is
/// forwarded to the port where its destination was last seen, else to all others. Everything random comes from the seed, and
/// frames pass in the order of their arrival, whichever host is polled first.
///
/// ```
/// use hemi_net::{Device, TxFrame, TxQueue, sim::{LinkConfig, Switch}};
/// use hemi_queue::{Pool, time::Instant};
///
/// let (switch, pool, now) = (Switch::new(7), Pool::new()?, Instant::ZERO);
/// let mut hosts = [(); 3].map(|()| switch.plug(LinkConfig::default(), 1500, None, &pool));
/// let mut out = TxQueue::new(8);
/// let broadcast = [[0xff; 6].as_slice(), &hosts[0].caps().mac.0, b"\x08\x06 who has"].concat();
/// out.push(TxFrame::new(broadcast.into()));
/// hosts[0].tx_burst(now, &mut out)?;
/// let mut frames = Vec::new();
/// for (host, gets) in hosts.iter_mut().zip([0, 1, 1]) {
///     assert_eq!(host.rx_burst(now, 8, &mut frames)?, gets);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Switch(Rc<RefCell<Inner>>);

impl Switch {
    /// A switch without hosts, whose links draw from `seed`.
    pub fn new(seed: u64) -> Self {
        let rng = Rng::new(seed ^ 0x5717_c4a1_0001);
        let (ports, stations, rising) = (Vec::new(), BTreeMap::new(), Flight::default());
        Self(Rc::new(RefCell::new(Inner { ports, stations, rising, rng })))
    }

    /// Connect a host with this link in both directions, for IP packets of up to `mtu` bytes and frames from `pool`. Without
    /// `mac` its address is made from the number of the port.
    pub fn plug(&self, link: LinkConfig, mtu: u16, mac: Option<MacAddr>, pool: &Pool) -> SwitchDevice {
        let mut inner = self.0.borrow_mut();
        let port =
            Port { up: Link::new(link), down: Link::new(link), arrived: Flight::default(), cut: false };
        let free = inner.ports.iter().position(Option::is_none);
        let number = free.unwrap_or(inner.ports.len());
        match inner.ports.get_mut(number) {
            Some(free) => *free = Some(port),
            None => inner.ports.push(Some(port)),
        }
        let [.., a, b] = (number as u32 + 1).to_be_bytes();
        let mac = mac.unwrap_or(MacAddr([2, 0, 0, 0, a, b]));
        let caps = Caps { mtu, ..Caps::ethernet(mac) };
        SwitchDevice { switch: self.clone(), number, caps, pool: pool.clone() }
    }

    /// Change a port's link, in both directions.
    pub fn set_link(&self, port: usize, link: LinkConfig) {
        if let Some(Some(port)) = self.0.borrow_mut().ports.get_mut(port) {
            port.up.config = link;
            port.down.config = link;
        }
    }

    /// Cut a port's cable, or mend it.
    pub fn set_cut(&self, port: usize, cut: bool) {
        if let Some(Some(port)) = self.0.borrow_mut().ports.get_mut(port) {
            port.cut = cut;
        }
    }

    /// What a port's link has done: from the host, and to it.
    pub fn stats(&self, port: usize) -> Option<[WireStats; 2]> {
        let inner = self.0.borrow();
        let port = inner.ports.get(port)?.as_ref()?;
        Some([port.up.stats, port.down.stats])
    }

    /// A handle that does not keep the switch alive.
    pub fn downgrade(&self) -> WeakSwitch {
        WeakSwitch(Rc::downgrade(&self.0))
    }

    /// Hosts connected.
    pub fn hosts(&self) -> usize {
        self.0.borrow().ports.iter().flatten().count()
    }
}

/// A [`Switch`] that lives only as long as others keep it.
#[derive(Clone)]
pub struct WeakSwitch(Weak<RefCell<Inner>>);

impl WeakSwitch {
    /// The switch, if it still is.
    pub fn upgrade(&self) -> Option<Switch> {
        self.0.upgrade().map(Switch)
    }

    /// Whether it still is.
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Inner {
    fn send(&mut self, from: usize, now: Instant, frame: Buf) {
        let Some(Some(port)) = self.ports.get_mut(from) else { return };
        let (cut, rising) = (port.cut, &mut self.rising);
        port.up.pass(now, frame, cut, &mut self.rng, |at, frame| rising.push(at, (from, frame)));
    }

    /// Forward what has reached the switch by `now`, in the order in which it did.
    fn forward(&mut self, now: Instant) {
        while let Some((at, (from, frame))) = self.rising.pop(now) {
            let Ok(EthernetHeader { dst, src, .. }) = EthernetHeader::parse(&frame) else { continue };
            if src.0[0] & 1 == 0 {
                self.stations.insert(src, from);
            }
            match self.stations.get(&dst) {
                Some(to) if *to == from => {}
                Some(to) => self.deliver(*to, at, frame),
                None => {
                    for to in (0..self.ports.len()).filter(|to| *to != from) {
                        self.deliver(to, at, frame.clone());
                    }
                }
            }
        }
    }

    fn deliver(&mut self, to: usize, at: Instant, frame: Buf) {
        let Some(Some(port)) = self.ports.get_mut(to) else { return };
        let Port { down, arrived, cut, .. } = port;
        down.pass(at, frame, *cut, &mut self.rng, |at, frame| arrived.push(at, frame));
    }
}

/// The interface of one host on a [`Switch`]; dropping it unplugs the host. Sending copies a frame once, as DMA would.
pub struct SwitchDevice {
    switch: Switch,
    number: usize,
    caps: Caps,
    pool: Pool,
}

impl SwitchDevice {
    /// The number of the port.
    pub fn port(&self) -> usize {
        self.number
    }

    /// The switch.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    fn copy(&self, frame: &TxFrame) -> Option<Buf> {
        let mut copy = self.pool.try_alloc(frame.len()).ok()?;
        let len = frame.copy_to(copy.spare_mut())?;
        copy.set_len(len);
        Some(copy.freeze())
    }
}

impl Device for SwitchDevice {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        let mut inner = self.switch.0.borrow_mut();
        inner.forward(now);
        let Some(Some(port)) = inner.ports.get_mut(self.number) else { return Ok(0) };
        let mut n = 0;
        while n < max {
            let Some((_, bytes)) = port.arrived.pop(now) else { break };
            frames.push(RxFrame::new(bytes));
            n += 1;
        }
        Ok(n)
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let mut inner = self.switch.0.borrow_mut();
        let mut n = 0;
        while let Some(copy) = frames.front().and_then(|frame| self.copy(frame)) {
            inner.send(self.number, now, copy);
            frames.discard();
            n += 1;
        }
        Ok(n)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Core // whatever happens by itself has a deadline
    }

    fn deadline(&self) -> Option<Instant> {
        let inner = self.switch.0.borrow();
        let arrived = inner.ports.get(self.number).and_then(Option::as_ref).and_then(|p| p.arrived.next());
        arrived.into_iter().chain(inner.rising.next()).min()
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        let Some([up, down]) = self.switch.stats(self.number) else { return };
        for (name, value) in [
            ("link_up_lost", up.lost),
            ("link_up_duplicated", up.duplicated),
            ("link_up_corrupted", up.corrupted),
            ("link_down_lost", down.lost),
            ("link_down_duplicated", down.duplicated),
            ("link_down_corrupted", down.corrupted),
        ] {
            each(name, value);
        }
    }

    fn describe(&self) -> String {
        format!("port {} of a simulated switch, {}, mtu {}", self.number, self.caps.mac, self.caps.mtu)
    }
}

impl Drop for SwitchDevice {
    fn drop(&mut self) {
        let mut inner = self.switch.0.borrow_mut();
        inner.stations.retain(|_, port| *port != self.number);
        if let Some(port) = inner.ports.get_mut(self.number) {
            *port = None;
        }
    }
}
