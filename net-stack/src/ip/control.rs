//! A segment without text: what opens a connection, acknowledges and ends it.

use hemi_queue::time::Instant;

use super::{Net, Path};
use crate::{
    frame::{ChecksumRequest, TxFrame},
    tcp::Tuple,
    wire::{
        EthernetHeader, Flags, Ipv4Header, Ipv6Header, Seq, Sum, TcpHeader, TcpOptions, Timestamps,
        checksum::fold, protocol,
    },
};

/// The header of such a segment.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) ports: (u16, u16),
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) options: ControlOptions,
}

/// The options that such a segment may have. (SACK blocks and the user timeout take the ordinary way.)
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ControlOptions {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) timestamps: Option<Timestamps>,
}

impl From<ControlOptions> for TcpOptions {
    fn from(options: ControlOptions) -> Self {
        let ControlOptions { mss, window_scale, sack_permitted, timestamps } = options;
        Self { mss, window_scale, sack_permitted, timestamps, ..Self::default() }
    }
}

impl Net {
    /// Send it. The caller has asked `tx.has_room()` and [`Path::is_ready`].
    #[inline]
    pub(crate) fn send_control(&mut self, path: &Path, control: &Control) {
        let len = write(self.tx.claim(), path, control, self.caps.tx_checksum);
        self.count_control(len);
    }

    /// Send it between these ends if the way there is known; says whether it was. The caller has asked `tx.has_room()`.
    pub(crate) fn send_control_between(&mut self, tuple: &Tuple, control: &Control, now: Instant) -> bool {
        let Some(path) = &self.last_path else { return false };
        if !path.leads(tuple.local, tuple.remote, protocol::TCP) || !path.is_valid(self.epoch, now) {
            return false;
        }
        let len = write(self.tx.claim(), path, control, self.caps.tx_checksum);
        self.count_control(len);
        true
    }

    #[inline]
    fn count_control(&mut self, len: usize) {
        self.counters.tcp_segments_sent += 1;
        self.counters.tx_frames += 1;
        self.counters.tx_bytes += len as u64;
    }
}

/// Write all of it into a frame; returns its length. One copy of this serves every segment of a handshake and of a close.
#[inline(never)]
fn write(frame: &mut TxFrame, path: &Path, control: &Control, offload: bool) -> usize {
    let at = path.head_len();
    let (lower, tcp) = frame.head_room().split_at_mut(at);
    let Some(tcp) = tcp.first_chunk_mut() else { return 0 };
    let (tcp_len, sum) = write_tcp(tcp, control);
    let checksum = if offload {
        path.pseudo().word(tcp_len as u16).partial().to_be()
    } else {
        let len = u64::from((tcp_len as u16).to_be());
        !fold(Sum::memory_order(sum + len).plus(path.pseudo()).raw())
    };
    tcp[TcpHeader::CHECKSUM_OFFSET..TcpHeader::CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_ne_bytes());
    if path.is_v4() {
        path.write_lower::<{ EthernetHeader::LEN + Ipv4Header::LEN }>(lower, tcp_len);
    } else {
        path.write_lower::<{ EthernetHeader::LEN + Ipv6Header::LEN }>(lower, tcp_len);
    }
    frame.head_mut(at + tcp_len);
    let (start, offset) = (at as u8, TcpHeader::CHECKSUM_OFFSET as u8);
    frame.checksum = offload.then_some(ChecksumRequest { start, offset });
    frame.segment_size = 0;
    at + tcp_len
}

/// Write the header, with a checksum of zero; returns its length and the sum of its words in memory order. The options lie as
/// [`TcpOptions::emit`] has them.
#[inline]
fn write_tcp(out: &mut [u8; TcpHeader::MAX_LEN], control: &Control) -> (usize, u64) {
    let Control { ports, seq, ack, flags, window, options } = control;
    // Words of 32 bits in 64: their sum can't overflow, and needs no carries.
    let mut sum = 0;
    let mut put = |at: usize, word: u32| {
        let word = word.to_be();
        if let Some(room) = out.get_mut(at..at + 4) {
            room.copy_from_slice(&word.to_ne_bytes());
            sum += u64::from(word);
        }
        at + 4
    };
    put(0, u32::from(ports.0) << 16 | u32::from(ports.1));
    put(4, seq.0);
    put(8, ack.0);
    put(16, 0);
    let mut len = TcpHeader::LEN;
    if let Some(mss) = options.mss {
        len = put(len, 0x0204_0000 | u32::from(mss));
    }
    if let Some(Timestamps { value, echo }) = options.timestamps {
        len = put(len, if options.sack_permitted { 0x0402_080a } else { 0x0101_080a });
        len = put(len, value);
        len = put(len, echo);
    } else if options.sack_permitted {
        len = put(len, 0x0101_0402);
    }
    if let Some(shift) = options.window_scale {
        len = put(len, 0x0103_0300 | u32::from(shift));
    }
    put(12, (len as u32) << 26 | u32::from(flags.0) << 16 | u32::from(*window));
    (len, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// The options are those that the ordinary way writes, to the octet.
        #[test]
        fn options_lie_as_the_ordinary_way_has_them(
            mss in proptest::option::of(1_u16..),
            window_scale in proptest::option::of(0_u8..),
            sack_permitted: bool,
            stamps in proptest::option::of((0_u32.., 0_u32..)),
        ) {
            let timestamps = stamps.map(|(value, echo)| Timestamps { value, echo });
            let options = ControlOptions { mss, window_scale, sack_permitted, timestamps };
            let control = Control {
                ports: (1, 2),
                seq: Seq(3),
                ack: Seq(4),
                flags: Flags::ACK,
                window: 5,
                options,
            };
            let mut header = [0; TcpHeader::MAX_LEN];
            let (len, sum) = write_tcp(&mut header, &control);
            let mut expected = [0; TcpOptions::MAX_LEN];
            let options_len = TcpOptions::from(options).emit(&mut expected);
            proptest::prop_assert_eq!(&header[TcpHeader::LEN..len], &expected[..options_len]);
            let (read, rest) = TcpHeader::parse(&header[..len]).expect("a header");
            proptest::prop_assert_eq!((usize::from(read.header_len), rest.len()), (len, options_len));
            proptest::prop_assert_eq!((read.src_port, read.dst_port, read.seq, read.ack), (1, 2, Seq(3), Seq(4)));
            proptest::prop_assert_eq!((read.flags, read.window), (Flags::ACK, 5));
            proptest::prop_assert_eq!(Sum::memory_order(sum).finish(), Sum::new().bytes(&header[..len]).finish());
        }
    }
}
