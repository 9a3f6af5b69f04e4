//! [`Xdp`]: a socket and its two halves as a [`Device`].

use std::{os::fd::AsRawFd, sync::Arc, time::Duration};

use hemi_link::{LinkWatch, Membership};
use hemi_net::{Caps, Device, Gone, RxFrame, TxQueue, device::DatagramRule, wire::MacAddr};
use hemi_queue::{Progress, Wakeup, time::Instant};

use crate::{
    attachment::Attachment, counters::Counters, filter::Rules, rx::RxPath, socket::Socket, tx::TxPath,
};

/// When a full interface is tried again by a core that has nothing else to do: the time of some frames at 1 Gbit/s.
const RETRY: Duration = Duration::from_micros(50);

/// A receive and transmit queue of an interface through AF_XDP.
pub(crate) struct Xdp {
    /// Closed before the memory goes (fields are dropped in this order), so that the kernel has let go of it.
    pub(crate) socket: Socket,
    pub(crate) rx: RxPath,
    pub(crate) tx: TxPath,
    pub(crate) watch: LinkWatch,
    pub(crate) mac: MacAddr,
    pub(crate) mtu: u16,
    pub(crate) attachment: Arc<Attachment>,
    /// Of the receive queue.
    pub(crate) number: u32,
    pub(crate) counters: Counters,
    /// What queues of ours reject.
    pub(crate) rules: Rules,
    /// What they reject goes to the kernel (`xdp_pass=kernel`).
    pub(crate) rejected_pass: bool,
    /// When to try again after the interface was full.
    pub(crate) retry: Option<Instant>,
    pub(crate) _membership: Membership,
}

impl Xdp {
    fn kick(&mut self, now: Instant) -> Result<(), Gone> {
        self.tx.kick(&self.socket, &mut self.counters).map_err(|e| self.watch.gone(e))?;
        self.retry = self.tx.stuck.then(|| now + RETRY);
        Ok(())
    }
}

impl Device for Xdp {
    fn caps(&self) -> Caps {
        Caps { mtu: self.mtu, ..Caps::ethernet(self.mac) }
    }

    fn filter_datagrams(&mut self, rules: &[DatagramRule]) -> Option<&'static str> {
        if self.rules.list != rules {
            let rules = Rules::new(self.number, rules, self.rejected_pass);
            // Before the first of them, and for ever: those that are on their way now must not be rewritten again.
            self.rx.marked |= rules.rewrite();
            if !self.attachment.filter(&rules) {
                return None;
            }
            self.rules = rules;
        }
        Some("XDP")
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        self.watch.check(now)?;
        if self.tx.stuck {
            self.kick(now)?; // frames that the stack has handed over must not wait for its next
        }
        let received = self.rx.burst(max, frames, &mut self.counters);
        let received = received.map_err(|corrupt| self.watch.gone(corrupt.into()))?;
        if received == 0 && self.rx.needs_wakeup() {
            self.socket.kick_receive();
        }
        Ok(received)
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let taken = self.tx.burst(frames, &mut self.counters);
        let taken = taken.map_err(|corrupt| self.watch.gone(corrupt.into()))?;
        self.kick(now)?;
        if !frames.is_empty() {
            self.retry = Some(now + RETRY);
        }
        Ok(taken)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Fd(self.socket.as_raw_fd())
    }

    fn deadline(&self) -> Option<Instant> {
        self.retry
    }

    fn prepare_park(&mut self) -> Progress {
        if self.rx.is_waiting() { Progress::Busy } else { Progress::Idle }
    }

    fn unpark(&mut self) {
        // The descriptor wakes us too when the interface goes away.
        self.watch.look_soon();
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        self.counters.each(&self.socket, each);
        each("rx_filtered", self.attachment.rejected());
    }

    fn describe(&self) -> String {
        let Self { mac, mtu, number, attachment, .. } = self;
        let name = self.watch.name();
        format!("AF_XDP on {name}, receive queue {number}, {} mode, {mac}, mtu {mtu}", attachment.mode)
    }
}

impl Drop for Xdp {
    fn drop(&mut self) {
        // The interface may be gone; then so is the map's entry.
        let _ = self.attachment.pass(self.number);
    }
}
