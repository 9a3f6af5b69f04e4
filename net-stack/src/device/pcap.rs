//! [`Pcap`]: a device that writes what passes into a file that Wireshark opens.

use std::{
    io::{self, Write},
    time::Duration,
};

use hemi_queue::{Pool, Progress, Wakeup, time::Instant};

use super::{Caps, DatagramRule, Device, Gone};
use crate::{
    cores::{Steered, Steering},
    frame::{RxFrame, TxFrame, TxQueue},
    sim,
    wire::Sum,
};

/// A device that captures the frames of another in both directions, as pcapng (draft-ietf-opsawg-pcapng).
///
/// Received frames are written as the stack gets them; sent ones as the peer will get them, when they are offered to the device:
/// with checksums filled in and large frames cut, whoever does that. A file that can't be written ends the capture, not the
/// connections.
pub struct Pcap<D, W: Write> {
    device: D,
    writer: Option<PcapWriter<W>>,
    /// Frames at the front of the transmit queue that are in the file already.
    written: usize,
}

impl<D: Device, W: Write> Pcap<D, W> {
    /// Capture what passes `device`. `epoch` is the wall-clock time of [`Instant::ZERO`], since 1970; zero in virtual time.
    pub fn new(device: D, out: W, epoch: Duration) -> io::Result<Self> {
        let writer = PcapWriter::new(out, &device.describe(), epoch)?;
        Ok(Self { device, writer: Some(writer), written: 0 })
    }

    fn record(&mut self, write: impl FnOnce(&mut PcapWriter<W>) -> io::Result<()>) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = write(writer)
        {
            tracing::warn!(target: "hemi::net", %error, "the capture ends: its file can't be written");
            self.writer = None;
        }
    }
}

impl<D: Device, W: Write> Device for Pcap<D, W> {
    fn caps(&self) -> Caps {
        self.device.caps()
    }

    fn filter_datagrams(&mut self, rules: &[DatagramRule]) -> Option<&'static str> {
        self.device.filter_datagrams(rules)
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        let before = frames.len();
        let n = self.device.rx_burst(now, max, frames)?;
        let received = frames.get(before..).unwrap_or_default();
        self.record(|w| received.iter().try_for_each(|f| w.packet(now, Direction::Inbound, &f.bytes)));
        Ok(n)
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let written = self.written;
        self.record(|w| frames.iter().skip(written).try_for_each(|f| w.sent(now, f)));
        let offered = frames.len();
        let n = self.device.tx_burst(now, frames)?;
        self.written = offered.saturating_sub(n);
        Ok(n)
    }

    fn register(&mut self, pool: &Pool) {
        self.device.register(pool);
    }

    fn steer(&mut self, rule: &Steering) -> Steered {
        self.device.steer(rule)
    }

    fn wakeup(&self) -> Wakeup {
        self.device.wakeup()
    }

    fn deadline(&self) -> Option<Instant> {
        self.device.deadline()
    }

    fn prepare_park(&mut self) -> Progress {
        // Time enough, and who looks at the file while nothing happens sees all of it.
        self.record(PcapWriter::flush);
        self.device.prepare_park()
    }

    fn unpark(&mut self) {
        self.device.unpark();
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        self.device.counters(each);
    }

    fn describe(&self) -> String {
        format!("{}, captured", self.device.describe())
    }
}

impl<D, W: Write> Drop for Pcap<D, W> {
    fn drop(&mut self) {
        if let Some(writer) = &mut self.writer {
            let _ = writer.flush();
        }
    }
}

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To us.
    Inbound,
    /// From us.
    Outbound,
}

/// Writes pcapng: a section header, one Ethernet interface with timestamps in nanoseconds, then packets.
///
/// ```
/// use hemi_net::device::{Direction, PcapWriter};
/// use hemi_queue::time::Instant;
///
/// let mut file = PcapWriter::new(Vec::new(), "an example", std::time::Duration::ZERO)?;
/// file.packet(Instant::from_nanos(1_500), Direction::Outbound, &[0xff; 60])?;
/// let bytes = file.into_inner()?;
/// assert_eq!(&bytes[..4], 0x0a0d_0d0a_u32.to_le_bytes());
/// assert_eq!(bytes.len() % 4, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct PcapWriter<W> {
    out: W,
    epoch: Duration,
    /// The block or packet being put together.
    block: Vec<u8>,
    frame: Vec<u8>,
}

impl<W: Write> PcapWriter<W> {
    /// Begin a file about the interface called `name`.
    pub fn new(out: W, name: &str, epoch: Duration) -> io::Result<Self> {
        let mut this = Self { out, epoch, block: Vec::new(), frame: Vec::new() };
        // Section header: byte-order magic, version 1.0, length unknown.
        this.block.extend(0x1a2b_3c4d_u32.to_le_bytes());
        this.block.extend([1, 0, 0, 0]);
        this.block.extend(u64::MAX.to_le_bytes());
        this.option(4, b"hemi"); // shb_userappl
        this.option(0, &[]);
        this.finish(0x0a0d_0d0a)?;
        // Interface: LINKTYPE_ETHERNET, no limit of length.
        this.block.extend([1, 0, 0, 0]);
        this.block.extend(0_u32.to_le_bytes());
        let name = name.as_bytes();
        this.option(3, &name[..name.len().min(256)]); // if_description
        this.option(9, &[9]); // if_tsresol: 10^-9 s
        this.option(0, &[]);
        this.finish(1)?;
        Ok(this)
    }

    /// Append a packet that passed at `at`.
    pub fn packet(&mut self, at: Instant, direction: Direction, bytes: &[u8]) -> io::Result<()> {
        let time = (self.epoch + Duration::from_nanos(at.as_nanos())).as_nanos() as u64;
        let len = (bytes.len() as u32).to_le_bytes();
        self.block.extend(0_u32.to_le_bytes()); // the interface
        self.block.extend(((time >> 32) as u32).to_le_bytes());
        self.block.extend((time as u32).to_le_bytes());
        self.block.extend(len);
        self.block.extend(len);
        self.block.extend(bytes);
        self.pad();
        let flags: u32 = if direction == Direction::Inbound { 1 } else { 2 };
        self.option(2, &flags.to_le_bytes()); // epb_flags
        self.option(0, &[]);
        self.finish(6)
    }

    /// Append a frame that is sent, as it will be on the wire.
    fn sent(&mut self, at: Instant, frame: &TxFrame) -> io::Result<()> {
        if frame.segment_size > 0 {
            return sim::cut(frame).iter().try_for_each(|p| self.packet(at, Direction::Outbound, p));
        }
        let mut bytes = std::mem::take(&mut self.frame);
        bytes.clear();
        bytes.resize(frame.len(), 0);
        frame.copy_to(&mut bytes);
        if let Some(request) = frame.checksum {
            let start = usize::from(request.start);
            let sum = bytes.get(start..).map(|rest| Sum::new().bytes(rest).finish());
            let field = start + usize::from(request.offset);
            if let (Some(sum), Some(field)) = (sum, bytes.get_mut(field..field + 2)) {
                field.copy_from_slice(&sum.to_be_bytes());
            }
        }
        let result = self.packet(at, Direction::Outbound, &bytes);
        self.frame = bytes;
        result
    }

    /// Hand everything to the file.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The file.
    pub fn into_inner(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.block.extend(code.to_le_bytes());
        self.block.extend((value.len() as u16).to_le_bytes());
        self.block.extend(value);
        self.pad();
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Write the block, with its type in front and its length at both ends.
    fn finish(&mut self, kind: u32) -> io::Result<()> {
        let len = (self.block.len() as u32 + 12).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&len)?;
        self.out.write_all(&self.block)?;
        self.block.clear();
        self.out.write_all(&len)
    }
}
