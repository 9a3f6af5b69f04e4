//! [`TapDevice`]: bursts of frames over a TAP device.

use std::io;

use hemi_net::{
    Caps, Device, DeviceQueue, Gone, RxFrame, RxPool, TxQueue, frame::RxChecksum, wire::EthernetHeader,
};
use hemi_queue::{BufMut, Error, Pool, Progress, Result, Uri, Wakeup, time::Instant};

use crate::{interface::Interface, params::Params, stats::Stats, tun::Tun};

/// Room for the largest frame: what a large TCP segment of the kernel's, which counts its bytes in 16 bits, can be at most.
const LARGEST: usize = 64 << 10;
/// A frame that fills less than a quarter of the largest buffer is copied into one that fits it: an application that holds
/// on to it must not hold 64 KiB.
const COPIED: usize = LARGEST / 4;
/// Frames sent per burst, at most: each is a system call.
const TX_BURST: usize = 64;
/// Frames looked at per frame asked for, at most.
const ATTEMPTS: usize = 4;
/// The largest TCP frame that is given to the kernel uncut: what the length field of its IP header can say.
const TSO: u32 = 65_000;

/// One queue of a TAP device.
pub(crate) struct TapDevice {
    name: String,
    queue: DeviceQueue,
    caps: Caps,
    tun: Tun,
    rx: RxPool,
    /// What the next frame is read into.
    large: BufMut,
    /// A frame that the stack keeps waits for room.
    blocked: bool,
    /// The last burst ended before the frames did, with none to show for it.
    more: bool,
    stats: Stats,
}

impl TapDevice {
    pub(crate) fn open(uri: &Uri, pool: &Pool, queue: DeviceQueue) -> Result<Self> {
        let Params { name, mac, mtu, offload, host } = Params::take(uri)?;
        if pool.largest() < LARGEST {
            let why =
                format!("needs a pool with buffers of {LARGEST} bytes; its largest has {}", pool.largest());
            return Err(uri.error(why).into());
        }
        let fail = |op, e| Error::io(op, format!("tap:{name}"), e);
        let tun = Tun::open(&name, queue.of > 1, offload).map_err(|e| fail("open", e))?;
        let interface = Interface::new(&name).map_err(|e| fail("look at", e))?;
        if interface.mac().map_err(|e| fail("look at", e))? == mac {
            return Err(uri
                .error(format!("the kernel has {mac} on this device; mac= is our address, choose another"))
                .into());
        }
        let mut rx = RxPool::new(pool.clone());
        let Some(large) = rx.alloc(LARGEST) else {
            return Err(uri.error(format!("the pool has no buffer of {LARGEST} bytes left")).into());
        };
        // The first of several queues speaks for all.
        if queue.index == 0 {
            interface.set_mtu(mtu).map_err(|e| fail("set the mtu of", e))?;
            for cidr in host {
                interface.add_address(cidr).map_err(|e| fail("give the kernel an address on", e))?;
            }
            interface.bring_up().map_err(|e| fail("bring up", e))?;
        }
        Ok(Self {
            caps: Caps { mac, mtu, tx_checksum: offload, tso: if offload { TSO } else { 0 } },
            tun,
            queue,
            rx,
            large,
            blocked: false,
            more: false,
            stats: Stats::default(),
            name,
        })
    }

    fn gone(&self, source: io::Error) -> Gone {
        Gone { name: format!("tap:{}", self.name), source }
    }

    /// The frame of `len` bytes in `large`, in a buffer that fits it; `None` while there is none.
    #[inline]
    fn hand_over(&mut self, len: usize, checksum: RxChecksum) -> Option<RxFrame> {
        let frame = if len < COPIED {
            let mut fitting = self.rx.alloc(len)?;
            fitting.put(&self.large.spare_mut()[..len]);
            fitting
        } else {
            // Only against a new one: without any there would be nothing to read acknowledgements into.
            let next = self.rx.alloc(LARGEST)?;
            let mut full = std::mem::replace(&mut self.large, next);
            full.set_len(len);
            full
        };
        Some(RxFrame { bytes: frame.freeze(), checksum, mark: 0 })
    }
}

/// The device was removed: each descriptor of it is only good for closing.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADFD | libc::EBADF | libc::ENODEV))
}

impl Device for TapDevice {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn rx_burst(&mut self, _: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        let mut n = 0;
        // Frames that are dropped are no progress, but take their time: somebody who sends nothing else shall not keep the core here.
        let mut attempts = max.saturating_mul(ATTEMPTS);
        self.more = false;
        while n < max {
            if attempts == 0 {
                self.more = true;
                break;
            }
            attempts -= 1;
            let (len, checksum) = match self.tun.read(self.large.spare_mut()) {
                Ok((header, len)) => {
                    let checksum = header.checksum(len);
                    let Some(checksum) = checksum.filter(|_| len >= EthernetHeader::LEN) else {
                        self.stats.rx_malformed += 1;
                        continue;
                    };
                    (len, checksum)
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    self.stats.rx_malformed += 1;
                    continue;
                }
                Err(e) => return Err(self.gone(e)),
            };
            // Dropped, as by a NIC without descriptors: behind it may be the acknowledgement that brings memory back.
            let Some(frame) = self.hand_over(len, checksum) else {
                self.stats.rx_no_memory += 1;
                continue;
            };
            frames.push(frame);
            n += 1;
        }
        self.stats.rx_frames += n as u64;
        Ok(n)
    }

    fn tx_burst(&mut self, _: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let mut n = 0;
        self.blocked = false;
        while n < TX_BURST {
            let Some(frame) = frames.front() else { break };
            match self.tun.write(frame) {
                Ok(()) => self.stats.tx_frames += 1,
                Err(e) if is_gone(&e) => return Err(self.gone(e)),
                Err(e) => match e.raw_os_error() {
                    Some(libc::EINTR) => continue,
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                        self.stats.tx_full += 1;
                        self.blocked = true;
                        break;
                    }
                    // Down: as a cable that is not plugged in.
                    Some(libc::EIO) => self.stats.tx_down += 1,
                    _ => {
                        tracing::debug!(device = %self.name, error = %e, ?frame, "the kernel refuses a frame");
                        self.stats.tx_refused += 1;
                    }
                },
            }
            frames.discard();
            n += 1;
        }
        Ok(n)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Fd(self.tun.fd())
    }

    /// The descriptor tells of frames to read. That there is room again it does not tell: nobody sleeps on that.
    fn prepare_park(&mut self) -> Progress {
        if self.blocked || self.more { Progress::Busy } else { Progress::Idle }
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        self.stats.each(each);
    }

    fn describe(&self) -> String {
        let Caps { mac, mtu, tx_checksum, .. } = self.caps;
        let offload = if tx_checksum { "checksums and segmentation offloaded" } else { "full checksums" };
        let DeviceQueue { index, of } = self.queue;
        format!("tap:{} queue {} of {of}, {mac}, mtu {mtu}, {offload}", self.name, index + 1)
    }
}
