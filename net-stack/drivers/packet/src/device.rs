//! [`Packet`]: the socket, its ring and its paths as a [`Device`].

use std::{os::fd::AsRawFd, time::Duration};

use hemi_link::LinkWatch;
use hemi_net::{
    Caps, Device, Gone, RxFrame, TxQueue,
    cores::{Steered, Steering},
    wire::MacAddr,
};
use hemi_queue::{Pool, Progress, Result, Wakeup, time::Instant};

use crate::{
    counters::Counters,
    fanout,
    ring::RxRing,
    rss,
    rx::{self, RxPath},
    socket::Socket,
    tx::{Sent, TxPath},
};

/// The most payload that the stack hands over in one frame: an IPv4 packet's 65,535 bytes, less the headers.
const TSO: u32 = 65_000;
/// Slots looked at per frame asked for, at most.
const ATTEMPTS: usize = 4;
/// When a full interface is tried again by a core that has nothing else to do: the time of some frames at 1 Gbit/s.
const RETRY: Duration = Duration::from_micros(50);
/// After how long without a frame taken something else than a full interface is suspected.
const STUCK: Duration = Duration::from_millis(10);

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
    /// Since when no frame has been taken.
    stuck: Option<Instant>,
    /// Frames go past the queueing discipline, where nobody cuts what the interface cannot.
    bypass: bool,
    /// The core has slept since the last burst.
    slept: bool,
    /// Sockets of the fanout group; 1: there is none.
    members: usize,
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
        let counters = Counters::default();
        Ok(Self {
            socket,
            ring,
            rx,
            tx,
            watch,
            caps,
            counters,
            retry: None,
            stuck: None,
            bypass: true,
            slept: false,
            members: 1,
        })
    }

    /// Its socket is one of `members` in a fanout group.
    pub(crate) fn in_group_of(self, members: usize) -> Self {
        Self { members, ..self }
    }

    /// The interface has taken no frame at `now`. When that lasts, and no cable is plugged in, the frames go nowhere: so many were thrown away.
    /// When it lasts otherwise, and the first is one that has to be cut, the interface may be one that
    /// does not cut: the kernel does it only in its queueing discipline, and past that refuses such a frame for ever.
    #[cold]
    fn full(&mut self, now: Instant, frames: &mut TxQueue) -> usize {
        let since = *self.stuck.get_or_insert(now);
        if now < since + STUCK {
            return 0;
        }
        if !self.watch.has_carrier() {
            let n = frames.len();
            (0..n).for_each(|_| frames.discard());
            self.counters.tx_no_carrier += n as u64;
            return n;
        }
        self.stuck = Some(now);
        if self.bypass && frames.front().is_some_and(|frame| frame.segment_size > 0) {
            self.bypass = false;
            tracing::info!(
                "{}: frames go through the queueing discipline, which cuts them",
                self.watch.name()
            );
            if let Err(e) = self.socket.use_qdisc() {
                tracing::warn!("{}: PACKET_QDISC_BYPASS cannot be turned off: {e}", self.watch.name());
            }
        }
        0
    }
}

impl Device for Packet {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        self.watch.check(now)?;
        if std::mem::take(&mut self.slept) {
            // An interface that was down for a moment leaves an error in the socket, which would end every sleep at once.
            self.socket.forget_error();
        }
        let before = frames.len();
        // Frames that are dropped take their time too: somebody who sends nothing else shall not keep the core here.
        for _ in 0..max.saturating_mul(ATTEMPTS) {
            if frames.len() - before >= max {
                break;
            }
            if let Some(frame) = self.rx.pending.pop_front() {
                frames.push(frame);
                continue;
            }
            let Some(filled) = self.ring.filled() else { break };
            match filled {
                Ok(filled) => frames.extend(self.rx.take(&filled, &self.socket, &mut self.counters)),
                Err(bad) => {
                    self.counters.rx_bad_slot += 1;
                    if bad.queued {
                        rx::skip(&self.socket);
                    }
                }
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
            Sent::All(n) => {
                self.stuck = None;
                Ok(n)
            }
            Sent::Full(n) => {
                if n > 0 {
                    self.stuck = None;
                }
                let lost = self.full(now, frames);
                self.retry = (!frames.is_empty()).then_some(now + RETRY);
                Ok(n + lost)
            }
            Sent::Gone(source) => Err(self.watch.gone(source)),
            Sent::Down(_, source) if !self.watch.is_up() => Err(self.watch.gone(source)),
            // It was, for a moment: the error stood in the socket, and has been taken out with this call.
            Sent::Down(n, _) => {
                self.retry = Some(now);
                Ok(n)
            }
        }
    }

    fn steer(&mut self, rule: &Steering) -> Steered {
        let Some(program) = rss::program(rule, self.members).filter(|_| self.members > 1) else {
            return Steered::Unknown;
        };
        match fanout::choose_by(&self.socket, &program) {
            Ok(()) => Steered::Exactly,
            Err(e) => {
                tracing::warn!("{}: the fanout group takes no program: {e}", self.watch.name());
                Steered::Unknown
            }
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
        self.slept = true;
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
