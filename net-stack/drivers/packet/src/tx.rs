//! From the stack's queue to the interface: one `sendmmsg` per burst, in which the kernel gathers heads and payloads.

use std::{io, os::fd::AsRawFd};

use hemi_net::{TxFrame, TxQueue};

use crate::{counters::Counters, socket::Socket, vnet::VnetHeader};

/// Frames per system call.
const BATCH: usize = 64;
/// Pieces of memory per frame, at most (the kernel's UIO_MAXIOV).
const MAX_PIECES: usize = 1024;
/// Pieces per system call.
const PIECES: usize = 1024;

/// The arrays that `sendmmsg` reads. Addresses in them are good during one call of [`send`](Self::send).
pub(crate) struct TxPath {
    messages: Vec<libc::mmsghdr>,
    headers: Vec<VnetHeader>,
    pieces: Vec<libc::iovec>,
    scratch: Vec<u8>,
}

/// How a burst ended.
#[derive(Debug)]
pub(crate) enum Sent {
    /// So many frames were taken, and all that there were.
    All(usize),
    /// So many were taken, then the interface or the socket was full.
    Full(usize),
    /// The interface is gone.
    Gone(io::Error),
    /// So many were taken; then the interface was down, or had been since the last call.
    Down(usize, io::Error),
}

impl TxPath {
    pub(crate) fn new() -> Self {
        Self {
            messages: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
            pieces: Vec::with_capacity(PIECES.max(MAX_PIECES)),
            scratch: Vec::new(),
        }
    }

    /// Send from the front of `frames` until there are none or there is no room.
    pub(crate) fn send(&mut self, socket: &Socket, frames: &mut TxQueue, counters: &mut Counters) -> Sent {
        let mut taken = 0;
        while !frames.is_empty() {
            self.gather(frames, counters);
            counters.tx_calls += 1;
            // SAFETY: the messages name pieces in `self.pieces`, those name headers in `self.headers`, bytes of frames that `frames` keeps,
            // and `self.scratch`; none of them is touched before the call returns.
            let n = unsafe {
                let at = self.messages.as_mut_ptr();
                libc::sendmmsg(socket.as_raw_fd(), at, self.messages.len() as u32, libc::MSG_DONTWAIT)
            };
            if n >= 0 {
                for _ in 0..n {
                    frames.discard();
                }
                taken += n as usize;
                continue; // if not all were taken, the next call tells why
            }
            let e = io::Error::last_os_error();
            match e.raw_os_error().unwrap_or(0) {
                libc::EINTR => {}
                // No room in the interface's queue; none in the socket's buffer; no memory.
                libc::ENOBUFS | libc::EAGAIN | libc::ENOMEM => {
                    counters.tx_full += 1;
                    return Sent::Full(taken);
                }
                libc::ENETDOWN => return Sent::Down(taken, e),
                libc::ENXIO | libc::ENODEV => return Sent::Gone(e),
                // This frame will never go out; those behind it shall not wait for ever.
                _ => {
                    tracing::debug!("a frame was refused by the kernel: {e}");
                    counters.tx_refused += 1;
                    frames.discard();
                    taken += 1;
                }
            }
        }
        Sent::All(taken)
    }

    /// Fill the arrays with the first frames.
    fn gather(&mut self, frames: &TxQueue, counters: &mut Counters) {
        self.messages.clear();
        self.headers.clear();
        self.pieces.clear();
        for frame in frames.iter().take(BATCH) {
            let few = frame.payload.parts() + 2 <= MAX_PIECES;
            if !self.messages.is_empty() && self.pieces.len() + 2 + frame.payload.parts() > PIECES {
                break; // a frame of very many pieces is always the first of its call
            }
            let first = self.pieces.len();
            self.headers.push(VnetHeader::of(frame));
            self.pieces.push(piece(std::ptr::null(), VnetHeader::LEN)); // see below
            if few {
                self.pieces.push(piece(frame.head().as_ptr(), frame.head().len()));
                self.pieces.extend(frame.payload.iter().map(|part| piece(part.as_ptr(), part.len())));
            } else {
                self.linearise(frame);
                counters.tx_linearised += 1;
                self.pieces.push(piece(self.scratch.as_ptr(), frame.len()));
            }
            // SAFETY: all zeroes is a valid message: null pointers with zero lengths.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iovlen = self.pieces.len() - first;
            self.messages.push(message);
        }
        // Now that the arrays are complete, what is in them stays where it is.
        let mut first = 0;
        for (message, header) in self.messages.iter_mut().zip(&self.headers) {
            self.pieces[first].iov_base = std::ptr::from_ref(header).cast_mut().cast();
            message.msg_hdr.msg_iov = self.pieces.as_mut_ptr().wrapping_add(first);
            first += message.msg_hdr.msg_iovlen;
        }
    }

    /// Copy a frame to the scratch memory.
    #[cold]
    fn linearise(&mut self, frame: &TxFrame) {
        self.scratch.resize(frame.len(), 0);
        frame.copy_to(&mut self.scratch);
    }
}

fn piece(at: *const u8, len: usize) -> libc::iovec {
    libc::iovec { iov_base: at.cast_mut().cast(), iov_len: len }
}
