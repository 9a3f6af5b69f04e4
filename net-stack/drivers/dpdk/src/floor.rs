//! Bare frames over a port: what DPDK itself costs, to measure hemi beside it.
//!
//! `rte_eth_rx_burst`, `rte_eth_tx_burst` and what mbufs must be made and freed, with nothing of hemi's around them. Ports are
//! opened and configured as by [`open`](crate::open), so that both run over the same link. Nothing but benchmarks needs this.

use std::sync::Arc;

use dpdk_sys as sys;
use hemi_queue::{Result, Uri};

use crate::{
    mbuf::Mbuf,
    port::{Port, Queue},
};

/// Frames per call of a driver.
pub const BURST: usize = 32;

/// The first queue pair of a port, bare.
#[derive(Debug)]
pub struct Frames {
    queue: Queue,
    port: Arc<Port>,
    /// Bytes of the frames that [`send`](Self::send) makes.
    frame: Vec<u8>,
}

impl Frames {
    /// The port that `uri` names, and `frame`: what [`send`](Self::send) sends.
    ///
    /// # Errors
    /// As for [`open`](crate::open); when `frame` is longer than a frame of the port may be.
    pub fn open(uri: &Uri, frame: &[u8]) -> Result<Self> {
        let (port, queue) = crate::open_queue(uri, hemi_net::DeviceQueue::ONLY)?;
        let most = queue.heads.data_room().min(usize::from(u16::MAX));
        if frame.len() > most {
            return Err(uri.error(format!("a frame of {} bytes: {most} at most", frame.len())).into());
        }
        Ok(Self { queue, port, frame: frame.to_vec() })
    }

    /// Send up to a burst of `count` new frames; how many the driver took.
    pub fn send(&mut self, count: usize) -> usize {
        let mut mbufs = [std::ptr::null_mut(); BURST];
        let wanted = count.min(BURST);
        // SAFETY: room for `wanted`; the pool lives while the port does.
        if unsafe { sys::hemi_dpdk_alloc_bulk(self.queue.heads.raw(), mbufs.as_mut_ptr(), wanted as u32) }
            != 0
        {
            return 0;
        }
        for &mbuf in &mbufs[..wanted] {
            // SAFETY: a new mbuf, which nobody else has; the answer is where to write so many bytes, or null.
            unsafe {
                let at = sys::hemi_dpdk_append(mbuf, self.frame.len() as u16);
                if !at.is_null() {
                    at.copy_from_nonoverlapping(self.frame.as_ptr(), self.frame.len());
                }
            }
        }
        self.transmit(&mut mbufs[..wanted])
    }

    /// The same in two pieces: a frame, and behind it a second mbuf of `len` bytes which nobody writes.
    pub fn send_chains(&mut self, count: usize, len: usize) -> usize {
        let mut mbufs = [Mbuf::NONE; 2 * BURST];
        let wanted = count.min(BURST);
        let len = len.min(self.queue.heads.data_room());
        if !self.queue.heads.take(&mut mbufs[..2 * wanted]) {
            return 0;
        }
        let mut packets = [std::ptr::null_mut(); BURST];
        for (packet, pair) in packets.iter_mut().zip(mbufs[..2 * wanted].chunks_exact(2)) {
            // SAFETY: new mbufs, which nobody else has, with room for so many bytes.
            unsafe {
                pair[0].fresh_data().copy_from_nonoverlapping(self.frame.as_ptr(), self.frame.len());
                pair[0].set_len(self.frame.len());
                pair[0].set_packet(self.frame.len() + len, 2);
                pair[0].set_next(pair[1]);
                pair[1].set_len(len);
            }
            *packet = pair[0].0;
        }
        self.transmit(&mut packets[..wanted])
    }

    /// Receive up to a burst, and free it; how many frames that was.
    pub fn receive(&mut self) -> usize {
        let mut mbufs = [std::ptr::null_mut(); BURST];
        let n = self.burst(&mut mbufs);
        if n > 0 {
            // SAFETY: received above, and used no more.
            unsafe { sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr(), n as u32) };
        }
        n
    }

    /// Receive up to a burst, and send it back as it is; how many frames were received.
    pub fn bounce(&mut self) -> usize {
        let mut mbufs = [std::ptr::null_mut(); BURST];
        let n = self.burst(&mut mbufs);
        if n > 0 {
            self.transmit(&mut mbufs[..n]);
        }
        n
    }

    fn burst(&mut self, mbufs: &mut [*mut sys::rte_mbuf; BURST]) -> usize {
        // SAFETY: room for a burst; the queue is this thread's alone.
        let n = unsafe {
            sys::hemi_dpdk_rx_burst(self.port.id, self.queue.index, mbufs.as_mut_ptr(), BURST as u16)
        };
        usize::from(n).min(BURST)
    }

    fn transmit(&mut self, mbufs: &mut [*mut sys::rte_mbuf]) -> usize {
        // SAFETY: packets of ours; those that are taken are the driver's from then on. The queue is this thread's alone.
        unsafe {
            let n = sys::hemi_dpdk_tx_burst(
                self.port.id,
                self.queue.index,
                mbufs.as_mut_ptr(),
                mbufs.len() as u16,
            );
            let left = &mut mbufs[usize::from(n)..];
            if !left.is_empty() {
                sys::rte_pktmbuf_free_bulk(left.as_mut_ptr(), left.len() as u32);
            }
            usize::from(n)
        }
    }
}
