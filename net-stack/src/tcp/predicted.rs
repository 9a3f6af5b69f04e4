//! The fast way in: from a frame to its connection, without asking the layers between.

use std::net::IpAddr;

use hemi_queue::{Buf, time::Instant};

use super::{
    Tcp,
    conn::{Brief, Cx, Next, Segment},
    demux::{Target, Tuple},
    layer::ConnId,
    signals::Signal,
};
use crate::{
    frame::{RxChecksum, RxFrame},
    ip::Net,
    wire::{Common, Ecn, Flow, Predicted, Shape, TcpHeader, TcpOptions},
};

/// The connections that the last predicted segments were for: in a burst, the next one is mostly for the same.
#[derive(Clone, Copy)]
pub(super) struct LastFlows {
    v4: (Flow<1>, u32),
    v6: (Flow<4>, u32),
}

impl LastFlows {
    pub(super) const NONE: Self = Self { v4: (Flow::NONE, u32::MAX), v6: (Flow::NONE, u32::MAX) };
}

impl Tcp {
    /// Take in a frame if it holds a segment of the common kind for something that is known, most often just what a connection
    /// expects; else give it back, and nothing has happened.
    ///
    /// What `ip/input.rs` asks of a packet holds of one for a connection, or there would be none: its destination is ours, its source
    /// may be answered, and neither is a group. Connections to ourselves take the ordinary way.
    #[inline(always)]
    pub(crate) fn on_predicted(&mut self, frame: RxFrame, net: &mut Net, now: Instant) -> Option<RxFrame> {
        let frame = self.on_common(frame, net, now)?;
        self.on_uncommon(frame, net, now)
    }

    /// The narrower prediction: one layout, and just what is expected of a connection.
    #[inline(always)]
    fn on_common(&mut self, frame: RxFrame, net: &mut Net, now: Instant) -> Option<RxFrame> {
        let Some(common) = Common::of(&frame.bytes, net.caps.mac.0) else { return Some(frame) };
        let flow = Flow { addresses: [common.addresses()], ports: common.ports() };
        let Some(slot) = self.slot_of_v4(&flow) else { return Some(frame) };
        let Some((generation, conn)) = self.conns.entry_mut(slot) else { return Some(frame) };
        let next = Next {
            seq: common.seq(),
            ack: common.ack(),
            window: common.window(),
            stamp: Some(common.stamp()),
            len: common.len(),
        };
        if !conn.predicts(&next) || !common.is_intact(frame.checksum == RxChecksum::Good) {
            return Some(frame);
        }
        let end = frame.bytes.len();
        let text = text_of(frame, (Common::HEAD, end), net);
        let deadline = conn.on_predicted(&next, text, net, &self.timing, now);
        conn.arm(deadline, slot, generation, net);
        if conn.must_follow() {
            self.follow(slot, net, now);
        } else if conn.events.0 != 0 && !conn.signalled {
            conn.signalled = true;
            self.events.push_back(Signal::Connection(ConnId { slot, generation }));
        }
        None
    }

    /// The wider prediction.
    #[inline(never)]
    fn on_uncommon(&mut self, frame: RxFrame, net: &mut Net, now: Instant) -> Option<RxFrame> {
        match Shape::of(&frame.bytes, net.caps.mac.0) {
            Shape::V4 => {
                let verified = frame.checksum == RxChecksum::Good;
                let Some(seg) = Predicted::parse_v4(&frame.bytes, verified) else {
                    return self.on_opening(frame, Shape::V4, net, now);
                };
                let found = self.slot_of_v4(&seg.flow);
                let frame = match found {
                    Some(slot) => self.take(frame, &seg, slot, net, now)?,
                    None => frame,
                };
                self.on_parsed(frame, &seg, found, tuple_of_v4, net, now)
            }
            Shape::V6 => {
                let verified = frame.checksum == RxChecksum::Good;
                let Some(seg) = Predicted::parse_v6(&frame.bytes, verified) else {
                    return self.on_opening(frame, Shape::V6, net, now);
                };
                let found = self.slot_of_v6(&seg.flow);
                let frame = match found {
                    Some(slot) => self.take(frame, &seg, slot, net, now)?,
                    None => frame,
                };
                self.on_parsed(frame, &seg, found, tuple_of_v6, net, now)
            }
            Shape::Other => Some(frame),
        }
    }

    /// A segment that is not what the connection that was found for it expects, or is for none, but has been looked at as closely as the
    /// ordinary way looks.
    #[inline(never)]
    fn on_parsed<const WORDS: usize>(
        &mut self,
        frame: RxFrame,
        seg: &Predicted<WORDS>,
        found: Option<u32>,
        tuple_of: impl FnOnce(&Flow<WORDS>) -> Tuple,
        net: &mut Net,
        now: Instant,
    ) -> Option<RxFrame> {
        if let Some(slot) = found
            && seg.text.0 == seg.text.1
            && self.on_brief(slot, &seg.brief(), net, now)
        {
            drop(text_of(frame, seg.text, net));
            return None;
        }
        let tuple = tuple_of(&seg.flow);
        let hash = self.demux.hash(&tuple);
        // A frame from the wire with our own address as its source is forged (see `ip/input.rs`), even if we talk to ourselves.
        let target = self.find(hash, &tuple).filter(|_| !net.addresses.is_ours(tuple.remote));
        let Some(target) = target else {
            // It was verified by now: the ordinary way need not do that again.
            return Some(RxFrame { checksum: RxChecksum::Good, ..frame });
        };
        let header = TcpHeader {
            src_port: tuple.remote_port,
            dst_port: tuple.local_port,
            seq: seg.seq,
            ack: seg.ack,
            flags: seg.flags,
            window: seg.window,
            urgent: 0,
            header_len: 0,
        };
        let options = TcpOptions { timestamps: seg.timestamps, ..TcpOptions::default() };
        let ecn = Ecn::from_bits(seg.ecn);
        let mut segment = Segment { header, options, payload: text_of(frame, seg.text, net), ecn };
        self.dispatch(target, hash, &tuple, &mut segment, net, now);
        None
    }

    /// Let a connection have a segment without text, if that is as short a matter as it mostly is.
    #[inline(never)]
    fn on_brief(&mut self, slot: u32, seg: &Brief, net: &mut Net, now: Instant) -> bool {
        let Some(conn) = self.conns.get_mut(slot) else { return false };
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        conn.disturb();
        if !conn.on_brief(seg, &mut cx) {
            return false;
        }
        if conn.must_acknowledge() && !conn.acknowledge_brief(&mut cx) {
            conn.transmit(&mut cx);
        }
        self.settle(slot, net, now);
        true
    }

    /// Let a connection have the segment, if it is just what it expects; else give the frame back.
    #[inline(never)]
    fn take<const WORDS: usize>(
        &mut self,
        frame: RxFrame,
        seg: &Predicted<WORDS>,
        slot: u32,
        net: &mut Net,
        now: Instant,
    ) -> Option<RxFrame> {
        let Some((generation, conn)) = self.conns.entry_mut(slot) else { return Some(frame) };
        let Some(next) = Next::of(seg).filter(|next| conn.predicts(next)) else { return Some(frame) };
        let text = text_of(frame, seg.text, net);
        let deadline = conn.on_predicted(&next, text, net, &self.timing, now);
        conn.arm(deadline, slot, generation, net);
        self.follow(slot, net, now);
        None
    }

    /// A segment was taken in that is to be acknowledged at once, before the next frame of the burst is looked at, or that lets more be sent,
    /// or that somebody waits for.
    #[inline(never)]
    fn follow(&mut self, slot: u32, net: &mut Net, now: Instant) {
        let Some((generation, conn)) = self.conns.entry_mut(slot) else { return };
        if conn.must_acknowledge() && !conn.acknowledge_predicted(net, now) {
            let mut cx =
                Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
            conn.transmit(&mut cx);
            conn.arm(conn.deadline(), slot, generation, net);
        }
        // The same as `settle`, of which the half about the end of a connection can't apply.
        if conn.events.0 != 0 && !conn.signalled {
            conn.signalled = true;
            self.events.push_back(Signal::Connection(ConnId { slot, generation }));
        }
        if !conn.dirty && (!conn.nothing_to_send() || conn.must_acknowledge()) {
            conn.dirty = true;
            self.dirty.push_back(slot);
        }
    }

    /// The slot of the connection that a flow belongs to.
    #[inline(always)]
    fn slot_of_v4(&mut self, flow: &Flow<1>) -> Option<u32> {
        if self.last.v4.0 != *flow {
            self.last.v4 = (*flow, self.look_up(&tuple_of_v4(flow))?);
        }
        Some(self.last.v4.1)
    }

    #[inline(always)]
    fn slot_of_v6(&mut self, flow: &Flow<4>) -> Option<u32> {
        if self.last.v6.0 != *flow {
            self.last.v6 = (*flow, self.look_up(&tuple_of_v6(flow))?);
        }
        Some(self.last.v6.1)
    }

    #[inline(never)]
    fn look_up(&self, tuple: &Tuple) -> Option<u32> {
        match self.find(self.demux.hash(tuple), tuple)? {
            Target::Connection(slot) => Some(slot),
            Target::HalfOpen(_) | Target::TimeWait(_) => None,
        }
    }
}

/// The text of a segment, whose frame is counted now that somebody takes it.
#[inline(always)]
fn text_of(frame: RxFrame, (start, end): (usize, usize), net: &mut Net) -> Buf {
    net.counters.rx_frames += 1;
    net.counters.rx_bytes += frame.bytes.len() as u64;
    net.counters.tcp_segments_received += 1;
    let mut text = frame.bytes;
    text.truncate(end);
    text.advance(start);
    text
}

impl<const WORDS: usize> Predicted<WORDS> {
    /// What of it is not its flow.
    fn brief(&self) -> Brief {
        let Self { seq, ack, window, flags, ecn, timestamps, .. } = *self;
        Brief { seq, ack, window, flags, ecn, timestamps }
    }
}

/// The flow of a received segment, seen from our end.
#[inline]
fn tuple_of_v4(flow: &Flow<1>) -> Tuple {
    let (remote_port, local_port) = flow.ports();
    let [a, b, c, d, e, f, g, h] = flow.addresses[0].to_ne_bytes();
    let (remote, local) = (IpAddr::from([a, b, c, d]), IpAddr::from([e, f, g, h]));
    Tuple { local, remote, local_port, remote_port }
}

#[inline]
fn tuple_of_v6(flow: &Flow<4>) -> Tuple {
    let (remote_port, local_port) = flow.ports();
    let [a, b, c, d] = flow.addresses;
    Tuple { local: v6(c, d), remote: v6(a, b), local_port, remote_port }
}

fn v6(first: u64, second: u64) -> IpAddr {
    IpAddr::from((u128::from(u64::from_be(first)) << 64 | u128::from(u64::from_be(second))).to_be_bytes())
}
