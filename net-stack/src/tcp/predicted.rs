//! The fast way in: from a frame to its connection, without asking the layers between.

use std::net::IpAddr;

use hemi_queue::time::Instant;

use super::{
    Tcp, TcpEvent,
    conn::Cx,
    demux::{Target, Tuple},
    layer::ConnId,
};
use crate::{
    frame::{RxChecksum, RxFrame},
    ip::Net,
    timer::Timer,
    wire::{Flow, Predicted, Shape},
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
    /// Take in a frame if it holds just the segment that a connection expects; else give it back, and nothing has happened.
    ///
    /// What `ip/input.rs` asks of a packet holds of one for a connection, or there would be none: its destination is ours, its source
    /// may be answered, and neither is a group. Connections to ourselves take the ordinary way.
    #[inline(always)]
    pub(crate) fn on_predicted(&mut self, frame: RxFrame, net: &mut Net, now: Instant) -> Option<RxFrame> {
        match Shape::of(&frame.bytes, net.caps.mac.0) {
            Shape::V4 => {
                let verified = frame.checksum == RxChecksum::Good;
                let Some(seg) = Predicted::parse_v4(&frame.bytes, verified) else { return Some(frame) };
                let Some(slot) = self.slot_of_v4(&seg.flow) else { return Some(frame) };
                self.take(frame, &seg, slot, net, now)
            }
            Shape::V6 => self.on_predicted_v6(frame, net, now),
            Shape::Other => Some(frame),
        }
    }

    #[inline(never)]
    fn on_predicted_v6(&mut self, frame: RxFrame, net: &mut Net, now: Instant) -> Option<RxFrame> {
        let verified = frame.checksum == RxChecksum::Good;
        let Some(seg) = Predicted::parse_v6(&frame.bytes, verified) else { return Some(frame) };
        let Some(slot) = self.slot_of_v6(&seg.flow) else { return Some(frame) };
        self.take(frame, &seg, slot, net, now)
    }

    /// Let the connection in `slot` have its segment, if it expects that.
    #[inline(always)]
    fn take<const WORDS: usize>(
        &mut self,
        frame: RxFrame,
        seg: &Predicted<WORDS>,
        slot: u32,
        net: &mut Net,
        now: Instant,
    ) -> Option<RxFrame> {
        // It was verified by now: the ordinary way need not do that again.
        let given_back = |frame: RxFrame| Some(RxFrame { checksum: RxChecksum::Good, ..frame });
        let Some((generation, conn)) = self.conns.entry_mut(slot) else { return given_back(frame) };
        if !conn.predicts(seg) {
            return given_back(frame);
        }
        net.counters.rx_frames += 1;
        net.counters.rx_bytes += frame.bytes.len() as u64;
        net.counters.tcp_segments_received += 1;
        let mut text = frame.bytes;
        text.truncate(seg.text.1);
        text.advance(seg.text.0);
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        conn.on_predicted(seg, text, &mut cx);
        // What must be acknowledged at once is, before the next frame of the burst is looked at.
        if conn.must_acknowledge() && !conn.acknowledge_predicted(&mut cx) {
            conn.transmit(&mut cx);
        }
        // The same as `settle`, of which the half about the end of a connection can't apply.
        if conn.events.0 != 0 && !conn.signalled {
            conn.signalled = true;
            self.events.push_back(TcpEvent::Connection(ConnId { slot, generation }, 0));
        }
        if !conn.dirty && (!conn.nothing_to_send() || conn.must_acknowledge()) {
            conn.dirty = true;
            self.dirty.push_back(slot);
        }
        let deadline = conn.predicted_deadline();
        if deadline < conn.armed {
            conn.armed = deadline;
            net.timers.insert(deadline, Timer::Connection(slot, generation));
        }
        None
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
