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
    wire::{Flow, Predicted},
};

/// The connection that the last predicted segment was for: in a burst, the next one is mostly for the same.
#[derive(Clone, Copy)]
pub(super) struct LastFlow {
    flow: Flow,
    slot: u32,
}

impl LastFlow {
    /// No flow: port 0 is nobody's.
    pub(super) const NONE: Self = Self { flow: Flow::V4 { addresses: 0, ports: 0 }, slot: u32::MAX };
}

impl Tcp {
    /// Take in a frame if it holds just the segment that a connection expects; else give it back, and nothing has happened.
    ///
    /// What `ip/input.rs` asks of a packet holds of one for a connection, or there would be none: its destination is ours, its source
    /// may be answered, and neither is a group. Connections to ourselves take the ordinary way.
    #[inline]
    pub(crate) fn on_predicted(&mut self, frame: RxFrame, net: &mut Net, now: Instant) -> Option<RxFrame> {
        let Some(seg) = Predicted::parse(&frame.bytes, net.caps.mac.0) else { return Some(frame) };
        let Some(slot) = self.slot_of(&seg.flow) else { return Some(frame) };
        let Some((generation, conn)) = self.conns.entry_mut(slot) else { return Some(frame) };
        // A frame from the wire with our own address as its source is forged (see `ip/input.rs`), even if we talk to ourselves.
        if !conn.predicts(&seg)
            || conn.is_looped()
            || (frame.checksum != RxChecksum::Good && !seg.is_intact(&frame.bytes))
        {
            return Some(frame);
        }
        net.counters.rx_frames += 1;
        net.counters.rx_bytes += frame.bytes.len() as u64;
        net.counters.tcp_segments_received += 1;
        let mut text = frame.bytes;
        text.truncate(seg.text.1);
        text.advance(seg.text.0);
        let mut cx = Cx { now, net, config: &self.config, challenge: &mut self.challenge };
        conn.on_predicted(&seg, text, &mut cx);
        // What must be acknowledged at once is, before the next frame of the burst is looked at.
        if conn.must_acknowledge() {
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
    #[inline]
    fn slot_of(&mut self, flow: &Flow) -> Option<u32> {
        if self.last.flow == *flow {
            return Some(self.last.slot);
        }
        let tuple = tuple_of(flow);
        let Some(Target::Connection(slot)) = self.find(self.demux.hash(&tuple), &tuple) else { return None };
        self.last = LastFlow { flow: *flow, slot };
        Some(slot)
    }
}

/// The flow of a received segment, seen from our end.
#[inline]
fn tuple_of(flow: &Flow) -> Tuple {
    let (remote_port, local_port) = flow.ports();
    let (remote, local) = match *flow {
        Flow::V4 { addresses, .. } => {
            let [a, b, c, d, e, f, g, h] = addresses.to_ne_bytes();
            (IpAddr::from([a, b, c, d]), IpAddr::from([e, f, g, h]))
        }
        Flow::V6 { addresses: [a, b, c, d], .. } => (v6(a, b), v6(c, d)),
    };
    Tuple { local, remote, local_port, remote_port }
}

fn v6(first: u64, second: u64) -> IpAddr {
    IpAddr::from((u128::from(u64::from_be(first)) << 64 | u128::from(u64::from_be(second))).to_be_bytes())
}
