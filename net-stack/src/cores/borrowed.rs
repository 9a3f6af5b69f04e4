//! [`Borrowed`]: the interface of a core that has no queue of its own.

use std::{
    fmt,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError},
    },
};

use hemi_queue::{Buf, SendBuf, Sga, Wakeup, time::Instant};
use smallvec::SmallVec;

use super::Group;
use crate::{
    device::{Caps, Device, Gone},
    frame::{ChecksumRequest, RxFrame, TxFrame, TxQueue},
};

/// A frame on its way to the core that sends it.
pub(super) struct SentFrame {
    head: [u8; TxFrame::MAX_HEAD],
    len: usize,
    checksum: Option<ChecksumRequest>,
    segment_size: u16,
    payload: SmallVec<[SendBuf; 2]>,
}

impl SentFrame {
    /// The frame's payload stays in its memory, of which this is one more holder.
    fn pack(frame: &TxFrame) -> Self {
        let mut head = [0; TxFrame::MAX_HEAD];
        let len = frame.head().len();
        head[..len].copy_from_slice(frame.head());
        let payload = frame.payload.iter().map(|part| part.clone().into_send()).collect();
        Self { head, len, checksum: frame.checksum, segment_size: frame.segment_size, payload }
    }

    pub(super) fn unpack(self) -> TxFrame {
        let mut payload = Sga::new();
        self.payload.into_iter().for_each(|part| payload.push(Buf::from(part)));
        let mut frame = TxFrame::new(payload);
        frame.head_mut(self.len).copy_from_slice(&self.head[..self.len]);
        (frame.checksum, frame.segment_size) = (self.checksum, self.segment_size);
        frame
    }
}

/// An interface whose only queue another core polls. What is sent goes through a ring to that core; what arrives comes through the
/// [`Seat`](super::Seat), as packets.
pub struct Borrowed {
    group: Arc<Group>,
    caps: Caps,
    send: SyncSender<SentFrame>,
    sent: u64,
    full: u64,
}

impl Borrowed {
    pub(super) fn new(group: Arc<Group>, caps: Caps, send: SyncSender<SentFrame>) -> Self {
        Self { group, caps, send, sent: 0, full: 0 }
    }
}

impl Device for Borrowed {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn rx_burst(&mut self, _: Instant, _: usize, _: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        self.group.lost().map_or(Ok(0), Err)
    }

    fn tx_burst(&mut self, _: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let mut n = 0;
        while let Some(frame) = frames.front() {
            match self.send.try_send(SentFrame::pack(frame)) {
                Err(TrySendError::Full(_)) => {
                    self.full += 1;
                    break;
                }
                // Disconnected: core 0 has ended without waiting for us: as a cable that is not plugged in.
                Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            }
            frames.discard();
            n += 1;
        }
        if n > 0 {
            self.sent += n as u64;
            self.group.ring(0);
        }
        Ok(n)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Core
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        each("borrowed_sent", self.sent);
        each("borrowed_ring_full", self.full);
    }

    fn describe(&self) -> String {
        format!("core 0's queue, {}, mtu {}", self.caps.mac, self.caps.mtu)
    }
}

impl fmt::Debug for Borrowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Borrowed").field("caps", &self.caps).finish_non_exhaustive()
    }
}
