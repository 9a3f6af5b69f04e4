//! [`Link`]: a stack, and a station on its link that sends whatever it likes.

use std::time::Duration;

use hemi_net::{
    Caps, RxFrame, Stack, StackConfig,
    wire::{EtherType, EthernetHeader, MacAddr, arp::Operation, ndp::Ndp},
};
use hemi_queue::{Buf, Pool, time::Instant};

pub(crate) use crate::frames::*;

pub(crate) const PEER: &str = "10.99.0.2";
pub(crate) const PEER6: &str = "fd99::2";

/// A stack on a link.
pub(crate) struct Link {
    pub(crate) stack: Stack,
    pub(crate) now: Instant,
}

impl Link {
    /// A host with 10.99.0.1/16 and fd99::1/64 that has said who it is, and knows nobody.
    pub(crate) fn new() -> Self {
        let mut link = Self::with(|_| {});
        link.collect();
        link
    }

    /// One with other settings, that has not begun yet.
    pub(crate) fn with(change: impl FnOnce(&mut StackConfig)) -> Self {
        let addresses = ["10.99.0.1/16", "fd99::1/64"].map(|c| c.parse().expect("valid"));
        let mut config = StackConfig::with_addresses(addresses);
        change(&mut config);
        let stack = Stack::new(config, Caps::ethernet(OUR_MAC), Pool::new().expect("memory"), 5);
        Self { stack, now: Instant::ZERO + Duration::from_secs(100) }
    }

    /// One that knows the station, by both families.
    pub(crate) fn acquainted() -> Self {
        let mut link = Self::new();
        link.tell(MAC, &arp(Operation::Request, MAC, PEER, MacAddr::default(), OURS));
        let solicit = Ndp::Solicitation { target: v6(OURS6), source_mac: Some(MAC) };
        link.tell(MAC, &ndp(PEER6, GROUP, 255, &solicit));
        link
    }

    /// A frame body from `src` arrives; what the stack sends at once.
    pub(crate) fn tell(
        &mut self,
        src: MacAddr,
        (dst, ethertype, body): &(MacAddr, EtherType, Vec<u8>),
    ) -> Vec<Sent> {
        let mut frame = vec![0; EthernetHeader::LEN];
        let ethernet = EthernetHeader { dst: *dst, src, ethertype: *ethertype };
        ethernet.emit(frame.first_chunk_mut().expect("14"));
        frame.extend(body);
        self.stack.receive(RxFrame::new(Buf::from(frame)), self.now);
        self.collect()
    }

    /// The same from [`MAC`].
    pub(crate) fn hear(&mut self, packet: &(MacAddr, EtherType, Vec<u8>)) -> Vec<Sent> {
        self.tell(MAC, packet)
    }

    /// Time passes, timer by timer; what the stack sends meanwhile.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Sent> {
        let end = self.now + time;
        let mut all = self.collect();
        while let Some(at) = self.stack.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            all.extend(self.collect());
        }
        self.now = end;
        all.extend(self.collect());
        all
    }

    pub(crate) fn collect(&mut self) -> Vec<Sent> {
        self.stack.advance(self.now);
        let mut all = Vec::new();
        while let Some(frame) = self.stack.tx_queue().pop() {
            let mut bytes = vec![0; frame.len()];
            frame.copy_to(&mut bytes);
            let ethernet = EthernetHeader::parse(&bytes).expect("Ethernet");
            assert_eq!(ethernet.src, OUR_MAC);
            all.push(Sent { ethernet, body: bytes.split_off(EthernetHeader::LEN) });
        }
        all
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.stack.counters().iter().find(|(n, _)| *n == name).expect("a counter").1
    }

    /// Whether an echo request from `from` at `mac` is answered to that MAC address.
    pub(crate) fn answers_at(&mut self, from: &str, mac: MacAddr) -> bool {
        let sent = self.tell(mac, &ping(from, OURS, b"where am I?"));
        sent.iter().any(|s| s.ethernet.ethertype == EtherType::Ipv4 && s.ethernet.dst == mac)
    }
}
