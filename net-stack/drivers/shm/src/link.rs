//! [`Link`]: one life of the connection to one other side: its two rings, who sleeps, and the doorbell.

use std::{
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering, fence},
};

use hemi_net::{
    RxFrame, RxPool, TxFrame, TxQueue,
    frame::{ChecksumRequest, RxChecksum},
    wire::Sum,
};
use hemi_queue::Progress;

use crate::{
    area::{Area, SharedRing},
    control::{Heard, Hello, Met, Socket},
    ring::{Broken, Consumer, Header, MAX_FRAME, Producer},
    role::Role,
    stats::Stats,
};

/// Frames looked at per frame asked for, at most.
const ATTEMPTS: usize = 4;

/// What a side writes before it sleeps; the other side erases it and rings.
mod sleep {
    pub(super) const AWAKE: u32 = 0;
    /// Wake me for a frame.
    pub(super) const FOR_FRAMES: u32 = 1;
    /// Wake me also when there is room again in the ring that I write.
    pub(super) const FOR_ROOM: u32 = 2;
}

/// A link that is up.
pub(crate) struct Link {
    socket: Socket,
    area: Rc<Area>,
    role: Role,
    theirs: Hello,
    /// Who has finished checksums of it: they ask for it, or we were told to.
    finish: bool,
    tx: Producer<SharedRing>,
    rx: Consumer<SharedRing>,
    /// A frame that the stack keeps waits for room.
    blocked: bool,
}

impl Link {
    pub(crate) fn new(met: Met, role: Role) -> Self {
        let area = Rc::new(met.area);
        Self {
            socket: met.socket,
            role,
            theirs: met.theirs,
            finish: met.theirs.full_checksums,
            tx: Producer::new(area.ring_of(role)),
            rx: Consumer::new(area.ring_of(role.other())),
            area,
            blocked: false,
        }
    }

    /// Who is on the other side.
    pub(crate) fn theirs(&self) -> &Hello {
        &self.theirs
    }

    /// What a hostile peer does to the memory.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn scribble(&self, at: usize, byte: u8) {
        self.area.scribble(at, byte);
    }

    /// Receive at most `max` frames into buffers of `room`.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        max: usize,
        vouched: bool,
        room: &mut RxPool,
        stats: &mut Stats,
        frames: &mut Vec<RxFrame>,
    ) -> Result<usize, Broken> {
        let (mut n, mut dropped) = (0, 0);
        // A drop is no progress, but takes its time: a peer whose frames all are shall not keep the core here.
        while n < max && dropped < ATTEMPTS * max {
            let Some(header) = self.rx.peek()? else { break };
            let Some(mut bytes) = room.alloc(header.len) else {
                // As by a NIC without descriptors: behind it may be the acknowledgement that brings memory back.
                self.rx.skip(header);
                dropped += 1;
                continue;
            };
            self.rx.take(header, bytes.spare_mut());
            bytes.set_len(header.len);
            stats.rx_frames += 1;
            let good = header.unfinished && vouched;
            let checksum = if good { RxChecksum::Good } else { RxChecksum::Unknown };
            frames.push(RxFrame { bytes: bytes.freeze(), checksum, mark: 0 });
            n += 1;
        }
        stats.rx_no_memory += dropped as u64;
        if n + dropped > 0 && self.rx.tell() {
            self.wake(sleep::FOR_ROOM, stats);
        }
        Ok(n)
    }

    /// Send from the front of `frames` while there is room.
    #[inline]
    pub(crate) fn send(&mut self, frames: &mut TxQueue, stats: &mut Stats) -> Result<usize, Broken> {
        let mut n = 0;
        self.blocked = false;
        while let Some(frame) = frames.front() {
            let len = frame.len();
            if len == 0 || len > MAX_FRAME {
                stats.tx_impossible += 1;
                frames.discard();
                continue;
            }
            if !self.tx.has_room(len)? {
                self.blocked = true;
                stats.tx_full += 1;
                break;
            }
            self.put(frame, len);
            frames.discard();
            n += 1;
        }
        if n > 0 {
            stats.tx_frames += n as u64;
            self.wake(sleep::FOR_FRAMES, stats);
        }
        Ok(n)
    }

    #[inline]
    fn put(&mut self, frame: &TxFrame, len: usize) {
        let payload = frame.payload.iter().map(|part| &**part);
        match frame.checksum {
            Some(request) if self.finish => {
                let mut head = [0; TxFrame::MAX_HEAD];
                let head = &mut head[..frame.head().len()];
                head.copy_from_slice(frame.head());
                finish(head, frame, request);
                self.tx.push(Header { len, unfinished: false }, std::iter::once(&*head).chain(payload));
            }
            request => {
                let header = Header { len, unfinished: request.is_some() };
                self.tx.push(header, std::iter::once(frame.head()).chain(payload));
            }
        }
    }

    /// Ring the doorbell if the other side sleeps for `what`.
    #[inline]
    fn wake(&self, what: u32, stats: &mut Stats) {
        // Our frame (or head) before their word: see `prepare_park`, which has the same fence between the opposite two.
        fence(Ordering::SeqCst);
        let word = self.area.sleep_of(self.role.other());
        if word.load(Ordering::Relaxed) & what != 0 {
            self.ring(word, stats);
        }
    }

    #[cold]
    #[inline(never)]
    fn ring(&self, word: &AtomicU32, stats: &mut Stats) {
        if word.swap(sleep::AWAKE, Ordering::Relaxed) != sleep::AWAKE {
            stats.bells += 1;
            self.socket.ring();
        }
    }

    /// Ask to be woken, and look once more.
    pub(crate) fn prepare_park(&mut self) -> Progress {
        let why = if self.blocked { sleep::FOR_FRAMES | sleep::FOR_ROOM } else { sleep::FOR_FRAMES };
        let word = self.area.sleep_of(self.role);
        word.store(why, Ordering::Relaxed);
        // Our word before their frame or head.
        fence(Ordering::SeqCst);
        let frame = !matches!(self.rx.peek(), Ok(None));
        let room = self.blocked && !matches!(self.tx.has_room(MAX_FRAME), Ok(false));
        if frame || room {
            word.store(sleep::AWAKE, Ordering::Relaxed);
            return Progress::Busy;
        }
        Progress::Idle
    }

    /// Awake again.
    pub(crate) fn unpark(&self) {
        self.area.sleep_of(self.role).store(sleep::AWAKE, Ordering::Relaxed);
    }

    /// Empty the doorbell; whether the other side is gone.
    pub(crate) fn is_over(&self) -> bool {
        self.socket.listen() == Heard::End
    }
}

/// Compute the transport checksum that an interface without offload would have found in the frame.
fn finish(head: &mut [u8], frame: &TxFrame, request: ChecksumRequest) {
    let start = usize::from(request.start);
    let field = start + usize::from(request.offset);
    if field + 2 > head.len() {
        return;
    }
    // The field holds the pseudo-header's sum, and is summed like everything else.
    let sum = frame.payload.iter().fold(Sum::new().bytes(&head[start..]), |sum, part| sum.bytes(part));
    // Zero would mean "no checksum" in UDP (RFC 768); its other form means the same sum everywhere.
    let checksum = match sum.finish() {
        0 => 0xffff,
        sum => sum,
    };
    head[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
}
