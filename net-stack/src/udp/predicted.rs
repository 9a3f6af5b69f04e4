//! The fast way in: from a frame to its socket, without asking the layers between.
//!
//! A datagram that is whole, without IP options or extension headers, and from and to whom one came before, lands in the same socket as that one did,
//! for as long as no socket has come, gone or been connected ([`Flows`]). Everything else goes the ordinary way, which knows all the rules.

use std::net::{IpAddr, SocketAddr};

use super::Udp;
use crate::{
    frame::{RxChecksum, RxFrame},
    ip::Net,
    wire::{Flow, PredictedDatagram, Shape},
};

/// Flows that are remembered per IP version: as many clients of a server as it may hear of in turn.
const FLOWS: usize = 64;

/// Where the datagrams of some flows go, by their hash.
#[derive(Debug)]
struct Table<const WORDS: usize>(Box<[Known<WORDS>; FLOWS]>);

#[derive(Clone, Copy, Debug)]
struct Known<const WORDS: usize> {
    flow: Flow<WORDS>,
    slot: u32,
}

impl<const WORDS: usize> Table<WORDS> {
    const EMPTY: Known<WORDS> = Known { flow: Flow::NONE, slot: u32::MAX };

    fn new() -> Self {
        Self(Box::new([Self::EMPTY; FLOWS]))
    }

    #[inline(always)]
    fn place(&mut self, flow: &Flow<WORDS>) -> &mut Known<WORDS> {
        let words =
            flow.addresses.iter().fold(u64::from(flow.ports), |hash, word| hash.rotate_left(29) ^ word);
        let hash = words.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - FLOWS.ilog2());
        &mut self.0[hash as usize % FLOWS]
    }
}

/// Which socket the datagrams of some flows are for.
#[derive(Debug)]
pub(super) struct Flows {
    v4: Table<1>,
    v6: Table<4>,
}

impl Default for Flows {
    fn default() -> Self {
        Self { v4: Table::new(), v6: Table::new() }
    }
}

impl Flows {
    /// Which datagram reaches which socket has changed.
    pub(super) fn forget(&mut self) {
        self.v4.0.fill(Table::EMPTY);
        self.v6.0.fill(Table::EMPTY);
    }
}

impl Udp {
    /// Take in a frame if it holds a datagram of the common kind for a socket of ours; else give it back, and nothing has happened.
    #[inline]
    pub(crate) fn on_predicted(&mut self, frame: RxFrame, net: &mut Net) -> Option<RxFrame> {
        let verified = frame.checksum == RxChecksum::Good;
        match Shape::of(&frame.bytes, net.caps.mac.0) {
            Shape::V4 => {
                let Some(seen) = PredictedDatagram::parse_v4(&frame.bytes, verified) else {
                    return Some(frame);
                };
                let (from, to) = ends_v4(&seen.flow);
                let known = self.flows.v4.place(&seen.flow);
                let slot = if known.flow == seen.flow {
                    known.slot
                } else {
                    let Some(slot) = self.look_up(from, to, net) else { return Some(frame) };
                    *self.flows.v4.place(&seen.flow) = Known { flow: seen.flow, slot };
                    slot
                };
                self.take(frame, seen.text, slot, from, net);
            }
            Shape::V6 => {
                let Some(seen) = PredictedDatagram::parse_v6(&frame.bytes, verified) else {
                    return Some(frame);
                };
                let (from, to) = ends_v6(&seen.flow);
                let known = self.flows.v6.place(&seen.flow);
                let slot = if known.flow == seen.flow {
                    known.slot
                } else {
                    let Some(slot) = self.look_up(from, to, net) else { return Some(frame) };
                    *self.flows.v6.place(&seen.flow) = Known { flow: seen.flow, slot };
                    slot
                };
                self.take(frame, seen.text, slot, from, net);
            }
            Shape::Other => return Some(frame),
        }
        None
    }

    /// The socket for a flow that may be answered (see `ip/input.rs`).
    #[inline(never)]
    fn look_up(&self, from: SocketAddr, to: SocketAddr, net: &Net) -> Option<u32> {
        let fine = net.addresses.is_ours(to.ip())
            && !net.is_tentative(to.is_ipv4())
            && net.addresses.is_valid_peer(from.ip())
            && !net.addresses.is_ours(from.ip())
            && to.port() != 0;
        if fine { self.find(to.ip(), to.port(), from) } else { None }
    }

    #[inline(always)]
    fn take(&mut self, frame: RxFrame, text: (usize, usize), slot: u32, from: SocketAddr, net: &mut Net) {
        net.counters.rx_frames += 1;
        net.counters.rx_bytes += frame.bytes.len() as u64;
        let mut payload = frame.bytes;
        payload.truncate(text.1);
        payload.advance(text.0);
        self.enqueue(slot, from, payload, frame.mark, net);
    }
}

#[inline(always)]
fn ends_v4(flow: &Flow<1>) -> (SocketAddr, SocketAddr) {
    let (from, to) = flow.ports();
    let [a, b, c, d, e, f, g, h] = flow.addresses[0].to_ne_bytes();
    (SocketAddr::new(IpAddr::from([a, b, c, d]), from), SocketAddr::new(IpAddr::from([e, f, g, h]), to))
}

#[inline(always)]
fn ends_v6(flow: &Flow<4>) -> (SocketAddr, SocketAddr) {
    let (from, to) = flow.ports();
    let ip = |first: u64, second: u64| {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&first.to_ne_bytes());
        octets[8..].copy_from_slice(&second.to_ne_bytes());
        IpAddr::from(octets)
    };
    let [a, b, c, d] = flow.addresses;
    (SocketAddr::new(ip(a, b), from), SocketAddr::new(ip(c, d), to))
}
