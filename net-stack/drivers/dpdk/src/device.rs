//! [`Dpdk`]: one queue pair of a port as a [`Device`].

use std::{io, sync::Arc, time::Duration};

use dpdk_sys as sys;
use hemi_net::{Caps, Device, Gone, RxFrame, RxPool, TxFrame, TxQueue, frame::RxChecksum};
use hemi_queue::{BufMut, Pool, Wakeup, time::Instant};

use crate::port::Port;

/// Packets per call of a driver.
const BURST: usize = 32;
/// How often link and removal are asked for.
const PERIOD: Duration = Duration::from_millis(100);
/// How long a parked core sleeps at most: a poll-mode driver does not wake it.
const NAP_US: u32 = 50;
/// The largest packet that is believed: 64 KiB of merged segments, and a header.
const LARGEST: usize = (64 << 10) + 256;

/// A queue pair of a DPDK port.
pub(crate) struct Dpdk {
    port: Arc<Port>,
    queue: u16,
    rx: RxPool,
    caps: Caps,
    next_look: Instant,
    link_up: bool,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    rx_copied: u64,
    rx_no_memory: u64,
    rx_bad_packet: u64,
    tx_copied: u64,
    tx_full: u64,
    tx_no_mbufs: u64,
    tx_too_large: u64,
    tx_no_carrier: u64,
}

impl Dpdk {
    pub(crate) fn new(port: Arc<Port>, queue: u16, pool: &Pool) -> Self {
        let caps = Caps { mtu: port.mtu, tx_checksum: port.tx_checksum, ..Caps::ethernet(port.mac) };
        let rx = RxPool::new(pool.clone());
        let counters = Counters::default();
        Self { port, queue, rx, caps, next_look: Instant::ZERO, link_up: true, counters }
    }

    /// Link and removal, now and then.
    fn look(&mut self, now: Instant) -> Result<(), Gone> {
        self.next_look = now + PERIOD;
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
        self.link_up = told < 0 || link.link_status() != 0;
        Ok(())
    }

    /// A received packet in one buffer of the pool; `None` when it was dropped (and counted).
    fn take(&mut self, mbuf: *const sys::rte_mbuf) -> Option<RxFrame> {
        let first = segment(mbuf);
        let len = first.packet_len as usize;
        if len > LARGEST || len > self.rx.pool().largest() {
            self.counters.rx_bad_packet += 1;
            return None;
        }
        let Some(mut copy) = self.rx.alloc(len) else {
            self.counters.rx_no_memory += 1;
            return None;
        };
        if !gather(&first, len, &mut copy) {
            self.counters.rx_bad_packet += 1;
            return None;
        }
        self.counters.rx_copied += 1;
        // SAFETY: any number.
        let good = self.port.rx_checksum && unsafe { sys::hemi_dpdk_checksum_good(first.flags) } != 0;
        let checksum = if good { RxChecksum::Good } else { RxChecksum::Unknown };
        Some(RxFrame { bytes: copy.freeze(), checksum })
    }
}

fn segment(mbuf: *const sys::rte_mbuf) -> sys::hemi_dpdk_segment {
    let mut out = sys::hemi_dpdk_segment::default();
    // SAFETY: an mbuf that the driver handed over, or the next of its chain; read field by field.
    unsafe { sys::hemi_dpdk_segment(mbuf, &raw mut out) };
    out
}

/// Copy the pieces of a packet behind each other; whether they are within their buffers and are `len` bytes in all.
fn gather(first: &sys::hemi_dpdk_segment, len: usize, out: &mut BufMut) -> bool {
    let mut piece = *first;
    let mut at = 0;
    loop {
        let n = piece.len as usize;
        let inside = piece.offset.checked_add(piece.len).is_some_and(|end| end <= piece.buffer_len);
        let Some(room) = out.spare_mut()[at..].get_mut(..n).filter(|_| inside && at + n <= len) else {
            return false;
        };
        // SAFETY: checked to be within the mbuf's buffer, which is ours until it is freed; copied once, never referred to.
        unsafe {
            std::ptr::copy_nonoverlapping(piece.buffer.add(piece.offset as usize), room.as_mut_ptr(), n);
        }
        at += n;
        if piece.next.is_null() || at == len {
            break;
        }
        piece = segment(piece.next);
    }
    out.set_len(at);
    at == len
}

/// What of a frame's checksum the device has to finish: TCP (or UDP), IPv4 (or IPv6), the IP header's length.
fn checksum_of(frame: &TxFrame) -> Option<(bool, bool, u16)> {
    let request = frame.checksum?;
    let v4 = frame.head().get(12..14) == Some(&[8, 0]);
    Some((request.offset == 16, v4, u16::from(request.start).saturating_sub(14)))
}

impl Device for Dpdk {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        if now >= self.next_look {
            self.look(now)?;
        }
        let before = frames.len();
        let mut left = max;
        while left > 0 {
            let mut mbufs = [std::ptr::null_mut(); BURST];
            let wanted = left.min(BURST);
            // SAFETY: room for `wanted`; the queue is this core's alone.
            let n = unsafe {
                sys::hemi_dpdk_rx_burst(self.port.id, self.queue, mbufs.as_mut_ptr(), wanted as u16)
            };
            let n = usize::from(n).min(wanted);
            for &mbuf in &mbufs[..n] {
                frames.extend(self.take(mbuf));
            }
            if n > 0 {
                // SAFETY: received above, copied, and used no more.
                unsafe { sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr(), n as u32) };
            }
            left -= n;
            if n < wanted {
                break;
            }
        }
        Ok(frames.len() - before)
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let mut taken = 0;
        while !frames.is_empty() {
            let mut mbufs = [std::ptr::null_mut(); BURST];
            let wanted = frames.len().min(BURST);
            // SAFETY: room for `wanted`; the pool lives while the port does.
            let code =
                unsafe { sys::hemi_dpdk_alloc_bulk(self.port.mbufs.0, mbufs.as_mut_ptr(), wanted as u32) };
            if code != 0 {
                self.counters.tx_no_mbufs += 1;
                break; // they come back as the device sends
            }
            let mut filled = 0;
            for (frame, &mbuf) in frames.iter().zip(&mbufs[..wanted]) {
                // SAFETY: a new mbuf of one piece. The answer is where to write `len` bytes, or null.
                let at =
                    unsafe { sys::hemi_dpdk_append(mbuf, frame.len().min(usize::from(u16::MAX)) as u16) };
                if at.is_null() || frame.len() > usize::from(u16::MAX) {
                    break;
                }
                // SAFETY: as appended; nobody else has the mbuf.
                let room = unsafe { std::slice::from_raw_parts_mut(at, frame.len()) };
                frame.copy_to(room);
                if let Some((tcp, v4, ip_len)) = checksum_of(frame) {
                    // SAFETY: as above.
                    unsafe { sys::hemi_dpdk_ask_checksum(mbuf, tcp.into(), v4.into(), ip_len) };
                }
                filled += 1;
            }
            // SAFETY: `filled` packets; those that are taken are the driver's from then on. The queue is this core's alone.
            let sent = unsafe {
                sys::hemi_dpdk_tx_burst(self.port.id, self.queue, mbufs.as_mut_ptr(), filled as u16)
            };
            let sent = usize::from(sent).min(filled);
            if sent < wanted {
                // SAFETY: not taken, and used no more.
                unsafe { sys::rte_pktmbuf_free_bulk(mbufs[sent..].as_mut_ptr(), (wanted - sent) as u32) };
            }
            (0..sent).for_each(|_| frames.discard());
            self.counters.tx_copied += sent as u64;
            taken += sent;
            if filled < wanted && sent == filled {
                self.counters.tx_too_large += 1; // the stack keeps to the MTU, so this is nothing that can be sent
                frames.discard();
                taken += 1;
                continue;
            }
            if sent < filled {
                self.counters.tx_full += 1;
                break;
            }
        }
        if taken == 0 && !frames.is_empty() {
            if now >= self.next_look {
                self.look(now)?;
            }
            // Without a carrier nothing ever goes out: as a NIC whose cable is pulled.
            while !self.link_up && !frames.is_empty() {
                self.counters.tx_no_carrier += 1;
                frames.discard();
                taken += 1;
            }
        }
        Ok(taken)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Never { at_most_us: NAP_US }
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        let c = &self.counters;
        for (name, value) in [
            ("rx_copied", c.rx_copied),
            ("rx_no_memory", c.rx_no_memory),
            ("rx_bad_packet", c.rx_bad_packet),
            ("tx_copied", c.tx_copied),
            ("tx_full", c.tx_full),
            ("tx_no_mbufs", c.tx_no_mbufs),
            ("tx_too_large", c.tx_too_large),
            ("tx_no_carrier", c.tx_no_carrier),
        ] {
            each(name, value);
        }
        self.xstats(each);
    }

    fn describe(&self) -> String {
        let Caps { mac, mtu, tx_checksum, .. } = self.caps;
        let offload = if tx_checksum { "checksums by the device" } else { "no offloads" };
        format!("DPDK port {} queue {}, {mac}, mtu {mtu}, {offload}", self.port.name, self.queue)
    }
}

impl Dpdk {
    /// The driver's own statistics, those that are not zero.
    fn xstats(&self, each: &mut dyn FnMut(&str, u64)) {
        let id = self.port.id;
        // SAFETY: a null list of no entries asks for the number.
        let count = unsafe { sys::rte_eth_xstats_get_names(id, std::ptr::null_mut(), 0) };
        let Ok(count) = usize::try_from(count) else { return };
        let mut names = vec![sys::rte_eth_xstat_name { name: [0; 64] }; count];
        let mut values = vec![sys::rte_eth_xstat::default(); count];
        // SAFETY: the lists have as many entries as is said.
        let (named, valued) = unsafe {
            (
                sys::rte_eth_xstats_get_names(id, names.as_mut_ptr(), count as u32),
                sys::rte_eth_xstats_get(id, values.as_mut_ptr(), count as u32),
            )
        };
        let got = usize::try_from(valued.min(named)).unwrap_or(0).min(count);
        for stat in values[..got].iter().filter(|stat| stat.value > 0) {
            let Some(name) = names.get(stat.id as usize) else { continue };
            let name = name.name.map(|c| c as u8);
            let name = name.split(|&c| c == 0).next().unwrap_or_default();
            each(&String::from_utf8_lossy(name), stat.value);
        }
    }
}
