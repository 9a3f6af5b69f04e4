//! [`Packet`]: the socket, its ring and its paths as a [`Device`].

use std::{os::fd::AsRawFd, time::Duration};

use hemi_link::LinkWatch;
use hemi_net::{Caps, Device, Gone, RxFrame, TxQueue, wire::MacAddr};
use hemi_queue::{Pool, Progress, Result, Wakeup, time::Instant};

use crate::{
    counters::Counters,
    ring::RxRing,
    rx::RxPath,
    socket::Socket,
    tx::{Sent, TxPath},
};

/// The most payload that the stack hands over in one frame: an IPv4 packet's 65,535 bytes, less the headers.
const TSO: u32 = 65_000;
/// When a full interface is tried again by a core that has nothing else to do: the time of some frames at 1 Gbit/s.
const RETRY: Duration = Duration::from_micros(50);

/// An interface through AF_PACKET.
pub(crate) struct Packet {
    socket: Socket,
    ring: RxRing,
    rx: RxPath,
    tx: TxPath,
    watch: LinkWatch,
    caps: Caps,
    counters: Counters,
    /// When to try again after the interface was full.
    retry: Option<Instant>,
}

impl Packet {
    pub(crate) fn new(
        socket: Socket,
        ring: RxRing,
        watch: LinkWatch,
        pool: &Pool,
        mac: MacAddr,
        mtu: u16,
        offload: bool,
    ) -> Result<Self> {
        let caps = Caps { mac, mtu, tx_checksum: offload, tso: if offload { TSO } else { 0 } };
        let (rx, tx) = (RxPath::new(pool)?, TxPath::new());
        Ok(Self { socket, ring, rx, tx, watch, caps, counters: Counters::default(), retry: None })
    }
}

impl Device for Packet {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        self.watch.check(now)?;
        let before = frames.len();
        while frames.len() - before < max {
            if let Some(frame) = self.rx.pending.pop_front() {
                frames.push(frame);
                continue;
            }
            let Some(filled) = self.ring.filled() else { break };
            match filled {
                Ok(filled) => frames.extend(self.rx.take(&filled, &self.socket, &mut self.counters)),
                Err(_) => self.counters.rx_bad_slot += 1,
            }
            self.ring.release();
        }
        Ok(frames.len() - before)
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        self.retry = None;
        if frames.is_empty() {
            return Ok(0);
        }
        match self.tx.send(&self.socket, frames, &mut self.counters) {
            Sent::All(n) => Ok(n),
            Sent::Full(n) => {
                self.retry = Some(now + RETRY);
                Ok(n)
            }
            Sent::Gone(source) => Err(self.watch.gone(source)),
        }
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Fd(self.socket.as_raw_fd())
    }

    fn deadline(&self) -> Option<Instant> {
        self.retry
    }

    fn prepare_park(&mut self) -> Progress {
        if self.ring.is_filled() || !self.rx.pending.is_empty() { Progress::Busy } else { Progress::Idle }
    }

    fn unpark(&mut self) {
        // The descriptor wakes us too when the interface goes away.
        self.watch.look_soon();
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        self.counters.each(&self.socket, each);
    }

    fn describe(&self) -> String {
        let Caps { mac, mtu, tso, .. } = self.caps;
        let offload = if tso > 0 { "checksums and segmentation by the kernel" } else { "no offloads" };
        format!("AF_PACKET on {}, {mac}, mtu {mtu}, {offload}", self.watch.name())
    }
}
