//! [`Dpdk`]: one queue pair of a port as a [`Device`].

use std::{
    io,
    ops::Range,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use dpdk_sys as sys;
use hemi_net::{
    Caps, Device, Gone, RxFrame, TxQueue,
    cores::{Steered, Steering},
    device::DatagramRule,
};
use hemi_queue::{Pool, Result, Wakeup, buf::Region, time::Instant};

use crate::{
    counters::Counters,
    exposure::Reach,
    filters::Filters,
    mbuf::Mbuf,
    mempool::Heap,
    port::{Offers, Port, Queue},
    rss,
    rx::{BURST, RxPath},
    setup,
    tx::{TxPath, TxShape},
    xstats,
};

/// How often link and removal are asked for.
const PERIOD: Duration = Duration::from_millis(100);
/// The same while there is no link.
const SOON: Duration = Duration::from_millis(10);
/// How long a memif client waits for a server that it has called, before it calls again.
const PATIENCE: Duration = Duration::from_secs(1);
/// A memif's queue that takes no frame for so long has no ring on the other side. (A full ring has taken some before.)
const RINGLESS: Duration = Duration::from_secs(10);
/// Calls that a memif server has answered without a link coming of it, after which we are asking for too much.
const HUNG_UP: u32 = 10;
/// How long a parked core sleeps at most: a poll-mode driver does not wake it.
const NAP_US: u32 = 50;
/// The most payload that the stack hands over in one frame: an IPv4 packet's 65,535 bytes, less the headers.
const TSO: u32 = 65_000;

/// A queue pair of a DPDK port.
pub(crate) struct Dpdk {
    rx: RxPath,
    tx: TxPath,
    index: u16,
    link: Link,
    counters: Counters,
    /// Gone before the driver takes its program away.
    filters: Filters,
    /// Closed after the paths above have let go.
    port: Arc<Port>,
}

/// What is known of the link.
#[derive(Debug)]
struct Link {
    up: bool,
    /// When to look again.
    next: Instant,
    /// When to call a memif server again.
    call: Instant,
    /// Calls that it has answered since there was a link.
    answered: u32,
    ring: Ring,
}

/// What is known of the other side's ring for what we send.
#[derive(Clone, Copy, Debug)]
enum Ring {
    /// Nothing was sent yet.
    Unknown,
    /// It has taken no frame since then.
    Refuses(Instant),
    /// It has taken frames.
    There,
}

impl Dpdk {
    /// Make a device of `queue`, whose buffers a driver may send from are added to `pool`.
    pub(crate) fn new(
        port: Arc<Port>,
        queue: Queue,
        pool: &Pool,
        heap: usize,
        rejected_pass: bool,
    ) -> Result<Self> {
        let Offers { chains, most_pieces, reach, tso, keep, rx_checksum, .. } = port.offers;
        let Queue { index, received, heads, carriers } = queue;
        let mut memory = Vec::new();
        if reach == Reach::Eal {
            memory.push(received.span());
            memory.extend(provide(pool, heap)?);
        }
        let rx = RxPath::new(received, keep, pool, rx_checksum)?;
        let shape = TxShape {
            port: port.id,
            queue: index,
            chains,
            most_pieces: most_pieces.into(),
            reach,
            memory,
            prepare: tso,
        };
        let tx = TxPath::new(shape, heads, carriers);
        let link =
            Link { up: true, next: Instant::ZERO, call: Instant::ZERO, answered: 0, ring: Ring::Unknown };
        let filters = Filters::new(port.offers.af_xdp.clone(), port.mac, rejected_pass);
        Ok(Self { rx, tx, index, link, counters: Counters::default(), filters, port })
    }

    /// Link and removal, now and then.
    #[cold]
    fn look(&mut self, now: Instant) -> Result<(), Gone> {
        let mut link = sys::rte_eth_link::default();
        // SAFETY: the port is open while `self.port` is; the link is a local.
        let (removed, told) = unsafe {
            (
                sys::rte_eth_dev_is_removed(self.port.id),
                sys::rte_eth_link_get_nowait(self.port.id, &raw mut link),
            )
        };
        if removed == 1 {
            let source = io::Error::from_raw_os_error(libc::ENODEV);
            return Err(Gone { name: self.port.name.clone(), source });
        }
        self.tx.hurry();
        let up = told < 0 || link.link_status() != 0;
        if up != self.link.up {
            self.link.up = up;
            self.link.call = now + PERIOD;
            (self.link.answered, self.link.ring) = (0, Ring::Unknown);
            let change = |n: u32| if up { n.wrapping_sub(1) } else { n.wrapping_add(1) };
            let _ = self.port.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| Some(change(n)));
        }
        // A memif client is alone until it calls. While it does, no queue may be in use: those without a link are not.
        let all_wait =
            || self.port.waiting.load(Ordering::Acquire) == self.port.taken.load(Ordering::Acquire);
        if !up && self.port.offers.calls_once && now >= self.link.call && self.index == 0 && all_wait() {
            self.counters.reconnects += 1;
            let (there, log) = setup::call_again(self.port.id);
            tracing::trace!("{}: called again: {log}", self.port.name);
            self.link.call = now + if there { PATIENCE } else { PERIOD };
            self.link.answered = if there { self.link.answered + 1 } else { 0 };
            if self.link.answered > HUNG_UP && self.port.asked.queues > 1 {
                return Err(self.unequal("hangs up"));
            }
        }
        self.link.next = now + if up { PERIOD } else { SOON };
        Ok(())
    }
}

impl Dpdk {
    /// The two sides of a memif have different numbers of queues.
    fn unequal(&self, what: &str) -> Gone {
        let (queues, index) = (self.port.asked.queues, self.index);
        let why = format!(
            "the other side of the memif {what}: it has other queues than the {queues} of this side (this is number {index}); \
             open as many at both ends, by as many cores"
        );
        Gone { name: self.port.name.clone(), source: io::Error::new(io::ErrorKind::NotConnected, why) }
    }

    /// Some frames were taken, or none of them.
    #[inline]
    fn sent(&mut self, now: Instant, taken: usize) -> Result<(), Gone> {
        match self.link.ring {
            Ring::There => {}
            _ if taken > 0 => self.link.ring = Ring::There,
            Ring::Unknown => self.link.ring = Ring::Refuses(now),
            Ring::Refuses(since) if self.port.offers.memif && self.index > 0 && now >= since + RINGLESS => {
                return Err(self.unequal("takes no frame"));
            }
            Ring::Refuses(_) => {}
        }
        Ok(())
    }
}

/// Add `bytes` of EAL's heap to the pool, in buffers of several sizes; where they lie.
fn provide(pool: &Pool, bytes: usize) -> Result<Vec<Range<usize>>> {
    let mut added = Vec::new();
    for (size, bytes) in [(256, bytes / 16), (2048, bytes / 4), (16 << 10, bytes / 4), (64 << 10, bytes / 4)]
    {
        let Some(heap) = (bytes >= size && size <= pool.largest()).then(|| Heap::new(bytes)).flatten() else {
            continue;
        };
        let start = heap.base().addr().get();
        added.push(start..start + heap.len());
        let (base, len) = (heap.base(), heap.len());
        // SAFETY: zeroed memory of EAL's that is nobody else's, freed by its owner, and not exposed before that. Devices read from it what they are given.
        let region = unsafe { Region::provided(base, len, Box::new(heap)) };
        pool.add_region(region, size)?;
    }
    Ok(added)
}

impl Device for Dpdk {
    fn caps(&self) -> Caps {
        let Offers { mtu, tx_checksum, tso, .. } = self.port.offers;
        Caps { mtu, tx_checksum, tso: if tso { TSO } else { 0 }, ..Caps::ethernet(self.port.mac) }
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        if now >= self.link.next {
            self.look(now)?;
        }
        if !self.link.up {
            return Ok(0);
        }
        self.rx.give_back();
        self.tx.release();
        let before = frames.len();
        let mut left = max;
        while left > 0 {
            let mut mbufs = [Mbuf::NONE; BURST];
            let wanted = left.min(BURST);
            // SAFETY: room for `wanted`; the queue is this core's alone.
            let n = unsafe {
                sys::hemi_dpdk_rx_burst(self.port.id, self.index, mbufs.as_mut_ptr().cast(), wanted as u16)
            };
            let n = usize::from(n).min(wanted);
            self.rx.take(&mbufs[..n], frames, &mut self.counters);
            left -= n;
            if n < wanted {
                break;
            }
        }
        Ok(frames.len() - before)
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        if self.link.up {
            let wanted = frames.len();
            let taken = self.tx.burst(frames, &mut self.counters);
            if wanted > 0 {
                self.sent(now, taken)?;
            }
            if taken > 0 || frames.is_empty() {
                return Ok(taken);
            }
        }
        if now >= self.link.next {
            self.look(now)?;
        }
        // Without a carrier nothing ever goes out: as a NIC whose cable is pulled.
        let mut dropped = 0;
        while !self.link.up && !frames.is_empty() {
            frames.discard();
            dropped += 1;
        }
        self.counters.tx_no_carrier += dropped as u64;
        Ok(dropped)
    }

    fn steer(&mut self, rule: &Steering) -> Steered {
        if self.index > 0 {
            Steered::Unknown
        } else {
            rss::steer(self.port.id, self.port.offers.scaling, rule)
        }
    }

    fn filter_datagrams(&mut self, rules: &[DatagramRule]) -> Option<&'static str> {
        let rewrite = rules.iter().any(|rule| rule.rewrite.is_some());
        if rewrite && !self.rx.can_read_marks() {
            return None;
        }
        if rules.is_empty() && self.port.offers.af_xdp.is_none() {
            return Some("nothing");
        }
        // Before the first of them, and for ever: those that are on their way now must not be rewritten again.
        self.rx.marked |= rewrite && self.port.offers.af_xdp.is_some();
        self.filters.set(rules)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Never { at_most_us: NAP_US }
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        self.counters.each(each);
        if let Some(rejected) = self.filters.rejected() {
            each("rx_filtered", rejected);
        }
        xstats::each(self.port.id, each);
    }

    fn describe(&self) -> String {
        let Offers { mtu, tx_checksum, rx_checksum, tso, lro, chains, reach, .. } = self.port.offers;
        let mut does = vec![match reach {
            _ if !chains => "sends copies",
            Reach::None => "sends copies",
            Reach::Eal => "sends from EAL's memory",
            Reach::Any => "sends from any memory",
        }];
        let offloads = [
            (tx_checksum, "finishes checksums"),
            (rx_checksum, "verifies checksums"),
            (tso, "cuts segments"),
            (lro, "joins segments"),
            (chains, "multi-segment"),
        ];
        does.extend(offloads.iter().filter(|(has, _)| *has).map(|(_, what)| *what));
        let (name, mac) = (&self.port.name, self.port.mac);
        format!("DPDK port {name} queue {}, {mac}, mtu {mtu}: {}", self.index, does.join(", "))
    }
}

impl Drop for Dpdk {
    fn drop(&mut self) {
        self.tx.hurry();
        // What the driver still reads lives until the port is closed.
        let left = self.tx.in_flight().map(hemi_queue::Buf::into_send);
        self.port.leftovers.lock().unwrap_or_else(PoisonError::into_inner).extend(left);
        self.port.taken.fetch_sub(1, Ordering::AcqRel);
        if !self.link.up {
            self.port.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}
