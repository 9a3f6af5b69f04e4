//! From the stack's queue to the transmit ring: one copy into a chunk.

use std::io;

use hemi_net::TxQueue;

use crate::{
    counters::Counters,
    ring::{Consumer, Corrupt, Producer},
    socket::Socket,
    umem::Umem,
};

/// Frames that the kernel sends per system call in copy mode, at least (its TX_BATCH_SIZE): no more calls than that per burst.
const PER_KICK: usize = 16;

/// The sending half.
pub(crate) struct TxPath {
    umem: Umem,
    ring: Producer<libc::xdp_desc>,
    completion: Consumer<u64>,
    /// Chunks that are ours.
    free: Vec<usize>,
    /// Whether a chunk is with the kernel.
    sent: Vec<bool>,
    /// The kernel was told of what is in the ring, but had no room to send all of it.
    pub(crate) stuck: bool,
}

impl TxPath {
    pub(crate) fn new(umem: Umem, ring: Producer<libc::xdp_desc>, completion: Consumer<u64>) -> Self {
        let count = umem.shape.sent;
        Self {
            umem,
            ring,
            completion,
            free: (0..count).rev().collect(),
            sent: vec![false; count],
            stuck: false,
        }
    }

    /// Take frames from the front of `frames` while there are chunks; returns how many.
    pub(crate) fn burst(&mut self, frames: &mut TxQueue, counters: &mut Counters) -> Result<usize, Corrupt> {
        self.collect(counters)?;
        let room = self.ring.room(frames.len() as u32)? as usize;
        let (mut taken, mut written) = (0, 0);
        while written < room {
            let Some(frame) = frames.front() else { break };
            let Some(number) = self.free.pop() else { break };
            let Some(at) = self.umem.sent(number) else { break };
            // SAFETY: a transmit chunk, in the memory (checked); it is not with the kernel, and this is the only reference to it.
            let chunk = unsafe { std::slice::from_raw_parts_mut(at.as_ptr(), self.umem.shape.chunk) };
            if let Some(len) = frame.copy_to(chunk) {
                let address = (self.umem.shape.received + number) * self.umem.shape.chunk;
                self.ring.write(libc::xdp_desc { addr: address as u64, len: len as u32, options: 0 });
                self.sent[number] = true;
                written += 1;
            } else {
                counters.tx_too_large += 1; // the stack keeps to the MTU, so this is nothing that can be sent
                self.free.push(number);
            }
            frames.discard();
            taken += 1;
        }
        if !frames.is_empty() {
            counters.tx_full += 1;
        }
        self.ring.publish();
        Ok(taken)
    }

    /// Let the kernel send what is in the ring, if it waits to be told.
    pub(crate) fn kick(&mut self, socket: &Socket, counters: &mut Counters) -> io::Result<()> {
        self.stuck = false;
        let mut left = self.sent.len() / PER_KICK;
        while self.ring.is_waiting() && self.ring.needs_wakeup() {
            counters.tx_kicks += 1;
            match socket.kick_transmit() {
                Ok(()) => {}
                Err(e) => match e.raw_os_error() {
                    // It has sent a batch, and there is more.
                    Some(libc::EAGAIN | libc::EINTR) if left > 0 => {}
                    // The interface is full, or the completion ring is.
                    Some(libc::EAGAIN | libc::EINTR | libc::EBUSY | libc::ENOBUFS | libc::ENOMEM) => {
                        self.stuck = true;
                        return Ok(());
                    }
                    _ => return Err(e),
                },
            }
            if left == 0 {
                self.stuck = true;
                return Ok(());
            }
            left -= 1;
        }
        Ok(())
    }

    /// Take back the chunks that were sent.
    pub(crate) fn collect(&mut self, counters: &mut Counters) -> Result<(), Corrupt> {
        let waiting = self.completion.waiting()?;
        if waiting == 0 {
            return Ok(());
        }
        for _ in 0..waiting {
            let address = self.completion.read();
            let number = self
                .umem
                .shape
                .place(address, 0)
                .and_then(|(chunk, _)| chunk.checked_sub(self.umem.shape.received))
                .filter(|&number| self.sent[number]);
            if let Some(number) = number {
                self.sent[number] = false;
                self.free.push(number);
            } else {
                counters.tx_bad_completion += 1;
            }
        }
        self.completion.release();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
