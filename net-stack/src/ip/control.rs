//! A segment without text: what opens a connection, acknowledges and ends it.

use hemi_queue::time::Instant;

use super::{Net, Path};
use crate::{
    frame::{ChecksumRequest, TxFrame},
    tcp::Tuple,
    wire::{Ecn, Flags, Seq, Sum, TcpHeader, TcpOptions, Timestamps, checksum::fold, protocol},
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

impl ControlOptions {
    /// The same options, if these can have them all.
    pub(crate) fn of(options: &TcpOptions) -> Option<Self> {
        let TcpOptions { mss, window_scale, sack_permitted, timestamps, .. } = *options;
        let rare = !options.sack.is_empty() || options.user_timeout.is_some();
        (!rare).then_some(Self { mss, window_scale, sack_permitted, timestamps })
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
    let (words, count) = words_of(control);
    let (at, tcp_len) = (path.head_len(), 4 * count);
    let (start, offset) = (at as u8, TcpHeader::CHECKSUM_OFFSET as u8);
    frame.checksum = offload.then_some(ChecksumRequest { start, offset });
    frame.segment_size = 0;
    let head = frame.head_mut(at + tcp_len);
    path.write_head(head, tcp_len, Ecn::NotCapable);
    let Some(tcp) = head.get_mut(at..) else { return 0 };
    // Words of 32 bits in 64: their sum can't overflow, and needs no carries.
    let mut sum = u64::from((tcp_len as u16).to_be());
    for (room, word) in tcp.as_chunks_mut::<4>().0.iter_mut().zip(&words) {
        let word = word.to_be();
        *room = word.to_ne_bytes();
        sum += u64::from(word);
    }
    let checksum = if offload {
        path.pseudo().word(tcp_len as u16).partial().to_be()
    } else {
        !fold(Sum::memory_order(sum).plus(path.pseudo()).raw())
    };
    if let Some(room) = tcp.get_mut(TcpHeader::CHECKSUM_OFFSET..TcpHeader::CHECKSUM_OFFSET + 2) {
        room.copy_from_slice(&checksum.to_ne_bytes());
    }
    at + tcp_len
}

/// The words of the header, with a checksum of zero, and how many they are. The options lie as [`TcpOptions::emit`] has them.
#[inline]
fn words_of(control: &Control) -> ([u32; 10], usize) {
    let Control { ports, seq, ack, flags, window, options } = control;
    let mut words = [u32::from(ports.0) << 16 | u32::from(ports.1), seq.0, ack.0, 0, 0, 0, 0, 0, 0, 0];
    let mut count = 5;
    let mut put = |word| {
        if let Some(room) = words.get_mut(count) {
            *room = word;
            count += 1;
        }
    };
    if let Some(mss) = options.mss {
        put(0x0204_0000 | u32::from(mss));
    }
    if let Some(Timestamps { value, echo }) = options.timestamps {
        put(if options.sack_permitted { 0x0402_080a } else { 0x0101_080a });
        put(value);
        put(echo);
    } else if options.sack_permitted {
        put(0x0101_0402);
    }
    if let Some(shift) = options.window_scale {
        put(0x0103_0300 | u32::from(shift));
    }
    words[3] = (count as u32) << 28 | u32::from(flags.0) << 16 | u32::from(*window);
    (words, count)
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
            let options = TcpOptions { mss, window_scale, sack_permitted, timestamps, ..TcpOptions::default() };
            let control = Control {
                ports: (1, 2),
                seq: Seq(3),
                ack: Seq(4),
                flags: Flags::ACK,
                window: 5,
                options: ControlOptions::of(&options).expect("nothing rare"),
            };
            let (words, count) = words_of(&control);
            let mut expected = [0; TcpOptions::MAX_LEN];
            let len = options.emit(&mut expected);
            let written: Vec<u8> = words[5..count].iter().flat_map(|word| word.to_be_bytes()).collect();
            proptest::prop_assert_eq!(written.as_slice(), &expected[..len]);
            proptest::prop_assert_eq!(words[3], (5 + len as u32 / 4) << 28 | 0x0010_0005);
        }
    }
}
