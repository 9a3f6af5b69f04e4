//! The short way in of a segment that opens a connection: from a frame to its half-open entry, listener or connection, without asking the
//! layers between.

use hemi_queue::time::Instant;

use super::{Tcp, conn::Segment, demux::Tuple};
use crate::{
    frame::{RxChecksum, RxFrame},
    ip::Net,
    wire::{Opening, Seq, Shape},
};

impl Tcp {
    /// Take in a frame if it holds a SYN, or the answer to one; else give it back, and nothing has happened.
    #[inline(never)]
    pub(super) fn on_opening(
        &mut self,
        frame: RxFrame,
        shape: Shape,
        net: &mut Net,
        now: Instant,
    ) -> Option<RxFrame> {
        let verified = frame.checksum == RxChecksum::Good;
        let Some(opening) = Opening::parse(&frame.bytes, shape, verified) else { return Some(frame) };
        let Opening { src, dst, header, options, ecn, text } = opening;
        let tuple =
            Tuple { local: dst, remote: src, local_port: header.dst_port, remote_port: header.src_port };
        let hash = self.demux.hash(&tuple);
        let target = self.find(hash, &tuple);
        // What is known has been asked the rest of `ip/input.rs`'s questions before. What is not may be another core's, or for an address that is not
        // yet ours.
        let taken = match target {
            Some(_) => !net.addresses.is_ours(src),
            None => {
                net.cores.is_none()
                    && !net.is_tentative(dst.is_ipv4())
                    && net.addresses.is_plain_pair(dst, src)
            }
        };
        if !taken {
            // It was verified by now: the ordinary way need not do that again.
            return Some(RxFrame { checksum: RxChecksum::Good, ..frame });
        }
        net.counters.rx_frames += 1;
        net.counters.rx_bytes += frame.bytes.len() as u64;
        net.counters.tcp_segments_received += 1;
        let mut payload = frame.bytes;
        payload.truncate(text.1);
        payload.advance(text.0);
        let mut seg = Segment { header, options, payload, ecn };
        match target {
            Some(target) => self.dispatch(target, hash, &tuple, &mut seg, net, now),
            None => self.on_unknown(hash, &tuple, &seg, Seq(0), net, now),
        }
        None
    }
}
